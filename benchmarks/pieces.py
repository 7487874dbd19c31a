"""What the pieces of an ISO's benchmark have in common: how a build is run and timed, and where its parts lie."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iso.graph import repro
from iso.mounts import remove_tree

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Seen:
    """One run of a piece: seconds by the clock and of the processor, the image's size in bytes, the load before it."""

    wall: float
    processor: float
    size: int
    load: float


def measured(command: Sequence[str], **options: Any) -> tuple[float, float]:
    """Seconds that a command took, by the clock and of the processor.

    Raises:
        subprocess.CalledProcessError: it failed; a failure's time is no measurement.
    """
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, **options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - begin, used


def key(place: Path) -> Path:
    """A private key, made once in the benchmark's folder; all images there let it in."""
    private = place / "key"
    if not private.exists():
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(private)]
        subprocess.run(command, check=True)
    return private


def settings(place: Path, profile: str) -> dict[str, str]:
    """Of the images that are compared."""
    return {"nvidia": "none", "authorized_keys": f"{key(place)}.pub", "profile": profile}


def copy(folder: Path) -> Path:
    """A copy of this checkout in a folder that is emptied before."""
    remove_tree(folder)
    folder.mkdir()
    return repro.copy_of(ROOT, folder)


def doit(checkout: Path, words: Sequence[str], wanted: Mapping[str, str]) -> list[str]:
    """The command that does something in a checkout.

    Args:
        checkout: where.
        words: task and options.
        wanted: settings.
    """
    program = ("env", "-C", str(checkout), sys.executable, "-B", "-m", "doit")
    return [*program, *words, *(f"{name}={value}" for name, value in wanted.items())]


def caches(folder: Path) -> dict[str, str]:
    """An environment whose caches are those of one folder."""
    return os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}


def image(checkout: Path) -> Path:
    """The ISO that was built in a checkout."""
    (found,) = (checkout / "dist").glob("*.iso")
    return found
