"""Commit-confirm: a change of a node counts only when a fresh connection has logged in and become root after it.

The node saved its old state and armed a rollback before anything changed; the confirmation is all that disarms it.
Everything else ends in the old state.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from busnode.contract import (
    ApplyFailedError,
    AuthFailedError,
    BusnodeError,
    Check,
    ConflictError,
    OperationTimeoutError,
    Response,
    RolledBackError,
    UnreachableError,
)
from busnode.outside import Look, Watch
from busnode.records import dataclass, replace
from busnode.report import parse_report
from busnode.script import Plan
from busnode.steps import confirm as commit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from busnode.contract import Operation
    from busnode.node import Node
    from busnode.report import Report
    from busnode.script import Step

# How long after its deadline the node is asked how it went.
_OUTCOME_SECONDS = 30.0
_LOGIN_SECONDS = 20.0
_FIRST_PAUSE_SECONDS = 0.5
# sshd counts 5 s against a source for each refused log-in, and shuts it out beyond 15 s (PerSourcePenalties).
_PENALTY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Change:
    """A change that the node has armed a rollback for; times are this side's monotonic seconds."""

    operation_id: str
    plan: Plan
    report: Report
    deadline: float


def change(node: Node, plan: Plan, watch: Watch, *, rollback_after: float, time_limit: float) -> Response:
    """Run a plan that arms a rollback, look at the node from outside, and confirm.

    Args:
        node: where.
        plan: what changes the node; where it armed nothing, nothing is left to confirm.
        watch: the ports that tell whether the firewall is as it should be; without any, the log-in alone tells.
        rollback_after: seconds that the plan's rollback waits.
        time_limit: seconds that the node lets the plan run.

    Raises:
        RolledBackError: it could not be confirmed, and the node is back in its old state, or will be.
        BusnodeError: the node refused, or could not be reached; nothing was changed, unless the message says that this
            is not known.
    """
    operation_id = node.new_operation_id()
    before = None if plan.dry_run else Look(node.transport, watch.ports)
    began = time.monotonic()
    try:
        report = node.run(plan, time_limit, operation_id=operation_id)
    except RolledBackError:
        raise
    except BusnodeError as error:
        lost = _Change(operation_id, plan, parse_report(error.output), began + rollback_after)
        if "armed" in lost.report.facts:
            # Cut off, stopped by the node, or failed with a way back that failed too.
            _give_up(node, lost, str(error))
        elif not plan.dry_run and _may_go_on(error):
            raise _unheard(node, lost, error) from error
        raise
    if before is None or "armed" not in report.facts:
        return _told(node, plan, report)
    made = _Change(operation_id, plan, report, began + rollback_after)
    seen = before.answers(), Look(node.transport, watch.ports).answers()
    wrong = watch.gone_wrong(*seen)
    if wrong is not None:
        _give_up(node, made, wrong)
    return _confirm(node, made, watch.unproven(*seen))


def confirm_plan(operation: Operation, operation_id: str) -> Plan:
    """What the fresh log-in does: disarm the rollback of a change."""
    return _follow_up(operation, commit.confirm(operation_id))


def give_up_plan(operation: Operation, operation_id: str) -> Plan:
    """Have a change taken back now, or learn how it went."""
    return _follow_up(operation, commit.give_up(operation_id))


def _follow_up(operation: Operation, step: Step) -> Plan:
    return Plan(operation, (step,), parts=("restore",), before=(("lock_node", "-w", "15"),))


def _told(node: Node, plan: Plan, report: Report, error: BusnodeError | None = None) -> Response:
    """The response, with what the node has to say beside its steps."""
    notices = tuple(text for name, text in report.facts.items() if name.startswith("notice."))
    response = node.response(plan, report, error)
    return replace(response, diagnostics=(*response.diagnostics, *notices))


