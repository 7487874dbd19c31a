"""The records of `bus.ssh.script.run.*`: a script for a node or a look at one of its ports, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from busnode import schema
from busnode.contract import (
    ERRORS,
    ApplyFailedError,
    BadRequestError,
    BusnodeError,
    OperationTimeoutError,
    UnreachableError,
)
from busnode.job import Job
from busnode.script import Material, MaterialKind
from busnode.transport import Answer, Family
from busnode.transport.process import Completed

CREDENTIALS = ("ssh_private_key_secret", "ssh_private_key_file", "known_hosts_file")
"""What a request may choose of the runner's own; the password for sudo is the job's."""


_TIME = "%Y-%m-%dT%H:%M:%SZ"
NOTHING = Completed(b"", b"", None)


@dataclass(frozen=True, slots=True)
class ScriptTarget:
    """Which node, and by choice through which of its hosts and users."""

    node_id: str
    host: str | None = None
    user: str | None = None

    def to_document(self) -> dict[str, str]:
        given = {"node_id": self.node_id, "host": self.host, "user": self.user}
        return {key: value for key, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ScriptRequest:
    """A job, or else a port to look at, over `family` where it is given; `time_limit` in seconds is what is waited."""

    target: ScriptTarget
    time_limit: float
    job: Job | None = None
    port: int | None = None
    family: Family | None = None
    credentials: dict[str, str] = field(default_factory=dict)
    network_bootstrap: dict[str, Any] | None = None
    deadline: datetime | None = None

    def to_document(self) -> dict[str, Any]:
        """The payload, `schemas/script-request.schema.json`."""
        document: dict[str, Any] = {"target": self.target.to_document(), "time_limit": max(1, round(self.time_limit))}
        if self.deadline is not None:
            document["deadline"] = self.deadline.astimezone(UTC).strftime(_TIME)
        if self.port is not None:
            document["port"] = self.port
            if self.family is not None:
                document["family"] = self.family.value
        if self.job is not None:
            document |= _job_document(self.job)
        if self.network_bootstrap is not None:
            document["network_bootstrap"] = self.network_bootstrap
        return document | self.credentials

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> ScriptRequest:
        """Raises BadRequestError, one line a mistake, each with its path."""
        whole = {
            "properties": {"payload": schema.load("script-request")},
            "$defs": schema.load("script-request")["$defs"],
        }
        found = list(schema.violations({"payload": document}, whole))
        if found:
            raise BadRequestError("\n".join(found))
        time_limit = float(document["time_limit"])
        return cls(
            ScriptTarget(**document["target"]),
            time_limit,
            _job(document, time_limit) if "script" in document else None,
            int(document["port"]) if "port" in document else None,
            Family(document["family"]) if "family" in document else None,
            {name: document[name] for name in CREDENTIALS if name in document},
            document.get("network_bootstrap"),
            _deadline(document["deadline"]) if "deadline" in document else None,
        )

    def require_wanted(self) -> None:
        """Raises OperationTimeoutError where whoever asked has given up."""
        if self.deadline is not None and datetime.now(UTC) > self.deadline:
            message = f"nobody waited for this after {self.deadline.strftime(_TIME)}, which is past; nothing was run"
            raise OperationTimeoutError(f"{self.target.node_id}: {message}")


@dataclass(frozen=True, slots=True)
class ScriptResult:
    """What came of a request: what was printed, what a port answered, or an error."""

    node_id: str
    completed: Completed = NOTHING
    answer: Answer | None = None
    notes: tuple[str, ...] = ()
    error: BusnodeError | None = None

    def to_document(self) -> dict[str, Any]:
        """The payload, `schemas/script-result.schema.json`."""
        printed = self.completed.stdout if self.error is None else self.error.output
        document: dict[str, Any] = {
            "ok": self.error is None,
            "node_id": self.node_id,
            "exit_code": self.completed.exit_code,
            "stdout": printed.decode("utf-8", "backslashreplace"),
            "stderr": self.completed.stderr.decode("utf-8", "backslashreplace"),
            "diagnostics": [] if self.error is None else [str(self.error)],
            "notes": list(self.notes),
        }
        if self.answer is not None:
            document["port_answer"] = self.answer.value
        if self.error is not None:
            document["error_class"] = self.error.error_class
            if isinstance(self.error, UnreachableError) and self.error.began:
                document["began"] = True
        return document

    @classmethod
    def from_document(cls, document: dict[str, Any], node_id: str) -> ScriptResult:
        """What a runner answered for `node_id`.

        Raises ApplyFailedError where it is no such result: whoever sent it, it proves nothing.
        """
        wrong = next(schema.violations(document, schema.load("script-result")), None)
        # A request of which not even the node could be read is answered without one.
        if wrong is None and document["node_id"] != node_id and document["ok"]:
            wrong = "node_id: of another node"
        if wrong is not None:
            raise ApplyFailedError(f"{node_id}: the answer of the ssh runner is not valid: {wrong}")
        stdout, stderr = document["stdout"].encode(), document["stderr"].encode()
        error = None
        if not document["ok"]:
            said = "\n".join(document["diagnostics"]) or document["error_class"]
            error = ERRORS[document["error_class"]](said, output=stdout)
            if isinstance(error, UnreachableError):
                error.began = document.get("began", False)
        answer = Answer(document["port_answer"]) if "port_answer" in document else None
        completed = Completed(stdout, stderr, document["exit_code"])
        return cls(document["node_id"], completed, answer, tuple(document["notes"]), error)


def _deadline(text: str) -> datetime:
    try:
        return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise BadRequestError(f"payload.deadline: {text!r} is no time; give one such as 2026-01-31T12:00:00Z") from None


def _job_document(job: Job) -> dict[str, Any]:
    document: dict[str, Any] = {
        "script": job.script,
        "time_limit": max(1, round(job.time_limit)),
        "materials": [{"kind": material.kind.value, "reference": material.reference} for material in job.materials],
        "blobs": list(job.blobs),
    }
    if job.password is not None:
        document["sudo_password_secret"] = job.password
    return document


def _job(document: dict[str, Any], time_limit: float) -> Job:
    materials = (Material(MaterialKind(one["kind"]), one["reference"]) for one in document.get("materials", ()))
    return Job(
        document["script"],
        time_limit,
        tuple(materials),
        tuple(document.get("blobs", ())),
        document.get("sudo_password_secret"),
    )
