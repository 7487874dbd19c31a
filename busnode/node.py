"""A node: a target of the inventory together with the way to it."""

from __future__ import annotations

import getpass
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from busnode.contract import (
    ERRORS,
    ApplyFailedError,
    BadRequestError,
    BusnodeError,
    ConfirmationRequiredError,
    Response,
    StepResult,
    StepStatus,
    UnreachableError,
)
from busnode.job import Job, Parcel, Vault
from busnode.records import dataclass, field
from busnode.report import Listener, Report, parse_report
from busnode.script import DEBIAN, Layout, Plan, compile_script, is_check
from busnode.secrets import require_private
from busnode.transport.keys import public_key
from busnode.transport.openssh import OpenSsh

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from busnode.inventory import Target
    from busnode.transport import Transport
    from busnode.transport.process import Completed

# How much longer this side waits than the node lets the script run: connecting, and the node's own clean-up.
_GRACE_SECONDS = 20


# What a script can refuse with: the contract's classes, and the one that only asks back.
_REFUSALS: dict[str, type[BusnodeError]] = {**ERRORS, "confirmation_required": ConfirmationRequiredError}


def whoami() -> str:
    """The operator as the node's lock and records name it: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a number that has no name.
        user = str(os.getuid())
    # LOGNAME may hold any bytes, and goes into a script in UTF-8 and into one line.
    name = f"{user}@{os.uname().nodename}".encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(letter if letter.isprintable() else "?" for letter in name)


@dataclass(frozen=True)
class Node:
    """One target and how it is reached.

    `operator_key` gives the public half of the operator's key when a step wants it; `secrets_dir` is where
    `secret://deployment/<name>` leads; `by` is how the operator is named on the node, `layout` where things lie there;
    under `operation_id`, where a request may come again, the node keeps what came of it. `kept` is the way to it over a
    connection that is kept, where there is one: for operations that need not tell whether one can log in.
    """

    target: Target
    transport: Transport
    operator_key: Callable[[], str] | None = None
    secrets_dir: Path | None = None
    by: str = field(default_factory=whoami)
    layout: Layout = DEBIAN
    operation_id: str | None = None
    kept: Transport | None = None

    @classmethod
    def over_ssh(
        cls,
        target: Target,
        private_key: Path | str,
        *,
        known_hosts: Path | str | None = None,
        trust_on_first_use: bool = False,
        secrets_dir: Path | str | None = None,
        via: Sequence[Target] = (),
        progress: Callable[[StepResult], None] | None = None,
        keep_connection: int = 0,
    ) -> Node:
        """A node behind OpenSSH, through the jump hosts `via`, the nearest first. No connection is made yet.

        `progress` is told how each step ended as soon as the node says so, in the thread of the operation; what it
        raises ends the connection. `keep_connection` is for how many seconds after a bootstrap its connection is kept
        for the next one; 0: not at all.

        Raises BadRequestError where the key file is missing or can be read by others.
        """
        key = Path(private_key)
        require_private(key)
        transport = OpenSsh(
            target,
            key,
            Path(known_hosts) if known_hosts else None,
            trust_on_first_use,
            tuple(via),
            listener=None if progress is None else partial(Listener, progress),
        )
        kept: Transport | None = None
        if keep_connection > 0:
            from busnode.transport.kept import KeptSsh  # noqa: PLC0415 - most operations log in anew

            kept = KeptSsh(transport, keep_connection)
        folder = Path(secrets_dir) if secrets_dir else None
        return cls(target, transport, lambda: public_key(key), folder, kept=kept)

    def run(self, plan: Plan, time_limit: float, *, operation_id: str | None = None, log_in: bool = True) -> Report:
        """Compile `plan`, send it over one connection, read its report; `time_limit` in seconds.

        The connection is a log-in of its own, unless `log_in` is false and there is one that is kept.
        Raises a BusnodeError, with the response so far, where the node refused, a step failed or the report is cut.
        Failed checks raise nothing.
        """
        script = compile_script(
            plan,
            operation_id=operation_id or self.new_operation_id(),
            by=self.by,
            layout=self.layout,
            may_come_again=self.operation_id is not None,
        )
        job = Job(script, time_limit, plan.materials, plan.blobs, self.target.become_password)
        vault = Vault(self.target.base, self.secrets_dir, self.operator_key)
        try:
            transport = self.transport if log_in or self.kept is None else self.kept
            completed = transport.run(Parcel(job, vault), time_limit=time_limit + _GRACE_SECONDS)
        except BadRequestError:
            # Nothing was sent.
            raise
        except BusnodeError as error:
            error.response = self.response(plan, parse_report(error.output), error)
            raise
        report = parse_report(completed.stdout)
        self._require_whole(plan, report, completed)
        return report

    def forget_connection(self) -> None:
        """Close what is kept of connections to this node: what may have changed is who may log in."""
        if isinstance(self.transport, OpenSsh):
            from busnode.transport.kept import forget  # noqa: PLC0415 - see over_ssh

            forget(self.transport)

    def new_operation_id(self) -> str:
        """What the next operation is known by on the node: the request's own id, else a fresh one."""
        return self.operation_id or os.urandom(16).hex()

    def response(self, plan: Plan, report: Report, error: BusnodeError | None = None) -> Response:
        """The response document's record of a report; steps that the node never came to are skipped ones."""
        told = {step.name for step in report.steps}
        missing = (
            StepResult(step.name, StepStatus.SKIPPED, "not reached", 0.0)
            for step in plan.steps
            if step.name not in told
        )
        return Response(
            ok=error is None,
            node_id=self.target.id,
            operation=plan.operation,
            dry_run=plan.dry_run,
            actions=plan.actions,
            diagnostics=((str(error),) if error else ()) + self.transport.notes,
            steps=(*report.steps, *missing),
            error_class=error.error_class if error else None,
            plan_digest=plan.digest,
        )

    def _require_whole(self, plan: Plan, report: Report, completed: Completed) -> None:
        error: BusnodeError | None = None
        failure = next((step for step in report.steps if step.status is StepStatus.FAILED), None)
        if report.error is not None:
            name, why = report.error
            error = _REFUSALS.get(name, ApplyFailedError)(f"{self.target.id}: {why}")
        elif report.ended is None:
            last = report.steps[-1].name if report.steps else "its first step"
            said = completed.stderr.decode("utf-8", "replace").strip()[-500:]
            error = UnreachableError(f"{self.target.id}: the report ends after {last}{': ' if said else ''}{said}")
        elif failure is not None and not _is_check(plan, failure):
            error = ApplyFailedError(f"{self.target.id}: {failure.name}: {failure.detail}")
        if error is not None:
            error.response, error.output = self.response(plan, report, error), completed.stdout
            raise error


def _is_check(plan: Plan, result: StepResult) -> bool:
    return any(is_check(step) for step in plan.steps if step.name == result.name)