def _confirm(node: Node, change: _Change, seen: tuple[str, ...]) -> Response:
    """The fresh log-in; retried as long as the node waits, for sshd may just be reading its new configuration."""
    plan = confirm_plan(change.plan.operation, change.operation_id)
    why = "no fresh log-in within the time that the node waited"
    for pause in _pauses():
        if time.monotonic() >= change.deadline:
            break
        left = change.deadline - time.monotonic()
        try:
            report = node.run(plan, min(_LOGIN_SECONDS, max(left, 1.0)), operation_id=change.operation_id)
        except RolledBackError as error:
            raise _rolled_back(node, change, str(error)) from error
        except BusnodeError as error:
            why = str(error)
            time.sleep(_PENALTY_SECONDS if isinstance(error, AuthFailedError) else pause)
            continue
        check = Check("fresh log-in", ok=True)
        response = _told(node, _joined(change.plan, plan), _both(change.report, report))
        digest = change.plan.digest
        return replace(response, plan_digest=digest, checks=(check,), diagnostics=(*response.diagnostics, *seen))
    _give_up(node, change, why)
    return _told(node, change.plan, change.report)


def _may_go_on(error: BusnodeError) -> bool:
    """Whether the node may be at work, out of hearing: it had said something, or the connection had come about."""
    if isinstance(error, UnreachableError):
        return error.began or bool(error.output)
    return isinstance(error, OperationTimeoutError)


def _unheard(node: Node, change: _Change, error: BusnodeError) -> BusnodeError:
    """What is to be said of a connection that was lost before the node told of an armed rollback: it goes on without.

    Either it is stopped, or what it has changed meanwhile is taken back, or that is not known and said so.
    """
    report = _outcome(node, change, str(error), time.monotonic() + _OUTCOME_SECONDS)
    match None if report is None else report.facts.get("outcome"):
        case "rolled_back":
            return _rolled_back(node, change, f"{error}; the node is back in its old state", report)
        case "absent":
            message = f"{error}; nothing was changed"
        case _:
            unknown = "whether anything was changed is not known: the node takes back by itself what nobody confirms"
            message = f"{error}; {unknown}"
    said = type(error)(message, output=error.output)
    said.response = _told(node, change.plan, change.report, said)
    return said


def _give_up(node: Node, change: _Change, why: str) -> None:
    """Have the change taken back, and learn how it went; returns only where it turns out to be confirmed.

    Raises RolledBackError otherwise.
    """
    report = _outcome(node, change, why, max(change.deadline, time.monotonic()) + _OUTCOME_SECONDS)
    outcome = None if report is None else report.facts.get("outcome")
    if outcome == "confirmed":
        return
    if outcome == "rolled_back":
        raise _rolled_back(node, change, f"{node.target.id}: {why}; the node is back in its old state", report)
    if outcome == "absent":
        message = f"{node.target.id}: {why}; and the node knows nothing of the change any more; see its status"
        raise ApplyFailedError(message, response=_told(node, change.plan, change.report))
    unknown = "the node takes the change back by itself, and did not yet answer whether it has"
    raise _rolled_back(node, change, f"{node.target.id}: {why}; {unknown}")


def _outcome(node: Node, change: _Change, why: str, until: float) -> Report | None:
    """Have the change taken back, or not begin; what the node said of it, None where it did not answer in time.

    Raises ApplyFailedError where it cannot be taken back.
    """
    plan = give_up_plan(change.plan.operation, change.operation_id)
    for pause in _pauses():
        if time.monotonic() >= until:
            break
        try:
            return node.run(plan, _LOGIN_SECONDS, operation_id=change.operation_id)
        except (UnreachableError, AuthFailedError, OperationTimeoutError, ConflictError) as error:
            time.sleep(_PENALTY_SECONDS if isinstance(error, AuthFailedError) else pause)
            continue
        except BusnodeError as error:
            message = f"{node.target.id}: {why}; and it is not taken back: {error}; the node tries again by itself"
            raise ApplyFailedError(message, response=error.response, output=error.output) from error
    return None


def _rolled_back(node: Node, change: _Change, message: str, last: Report | None = None) -> RolledBackError:
    error = RolledBackError(message)
    report = change.report if last is None else _both(change.report, last)
    response = _told(node, change.plan, report, error)
    error.response = replace(response, checks=(Check("fresh log-in", ok=False, diagnostic=message),))
    return error


def _pauses() -> Iterator[float]:
    """Seconds between tries: soon at first, for sshd may just be reading its configuration; then as far apart."""
    pause = _FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(2 * pause, _PENALTY_SECONDS)


def _joined(first: Plan, second: Plan) -> Plan:
    return replace(first, steps=(*first.steps, *second.steps))


def _both(first: Report, second: Report) -> Report:
    return replace(second, steps=(*first.steps, *second.steps), facts={**first.facts, **second.facts})
