"""Commit-confirm: the guards before a change, the saved state, the armed rollback, and the confirmation."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from busnode.script import DEBIAN, Layout, Material, MaterialKind, Step, Word, shell_text
from busnode.steps import firewall, sshd

if TYPE_CHECKING:
    from busnode.inventory import FirewallPolicy, Target


def wanted(target: Target, policy: FirewallPolicy, layout: Layout = DEBIAN) -> tuple[Word, ...]:
    """The call that tells the script what to compare with and what to write."""
    reference = target.ssh_policy.authorized_key_secret
    blob = "" if reference is None else Material(MaterialKind.KEY, reference)
    texts = (sshd.dropin(target), firewall.rules(policy), firewall.unit(layout), firewall.dropin(layout))
    return ("wanted", *texts, rollback_script(layout), blob, sshd.accounts(target), *sshd.effective(target))


def wanted_back(layout: Layout = DEBIAN) -> tuple[str, ...]:
    """The same for going back: nothing is wanted but the way out of it."""
    return ("rollback_only", rollback_script(layout))


def guard(target: Target, policy: FirewallPolicy, *, knows_operator: bool) -> Step:
    """Refuse what could lock the operator out; `knows_operator`: whether there is a key to look for on the node."""
    ports = tuple(map(str, policy.allowed_ports)) if policy.default_deny_inbound else ("any",)
    flags = (
        "1" if target.ssh_policy.allow_root_login else "0",
        "1" if target.ssh_policy.disable_password_auth else "0",
    )
    blob = Material(MaterialKind.KEY) if knows_operator else ""
    return Step("check-lockout", "lockout guards", "confirm", ("lockout_guarded", *flags, blob, *ports), once=True)


def compare() -> Step:
    """Whether there is anything to do."""
    return Step("compare", "difference to the policy", "confirm", ("compared",))


def compare_undo() -> Step:
    """Whether a confirmed change is kept that could be gone back from."""
    return Step("compare", "state before the last change", "confirm", ("undo_compared",))


def restore() -> Step:
    """What harden manages as it was before the last confirmed change."""
    return Step("restore-state", "state before", "confirm", ("state_restored",))


def arm(seconds: float) -> list[Step]:
    """Save the old state and arm the rollback, in `seconds` from then."""
    return [
        Step("save-state", "old state", "confirm", ("state_saved",), once=True),
        Step("arm-rollback", "rollback", "confirm", ("rollback_armed", f"{seconds:g}"), once=True),
    ]


def confirm(operation_id: str) -> Step:
    """Disarm the rollback; the run of this step is the fresh log-in itself."""
    return Step("confirm", "confirmation", "confirm", ("change_confirmed", operation_id))


def give_up(operation_id: str) -> Step:
    """Take the change back now, or learn how it went."""
    return Step("roll-back", "roll back", "confirm", ("change_given_up", operation_id))


def rollback_script(layout: Layout = DEBIAN) -> str:
    """The program that the node keeps and runs by itself."""
    values = {
        "state_dir": layout.state_dir,
        "run_dir": layout.run_dir,
        "unit_dir": layout.unit_dir,
        "PATH": layout.path,
    }
    settings = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    return f"#!/bin/sh\n{settings}{shell_text('steps/restore.sh')}\n{shell_text('rollback.sh')}\n"
