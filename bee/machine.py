"""The one edge between bee and the machine: run a tool, read a file below /sys, /proc or /dev.

`Live` is the machine bee runs on, `Recorded` one that was seen before. Collectors take either and cannot tell.
"""

# ruff: noqa: PTH113, PTH123, PTH208 - pathlib's import alone costs a tenth of an audit's start

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import IO, TYPE_CHECKING, Protocol

from bee.process import MAX_OUTPUT_BYTES, REAP_SECONDS, Process
from bee.records import dataclass, field
from bee.working_folder import home_of, private_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["MAX_OUTPUT_BYTES", "OUTCOMES", "PATH", "Live", "Machine", "Recorded", "Run"]

PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
OUTCOMES = ("exited", "killed", "timeout", "flooded", "stopped", "unasked", "missing", "unstartable")
# /proc/cpuinfo of a machine with 1,024 threads is 1.5 MB.
MAX_FILE_BYTES = 4 * 2**20
# A BMC's driver passes on one request at a time: two of this tool at once only make each other late. A BMC that let one
# of them wait to its limit hangs, and would do so to each.
_ONE_AT_A_TIME = ("ipmitool",)
# A shelf of 200 disks must not start 200 tools at once.
_MAX_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One tool that was run, or could not be.

    `outcome` is one of: exited, killed (by a signal that was not ours), timeout, flooded (printed more than
    MAX_OUTPUT_BYTES and was killed), stopped (the whole audit's deadline had come), unasked (its device had left the
    same tool without an answer before), missing, unstartable.
    `left_behind` says that the kill did not end it.
    """

    args: tuple[str, ...]
    outcome: str
    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int | None = None
    signal: int | None = None
    seconds: float = 0.0
    left_behind: bool = False


class Machine(Protocol):
    """What collectors may ask of a machine."""

    def run(self, *args: str, limit: float) -> Run:
        """Run a tool found on the fixed PATH for at most `limit` seconds. Never raises."""

    def has_tool(self, name: str) -> bool:
        """Whether `name` is an executable file on the fixed PATH."""

    def read(self, path: str) -> str | None:
        """The text of a small file, None where it cannot be read."""

    def resolve(self, path: str) -> str | None:
        """Where the symlinks on `path` lead, None where nothing is there."""

    def names(self, path: str) -> tuple[str, ...]:
        """The sorted names in a folder; none where it cannot be read."""

    def is_root(self) -> bool:
        """Whether the tools run as root."""

    def clock(self) -> float:
        """The machine's own time of day, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A machine that was seen before: what each command printed, and the files it had.

    `files` maps paths to text, `links` paths to what their symlinks led to (None: to nothing). A command that was not
    recorded is missing. `folders` and `tools` hold what was asked of the machine about a folder's names and a tool's
    presence; beyond these, names follow from `files` and `links`, and a tool is there when it was run.
    """

    runs: Mapping[tuple[str, ...], Run] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str | None] = field(default_factory=dict)
    root: bool = True
    folders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tools: Mapping[str, bool] = field(default_factory=dict)
    recorded_at: float = 1_767_225_600.0  # 2026-01-01T00:00:00Z

    def run(self, *args: str, limit: float) -> Run:  # noqa: ARG002 - it took what it took
        return self.runs.get(args, Run(args=args, outcome="missing"))

    def has_tool(self, name: str) -> bool:
        if name in self.tools:
            return self.tools[name]
        return any(args[0] == name and run.outcome != "missing" for args, run in self.runs.items())

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def resolve(self, path: str) -> str | None:
        if path in self.links:
            return self.links[path]
        return path if path in self.files or self.names(path) else None

    def names(self, path: str) -> tuple[str, ...]:
        if path in self.folders:
            return self.folders[path]
        prefix = path.rstrip("/") + "/"
        known = (*self.files, *(link for link, target in self.links.items() if target is not None))
        return tuple(sorted({p.removeprefix(prefix).split("/", 1)[0] for p in known if p.startswith(prefix)}))

    def is_root(self) -> bool:
        return self.root

    def clock(self) -> float:
        return self.recorded_at


class Live:
    """The machine bee runs on; several threads may ask it at once. As a context it takes down at its end what it began.

    Args:
        path: where tools are looked for, whatever the caller's environment says.
        tools: by name, the one file that a tool is, instead of looking for it.
        deadline: time.monotonic() after which no tool goes on or is started.

    Attributes:
        deadline: as given.
        asked_for: the names of the tools that were run or looked for.
    """

    def __init__(
        self,
        path: tuple[str, ...] = PATH,
        *,
        tools: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> None:
        self._path = path
        self._tools = dict(tools or {})
        self.deadline = deadline
        # Readable from `close` on: every tool under way watches it.
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._closed = False
        self._slots = threading.Semaphore(_MAX_AT_ONCE)
        self._turns = {name: threading.Semaphore() for name in _ONE_AT_A_TIME}
        self._hanging: set[str] = set()
        self.asked_for: set[str] = set()
        self._under_way = 0
        self._changed = threading.Condition()

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop every tool that is under way; none is started any more."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            os.eventfd_write(self._stop, 1)
            if self._changed.wait_for(lambda: self._under_way == 0, REAP_SECONDS + 1):
                os.close(self._stop)

    def run(self, *args: str, limit: float) -> Run:
        program = self._find(args[0])
        if program is None:
            return Run(args=args, outcome="missing")
        with self._turn(args[0]) as has_turn:
            if not has_turn:
                return Run(args=args, outcome="stopped")
            if args[0] in self._hanging:
                return Run(args=args, outcome="unasked")
            run = self._run(args, program, limit)
            if run.outcome == "timeout" and not run.stdout and args[0] in self._turns:
                self._hanging.add(args[0])
            return run

    @contextlib.contextmanager
    def _turn(self, name: str) -> Iterator[bool]:
        """Hold what the tool `name` needs to run; False when the deadline comes first."""
        with contextlib.ExitStack() as held:
            for turn in (*([self._turns[name]] if name in self._turns else ()), self._slots):
                left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
                if not turn.acquire(timeout=left):
                    yield False
                    return
                held.callback(turn.release)
            yield not self._is_late()

    def _is_late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def _run(self, args: tuple[str, ...], program: str, limit: float) -> Run:
        with self._changed:
            if self._closed:
                return Run(args=args, outcome="stopped")
            self._under_way += 1
        try:
            with private_folder() as folder, home_of(args, folder) as home:
                return self._watch(args, program, folder, home, limit)
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def _watch(self, args: tuple[str, ...], program: str, folder: str, home: str, limit: float) -> Run:
        environment = {"PATH": ":".join(self._path), "LC_ALL": "C", "HOME": home, "TERM": "dumb"}
        begin = time.monotonic()
        end = begin + limit
        try:
            process = Process(args, program, folder, environment)
        except OSError as error:
            return Run(args=args, outcome="unstartable", stderr=os.fsencode(error.strerror or "cannot be started"))
        outcome, ended = "stopped", False
        try:
            outcome = process.read_until_end(end if self.deadline is None else min(end, self.deadline), self._stop)
        finally:
            # Always: the tool may have ended and left children.
            ended = process.end()
        if outcome == "timeout" and self.deadline is not None and self.deadline < end:
            outcome = "stopped"
        code = process.returncode if outcome == "exited" and process.returncode is not None else 0
        return Run(
            args=args,
            outcome="killed" if code < 0 else outcome,
            stdout=bytes(process.stdout),
            stderr=bytes(process.stderr),
            exit_code=code if outcome == "exited" and code >= 0 else None,
            signal=-code if code < 0 else None,
            seconds=time.monotonic() - begin,
            left_behind=not ended,
        )

    def has_tool(self, name: str) -> bool:
        return self._find(name) is not None

    def _find(self, name: str) -> str | None:
        self.asked_for.add(name)
        candidates = [self._tools[name]] if name in self._tools else [f"{folder}/{name}" for folder in self._path]
        return next((candidate for candidate in candidates if is_program(candidate)), None)

    def read(self, path: str) -> str | None:
        try:
            with open(path, "rb", buffering=0) as file:
                return _read_in_pieces(file).decode("utf-8", "replace")
        except (OSError, ValueError):
            return None

    def resolve(self, path: str) -> str | None:
        try:
            return os.path.realpath(path, strict=True)
        except (OSError, ValueError):
            return None

    def names(self, path: str) -> tuple[str, ...]:
        try:
            return tuple(sorted(os.listdir(path)))
        except (OSError, ValueError):
            return ()

    def is_root(self) -> bool:
        return os.geteuid() == 0

    def clock(self) -> float:
        return time.time()


def is_program(path: str) -> bool:
    """Whether `path` is a file that may be executed; a folder is "executable" too."""
    return os.access(path, os.X_OK) and os.path.isfile(path)


def _read_in_pieces(file: IO[bytes]) -> bytes:
    """/proc/sys refuses large reads, and /proc gives a page or so at a time."""
    content = bytearray()
    while len(content) < MAX_FILE_BYTES and (piece := file.read(65536)):
        content += piece
    return bytes(content)
