"""Who may work in a folder: locks that end with their process, however that ends (flock(2))."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

from iso.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator


def hold(file: Path) -> int:
    """Lock a file until this process ends.

    Args:
        file: made when it is missing; it says the holder's process id.

    Returns:
        The descriptor that holds the lock.

    Raises:
        BuildError: another process has it; with that one's id.
    """
    descriptor = _open(file)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _told(os.pread(descriptor, 80, 0).decode(errors="replace"))
        os.close(descriptor)
        raise BuildError(f"{file}: another build of this checkout is running, process {holder}") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()} {_numbering()}\n".encode(), 0)
    return descriptor


def _told(content: str) -> str:
    number, _blank, numbering = content.strip().partition(" ")
    elsewhere = ", as its own container numbers them" if numbering and numbering != _numbering() else ""
    return f"{number or 'unknown'}{elsewhere}"


def _numbering() -> str:
    """Which processes a number is one of: a container has numbers of its own (pid_namespaces(7))."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


@contextlib.contextmanager
def waiting(file: Path) -> Iterator[None]:
    """Have a lock for a while, after whoever has it now: for what clones of one user share.

    Args:
        file: made when it is missing.
    """
    with _held(file, fcntl.LOCK_EX):
        yield


@contextlib.contextmanager
def reading(file: Path) -> Iterator[None]:
    """Have the same lock together with others who read, after whoever has it alone.

    Args:
        file: made when it is missing.
    """
    with _held(file, fcntl.LOCK_SH):
        yield


@contextlib.contextmanager
def _held(file: Path, kind: int) -> Iterator[None]:
    descriptor = _open(file)
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another build, which has {file}", flush=True)
            fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def use(path: Path) -> None:
    """Have what lies in a shared cache stay there until this process ends, and count as used now.

    Args:
        path: a folder or file; nothing happens where it is not there.
    """
    while True:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return
        try:
            # Whoever has it alone only asks whether it is in use, or is removing it: neither takes long.
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if _is_still(path, descriptor):
                os.utime(path)
                return
        except OSError:
            # It is on a file system without locks, or another user's.
            os.close(descriptor)
            return
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether a path leads to what was opened there: while a lock was waited for, another may have removed it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


@contextlib.contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Have what lies in a shared cache for oneself, if nobody uses it: says whether that is so.

    Args:
        path: a folder or file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield _is_still(path, descriptor)
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether any process has a lock on a folder or file.

    Args:
        path: where it is; nobody has what is not there.
    """
    with alone(path) as mine:
        return not mine and path.exists()


def _open(file: Path) -> int:
    file.parent.mkdir(parents=True, exist_ok=True)
    # Closed in the tools that a build starts (PEP 446): they never keep a lock that outlives it.
    return os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
