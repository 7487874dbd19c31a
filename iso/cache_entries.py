"""What lies in the cache that clones share: how large, how long unused, and whether a build has it in use now."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iso import lock
from iso.errors import BadInputError
from iso.mounts import remove_tree
from iso.tree import walk

if TYPE_CHECKING:
    from pathlib import Path

_DOWNLOADS = "downloads"
# How the name ends of what is being deleted, or was when a prune was killed.
_PRUNED = ".pruned"
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True, slots=True)
class Entry:
    """A folder or file of the cache.

    Args:
        path: where it is.
        size: bytes on disk.
        age: seconds since it was made or last used.
    """

    path: Path
    size: int
    age: float

    @property
    def in_use(self) -> bool:
        """Whether a running build has it: by a lock on it, or on the file that locks it for whoever changes it."""
        return lock.is_held(self.path) or lock.is_held(self._lock)

    @property
    def is_leftover(self) -> bool:
        """Whether a prune that was killed left it half deleted."""
        return self.path.name.startswith(".") and self.path.suffix == _PRUNED

    @property
    def _lock(self) -> Path:
        return self.path.with_name(f"{self.path.name.removesuffix('.partial')}.lock")


def entries(cache: Path) -> list[Entry]:
    """All of a cache, what was unused longest first.

    Args:
        cache: its folder.
    """
    now = time.time()
    found = []
    for path in _paths(cache):
        try:
            found.append(Entry(path, _size(path), max(0.0, now - path.lstat().st_mtime)))
        except FileNotFoundError:
            continue  # a build or another prune was faster
    return sorted(found, key=lambda entry: (-entry.age, entry.path))


def _paths(cache: Path) -> list[Path]:
    # Each download counts by itself; what only locks is nothing to remove.
    places = [cache, cache / _DOWNLOADS]
    paths = [path for place in places if place.is_dir() for path in place.iterdir()]
    return [path for path in paths if path.suffix != ".lock" and path != cache / _DOWNLOADS]


def _size(path: Path) -> int:
    total = 0
    for each in [path, *walk(path)]:
        try:
            total += each.lstat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune did.

    Args:
        removed: entries that are gone.
        spared: entries that were next, and are in use.
        left: bytes that remain.
    """

    removed: list[Entry]
    spared: list[Entry]
    left: int


def prune(cache: Path, limit: int) -> Pruned:
    """Remove what was unused longest, until no more than so much is left; what a build has in use stays.

    What killed prunes left goes in any case.

    Args:
        cache: its folder.
        limit: bytes.

    Raises:
        BuildError: an entry cannot be deleted.
    """
    found = sorted(entries(cache), key=lambda entry: not entry.is_leftover)
    left = sum(entry.size for entry in found)
    removed, spared = [], []
    for entry in found:
        if left <= limit and not entry.is_leftover:
            break
        if _remove(entry):
            removed.append(entry)
            left -= entry.size
        else:
            spared.append(entry)
    return Pruned(removed, spared, left)


def keep_latest(cache: Path, prefix: str, count: int) -> None:
    """Remove what was unused longest of one kind of entries; what a build has in use stays.

    What killed prunes left goes in any case.

    Args:
        cache: its folder.
        prefix: how the kind's names begin.
        count: so many stay.

    Raises:
        BuildError: an entry cannot be deleted.
    """
    everything = entries(cache)
    found = [entry for entry in everything if entry.path.name.startswith(prefix)]
    leftovers = [entry for entry in everything if entry.is_leftover]
    for entry in [*leftovers, *found[: max(0, len(found) - count)]]:
        _remove(entry)


def _remove(entry: Entry) -> bool:
    if lock.is_held(entry._lock):
        return False
    with lock.alone(entry.path) as mine:
        if mine:
            _delete(entry.path if entry.is_leftover else _out_of_the_way(entry.path))
    return mine


def _out_of_the_way(path: Path) -> Path:
    """Rename what goes at once: whoever looks for it meanwhile finds none, and makes it again."""
    # A name of its own: a killed prune may have left one of the same entry.
    gone = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_PRUNED}")
    path.replace(gone)
    return gone


def _delete(path: Path) -> None:
    if path.is_dir():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)


def parse_size(text: str) -> int:
    """Bytes, from a number with K, M, G or T behind it or none (powers of 1024, as du(1) has them).

    Args:
        text: such as 20G or 1.5T.

    Raises:
        BadInputError: it is something else.
    """
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not match:
        raise BadInputError([f"--prune {text}: not a size such as 20G (K, M, G and T are powers of 1024)"])
    return int(float(match[1]) * _UNITS[match[2].upper()])


def show_size(size: int) -> str:
    """Bytes as a person reads them.

    Args:
        size: in bytes.
    """
    value = float(size)
    for unit in ("B", "K", "M", "G"):
        if value < 1024:
            return f"{value:.0f}{unit}" if unit == "B" or value >= 10 else f"{value:.1f}{unit}"
        value /= 1024
    return f"{value:.1f}T"


def show_age(seconds: float) -> str:
    """A time span as a person reads it.

    Args:
        seconds: its length.
    """
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"
