"""What is promised to callers: the response document, the error classes, the exit codes.

Field names and error classes are those of the Bus node contract (operator-node, integration-node); an event answered
on a bus, a library call and the command line all speak of the same records.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

from busnode.records import dataclass, field


class Operation(StrEnum):
    """The four operations of the contract, and the way back from the last change."""

    BOOTSTRAP = "bootstrap"
    STATUS = "status"
    HARDEN = "harden"
    VERIFY = "verify"
    ROLLBACK = "rollback"


class StepStatus(StrEnum):
    """How a step ended."""

    OK = "ok"
    CHANGED = "changed"
    WOULD_CHANGE = "would-change"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step's end; `seconds` is the node's own monotonic time."""

    name: str
    status: StepStatus
    detail: str
    seconds: float

    def to_document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "status": self.status.value,
            "detail": self.detail,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `diagnostic` is empty when it is as it should be."""

    name: str
    ok: bool
    diagnostic: str = ""

    def to_document(self) -> dict[str, Any]:
        return {"name": self.name, "ok": self.ok, "diagnostic": self.diagnostic}


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to one operation, `schemas/node-response.schema.json`."""

    ok: bool
    node_id: str
    operation: Operation
    dry_run: bool = False
    actions: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    diagnostics: tuple[str, ...] = ()
    steps: tuple[StepResult, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    error_class: str | None = None
    plan_digest: str | None = None

    @property
    def changed(self) -> bool:
        """Whether anything on the node was changed."""
        return any(step.status is StepStatus.CHANGED for step in self.steps)

    def to_document(self) -> dict[str, Any]:
        """The JSON document; `error_class` is there when and only when `ok` is false."""
        document: dict[str, Any] = {
            "ok": self.ok,
            "node_id": self.node_id,
            "operation": self.operation.value,
            "dry_run": self.dry_run,
            "actions": list(self.actions),
            "checks": [check.to_document() for check in self.checks],
            "diagnostics": list(self.diagnostics),
            "steps": [step.to_document() for step in self.steps],
        }
        if self.plan_digest is not None:
            document["plan_digest"] = self.plan_digest
        if self.facts:
            document["facts"] = self.facts
        if self.error_class is not None:
            document["error_class"] = self.error_class
        return document


class BusnodeError(Exception):
    """Base of everything this package raises; `response` is the document of the operation that failed, if one began."""

    error_class: ClassVar[str] = "apply_failed"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, response: Response | None = None, output: bytes = b"") -> None:
        super().__init__(message)
        self.response = response
        self.output = output
        """What the node had printed until then."""


class BadRequestError(BusnodeError):
    """The inventory, an option or a request is not valid; nothing was sent to any node."""

    error_class = "bad_request"
    exit_code = 2


class ConfirmationRequiredError(BadRequestError):
    """The firewall would drop a port that is listening now; repeat with `confirm=True` if that is meant."""


class UnauthorizedError(BusnodeError):
    """The caller may not ask for this."""

    error_class = "unauthorized"


class UnreachableError(BusnodeError):
    """No SSH connection could be made, or it broke; `began` where what was sent may have arrived."""

    error_class = "unreachable"
    exit_code = 3
    began: bool = False


class HostKeyMismatchError(BusnodeError):
    """The node's host key is unknown, or is not the one that is known."""

    error_class = "host_key_mismatch"
    exit_code = 3


class AuthFailedError(BusnodeError):
    """The node does not accept the user's key."""

    error_class = "auth_failed"
    exit_code = 3


class SudoRequiredError(BusnodeError):
    """The user cannot become root on the node."""

    error_class = "sudo_required"


class OperationTimeoutError(BusnodeError):
    """The operation's time limit passed."""

    error_class = "timeout"


class ConflictError(BusnodeError):
    """Another operation holds the node."""

    error_class = "conflict"


class ApplyFailedError(BusnodeError):
    """A step failed; the steps after it were skipped."""

    error_class = "apply_failed"


class VerifyFailedError(BusnodeError):
    """A check found the node not to be as it should be."""

    error_class = "verify_failed"


class RolledBackError(BusnodeError):
    """A change was not confirmed and the node is back in its old state."""

    error_class = "rolled_back"
    exit_code = 4


class LockoutRiskError(BusnodeError):
    """The change could lock the operator out; it was refused before anything was touched."""

    error_class = "lockout_risk"


ERRORS: dict[str, type[BusnodeError]] = {
    error.error_class: error
    for error in (
        BadRequestError,
        UnauthorizedError,
        UnreachableError,
        HostKeyMismatchError,
        AuthFailedError,
        SudoRequiredError,
        OperationTimeoutError,
        ConflictError,
        ApplyFailedError,
        VerifyFailedError,
        RolledBackError,
        LockoutRiskError,
    )
}
