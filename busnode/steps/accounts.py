"""Service accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from busnode.script import Step

if TYPE_CHECKING:
    from busnode.inventory import Target


def steps(target: Target) -> list[Step]:
    """One step an account."""
    return [
        Step("create-accounts", f"account {account.name}", "accounts", ("service_account", account.name, account.home))
        for account in target.service_accounts
    ]
