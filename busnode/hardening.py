"""harden, and the way back from it: both commit-confirmed, so that neither locks its operator out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from busnode import commit_confirm
from busnode.contract import BadRequestError, Operation
from busnode.outside import Watch
from busnode.records import replace
from busnode.script import Plan
from busnode.steps import applied, credentials, facts, firewall, sshd
from busnode.steps import confirm as commit

if TYPE_CHECKING:
    from busnode.contract import Response
    from busnode.inventory import FirewallPolicy
    from busnode.node import Node

HARDEN_SECONDS = 120.0
ROLLBACK_SECONDS = 60.0


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
    plan = harden_plan(node, dry_run=dry_run, confirm=confirm, rollback_after=rollback_after)
    watch = Watch.of(require_policy(node), node.target.port)
    return _changed(node, plan, watch, rollback_after, time_limit)


def rollback(
    node: Node,
    *,
    dry_run: bool = False,
    rollback_after: float = ROLLBACK_SECONDS,
    time_limit: float = HARDEN_SECONDS,
) -> Response:
    """What harden manages as it was before the last change that was confirmed; nothing where none is kept.

    It is confirmed as harden is. `rollback_after` and `time_limit` in seconds.
    Raises RolledBackError where the old state could not be confirmed: the node is as harden left it.
    """
    plan = rollback_plan(node, dry_run=dry_run, rollback_after=rollback_after)
    # What the old state lets in is not known here: the fresh log-in alone tells.
    return _changed(node, plan, Watch((), None), rollback_after, time_limit)


def _changed(node: Node, plan: Plan, watch: Watch, rollback_after: float, time_limit: float) -> Response:
    try:
        return commit_confirm.change(node, plan, watch, rollback_after=rollback_after, time_limit=time_limit)
    finally:
        # It would answer whom the node lets in no more.
        if not plan.dry_run:
            node.forget_connection()


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
    more_key = target.ssh_policy.authorized_key_secret
    more_keys = [] if more_key is None else [credentials.authorized_key(target.user, more_key, "policy")]
    return Plan(
        Operation.HARDEN,
        (
            facts.check_ssh(),
            commit.guard(target, policy, knows_operator=node.operator_key is not None),
            commit.compare(),
            *firewall.guards(policy, confirm=confirm),
            *commit.arm(rollback_after),
            *(replace(step, action="configure-ssh") for step in more_keys),
            *sshd.steps(),
            *firewall.steps(),
        ),
        dry_run=dry_run,
        exclusive=True,
        parts=("credentials", "restore", "applied"),
        before=(commit.wanted(target, policy),),
        after=(("rolled_back_if_broken",), applied.KEEP),
    )


def rollback_plan(_: Node, *, dry_run: bool = False, rollback_after: float = ROLLBACK_SECONDS) -> Plan:
    """What rollback does over its first connection; makes none."""
    return Plan(
        Operation.ROLLBACK,
        (facts.check_ssh(), commit.compare_undo(), *commit.arm(rollback_after), commit.restore()),
        dry_run=dry_run,
        exclusive=True,
        parts=("restore", "firewall"),
        before=(commit.wanted_back(),),
        after=(("rolled_back_if_broken",),),
    )
