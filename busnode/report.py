"""What a script printed, back into step results and facts: any bytes in, records out."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NoReturn

from busnode.contract import StepResult, StepStatus
from busnode.records import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable

_NUMBER = re.compile(r"[0-9]{1,15}")
_STATUSES = frozenset(StepStatus)
# Longer than any time limit, later than any clock; a node may say what it likes.
_MAX_SECONDS = 1e6
_LAST_SECOND = 253402300799  # the end of the year 9999


@dataclass(frozen=True, slots=True)
class Applied:
    """What an operation set on the node, looked at again; `at` is when, in seconds of Unix time.

    `steps` are how its steps would end now, of which `drifted` no longer stand; `left_out` are too many to tell, those
    that stand first of all. `unread` says why it could not be looked at.
    """

    operation: str
    operation_id: str = ""
    by: str = ""
    at: int = 0
    drifted: int = 0
    left_out: int = 0
    steps: tuple[StepResult, ...] = ()
    unread: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a script said: `error` is (error class, why) where it refused; without its last line `ended` is None.

    `applied` is what status asked of operations before it.
    """

    steps: tuple[StepResult, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)
    error: tuple[str, str] | None = None
    ended: str | None = None
    applied: tuple[Applied, ...] = ()

    @property
    def first_failure(self) -> StepResult | None:
        """The first step that failed."""
        return next((step for step in self.steps if step.status is StepStatus.FAILED), None)


def parse_report(output: bytes) -> Report:
    """What a script printed, as records; lines that are not of a script (a log-in shell's chatter) are left out.

    Any bytes are taken: this is what a node says, and never raises.
    """
    steps: list[StepResult] = []
    again: defaultdict[str, list[StepResult]] = defaultdict(list)
    applied: list[Applied] = []
    facts: dict[str, str] = {}
    error: tuple[str, str] | None = None
    ended: str | None = None
    for line in output.splitlines():
        match json_object(line) if line.startswith(b'{"') else None:
            case {
                "name": str(name),
                "status": str(status),
                "detail": str(detail),
                "seconds": int() | float() as spent,
                **more,
            }:
                if status in _STATUSES:
                    seconds = float(spent) if 0 <= spent <= _MAX_SECONDS else 0.0
                    said = _bytes_text(detail).strip()
                    told = again[str(more["of"])] if "of" in more else steps
                    told.append(StepResult(_bytes_text(name), StepStatus(status), said, seconds))
            case {
                "applied": str(of),
                "operation_id": str(name),
                "by": str(by),
                "at": int(at),
                "drifted": int(drifted),
                "left_out": int(left_out),
            }:
                when = at if 0 <= at <= _LAST_SECOND else 0
                who, which = _bytes_text(by), _bytes_text(name)
                applied.append(Applied(_bytes_text(of), which, who, when, drifted, left_out, tuple(again[of])))
            case {"applied": str(of), "unread": str(unread)}:
                applied.append(Applied(_bytes_text(of), unread=_bytes_text(unread) or "it says nothing"))
            case {"fact": str(name), "value": str(value)}:
                facts[_bytes_text(name)] = _bytes_text(value)
            case {"error": str(name), "detail": str(detail)}:
                error = error or (name, _bytes_text(detail))
            case {"end": ("ok" | "failed") as end}:
                ended = end
    return Report(tuple(steps), facts, error, ended, tuple(applied))


class Listener:
    """Hears a report piece by piece, and tells of each step once its line is whole."""

    def __init__(self, tell: Callable[[StepResult], None]) -> None:
        self._tell, self._rest = tell, b""

    def __call__(self, piece: bytes) -> None:
        """The next piece."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for step in parse_report(b"\n".join(lines)).steps:
            self._tell(step)


def number(text: str) -> int | None:
    """A number that a node wrote; None where it is none. int() takes digits of every script, and refuses thousands."""
    return int(text) if _NUMBER.fullmatch(text) else None


def json_object(text: bytes | str) -> dict[str, Any] | None:
    """The object that a node wrote as JSON; None where it is none, NaN and numbers of a thousand digits among it."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _bytes_text(text: str) -> str:
    """The script writes each byte as \\u00XX; bytes that are no UTF-8 are shown escaped."""
    try:
        return text.encode("latin-1").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
