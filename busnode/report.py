"""What a script printed, back into step results and facts: any bytes in, records out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from busnode.contract import StepResult, StepStatus

if TYPE_CHECKING:
    from collections.abc import Callable

_STATUSES = frozenset(StepStatus)
# Longer than any time limit; a node may say what it likes.
_MAX_SECONDS = 1e6


@dataclass(frozen=True, slots=True)
class Report:
    """What a script said: `error` is (error class, why) where it refused; without its last line `ended` is None."""

    steps: tuple[StepResult, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)
    error: tuple[str, str] | None = None
    ended: str | None = None

    @property
    def first_failure(self) -> StepResult | None:
        """The first step that failed."""
        return next((step for step in self.steps if step.status is StepStatus.FAILED), None)


def parse_report(output: bytes) -> Report:
    """What a script printed, as records; lines that are not of a script (a log-in shell's chatter) are left out.

    Any bytes are taken: this is what a node says, and never raises.
    """
    steps: list[StepResult] = []
    facts: dict[str, str] = {}
    error: tuple[str, str] | None = None
    ended: str | None = None
    for line in output.splitlines():
        match json_object(line) if line.startswith(b'{"') else None:
            case {"name": str(name), "status": str(status), "detail": str(detail), "seconds": int() | float() as spent}:
                if status in _STATUSES:
                    seconds = float(spent) if 0 <= spent <= _MAX_SECONDS else 0.0
                    said = _bytes_text(detail).strip()
                    steps.append(StepResult(_bytes_text(name), StepStatus(status), said, seconds))
            case {"fact": str(name), "value": str(value)}:
                facts[_bytes_text(name)] = _bytes_text(value)
            case {"error": str(name), "detail": str(detail)}:
                error = error or (name, _bytes_text(detail))
            case {"end": ("ok" | "failed") as end}:
                ended = end
    return Report(tuple(steps), facts, error, ended)


class Listener:
    """Hears a report piece by piece, and tells of each step once its line is whole."""

    def __init__(self, tell: Callable[[StepResult], None]) -> None:
        self._tell, self._rest = tell, b""

    def __call__(self, piece: bytes) -> None:
        """The next piece."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for step in parse_report(b"\n".join(lines)).steps:
            self._tell(step)


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
