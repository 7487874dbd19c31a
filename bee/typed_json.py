"""Values out of JSON that somebody else may have written: each is asked for by type, what is wrong named by place."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")

# The last second that time.gmtime can name with four digits of a year; no duration comes near it.
MAX_NUMBER = 253_402_300_799


class MalformedError(Exception):
    """A value is not of its type; the text is where, and what was expected."""


def string(value: object, where: str) -> str:
    """`value`, a string. This and all that follow raise MalformedError where it is something else."""
    if not isinstance(value, str):
        raise MalformedError(f"{where} is no string")
    return value


def flag(value: object, where: str) -> bool:
    """`value`, true or false."""
    if not isinstance(value, bool):
        raise MalformedError(f"{where} is neither true nor false")
    return value


def number(value: object, where: str) -> float:
    """A finite number from zero to MAX_NUMBER."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_NUMBER:
        raise MalformedError(f"{where} is no number from 0 to {MAX_NUMBER}")
    return value


def whole(value: object, where: str) -> int:
    """A whole number from zero to MAX_NUMBER."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NUMBER:
        raise MalformedError(f"{where} is no whole number from 0 to {MAX_NUMBER}")
    return value


def optional(read: Callable[[object, str], Value]) -> Callable[[object, str], Value | None]:
    """`read` for what may be null."""
    return lambda value, where: None if value is None else read(value, where)


def several(read: Callable[[object, str], Value]) -> Callable[[object, str], tuple[Value, ...]]:
    """A list of what `read` takes."""

    def read_all(value: object, where: str) -> tuple[Value, ...]:
        if not isinstance(value, list):
            raise MalformedError(f"{where} is no list")
        return tuple(read(item, f"{where}[{index}]") for index, item in enumerate(value))

    return read_all


def mapping(read: Callable[[object, str], Value]) -> Callable[[object, str], dict[str, Value]]:
    """An object with whatever keys, whose values `read` takes."""

    def read_all(value: object, where: str) -> dict[str, Value]:
        items = Record(value, where).items()
        return {key: read(item, f"{where}[{key!r}]") for key, item in items}

    return read_all


class Record:
    """An object with known keys.

    Raises:
        MalformedError: it is no object.
    """

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise MalformedError(f"{where} is no object")
        self._values = cast("dict[str, object]", value)
        self._where = where

    def get(self, key: str, read: Callable[[object, str], Value]) -> Value:
        """The value at `key`, as `read` takes it.

        Raises:
            MalformedError: it is missing, or not what `read` takes.
        """
        where = f"{self._where}.{key}"
        if key not in self._values:
            raise MalformedError(f"{where} is missing")
        return read(self._values[key], where)

    def items(self) -> list[tuple[str, object]]:
        """Every key with its value."""
        return list(self._values.items())
