"""The records of bee/model.py out of an audit's JSON: what model.to_json made of them, or what somebody has edited."""

from __future__ import annotations

import re
from dataclasses import is_dataclass
from types import UnionType
from typing import TYPE_CHECKING, cast, get_args, get_origin

from bee.comparison.roles import hints
from bee.model import Audit, printable
from bee.quantities import MAX_DIGITS, is_number
from bee.typed_json import MalformedError

if TYPE_CHECKING:
    from collections.abc import Callable

_INDEX = re.compile(r"\[\d+\]", re.ASCII)
_KINDS: dict[type, tuple[str, Callable[[object], bool]]] = {
    bool: ("neither true nor false", lambda value: isinstance(value, bool)),
    int: (
        f"no whole number of at most {MAX_DIGITS} digits",
        lambda value: isinstance(value, int) and is_number(value),
    ),
    float: (f"no number of at most {MAX_DIGITS} digits", is_number),
    str: ("no string", lambda value: isinstance(value, str)),
}


class MissingError(MalformedError):
    """A field is not there that every audit of this bee has."""


def audit(document: object) -> tuple[Audit, tuple[str, ...]]:
    """The audit that `document` is, and which of its lists are not there, such as `psu.supplies`, each once.

    An older bee of the same schema did not write them: they have nothing. What may be null is then not known.

    Raises:
        MissingError: a field that can be neither is not there; the text names it.
        MalformedError: something in it is not of its field's type; the text names the place.
    """
    unwritten: dict[str, None] = {}
    return cast("Audit", _record(Audit, document, "", unwritten)), tuple(unwritten)


def _record(record: type, value: object, where: str, unwritten: dict[str, None]) -> object:
    if not isinstance(value, dict):
        raise MalformedError(f"{where or 'the whole'} is no object")
    prefix = f"{where}." if where else ""
    made = {}
    for name, hint in hints(record).items():
        if name in value or nullable(hint):
            made[name] = _value(hint, value.get(name), f"{prefix}{name}", unwritten)
        elif get_origin(hint) is tuple:
            made[name] = ()
            unwritten[_INDEX.sub("", f"{prefix}{name}")] = None
        else:
            raise MissingError(f"{prefix}{name} is missing")
    return record(**made)


def _value(hint: object, value: object, where: str, unwritten: dict[str, None]) -> object:
    if nullable(hint):
        if value is None:
            return None
        hint = inner(hint)
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise MalformedError(f"{where} is no list")
        item = get_args(hint)[0]
        return tuple(_value(item, entry, f"{where}[{index}]", unwritten) for index, entry in enumerate(value))
    if isinstance(hint, type) and is_dataclass(hint):
        return _record(hint, value, where, unwritten)
    return scalar(hint, value, where)


def scalar(hint: object, value: object, where: str) -> object:
    """`value`, which must be of the simple type `hint`; a string is made fit for a terminal.

    Raises:
        MalformedError: it is of another type.
    """
    said, fits = _KINDS[hint] if isinstance(hint, type) else _KINDS[str]
    if not fits(value):
        raise MalformedError(f"{where} is {said}")
    return printable(value) if isinstance(value, str) else value


def nullable(hint: object) -> bool:
    """Whether a field of this type may be None."""
    return isinstance(hint, UnionType) and type(None) in get_args(hint)


def inner(hint: object) -> object:
    """The type of a field that may be None, when it is not; any other type as it is."""
    return next(arm for arm in get_args(hint) if arm is not type(None)) if nullable(hint) else hint
