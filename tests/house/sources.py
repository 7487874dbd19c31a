"""The sources of a checkout as they are now, so that it shows whether anything changed them, if only in their times."""

from __future__ import annotations

import subprocess
from pathlib import Path

# What a build reads. What it makes is in dist/, and compiled Python is Python's own business.
PLACES = ("bee", "iso", "schemas", "dodo.py", "pyproject.toml", "requirements.lock")


def git_status(root: Path) -> list[str]:
    """What git says of a checkout, a line each change and each new file; itself it writes nothing there."""
    command = ("git", "--no-optional-locks", "status", "--porcelain", "--untracked-files=all")
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def states(root: Path) -> dict[str, tuple[int, int, int, int]]:
    """Mode, size and times (of content and of all else, in nanoseconds) of each file and folder, by its name."""
    found = {}
    for place in PLACES:
        for path in [root / place, *(root / place).rglob("*")]:
            if "__pycache__" not in path.parts and path.is_symlink() | path.exists():
                status = path.lstat()
                times = status.st_mtime_ns, status.st_ctime_ns
                found[str(path.relative_to(root))] = (status.st_mode, status.st_size, *times)
    return found


def changes(before: dict[str, tuple[int, int, int, int]], root: Path) -> list[str]:
    """Names of what is new, gone or another since `before`."""
    now = states(root)
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
