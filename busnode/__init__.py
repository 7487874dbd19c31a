"""Prepare Debian nodes over SSH: bootstrap, status, harden, verify, rollback.

>>> from busnode import Inventory
>>> inventory = Inventory.from_document({"proxy": {"host": "10.0.0.10", "user": "bus"}})
>>> [target.id for target in inventory]
['proxy']
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from busnode.contract import (
    ApplyFailedError,
    AuthFailedError,
    BadRequestError,
    BusnodeError,
    Check,
    ConfirmationRequiredError,
    ConflictError,
    HostKeyMismatchError,
    LockoutRiskError,
    Operation,
    OperationTimeoutError,
    Response,
    RolledBackError,
    StepResult,
    StepStatus,
    SudoRequiredError,
    UnauthorizedError,
    UnreachableError,
    VerifyFailedError,
)
from busnode.inventory import Inventory, Target
from busnode.node import Node
from busnode.operations import bootstrap, status, verify
from busnode.script import StepRecord

if TYPE_CHECKING:
    from busnode.hardening import harden, rollback

__all__ = [
    "ApplyFailedError",
    "AuthFailedError",
    "BadRequestError",
    "BusnodeError",
    "Check",
    "ConfirmationRequiredError",
    "ConflictError",
    "HostKeyMismatchError",
    "Inventory",
    "LockoutRiskError",
    "Node",
    "Operation",
    "OperationTimeoutError",
    "Response",
    "RolledBackError",
    "StepRecord",
    "StepResult",
    "StepStatus",
    "SudoRequiredError",
    "Target",
    "UnauthorizedError",
    "UnreachableError",
    "VerifyFailedError",
    "bootstrap",
    "harden",
    "rollback",
    "status",
    "verify",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """What only hardening needs (the policy, the way back) is imported when it is asked for (PEP 562)."""
        if name not in {"harden", "rollback"}:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from busnode import hardening  # noqa: PLC0415 - see above

        return getattr(hardening, name)
