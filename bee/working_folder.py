"""Where a tool stands while it runs, and what it finds at home."""

# ruff: noqa: PTH102, PTH106, PTH108, PTH123 - pathlib's import alone costs a tenth of an audit's start

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where the folders can stand, best first: on a live CD all of these are memory.
_SCRATCH = ("/tmp", "/run", "/dev/shm")  # noqa: S108 - a fresh folder of mode 0700 is made there
_NOWHERE = "/nonexistent"
# ipmitool reads the IANA's enterprise numbers, 5 MB, whenever it starts, those in its home first. `mc info` alone shows
# a name from there; the others are given one entry.
_FOLDERS = (".local", ".local/usr", ".local/usr/share", ".local/usr/share/misc")
REGISTER = f"{_FOLDERS[-1]}/enterprise-numbers.txt"
ONE_ENTRY = b"0\n  Reserved\n    Internet Assigned Numbers Authority\n      iana&iana.org\n"
_SHOWS_A_NAME = ("ipmitool", "mc", "info")


@contextlib.contextmanager
def private_folder() -> Iterator[str]:
    """A folder of mode 0700 for one run, since some tools write logs where they stand (storcli); / if none can be made.

    tempfile would do the same, but its import costs as much as an audit.
    """
    made = next((folder for parent in _SCRATCH if (folder := _make_folder(parent))), None)
    try:
        yield made or "/"
    finally:
        if made is not None:
            _remove(made)


@contextlib.contextmanager
def home_of(args: tuple[str, ...], folder: str) -> Iterator[str]:
    """The HOME of one run: nowhere, so that no settings are found; for ipmitool its folder, with a small register.

    Args:
        args: the tool and its words.
        folder: the run's own, which is empty again afterwards.
    """
    if args[0] != "ipmitool" or args[:3] == _SHOWS_A_NAME or folder == "/":
        yield _NOWHERE
        return
    try:
        # Half a register would be worse than none.
        yield folder if _has_register(folder) else _NOWHERE
    finally:
        # What is left here, `private_folder` removes in a way that costs more.
        with contextlib.suppress(OSError):
            os.unlink(f"{folder}/{REGISTER}")
            for each in reversed(_FOLDERS):
                os.rmdir(f"{folder}/{each}")


def _has_register(folder: str) -> bool:
    """Whether it could be written."""
    try:
        for each in _FOLDERS:
            os.mkdir(f"{folder}/{each}", 0o700)
        with open(f"{folder}/{REGISTER}", "wb", buffering=0) as file:
            return file.write(ONE_ENTRY) == len(ONE_ENTRY)
    except OSError:
        return False


def _make_folder(parent: str) -> str | None:
    folder = f"{parent}/bee-{os.urandom(8).hex()}"
    try:
        os.mkdir(folder, 0o700)
    except OSError:
        return None
    return folder


def _remove(folder: str) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(folder)
        return
    import shutil  # noqa: PLC0415 - only where a tool has left something

    shutil.rmtree(folder, ignore_errors=True)
