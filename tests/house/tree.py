"""The repository as the house tests see it: what git tracks, and what is new and not ignored."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@cache
def files() -> tuple[Path, ...]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    names = sorted(set(listing.split("\0")) - {""})
    return tuple(ROOT / name for name in names if (ROOT / name).is_file() and not (ROOT / name).is_symlink())


def shell_scripts() -> list[Path]:
    """Scripts for a shell, by their first line; busnode's fragments are judged as the scripts they become."""
    return [path for path in files() if _first_line(path) in _SHELLS]


_SHELLS = (b"#!/bin/sh", b"#!/bin/sh -e", b"#!/bin/sh -eu", b"#!/bin/bash", b"#!/usr/bin/env bash")


def _first_line(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.readline(80).strip()
