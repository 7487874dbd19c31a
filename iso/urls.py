"""URLs as logs may show them."""

from __future__ import annotations

import re

# Greedy up to the last @ of the word: a password with a raw / or @ in it must not be shown either.
_USERINFO = re.compile(r"(?<=://)[^\s'\"]*@")


def without_userinfo(text: str) -> str:
    """A text with the user names and passwords of all its URLs left out (RFC 3986, section 3.2.1).

    Args:
        text: a URL, or anything that may hold some.
    """
    return _USERINFO.sub("", text)


def shown(value: str) -> str:
    """A value as it may be repeated to whoever gave it, also where it is no well-formed URL.

    Args:
        value: what may hold a password before an @.
    """
    before, at, rest = value.rpartition("@")
    scheme, mark, _ = before.partition("://")
    return f"{scheme}{mark}{rest}" if at and mark else rest
