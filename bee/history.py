"""The audits that this machine has had: beside the newest at its fixed place, each under its own time.

The dated one is written first and whole, then the newest takes its place: whenever the power goes, the newest is whole.
"""

# ruff: noqa: PTH103, PTH108, PTH119, PTH208 - pathlib's import alone costs a tenth of an audit's start

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

from bee import audit as flow

if TYPE_CHECKING:
    from collections.abc import Iterator

# A live CD keeps them in memory, and an audit is some 100 kB.
KEPT = 50
# More than one audit in a second are told apart by a number.
_NAME = re.compile(r"(\d{4}-\d\d-\d\dT\d{6}Z)(?:-(\d{1,3}))?\.json", re.ASCII)
_STARTED_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_MAX_NUMBER = 999


def folder_of(path: str) -> str:
    """Where the dated ones of the audit at `path` are: `/var/log/bee-audit` for `/var/log/bee-audit.json`."""
    return path.removesuffix(".json")


def keep(folder: str, content: bytes, started_at: str) -> str:
    """Write an audit into the history and drop the oldest beyond KEPT; returns its path.

    Args:
        folder: made where it is missing, for root alone: an audit holds serials.
        content: the audit's bytes.
        started_at: the audit's own time, as it says it.

    Raises:
        OutputError: it could not be written; everything that was there still is.
    """
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise flow.OutputError(f"cannot write {folder}: {error.strerror}") from None
    path = flow.write_new((f"{folder}/{name}" for name in _names(stamp(started_at))), content)
    _drop_oldest(folder, os.path.basename(path))
    return path


def stamp(started_at: str) -> str:
    """A time as part of a file's name, on every file system: `2026-11-22T031746Z`.

    Raises:
        ValueError: it is no time as an audit says it.
    """
    if not _STARTED_AT.fullmatch(started_at):
        raise ValueError(f"{started_at!r} is no time of an audit")
    return started_at.replace(":", "")


def _names(stem: str) -> Iterator[str]:
    yield f"{stem}.json"
    yield from (f"{stem}-{number}.json" for number in range(2, _MAX_NUMBER + 1))


def _drop_oldest(folder: str, newest: str) -> None:
    """The newest stays whatever it is called: a clock at 1970 makes it look the oldest."""
    dated = {name: (match[1], int(match[2] or 1)) for name in os.listdir(folder) if (match := _NAME.fullmatch(name))}
    dated.pop(newest, None)
    for name in sorted(dated, key=dated.__getitem__)[: max(0, len(dated) + 1 - KEPT)]:
        with contextlib.suppress(OSError):
            os.unlink(f"{folder}/{name}")
