"""The records of bee/model.py out of an audit's JSON: what model.to_json made of them, or what somebody has edited."""

from __future__ import annotations

import math
from dataclasses import is_dataclass
from types import UnionType
from typing import TYPE_CHECKING, cast, get_args, get_origin

from bee.comparison.roles import hints
from bee.model import Audit, printable
from bee.typed_json import MalformedError

if TYPE_CHECKING:
    from collections.abc import Callable

_KINDS: dict[type, tuple[str, Callable[[object], bool]]] = {
    bool: ("neither true nor false", lambda value: isinstance(value, bool)),
    int: ("no whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    float: (
        "no number",
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value),
    ),
    str: ("no string", lambda value: isinstance(value, str)),
}


def audit(document: object) -> Audit:
    """The audit that `document` is. What an older bee of the same schema did not write is not known: None, or no list.

    Raises:
        MalformedError: something in it is not of its field's type; the text names the place.
    """
    return cast("Audit", _record(Audit, document, ""))


def _record(record: type, value: object, where: str) -> object:
    if not isinstance(value, dict):
        raise MalformedError(f"{where or 'the whole'} is no object")
    prefix = f"{where}." if where else ""
    made = {}
    for name, hint in hints(record).items():
        missing = name not in value
        if missing and not nullable(hint) and get_origin(hint) is not tuple:
            raise MalformedError(f"{prefix}{name} is missing")
        made[name] = () if missing and get_origin(hint) is tuple else _value(hint, value.get(name), f"{prefix}{name}")
    return record(**made)


def _value(hint: object, value: object, where: str) -> object:
    if nullable(hint):
        if value is None:
            return None
        hint = inner(hint)
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise MalformedError(f"{where} is no list")
        item = get_args(hint)[0]
        return tuple(_value(item, entry, f"{where}[{index}]") for index, entry in enumerate(value))
    if isinstance(hint, type) and is_dataclass(hint):
        return _record(hint, value, where)
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
