"""sshd's part of the policy: a drop-in that is read first, and what must be in force afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from busnode.script import Step

if TYPE_CHECKING:
    from busnode.inventory import Target

# (keyword, value, why). UsePAM stays as Debian has it: sessions and limits need it.
_ALWAYS = (
    ("PubkeyAuthentication", "yes", "the way in that stays"),
    ("PermitEmptyPasswords", "no", "an empty password is none"),
    # 3 or less locks out people whose agent offers several keys before the right one.
    ("MaxAuthTries", "4", "guessing is slow, an agent with a few keys still gets in"),
    ("X11Forwarding", "no", "a host of services shows no windows"),
)
_NO_PASSWORDS = (
    ("PasswordAuthentication", "no", "keys only"),
    ("KbdInteractiveAuthentication", "no", "PAM asks for passwords through this one"),
)


def settings(target: Target) -> list[tuple[str, str, str]]:
    """Every keyword of the drop-in with its value and its reason."""
    policy = target.ssh_policy
    root = "prohibit-password" if policy.allow_root_login else "no"
    found = [*_ALWAYS, ("PermitRootLogin", root, "root comes through sudo, which names who it was")]
    if policy.disable_password_auth:
        found += _NO_PASSWORDS
    found += [("DenyUsers", account.name, "a service account never logs in") for account in target.service_accounts]
    return found


def dropin(target: Target) -> str:
    """The text of the drop-in."""
    head = "# Written by busnode harden, which overwrites changes made here. In sshd the first value wins.\n"
    return head + "".join(f"# {reason}\n{keyword} {value}\n" for keyword, value, reason in settings(target))


def effective(target: Target) -> list[str]:
    """What `sshd -T` must then say, one `keyword value` each."""
    spelt = {"prohibit-password": "without-password"}
    return [f"{keyword.lower()} {spelt.get(value, value)}" for keyword, value, _ in settings(target)]


def steps() -> list[Step]:
    """Write, check, reload, and see that it is in force."""
    return [
        Step("configure-ssh", "sshd drop-in", "sshd", ("sshd_dropin_written",)),
        Step("configure-ssh", "sshd reload", "sshd", ("sshd_reloaded",)),
        Step("check-ssh-policy", "sshd policy", "sshd", ("sshd_effective",)),
    ]
