"""The flow: seven collectors side by side → one Audit in the document's order → one file, whole or not at all."""

# ruff: noqa: PTH105, PTH108, PTH112, PTH116, PTH120, PTH208 - pathlib's import alone costs a tenth of an audit's start

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

from bee import __version__, agreement, health
from bee.background import Task
from bee.collectors import board, cpu, host, memory, nvidia, pcie, psu, storage
from bee.collectors.step import Step
from bee.model import SCHEMA_VERSION, Audit, Collector, to_json
from bee.process import REAP_SECONDS

if TYPE_CHECKING:
    from bee.machine import Machine

Part = TypeVar("Part")
Log = Callable[[str, str], None]

DEFAULT_PATH = "/var/log/bee-audit.json"
# A machine whose battery is flat starts its clock at 1970 (or at its firmware's build date).
_FIRST_PLAUSIBLE_TIME = 1_704_067_200  # 2024-01-01T00:00:00Z
# After the deadline: tools are killed and reaped, and what they printed is read.
_GRACE_SECONDS = REAP_SECONDS + 1.0
# What an audit holds (serials, UUIDs) the kernel shows to root alone.
_MODE = 0o600
_TEMPORARY = re.compile(r"\.bee-[0-9a-f]{16}", re.ASCII)
_STALE_SECONDS = 3600.0


class OutputError(Exception):
    """The audit cannot be written where it was asked for; the text is one line that says where and why."""


def collect(
    machine: Machine,
    log: Log,
    *,
    skip: Mapping[str, str] | None = None,
    deadline: float | None = None,
    notes: tuple[str, ...] = (),
) -> Audit:
    """Run the seven steps on `machine` side by side; one that fails, for whatever reason, leaves None and its reason.

    Args:
        machine: where the data comes from.
        log: takes (level, text), level being error or info, in the document's order of the steps.
        skip: the steps not to run, each with who said so.
        deadline: time.monotonic() after which no step is waited for.
        notes: what the audit as a whole is to say beside its own.
    """
    now, begin = machine.clock(), time.monotonic()
    skip = skip or {}

    def start(name: str, collector: Callable[[Step], Part | None]) -> _Running[Part]:
        skipped = (lambda step: step.absent(skip[name], silent=True)) if name in skip else None
        return _Running(name, machine, skipped or collector)

    running_board = start("board", board.collect)
    running_cpu = start("cpu", cpu.collect)
    running_memory = start("memory", memory.collect)
    running_storage = start("storage", storage.collect)
    running_pcie = start("pcie", pcie.collect)
    running_psu = start("psu", psu.collect)
    running_nvidia = start("nvidia", lambda step: nvidia.collect(step, running_pcie.part))
    steps: list[Collector] = []

    def end(running: _Running[Part]) -> Part | None:
        part, report = running.end(deadline, log)
        steps.append(report)
        return part

    board_part, cpu_part, memory_part = end(running_board), end(running_cpu), end(running_memory)
    storage_part, pcie_part, psu_part = end(running_storage), end(running_pcie), end(running_psu)
    nvidia_part = end(running_nvidia)
    audit = Audit(
        schema_version=SCHEMA_VERSION,
        bee_version=__version__,
        started_at=_timestamp(now),
        seconds=round(time.monotonic() - begin, 3),
        notes=(*notes, *_clock_notes(now)),
        host=host.collect(machine),
        board=board_part,
        cpu=cpu_part,
        memory=memory_part,
        storage=storage_part,
        pcie=nvidia.join(pcie_part, nvidia_part),
        psu=psu_part,
        nvidia=nvidia_part,
        collectors=tuple(steps),
    )
    return health.judged(agreement.noted(audit))


