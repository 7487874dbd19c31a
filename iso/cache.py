"""Folders that are complete or absent: filled beside, synced, renamed, and never believed without a manifest."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from iso import lock
from iso.mounts import remove_tree
from iso.tree import file_digest, walk

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFEST = "MANIFEST"
_SETTLED_SECONDS = 60


def is_complete(entry: Path, key: str, *, content: bool = True) -> bool:
    """Whether an entry holds exactly what was stored under a key.

    Args:
        entry: its folder.
        key: what it was made from.
        content: also read all files again; without it sizes must do.
    """
    try:
        lines = (entry / MANIFEST).read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    if lines[:1] != [f"key {key}"] or lines[-1] != "end":
        return False
    try:
        return lines[1:-1] == _listing(entry, content=content, like=lines[1:-1])
    except OSError:
        return False


def store(entry: Path, key: str, fill: Callable[[Path], None]) -> None:
    """Make an entry, replacing what is there; other builds see the old one, the new one or none.

    One that another build made of the same meanwhile is kept, as that build may be using it.

    Args:
        entry: its folder.
        key: what it is made from.
        fill: writes its content into the folder it is given.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    _sweep(entry)
    beside = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=entry.parent))
    try:
        # A prune of the cache must not take it for what a killed build left.
        lock.use(beside)
        beside.chmod(0o755)
        fill(beside)
        (beside / MANIFEST).write_text("\n".join([f"key {key}", *_listing(beside, content=True), "end"]) + "\n")
        sync_tree(beside)
        with lock.waiting(entry.with_name(f"{entry.name}.lock")):
            if not is_complete(entry, key):
                remove_tree(entry)
                beside.rename(entry)
                _sync(entry.parent)
    finally:
        remove_tree(beside)


def _sweep(entry: Path) -> None:
    """Remove what builds that were killed began of an entry."""
    for left in entry.parent.glob(f".{entry.name}.*"):
        with contextlib.suppress(FileNotFoundError), lock.alone(left) as mine:
            # One that was made just now may be another build's, which is about to lock it.
            if mine and time.time() - left.stat().st_mtime > _SETTLED_SECONDS:
                remove_tree(left)


def copy_into(source: Path) -> Callable[[Path], None]:
    """What fills an entry from another one.

    Args:
        source: the other entry's folder.
    """

    def fill(folder: Path) -> None:
        shutil.copytree(source, folder, symlinks=True, dirs_exist_ok=True)
        (folder / MANIFEST).unlink()

    return fill


def sync_tree(tree: Path) -> None:
    """Have the disk keep all of a folder (fsync(2)).

    Args:
        tree: the folder.
    """
    for path in [*walk(tree), tree]:
        if not path.is_symlink():
            _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _listing(folder: Path, *, content: bool, like: list[str] | None = None) -> list[str]:
    """One line a file or link: size, digest, name. Without content, digests come from a listing to compare with."""
    known = {line.split(" ", 2)[2]: line.split(" ", 2)[1] for line in like or [] if line.count(" ") > 1}
    lines = []
    for path in walk(folder):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            lines.append(f"link {path.readlink()} {name}")
        elif path.is_file() and name != MANIFEST:
            mark = file_digest(path) if content else known.get(name, "")
            lines.append(f"{path.stat().st_size} {mark} {name}")
    return lines
