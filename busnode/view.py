"""Results for people: short tables, and no control character that a node could have put into its words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from busnode.contract import StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from busnode.contract import Response

_COLORS = {
    StepStatus.OK: "32",
    StepStatus.CHANGED: "33",
    StepStatus.WOULD_CHANGE: "36",
    StepStatus.SKIPPED: "2",
    StepStatus.FAILED: "31",
}


def printable(text: str) -> str:
    """`text` without control characters, which a terminal would obey.

    >>> printable("a\\x1b[2Jb")
    'a?[2Jb'
    """
    return "".join(character if character.isprintable() else "?" for character in text)


def response(answer: Response, color: bool) -> str:
    """A response as a table of its steps and checks."""
    lines = [f"{answer.node_id}: {answer.operation} {'ok' if answer.ok else answer.error_class}{_summary(answer)}"]
    for step in answer.steps:
        word = _painted(f"{step.status.value:<12}", _COLORS[step.status], color)
        lines.append(f"  {word} {step.seconds:6.2f} s  {printable(step.name)}{_after(step.detail)}")
    lines += [f"  check {'ok    ' if check.ok else 'failed'} {printable(check.name)}" for check in answer.checks]
    lines += [f"  {name}: {printable(text)}" for name, text in _facts(answer.facts)]
    return "\n".join(lines)


def targets(rows: Iterable[dict[str, Any]]) -> str:
    """The inventory, a line a target."""
    return "\n".join(f"{row['node_id']:<24} {row['user']}@{row['host']} port {row['port']}" for row in rows)


def plans(found: dict[str, Sequence[tuple[str, str]]] | dict[str, list[tuple[str, str]]]) -> str:
    """The steps of each operation."""
    lines = []
    for operation, steps in found.items():
        lines.append(f"{operation}:")
        lines += [f"  {action:<20} {printable(name)}" for action, name in steps]
    return "\n".join(lines)


def _facts(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("release", "kernel", "system", "pending", "running"):
        if name in facts:
            yield name, str(facts[name])
    yield from facts.get("units", {}).items()
    if facts.get("failed_units"):
        yield "failed units", ", ".join(facts["failed_units"])
    for socket in facts.get("listeners", ()):
        yield "listens", f"{socket['address']} port {socket['port']} {socket['process'] or ''}".rstrip()
    last = facts.get("last_operation")
    if last:
        yield "last operation", ", ".join(f"{key} {value}" for key, value in last.items())


def _summary(answer: Response) -> str:
    if answer.dry_run:
        return " (dry run)"
    changed = sum(step.status is StepStatus.CHANGED for step in answer.steps)
    return f", {changed} changed" if changed else ", nothing changed"


def _after(detail: str) -> str:
    """A detail of one line follows its step; a longer one, a diff for instance, stands below it."""
    lines = [printable(line) for line in detail.splitlines()]
    if len(lines) <= 1:
        return f": {lines[0]}" if lines else ""
    return "".join(f"\n      {line}" for line in lines)


def _painted(text: str, code: str, color: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if color else text
