"""Digests of files and folders by what is in them: a changed time alone changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_IGNORED = {"__pycache__"}


def digest(*values: object) -> str:
    """SHA-256 of plain values (strings, numbers, lists, dictionaries), as hexadecimal digits.

    Args:
        values: what json.dumps takes.
    """
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content.

    Args:
        path: a file; links are followed.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tree_digest(top: Path) -> str:
    """SHA-256 over path, kind, mode, link target and content of everything below a folder.

    Args:
        top: a file or folder; its absence is a value of its own.
    """
    return digest(list(_entries(top)))


def _entries(top: Path) -> Iterator[list[str]]:
    for path in [top, *walk(top)]:
        try:
            status = path.lstat()
        except FileNotFoundError:
            yield ["absent"]
            return
        kind = stat.S_IFMT(status.st_mode)
        content = ""
        if stat.S_ISLNK(status.st_mode):
            content = str(path.readlink())
        elif stat.S_ISREG(status.st_mode):
            content = file_digest(path)
        yield [str(path.relative_to(top)), oct(kind), oct(stat.S_IMODE(status.st_mode)), content]


def walk(top: Path) -> Iterator[Path]:
    """All that is below a folder, sorted, folders before their content; compiled Python is left out.

    Args:
        top: the folder; nothing comes of a file.
    """
    if not top.is_dir() or top.is_symlink():
        return
    with os.scandir(top) as found:
        names = sorted(entry.name for entry in found if entry.name not in _IGNORED)
    for name in names:
        yield top / name
        yield from walk(top / name)
