"""What must hold for a parser on any input: it returns, in time, exactly what its annotation says it returns."""

from __future__ import annotations

import math
import signal
import traceback
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

MEGABYTE = 1 << 20
# A program's start, a machine that is busy: time that is no parser's fault.
_SLACK_SECONDS = 0.05


class TooSlowError(BaseException):
    """The parser was still at work; no parser may swallow this."""


def allowed_seconds(size: int) -> float:
    """How long a parser may take for an input of `size` bytes: one second of its own time for a megabyte."""
    return _SLACK_SECONDS + size / MEGABYTE


def trouble(parse: Callable[[bytes], object], returns: object, data: bytes, seconds: float) -> str | None:
    """What is wrong with what `parse` makes of `data`, in a line; None when nothing is.

    Args:
        parse: the parser.
        returns: the type it says it returns.
        data: its input.
        seconds: the processor time after which it is stopped.
    """
    try:
        value = _within(seconds, lambda: parse(data))
    except TooSlowError as error:
        return f"slower than {seconds:.2f} s for {len(data)} bytes, in {place(error)}"
    except Exception as error:
        return f"{type(error).__name__} in {place(error)}: {str(error)[:100]}"
    where = misfit(value, returns)
    return None if where is None else f"{getattr(parse, '__module__', '')}: {where}"


def place(error: BaseException) -> str:
    """The innermost line of bee that an exception came through, as `parsers/lspci.py:92`."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/bee/" in frame.filename]
    return f"{frames[-1].filename.rpartition('/bee/')[2]}:{frames[-1].lineno}" if frames else "no line of bee"


def misfit(value: Any, annotation: Any, where: str = "the result") -> str | None:
    """Where `value` is not of the type `annotation`, looked at to its last leaf; None where it is."""
    origin = get_origin(annotation)
    if origin in {Union, types.UnionType}:
        if any(misfit(value, choice, where) is None for choice in get_args(annotation)):
            return None
        return f"{where} is {type(value).__name__}, not {annotation}"
    expected = type(None) if annotation is None else origin or annotation
    # Not isinstance: True is an int to it, and JSON writes it as something else.
    if type(value) is not expected:
        return f"{where} is {type(value).__name__}, not {annotation}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{where} is {value}, which JSON cannot say"
    return _first(misfit(part, kind, name) for part, kind, name in _parts(value, annotation, where))


def _parts(value: Any, annotation: Any, where: str) -> Iterator[tuple[Any, Any, str]]:
    """What a container or record holds: each part with its type and its place."""
    arguments = get_args(annotation)
    if is_dataclass(value):
        hints = _hints(type(value))
        yield from ((getattr(value, f.name), hints[f.name], f"{where}.{f.name}") for f in fields(value))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key, arguments[0], f"a key of {where}"
            yield item, arguments[1], f"{where}[{key!r}]"
    elif isinstance(value, tuple | list):
        kinds = arguments if isinstance(value, tuple) and ... not in arguments else arguments[:1] * len(value)
        if len(kinds) != len(value):
            yield value, None, where
            return
        yield from ((item, kind, f"{where}[{i}]") for i, (item, kind) in enumerate(zip(value, kinds, strict=True)))


_hints = cache(get_type_hints)


def _first(texts: Iterable[str | None]) -> str | None:
    return next((text for text in texts if text is not None), None)


def _within(seconds: float, work: Callable[[], object]) -> object:
    """What `work` returns, unless it takes more than `seconds` of processor time."""

    def stop(*_: object) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        return work()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