class _Running(Generic[Part]):
    """One step under way, and what it says meanwhile: it is heard when the step ends, so that no order is by chance."""

    def __init__(self, name: str, machine: Machine, collector: Callable[[Step], Part | None]) -> None:
        self._said: list[tuple[str, str]] = []
        self._step = Step(name, machine, lambda level, text: self._said.append((level, text)))
        self._task = Task(lambda: self._run(collector))

    def _run(self, collector: Callable[[Step], Part | None]) -> tuple[Part | None, Collector]:
        part = None
        try:
            part = collector(self._step)
        except Exception as error:  # one collector's bug must not cost the other six their data
            self._step.trouble(f"bee itself failed here: {type(error).__name__}: {error}")
        self._step.settle()
        return part, self._step.report(complete=part is not None)

    def part(self) -> Part | None:
        """What the step found, once it has ended: for another step that needs it."""
        return self._task.result()[0]

    def end(self, deadline: float | None, log: Log) -> tuple[Part | None, Collector]:
        """What the step found and how it went; without it where the step is stuck beyond the deadline."""
        left = None if deadline is None else max(0.0, deadline + _GRACE_SECONDS - time.monotonic())
        if self._task.ended(left):
            part, report = self._task.result()
        else:
            self._step.trouble("it was still waiting for the kernel when the audit's deadline had come")
            part, report = None, self._step.report(complete=False)
        for level, text in self._said:
            log(level, text)
        return part, report


def _timestamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _clock_notes(now: float) -> tuple[str, ...]:
    if now >= _FIRST_PLAUSIBLE_TIME:
        return ()
    return (f"the machine's clock says {_timestamp(now)}, which cannot be: its battery may be flat",)


def serialise(audit: Audit) -> bytes:
    """The audit as the bytes of its file: UTF-8 JSON, two spaces of indent, a newline at the end."""
    return (json.dumps(to_json(audit), ensure_ascii=False, allow_nan=False, indent=2) + "\n").encode()


def check_writable(path: str) -> None:
    """Refuse a path that cannot take the audit, before any tool is run.

    Raises:
        OutputError: the path is empty, its folder missing or not writable, or it is something else than a plain file.
    """
    if not path:
        raise OutputError("cannot write to '': give a file's path, or - for stdout")
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot write {path}: {_reason(error)}") from None
    if not stat.S_ISREG(mode):
        raise OutputError(f"cannot write {path}: it is not a plain file; give a file's path, or - for stdout")
    if not os.access(folder, os.W_OK | os.X_OK):
        exists = os.path.isdir(folder)
        reason = "you may not write there" if exists else "there is no such folder"
        raise OutputError(f"cannot write {path}: {folder}: {reason}; give another path, or - for stdout")


def write(path: str, content: bytes, before: Callable[[], str | None] = lambda: None) -> None:
    """Put `content` at `path` in one step: whoever reads it sees the audit before or this one, never half of one.

    Args:
        path: where; a link is followed.
        content: the bytes.
        before: called when `content` is whole on the disk and is not at `path` yet; returns where else it now is.

    Raises:
        OutputError: it could not be written; what was at `path` is untouched.
    """
    target = os.path.realpath(path)
    kept = None
    try:
        with _beside(target, content) as temporary:
            kept = before()
            os.replace(temporary, target)
    except (OSError, ValueError) as error:
        also = f"; the audit is in {kept}" if kept else ""
        raise OutputError(f"cannot write {path}: {_reason(error)}{also}") from None


def write_new(paths: Iterable[str], content: bytes) -> str:
    """Put `content` at the first of `paths` that is free, in one step, and say which.

    Args:
        paths: in one folder. A link to a complete file takes the name, so that no two can have it.

    Raises:
        OutputError: it could not be written; what was there is untouched.
    """
    path = ""
    try:
        for path in paths:
            with contextlib.suppress(FileExistsError), _beside(path, content) as temporary:
                os.link(temporary, path)
                return path
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot write {path}: {_reason(error)}") from None
    raise OutputError(f"cannot write {path}: too many files of that name")


@contextlib.contextmanager
def _beside(target: str, content: bytes) -> Iterator[str]:
    """A file with `content`, whole and on the disk, in the folder of `target`; gone afterwards unless renamed."""
    folder = os.path.dirname(target)
    _sweep(folder)
    temporary = f"{folder}/.bee-{os.urandom(8).hex()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    _sync_folder(folder)


def _sweep(folder: str) -> None:
    """Remove what a bee could not that lost its power; what is fresh another one may be writing."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            path = f"{folder}/{name}"
            if _TEMPORARY.fullmatch(name) and time.time() - os.lstat(path).st_mtime > _STALE_SECONDS:
                os.unlink(path)


def _sync_folder(folder: str) -> None:
    """Make the rename itself survive a power cut, where the file system can sync a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
