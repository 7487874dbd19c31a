"""sshd's part of the policy: a drop-in that is read first, and what must be in force afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from busnode import policy
from busnode.script import Step

if TYPE_CHECKING:
    from busnode.inventory import Target


def dropin(target: Target) -> str:
    """The text of the drop-in; of each list of algorithms the node leaves out what its own openssh does not have."""
    chosen = policy.load()
    settings = chosen.settings(target)
    return "".join(
        (
            f"# Policy {chosen.name}, version {chosen.version}.\n",
            "# Written by busnode harden, which overwrites changes made here. In sshd the first value wins.\n",
            *(f"# {setting.reason}\n{setting.keyword} {setting.value}\n" for setting in settings),
            "\n# Once more, for a Match block of another file would win over what is set above.\n",
            "Match all\n",
            *(f"    {setting.keyword} {setting.value}\n" for setting in settings if setting.everyone),
        )
    )


def effective(target: Target) -> list[str]:
    """What `sshd -T` must then say of every account, one `keyword value` each."""
    return [f"{setting.keyword.lower()} {setting.effective}" for setting in policy.load().settings(target)]


def accounts(target: Target) -> str:
    """For whom that is asserted, beside the user who logs in: root and the service accounts, parted by blanks."""
    return " ".join(("root", *(account.name for account in target.service_accounts)))


def steps() -> list[Step]:
    """Write, check, reload, and see that it is in force."""
    return [
        Step("configure-ssh", "sshd drop-in", "sshd", ("sshd_dropin_written",)),
        Step("configure-ssh", "sshd reload", "sshd", ("sshd_reloaded",), once=True),
        Step("check-ssh-policy", "sshd policy", "sshd", ("sshd_effective",)),
    ]


def check(target: Target) -> Step:
    """That sshd does as the inventory's policy says, whoever changed its configuration or the inventory since."""
    call = ("policy_in_force", accounts(target), *effective(target))
    return Step("check-services", "sshd policy", "sshd", call, check=True)
