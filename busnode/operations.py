"""The operations: a node in, a plan compiled, one connection, a response out.

Each returns its Response, or raises one BusnodeError whose `response` says as far as it went.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from busnode import reach
from busnode.contract import (
    BadRequestError,
    BusnodeError,
    Check,
    Operation,
    Response,
    StepStatus,
    VerifyFailedError,
)
from busnode.records import replace
from busnode.report import parse_report
from busnode.script import Plan, Step, is_check
from busnode.steps import (
    accounts,
    applied,
    clock,
    credentials,
    directories,
    facts,
    firewall,
    listeners,
    packages,
    paths,
    services,
    sshd,
    upkeep,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from busnode.contract import StepResult
    from busnode.inventory import Target
    from busnode.node import Node
    from busnode.report import Report
    from busnode.script import StepRecord

BOOTSTRAP_SECONDS = 1800.0
LOOK_SECONDS = 60.0
_SSH_CHECKS = frozenset({"listener ssh", f"service {services.SSH_UNIT}", "sshd policy"})
# Parts of steps that change nothing of who may log in.
_NOT_OF_LOGINS = frozenset({"clock", "directories", "facts"})
_TOUCHED = (StepStatus.CHANGED, StepStatus.FAILED)
KINDS = frozenset({"ssh", "systemd", "listeners"})
# Said of a target.
MISSING_STEPS = "steps: there are steps of your own; give the file of their classes with --steps FILE"


def bootstrap(node: Node, *, dry_run: bool = False, time_limit: float = BOOTSTRAP_SECONDS) -> Response:
    """Clock, packages, accounts, directories, credentials and services, only where they are not yet as wanted.

    With `dry_run` the node is looked at and nothing is changed. `time_limit` in seconds.
    """
    plan = bootstrap_plan(node, dry_run=dry_run)
    try:
        report = node.run(plan, time_limit, log_in=False)
    except BusnodeError as error:
        if error.response is not None:
            _log_in_anew_after(node, plan, error.response.steps)
        raise
    _log_in_anew_after(node, plan, report.steps)
    return node.response(plan, report)


def _log_in_anew_after(node: Node, plan: Plan, results: Iterable[StepResult]) -> None:
    """Keep no connection once who may log in may have changed: by a key, an account, a package, a unit, a step of the
    operator's own."""
    if node.kept is None:
        return
    harmless = {step.name for step in plan.steps if isinstance(step, Step) and step.part in _NOT_OF_LOGINS}
    if any(result.status in _TOUCHED and result.name not in harmless for result in results):
        node.forget_connection()


def bootstrap_plan(node: Node, *, dry_run: bool = False) -> Plan:
    """What bootstrap does; reads no credential, and makes no connection."""
    target = node.target
    return Plan(
        Operation.BOOTSTRAP,
        (
            facts.check_ssh(),
            packages.wait_for_cloud_init(),
            *clock.steps(target),
            *packages.steps(target),
            *accounts.steps(target),
            *directories.steps(target),
            *credentials.steps(target, authorize_operator=node.operator_key is not None),
            *_own_steps(target),
            *services.steps(target),
        ),
        parts=("sshd", "applied", paths.PART),
        before=(paths.look(target),),
        # A dry run compares digests; no content is sent for it.
        blobs=() if dry_run else tuple(file.source for file in target.credential_files),
        dry_run=dry_run,
        exclusive=True,
        after=(applied.KEEP,),
    )


def _own_steps(target: Target) -> tuple[StepRecord, ...]:
    if target.own_steps is None:
        raise BadRequestError(f"{target.id}.{MISSING_STEPS}")
    return target.own_steps


def status(
    node: Node, *, kinds: frozenset[str] = KINDS, updates: bool = False, time_limit: float = LOOK_SECONDS
) -> Response:
    """What the node is and runs, in the response's `facts`: release, units, listeners, firewall, last operation, and
    whether what bootstrap and harden set last still stands, step by step (`applied`).

    `kinds` leaves out units (`systemd`) or `listeners`; `updates` asks apt what could be upgraded, by the package
    lists that the node has.
    """
    plan = status_plan(node.target, kinds, updates=updates)
    try:
        report = node.run(plan, time_limit)
    except BusnodeError as error:
        if error.response is not None:
            error.response = _as_read(error.response, plan, parse_report(error.output))
        raise
    return _as_read(node.response(plan, report), plan, report)


