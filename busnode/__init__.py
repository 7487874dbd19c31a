"""Prepare Debian nodes over SSH: bootstrap, status, harden, verify, rollback.

>>> from busnode import Inventory
>>> inventory = Inventory.from_document({"proxy": {"host": "10.0.0.10", "user": "bus"}})
>>> [target.id for target in inventory]
['proxy']
"""

from __future__ import annotations

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
from busnode.hardening import harden, rollback
from busnode.inventory import Inventory, Target
from busnode.node import Node
from busnode.operations import bootstrap, status, verify
from busnode.script import StepRecord

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
