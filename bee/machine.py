"""The one edge between bee and the machine: run a tool, read a file below /sys, /proc or /dev.

`Live` is the machine bee runs on, `Recorded` one that was seen before. Collectors take either and cannot tell.
"""

# ruff: noqa: PTH113, PTH123, PTH208 - pathlib's import alone costs a tenth of an audit's start

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
MAX_OUTPUT_BYTES = 16 * 2**20
# /proc/cpuinfo of a machine with 1,024 threads is 1.5 MB.
MAX_FILE_BYTES = 4 * 2**20
# After the kill: a tool in uninterruptible sleep ignores even SIGKILL; it is left behind, and said.
REAP_SECONDS = 2.0
# After the tool ended: how long a grandchild that still holds its output may go on.
DRAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One tool that was run, or could not be.

    `outcome` is one of: exited, killed (by a signal that was not ours), timeout, flooded (printed more than
    MAX_OUTPUT_BYTES and was killed), missing, unstartable. `left_behind` says that the kill did not end it.
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


@dataclass(frozen=True, slots=True)
class Recorded:
    """A machine that was seen before: what each command printed, and the files it had.

    `files` maps paths to text, `links` maps symlinks to what they resolve to. A command that was not recorded is
    missing, as is a tool of which no command was recorded.
    """

    runs: Mapping[tuple[str, ...], Run] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    root: bool = True

    def run(self, *args: str, limit: float) -> Run:
        run = self.runs.get(args, Run(args=args, outcome="missing"))
        if run.outcome == "exited" and run.seconds > limit:
            return Run(args=args, outcome="timeout", seconds=limit)
        return run

    def has_tool(self, name: str) -> bool:
        return any(args[0] == name and run.outcome != "missing" for args, run in self.runs.items())

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def resolve(self, path: str) -> str | None:
        if path in self.links:
            return self.links[path]
        return path if path in self.files or self.names(path) else None

    def names(self, path: str) -> tuple[str, ...]:
        prefix = path.rstrip("/") + "/"
        known = (*self.files, *self.links)
        return tuple(sorted({p.removeprefix(prefix).split("/", 1)[0] for p in known if p.startswith(prefix)}))

    def is_root(self) -> bool:
        return self.root


@dataclass(frozen=True, slots=True)
class Live:
    """The machine bee runs on. `path` is where tools are looked for, whatever the caller's environment says."""

    path: tuple[str, ...] = PATH

    def run(self, *args: str, limit: float) -> Run:
        program = self._find(args[0])
        if program is None:
            return Run(args=args, outcome="missing")
        begin = time.monotonic()
        try:
            process = subprocess.Popen(
                args,
                executable=program,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env={"PATH": ":".join(self.path), "LC_ALL": "C", "HOME": "/nonexistent", "TERM": "dumb"},
                start_new_session=True,
            )
        except OSError as error:
            return Run(args=args, outcome="unstartable", stderr=os.fsencode(error.strerror or "cannot be started"))
        watch = _Watch(process)
        outcome, ended = "timeout", False
        try:
            outcome = watch.read_until_end(begin + limit)
        finally:
            # Always: the tool may have ended and left children; also on Ctrl-C.
            ended = watch.end()
        code = process.returncode if outcome == "exited" and process.returncode is not None else 0
        return Run(
            args=args,
            outcome="killed" if code < 0 else outcome,
            stdout=bytes(watch.stdout),
            stderr=bytes(watch.stderr),
            exit_code=code if outcome == "exited" and code >= 0 else None,
            signal=-code if code < 0 else None,
            seconds=time.monotonic() - begin,
            left_behind=not ended,
        )

    def has_tool(self, name: str) -> bool:
        return self._find(name) is not None

    def _find(self, name: str) -> str | None:
        for folder in self.path:
            candidate = f"{folder}/{name}"
            # A folder is "executable" too.
            if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
                return candidate
        return None

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


def _read_in_pieces(file: IO[bytes]) -> bytes:
    """/proc/sys refuses large reads, and /proc gives a page or so at a time."""
    content = bytearray()
    while len(content) < MAX_FILE_BYTES and (piece := file.read(65536)):
        content += piece
    return bytes(content)


class _Watch:
    """One process and both its streams, read side by side so that neither pipe fills up, each bounded in size."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._process = process
        self._pipes = (cast("IO[bytes]", process.stdout), cast("IO[bytes]", process.stderr))
        # Readable when the process has ended; unlike wait() it does not reap, so the group's number stays ours.
        self._ended = os.pidfd_open(process.pid)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipes[0], selectors.EVENT_READ, self.stdout)
        self._selector.register(self._pipes[1], selectors.EVENT_READ, self.stderr)
        self._selector.register(self._ended, selectors.EVENT_READ, None)

    def read_until_end(self, deadline: float) -> str:
        """Read until the process and both streams end; say how that came: exited, timeout or flooded."""
        ended = False
        while self._selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                # A grandchild that still holds the output is no reason to call its parent late.
                return "exited" if ended else "timeout"
            for key, _ in self._selector.select(left):
                if key.data is None:
                    self._selector.unregister(key.fileobj)
                    ended = True
                    deadline = min(deadline, time.monotonic() + DRAIN_SECONDS)
                elif not self._read(key.fd, key.data):
                    self._selector.unregister(key.fileobj)
                elif len(key.data) > MAX_OUTPUT_BYTES:
                    del key.data[MAX_OUTPUT_BYTES:]
                    return "flooded"
        return "exited"

    @staticmethod
    def _read(descriptor: int, buffer: bytearray) -> bool:
        chunk = os.read(descriptor, 65536)
        buffer += chunk
        return bool(chunk)

    def end(self) -> bool:
        """Kill whatever is left of the group and reap the process; False when it does not die in time."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._selector.close()
        os.close(self._ended)
        for pipe in self._pipes:
            pipe.close()
        try:
            self._process.wait(REAP_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return True
