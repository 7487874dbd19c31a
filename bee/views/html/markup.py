"""HTML that cannot be broken into: an element is made of names from the code and of values that are always escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TypeAlias

from bee.model import printable

_VOID = frozenset({"meta"})


class Markup(str):
    """Text that is HTML already; every other text is a value and is escaped."""

    __slots__ = ()


# Nested as deep as a caller likes.
Content: TypeAlias = "str | Iterable[Content] | None"
Value = str | float | bool | None


def element(tag: str, *content: Content, **attributes: Value) -> Markup:
    """One element.

    Args:
        tag: its name, a word of the code's.
        content: what stands in it: Markup as it is, other text escaped, an iterable of both, None for nothing.
        attributes: by name, `_` for `-` and a `_` at the end dropped (`class_`, `aria_label`); None and False are left
            out, True stands without a value.
    """
    opened = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Markup(f"<{tag}{opened}>")
    return Markup(f"<{tag}{opened}>{join(*content)}</{tag}>")


def join(*content: Content) -> Markup:
    """The pieces one after the other, escaped where they are no Markup."""
    return Markup("".join(_pieces(content)))


def _pieces(content: Iterable[Content]) -> Iterable[str]:
    for piece in content:
        if isinstance(piece, Markup):
            yield piece
        elif isinstance(piece, str):
            yield html.escape(printable(piece))
        elif piece is not None:
            yield from _pieces(piece)


def _attribute(name: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    shown = str(value)
    return f' {name}="{html.escape(printable(shown))}"'
