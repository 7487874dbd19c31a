"""URLs as logs may show them."""

from __future__ import annotations

import re

# A password may have a raw @, / or # in it, as a user's name may: where an @ stands in the authority (RFC 3986, section
# 3.2), or a colon before any, all goes up to the last @ of the word. Any other @ is the path's.
_USERINFO = re.compile(r"(?<=://)(?=[^\s'\"/?#]*@|[^\s'\"]*:[^\s'\"]*@)[^\s'\"]*@")
# A path, or one URL without either: no user stands before an @ in it.
_WITHOUT_USER = re.compile(r"(?:/(?!/)|\.\.?/)(?:(?!://).)*|[^\s:@/]+://[^\s:@/?#]*[/?#][^\s:]*", re.DOTALL)


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
    if _WITHOUT_USER.fullmatch(value):
        return value
    before, at, rest = value.rpartition("@")
    scheme, mark, _ = before.partition("://")
    return f"{scheme}{mark}{rest}" if at and mark else rest
