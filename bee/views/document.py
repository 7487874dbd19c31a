"""Reading an audit's JSON for a view: it may be hand-edited or hostile, so nothing in it is taken for granted."""

from __future__ import annotations

from bee.model import printable
from bee.quantities import is_number, size

# How sizes are said belongs to the words of a view too.
__all__ = ["integer", "part", "real", "rows", "size", "strings", "text"]


def part(document: object, *keys: str) -> dict[str, object]:
    """The object at `keys`; empty where there is none."""
    here = document
    for key in keys:
        here = here.get(key) if isinstance(here, dict) else None
    return here if isinstance(here, dict) else {}


def rows(record: dict[str, object], name: str) -> list[dict[str, object]]:
    """The objects in the list `name`."""
    value = record.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(record: dict[str, object], name: str, missing: str = "-") -> str:
    """The value `name`, fit for a terminal; `missing` where it is null."""
    value = record.get(name)
    if value is None or isinstance(value, dict | list):
        return missing
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(str(value)) or missing


def integer(record: dict[str, object], name: str) -> int | None:
    """The value `name` if it is a whole number that can be reckoned with."""
    value = record.get(name)
    return value if is_number(value) and isinstance(value, int) else None


def real(record: dict[str, object], name: str) -> float | None:
    """The value `name` if it is a number that can be reckoned with."""
    value = record.get(name)
    return value if is_number(value) else None


def strings(record: dict[str, object], name: str) -> list[str]:
    """The strings in the list `name`, fit for a terminal."""
    value = record.get(name)
    return [printable(item) for item in value if isinstance(item, str)] if isinstance(value, list) else []
