"""What the last operations set, and whether it still stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from busnode.contract import Operation, StepStatus
from busnode.script import Step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from busnode.contract import StepResult
    from busnode.report import Applied

# The call after an operation's steps by which the node keeps what it set.
KEEP = ("script_kept",)
_SETTING = (Operation.BOOTSTRAP, Operation.HARDEN)


def read() -> Step:
    """Look, step by step, whether what bootstrap and harden set last still stands."""
    return Step("read-applied", "what was set", "applied", ("read_applied", *_SETTING))


def was_looked_at(steps: Iterable[StepResult]) -> bool:
    """Whether status came to it: not while an operation is under way."""
    name = read().name
    return any(step.name == name and step.status is StepStatus.OK for step in steps)


def stands(step: StepResult) -> bool:
    """Whether what a step set is there, by the end of its dry run."""
    return step.status not in {StepStatus.WOULD_CHANGE, StepStatus.FAILED}


def digest(applied: Applied) -> dict[str, Any]:
    """One operation as the response document shows it; `stands` is None where it could not be looked at."""
    return {
        "operation": applied.operation,
        "operation_id": applied.operation_id,
        "by": applied.by,
        "at": applied.at,
        "stands": None if applied.unread else applied.drifted <= 0 and all(map(stands, applied.steps)),
        "steps": [
            {"name": step.name, "status": step.status.value, "detail": step.detail, "stands": stands(step)}
            for step in applied.steps
        ],
    }


def diagnostics(applied: Applied) -> list[str]:
    """A line a step that no longer stands, and what could not be told."""
    if applied.unread:
        return [f"what {applied.operation} set cannot be looked at: {applied.unread}"]
    found = [
        f"no longer as {applied.operation} set it: {step.name}{': ' if step.detail else ''}{_first_line(step.detail)}"
        for step in applied.steps
        if not stands(step)
    ]
    if applied.drifted > len(found):
        more = applied.drifted - len(found)
        found.append(f"no longer as {applied.operation} set it: {more} more, which are too many to tell")
    return found


def _first_line(text: str) -> str:
    first, _, more = text.partition("\n")
    return f"{first} …" if more else first
