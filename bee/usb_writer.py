"""Writes a folder onto one USB stick: mount, copy, sync, rename, unmount. A program of its own, run by `bee.usb`.

It runs in a mount namespace of its own, in a private folder, so that nobody else sees the mount, and so that the kernel
unmounts should it be killed. The stick is not trusted: no link on it is followed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bee.usb import FILE_SYSTEMS, FOLDER, LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OPTIONS = "nosuid,nodev,noexec,noatime"
_MAX_NUMBER = 999
_REASONS = {
    errno.ENOSPC: "it is full",
    errno.EROFS: "it can only be read, or its file system is damaged (fsck mends it)",
    errno.EIO: "it does not take what is written: it is damaged, or was pulled out",
    errno.ENODEV: "it was pulled out",
    errno.ENXIO: "it was pulled out",
}


class StickError(Exception):
    """The stick does not have it all; the text is one line that says why."""


def main(arguments: Sequence[str]) -> int:
    """Copy the files of a folder onto a stick and print where they are.

    Args:
        arguments: the device, its file system, the folder with the files, and the name they are to have on the stick.
    """
    device, file_system, source, name = arguments
    try:
        with _mounted(device, file_system) as mount_point:
            place = copy(Path(source), mount_point, name)
    except StickError as error:
        print(error, file=sys.stderr)
        return 1
    print(place)
    return 0


@contextlib.contextmanager
def _mounted(device: str, file_system: str) -> Iterator[Path]:
    """The stick's root; it is unmounted at the end, whatever happened.

    Raises:
        StickError: it cannot be mounted, or what was written could not be flushed by unmounting it.
    """
    # Since it was found, another one may have taken its name.
    found = _tool("blkid", "--probe", "--output", "value", "--match-tag", "LABEL", device).stdout.rstrip("\n")
    if found != LABEL:
        raise StickError(f"it is not labelled {LABEL} any more")
    mount_point = Path.cwd() / "stick"
    mount_point.mkdir(mode=0o700)
    tried = _tool("mount", "-i", "-w", "-t", FILE_SYSTEMS[file_system], "-o", OPTIONS, "--", device, str(mount_point))
    if tried.returncode:
        said = next(iter(tried.stderr.splitlines()), f"mount ended with {tried.returncode}")
        raise StickError(f"it cannot be mounted: {said.removeprefix(f'mount: {mount_point}: ')}")
    try:
        yield mount_point
    finally:
        left = _tool("umount", str(mount_point))
    if left.returncode:
        raise StickError(f"it cannot be unmounted: {left.stderr.strip()}")


def _tool(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


def copy(source: Path, root: Path, name: str) -> str:
    """Copy the files in `source` into a new folder below `root`, all or none; returns its path below `root`.

    Until everything is on the disk the folder has another name, which begins with a dot.

    Raises:
        StickError: it could not be written; nothing that was there has changed.
    """
    try:
        with contextlib.ExitStack() as opened:
            top = _open_folder(opened, str(root), None)
            with contextlib.suppress(FileExistsError):
                os.mkdir(FOLDER, 0o755, dir_fd=top)
                os.fsync(top)
            folder = _open_folder(opened, FOLDER, top)
            return f"{FOLDER}/{_fill(source, folder, name)}"
    except OSError as error:
        reason = f"{FOLDER} on it is no folder" if error.errno in {errno.ENOTDIR, errno.ELOOP} else None
        raise StickError(reason or _REASONS.get(error.errno or 0, str(error))) from None


def _open_folder(opened: contextlib.ExitStack, name: str, parent: int | None) -> int:
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    opened.callback(os.close, descriptor)
    return descriptor


def _fill(source: Path, folder: int, name: str) -> str:
    """The new folder's name in `folder`."""
    unfinished = f".unfinished-{os.urandom(4).hex()}"
    os.mkdir(unfinished, 0o755, dir_fd=folder)
    try:
        with contextlib.ExitStack() as opened:
            target = _open_folder(opened, unfinished, folder)
            for file in sorted(source.iterdir()):
                _write(target, file)
            os.fsync(target)
        final = _rename(folder, unfinished, name)
        os.fsync(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True, dir_fd=folder)
        raise
    return final


def _write(folder: int, file: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    # Whoever holds the stick can read it all: on ext4 the operator is not root.
    with os.fdopen(os.open(file.name, flags, 0o644, dir_fd=folder), "wb") as written:
        written.write(file.read_bytes())
        written.flush()
        os.fsync(written.fileno())


def _rename(folder: int, unfinished: str, name: str) -> str:
    """Give the folder the first free one of the names NAME, NAME-2 …: a rename replaces no folder with files in it."""
    for final in (name, *(f"{name}-{number}" for number in range(2, _MAX_NUMBER + 1))):
        try:
            os.rename(unfinished, final, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            if error.errno not in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
                raise
        else:
            return final
    raise StickError(f"it has too many folders called {name}")
