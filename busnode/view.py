"""Results for people: short tables, and no control character that a node could have put into its words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from busnode.contract import StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from busnode.contract import Response
    from busnode.fleet import FleetResponse

_PORTS = {"tcp": "port", "udp": "UDP port"}
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


def ended(answer: Response, seconds: float, color: bool) -> str:
    """One line for a node that is done."""
    word, code = ("ok", "32") if answer.ok else (answer.error_class or "failed", "31")
    said = _summary(answer).removeprefix(", ") if answer.ok else answer.diagnostics[0] if answer.diagnostics else ""
    return f"{answer.node_id:<24} {_painted(f'{word:<14}', code, color)} {seconds:6.1f} s  {printable(said)}".rstrip()


def fleet(answer: FleetResponse, color: bool) -> str:
    """A line a node, and the steps and checks of those that failed."""
    lines = []
    for node in answer.responses:
        lines.append(ended(node, sum(step.seconds for step in node.steps), color))
        if not node.ok:
            lines += [f"    {printable(line)}" for line in node.diagnostics[1:]]
    lines += [f"{node_id:<24} not begun" for node_id in answer.not_run]
    good = sum(node.ok for node in answer.responses)
    lines.append(f"{answer.operation}: {good} of {len(answer.responses) + len(answer.not_run)} ok")
    return "\n".join(lines)


def history(entries: Iterable[dict[str, Any]]) -> str:
    """A line an operation, the oldest first."""
    lines = []
    for entry in entries:
        outcome = "cut off" if entry["event"] == "began" else "ok" if entry.get("ok") else entry.get("error_class", "-")
        changed = sum(step.get("status") == "changed" for step in entry.get("steps", ()))
        what = entry["operation"] + (" (dry run)" if entry.get("dry_run") else "")
        line = f"{entry['at']}  {entry['node_id']:<20} {what:<20} {outcome:<14} {changed} changed, by {entry['by']}"
        lines.append(printable(line))
    return "\n".join(lines) or "nothing yet"


def targets(rows: Iterable[dict[str, Any]]) -> str:
    """The inventory, a line a target."""
    return "\n".join(
        f"{row['node_id']:<24} {row['user']}@{row['host']} port {row['port']} {' '.join(row['tags'])}".rstrip()
        for row in rows
    )


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
        seen = "".join(f", {answer} from outside over {family}" for family, answer in socket.get("outside", {}).items())
        yield (
            "listens",
            f"{socket['address']} {_PORTS[socket['protocol']]} {socket['port']} {socket['process'] or ''}".rstrip()
            + seen,
        )
    yield from _firewall(facts.get("firewall", {}))
    yield from (("reboot", why) for why in facts.get("reboot", {}).get("reasons", ()))
    if "updates" in facts:
        for package in facts["updates"]["packages"]:
            kind = "security update" if package["security"] else "update"
            yield kind, f"{package['name']} {package['installed'] or 'new'} -> {package['available']}"
    last = facts.get("last_operation")
    if last:
        yield "last operation", ", ".join(f"{key} {value}" for key, value in last.items())
    elif facts.get("applied") == []:
        yield "last operation", "none; busnode has changed nothing here"
    for operation in facts.get("applied", ()):
        yield from _applied(operation)


def _applied(operation: dict[str, Any]) -> Iterator[tuple[str, str]]:
    gone = [step for step in operation["steps"] if not step["stands"]]
    if operation["stands"] is None:
        yield f"set by {operation['operation']}", "could not be looked at"
        return
    verdict = "stands" if operation["stands"] else f"{len(gone)} of {len(operation['steps'])} steps no longer stand"
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(operation["at"]))
    yield f"set by {operation['operation']}", f"{verdict} ({operation['by']}, {at} UTC)"
    for step in gone:
        yield "no longer stands", f"{step['name']}: {step['detail'].partition(chr(10))[0]}"


def _firewall(counters: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for port in counters.get("ports", ()):
        yield f"firewall port {port['port']}", f"{port['packets']} packets, {port['bytes']} bytes"
    for rule in counters.get("rules", ()):
        yield f"firewall {rule['rule']}", f"{rule['packets']} packets, {rule['bytes']} bytes"


def _summary(answer: Response) -> str:
    if answer.dry_run:
        return " (dry run)"
    if "applied" in answer.facts:
        gone = sum(not step["stands"] for each in answer.facts["applied"] for step in each["steps"])
        if gone:
            return f", {gone} no longer as set"
        if any(each["stands"] is None for each in answer.facts["applied"]):
            return ", what was set could not be looked at"
        return ", what was set stands" if answer.facts["applied"] else ", nothing was set here"
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
