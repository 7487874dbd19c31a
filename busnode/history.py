"""What was done to the nodes from this account: an append-only file of JSON lines, two a run, never a secret in it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from busnode.contract import BadRequestError
from busnode.records import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from busnode.contract import Response

MAX_LINE = 1_000_000


def place(environment: Mapping[str, str]) -> Path:
    """The file, by the XDG base directory specification: below $XDG_STATE_HOME, else ~/.local/state."""
    given = environment.get("XDG_STATE_HOME", "")
    # The specification: a relative path is invalid and to be ignored.
    base = Path(given) if given.startswith("/") else Path("~/.local/state").expanduser()
    return base / "busnode/history.jsonl"


@dataclass(slots=True)
class Run:
    """One operation on one node; its `response` is set before it ends, where there is one."""

    response: Response | None = None
    id: str = field(default_factory=lambda: os.urandom(16).hex())


@dataclass(frozen=True, slots=True)
class History:
    """The file; `by` is how this account is named in it, `complain` is told where it cannot be written."""

    path: Path
    by: str
    complain: Callable[[str], None]

    @contextmanager
    def run(self, node_id: str, operation: str, *, dry_run: bool, correlation_id: str | None = None) -> Iterator[Run]:
        """Note that an operation begins, and how it ended; without the second line it was cut off."""
        made = Run()
        entry = {"run": made.id, "by": self.by, "node_id": node_id, "operation": operation, "dry_run": dry_run}
        if correlation_id is not None:
            entry["correlation_id"] = correlation_id
        begin = time.monotonic()
        self._append({"event": "began", **entry})
        try:
            yield made
        except Exception as error:
            made.response = made.response or getattr(error, "response", None)
            failed = {"ok": False, "error_class": getattr(error, "error_class", "apply_failed")}
            self._append({"event": "ended", **entry, **failed, **_told(made.response), "seconds": _since(begin)})
            raise
        self._append({"event": "ended", **entry, **_told(made.response), "seconds": _since(begin)})

    def entries(self, node_ids: frozenset[str] | None = None) -> list[dict[str, Any]]:
        """The entries of these nodes, of all where None; a run that was cut off is there as it began.

        Raises BadRequestError where the file is there and cannot be read.
        """
        found: dict[str, dict[str, Any]] = {}
        try:
            with self.path.open("rb") as file:
                for line in file:
                    entry = _parsed(line)
                    if entry is not None and (node_ids is None or entry["node_id"] in node_ids):
                        found[entry["run"]] = entry
        except FileNotFoundError:
            return []
        except OSError as error:
            raise BadRequestError(f"{self.path}: {error.strerror}; it holds the history") from error
        return list(found.values())

    def _append(self, entry: dict[str, Any]) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = json.dumps({"at": now, **entry}, ensure_ascii=True) + "\n"
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(
                os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb"
            ) as file:
                # One line is one write; the lock keeps those of other processes whole beside it.
                fcntl.flock(file, fcntl.LOCK_EX)
                file.write(line.encode())
        except OSError as error:
            self.complain(f"{self.path}: {error.strerror}; this run is not in the history")


def _told(response: Response | None) -> dict[str, Any]:
    if response is None:
        return {}
    told: dict[str, Any] = {
        "ok": response.ok,
        "plan_digest": response.plan_digest,
        "steps": [{"name": step.name, "status": step.status.value} for step in response.steps],
    }
    if response.error_class is not None:
        told["error_class"] = response.error_class
    return told


def _since(begin: float) -> float:
    return round(time.monotonic() - begin, 3)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """An entry; None for a line that is none, such as one that a full disk cut short."""
    try:
        entry = json.loads(line) if len(line) <= MAX_LINE else None
    except (ValueError, RecursionError):
        return None
    wanted = ("at", "run", "by", "node_id", "operation", "event")
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str) for name in wanted):
        return None
    return entry
