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


def file_digest(path: Path | str) -> str:
    """SHA-256 of a file's content.

    Args:
        path: a file; links are followed.
    """
    with open(path, "rb") as stream:  # noqa: PTH123  # a Path for each file takes longer than its digest
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tree_digest(top: Path) -> str:
    """SHA-256 over path, kind, mode, link target and content of everything below a folder.

    Args:
        top: a file or folder; its absence is a value of its own.
    """
    return digest(listing(top, "."))


def listing(top: Path, name: str) -> dict[str, str]:
    """What each file, link and folder of a tree is: its mode (octal, as in st_mode) and its digest or target.

    Args:
        top: a file or folder; nothing comes of one that is absent.
        name: what to call it; what is in it is named `name/…`.
    """
    found: dict[str, str] = {}
    try:
        status = top.lstat()
    except FileNotFoundError:
        return found
    _list(str(top), name, status.st_mode, found)
    return found


def _list(path: str, name: str, mode: int, found: dict[str, str]) -> None:
    if stat.S_ISREG(mode):
        found[name] = f"{mode:o} {file_digest(path)}"
    elif stat.S_ISLNK(mode):
        found[name] = f"{mode:o} {os.readlink(path)}"  # noqa: PTH115  # see file_digest
    else:
        found[name] = f"{mode:o}"
    if stat.S_ISDIR(mode):
        with os.scandir(path) as entries:
            inside = sorted((entry.name, entry) for entry in entries if entry.name not in _IGNORED)
        for part, entry in inside:
            _list(entry.path, f"{name}/{part}", entry.stat(follow_symlinks=False).st_mode, found)


def plain_modes(top: Path) -> None:
    """Give a folder, and all in it, the modes that git knows: folders and programs 0755, any other file 0644.

    A clone has its user's umask in its modes; what is made of it must not.

    Args:
        top: the folder; links are left as they are.
    """
    for path in [top, *walk(top)]:
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode):
            # Of a file git knows one bit: whether its owner runs it (gitdatamodel(7)).
            path.chmod(0o755 if stat.S_ISDIR(mode) or mode & 0o100 else 0o644)


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