def _as_read(response: Response, plan: Plan, report: Report) -> Response:
    """A response of status with what was read: all of it, or what there was when it broke off."""
    told = {step.name for step in report.steps}
    unread = [step.name for step in plan.steps if step.name not in told]
    found = facts.digest(report.facts, told)
    if applied.was_looked_at(report.steps):
        found["applied"] = [applied.digest(each) for each in report.applied]
    said = [line for each in report.applied for line in applied.diagnostics(each)] + list(response.diagnostics)
    if unread and found["reachable"]:
        said.append(f"not read: {', '.join(unread)}")
    return replace(response, facts=found, diagnostics=tuple(said))


def status_plan(target: Target, kinds: frozenset[str] = KINDS, *, updates: bool = False) -> Plan:
    """What status reads."""
    left_out = {"units": "systemd", "listeners": "listeners"}
    steps = (step for step in facts.steps(target) if left_out.get(step.name, "ssh") in kinds | {"ssh"})
    more = (upkeep.updates(),) if updates else ()
    return Plan(Operation.STATUS, (*steps, *more), parts=("services", "listeners", "sshd"))


def verify(node: Node, *, kinds: frozenset[str] = KINDS, time_limit: float = LOOK_SECONDS) -> Response:
    """Every listener and every service of the target, sshd's own and our firewall's always among them; and every TCP
    listener that the node has from this side too: reachable, or closed as the firewall policy says. UDP listeners are
    judged by the rules in force alone, where these are among the checks (`systemd`).

    `kinds` are those of KINDS to look at, all unless told otherwise.
    Raises VerifyFailedError naming the first that is not as it should be.
    """
    plan = verify_plan(node.target, kinds)
    report = node.run(plan, time_limit)
    inside = _checks(plan, report)
    seen = reach.look(node.target, node.transport, report.facts) if "listeners" in kinds else reach.View()
    in_force = next((check.ok for check in inside if check.name == firewall.RULES), None)
    udp = reach.look_at_udp(node.target, report.facts, in_force)
    checks = (*inside, *seen.checks, *udp.checks)
    response = node.response(plan, report)
    found = {"listeners": [*seen.listeners, *udp.listeners]} if "listeners" in report.facts else {}
    notes = (*response.diagnostics, *seen.notes, *udp.notes)
    response = replace(response, checks=checks, facts=found, diagnostics=notes)
    wrong = [check for check in checks if not check.ok]
    if not wrong:
        return response
    diagnostics = (*(check.diagnostic for check in wrong), *response.diagnostics)
    response = replace(response, ok=False, error_class=VerifyFailedError.error_class, diagnostics=diagnostics)
    raise VerifyFailedError(f"{node.target.id}: {wrong[0].diagnostic}", response=response)


def verify_plan(target: Target, kinds: frozenset[str] = KINDS) -> Plan:
    """What verify checks."""
    kept = (sshd.check(target), firewall.check(target.firewall_policy))
    checks = (*listeners.checks(target), *services.checks(target), *kept)
    wanted = (check for check in checks if _kinds(check) & kinds)
    found = (listeners.read(),) if "listeners" in kinds else ()
    return Plan(Operation.VERIFY, (facts.check_ssh(), *found, *wanted))


def _kinds(check: Step) -> frozenset[str]:
    """sshd's listener, service and policy are ssh's too."""
    kind = "listeners" if check.action == "check-listeners" else "systemd"
    return frozenset({kind, "ssh"} if check.name in _SSH_CHECKS else {kind})


def _checks(plan: Plan, report: Report) -> tuple[Check, ...]:
    """The check steps of a report; one that was never told of is a failed one."""
    results = {step.name: step for step in report.steps}
    found = []
    for step in plan.steps:
        if not is_check(step):
            continue
        result = results.get(step.name)
        if result is None:
            found.append(Check(step.name, ok=False, diagnostic=f"{step.name}: the node said nothing of it"))
        elif result.status is not StepStatus.SKIPPED:
            ok = result.status is StepStatus.OK
            found.append(Check(step.name, ok, "" if ok else result.detail))
    return tuple(found)
