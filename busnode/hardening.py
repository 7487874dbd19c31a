"""harden: commit-confirmed, so that no policy locks its operator out.

The node saves its old state and arms a rollback before anything changes; a fresh connection that logs in and becomes
root, after probes from outside, is all that disarms it. Everything else ends in the old state.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from busnode.contract import (
    ApplyFailedError,
    AuthFailedError,
    BadRequestError,
    BusnodeError,
    Check,
    ConflictError,
    Operation,
    OperationTimeoutError,
    Response,
    RolledBackError,
    UnreachableError,
)
from busnode.node import new_operation_id
from busnode.outside import Look, Watch
from busnode.script import Plan, parse_report
from busnode.steps import confirm as commit
from busnode.steps import credentials, facts, firewall, sshd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from busnode.inventory import FirewallPolicy
    from busnode.node import Node
    from busnode.script import Report, Step

HARDEN_SECONDS = 120.0
ROLLBACK_SECONDS = 60.0
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


def harden(
    node: Node,
    *,
    dry_run: bool = False,
    confirm: bool = False,
    rollback_after: float = ROLLBACK_SECONDS,
    time_limit: float = HARDEN_SECONDS,
) -> Response:
    """sshd and firewall as the target's policies say, taken back by the node itself unless confirmed.

    `confirm` also drops ports that are listening now. `rollback_after` and `time_limit` in seconds.
    Raises LockoutRiskError or ConfirmationRequiredError before anything is touched, RolledBackError after a change
    that could not be confirmed.
    """
    policy = require_policy(node)
    operation_id = new_operation_id()
    plan = harden_plan(node, dry_run=dry_run, confirm=confirm, rollback_after=rollback_after)
    watch = Watch.of(policy, node.target.port)
    before = None if dry_run else Look(node.transport, watch.ports)
    began = time.monotonic()
    try:
        report = node.run(plan, time_limit, operation_id=operation_id)
    except RolledBackError:
        raise
    except BusnodeError as error:
        report = parse_report(error.output)
        if "armed" not in report.facts:
            raise
        # Cut off, stopped by the node, or failed with a way back that failed too.
        _give_up(node, _Change(operation_id, plan, report, began + rollback_after), str(error))
        raise
    if before is None or "armed" not in report.facts:
        return _told(node, plan, report)
    change = _Change(operation_id, plan, report, began + rollback_after)
    seen = before.answers(), Look(node.transport, watch.ports).answers()
    wrong = watch.gone_wrong(*seen)
    if wrong is not None:
        _give_up(node, change, wrong)
    return _confirm(node, change, watch.unproven(*seen))


def require_policy(node: Node) -> FirewallPolicy:
    """The target's firewall policy. Raises BadRequestError where the inventory names no ports."""
    policy = node.target.firewall_policy
    if policy is None:
        message = f"{node.target.id}.allowed_ports: missing; harden needs the TCP ports to let in, ssh's among them"
        raise BadRequestError(message)
    return policy


def harden_plan(
    node: Node, *, dry_run: bool = False, confirm: bool = False, rollback_after: float = ROLLBACK_SECONDS
) -> Plan:
    """What harden does over its first connection; makes none."""
    target, policy = node.target, require_policy(node)
    key = _authorized_key(node)
    more_keys = [replace(credentials.authorized_key(target.user, key, "policy"), action="configure-ssh")] if key else []
    return Plan(
        Operation.HARDEN,
        (
            facts.check_ssh(),
            commit.guard(target, policy, node.operator_key()),
            commit.compare(),
            *firewall.guards(policy, confirm=confirm),
            *commit.arm(rollback_after),
            *more_keys,
            *sshd.steps(),
            *firewall.steps(),
        ),
        dry_run=dry_run,
        exclusive=True,
        parts=("credentials",),
        before=(commit.wanted(target, policy, key),),
        after=(("rolled_back_if_broken",),),
    )


def confirm_plan(operation_id: str) -> Plan:
    """What the fresh log-in does: disarm the rollback of a change."""
    return _follow_up(commit.confirm(operation_id))


def give_up_plan(operation_id: str) -> Plan:
    """Have a change taken back now, or learn how it went."""
    return _follow_up(commit.give_up(operation_id))


def _follow_up(step: Step) -> Plan:
    return Plan(Operation.HARDEN, (step,), before=(("lock_node", "-w", "15"),))


def _authorized_key(node: Node) -> str | None:
    reference = node.target.ssh_policy.authorized_key_secret
    if reference is None:
        return None
    lines = node.secret(reference).reveal().decode("utf-8", "replace").strip().splitlines()
    if len(lines) != 1 or not credentials.is_public_key(lines[0]):
        message = f"{reference}: not one public key; give a file with one line such as: ssh-ed25519 AAAA… name"
        raise BadRequestError(message)
    return lines[0]


def _told(node: Node, plan: Plan, report: Report, error: BusnodeError | None = None) -> Response:
    """The response, with what the node has to say beside its steps."""
    notices = tuple(text for name, text in report.facts.items() if name.startswith("notice."))
    response = node.response(plan, report, error)
    return replace(response, diagnostics=(*response.diagnostics, *notices))


def _confirm(node: Node, change: _Change, seen: tuple[str, ...]) -> Response:
    """The fresh log-in; retried as long as the node waits, for sshd may just be reading its new configuration."""
    plan = confirm_plan(change.operation_id)
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
        return replace(response, checks=(check,), diagnostics=(*response.diagnostics, *seen))
    _give_up(node, change, why)
    return _told(node, change.plan, change.report)


def _give_up(node: Node, change: _Change, why: str) -> None:
    """Have the change taken back, and learn how it went; returns only where it turns out to be confirmed.

    Raises RolledBackError otherwise.
    """
    plan = give_up_plan(change.operation_id)
    until = max(change.deadline, time.monotonic()) + _OUTCOME_SECONDS
    for pause in _pauses():
        if time.monotonic() >= until:
            break
        try:
            report = node.run(plan, _LOGIN_SECONDS, operation_id=change.operation_id)
        except (UnreachableError, AuthFailedError, OperationTimeoutError, ConflictError) as error:
            time.sleep(_PENALTY_SECONDS if isinstance(error, AuthFailedError) else pause)
            continue
        except BusnodeError as error:
            message = f"{node.target.id}: {why}; and it is not taken back: {error}; the node tries again by itself"
            raise ApplyFailedError(message, response=error.response, output=error.output) from error
        if report.facts.get("outcome") == "confirmed":
            return
        raise _rolled_back(node, change, f"{node.target.id}: {why}; the node is back in its old state", report)
    unknown = "the node takes the change back by itself, and did not yet answer whether it has"
    raise _rolled_back(node, change, f"{node.target.id}: {why}; {unknown}")


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
