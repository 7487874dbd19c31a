"""Whether anything was touched at all since a build found every stage done: then this one would find the same.

Asked before the graph is loaded, which takes longer than all else in a build with nothing to do. Nothing is read here:
sizes, times and inodes must do, of the checkout with all that was built in it, and of what a build looks at beyond it.
Where any of them differs, the stages judge by content, as ever.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import time

from iso import PRODUCT, machine_files

# Beside the stamps, and like them gone with dist/.
_FILE = "dist/unchanged.json"
# Nothing that a stage depends on; of .git what its answers come from. Deeper down such a name is like any other.
_LEFT_OUT = {
    *(".git", ".venv", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache"),
    *(_FILE, f"{_FILE}.partial", "dist/.lock", "dist/logs"),
    # Where apt downloads what is not there yet: nobody else may look into it.
    "/var/lib/apt/lists/partial",
}
# What no stage looks at wherever it is (iso/tree.py).
_COMPILED = "__pycache__"
_GIT = (
    *(".git/HEAD", ".git/config", ".git/config.worktree", ".git/index", ".git/info", ".git/packed-refs", ".git/refs"),
    ".git/reftable",
)
_ENVIRONMENT = ("APT_CONFIG", "HOME", "SOURCE_DATE_EPOCH", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
# Nanoseconds that the clock of file times may be behind: within them a second change may leave no trace.
_CLOCK = 50_000_000
# So many files and folders are looked at: beyond that the stages are no slower.
_MOST = 50_000

Words = tuple[str, ...]


def asked(words: list[str]) -> Words | None:
    """The settings of a plain `doit` or `doit iso`; None of any other command line.

    Args:
        words: the command line without the program. Of a setting that is repeated the last one counts.
    """
    settings = [word for word in words if word != "iso"]
    plain = all("=" in word and not word.startswith("-") for word in settings)
    # A kernel that may be another one is asked for in every build; a container looks at another machine's files.
    elsewhere = any(word == "abi=pin-or-newest" or word.startswith("container=") for word in settings)
    plain = plain and not elsewhere
    return tuple(settings) if plain and os.path.exists("dodo.py") else None  # noqa: PTH110  # no pathlib yet


def said(now: str) -> list[str]:
    """What the last build said that found every stage done, if nothing was touched since; else no line.

    Args:
        now: the state as it is.
    """
    try:
        with open(_FILE, "rb") as stream:  # noqa: PTH123
            record = json.load(stream)
        return [str(line) for line in record["lines"]] if now and record["state"] == now else []
    except (OSError, ValueError, KeyError, TypeError):
        return []


def remember(before: str, now: str, lines: list[str]) -> None:
    """Keep what a build said that found every stage done, unless something was touched meanwhile.

    Args:
        before: the state when it began.
        now: the state when it ended.
        lines: what it said.
    """
    if not before or before != now:
        return
    from pathlib import Path  # noqa: PLC0415  # a build that ends has loaded both long ago

    from iso.replacement import replace_file  # noqa: PLC0415

    # What cannot be kept is found out again the next time.
    with contextlib.suppress(OSError):
        replace_file(Path(_FILE), json.dumps({"state": now, "lines": lines}).encode())


def state(words: Words) -> str:
    """A digest of all that a build may depend on, by sizes, times and inodes; empty if these cannot be relied on.

    Args:
        words: its settings.
    """
    found: list[object] = [words, os.geteuid(), [os.environ.get(name) for name in _ENVIRONMENT]]
    home = os.path.expanduser("~")  # noqa: PTH111
    config = os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    git = ("/etc/gitconfig", f"{home}/.gitconfig", f"{config}/git/config")
    outside = (*machine_files.APT, *machine_files.DPKG, *git, f"{config}/{PRODUCT}")
    youngest, seen = 0, set[tuple[int, int]]()
    try:
        if os.path.isfile(".git"):  # noqa: PTH113
            return ""  # a linked worktree, whose index is elsewhere
        for path in ("", *_GIT, *outside, *(word.partition("=")[2] for word in words)):
            youngest = max(youngest, _look(path, found, seen))
    except (OSError, RecursionError):
        return ""
    if youngest > time.time_ns() - _CLOCK:
        return ""
    return hashlib.sha256(repr(found).encode()).hexdigest()


def _look(path: str, found: list[object], seen: set[tuple[int, int]]) -> int:
    """Add what a file is, or a folder with all that is in it; gives the latest ctime there.

    Args:
        path: the file or folder; empty for the checkout.
        found: what is added to.
        seen: the folders that were looked at, by device and inode: links may lead to one again, and round in circles.

    Raises:
        OSError: something cannot be looked at, or there is too much of it.
    """
    try:
        status = os.stat(path or ".", follow_symlinks=False)  # noqa: PTH116
    except FileNotFoundError:
        found.append(path)
        return 0
    return _judge(path, status, found, seen)


def _judge(path: str, status: os.stat_result, found: list[object], seen: set[tuple[int, int]]) -> int:
    if len(found) > _MOST:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    if stat.S_ISDIR(status.st_mode):
        return _look_into(path, status, found, seen)
    if stat.S_ISLNK(status.st_mode):
        return max(_add(path, status, found), _target(path, found, seen))
    return _add(path, status, found)


def _look_into(path: str, status: os.stat_result, found: list[object], seen: set[tuple[int, int]]) -> int:
    found.append((path, status.st_mode))
    if (status.st_dev, status.st_ino) in seen:
        return 0
    seen.add((status.st_dev, status.st_ino))
    prefix, latest = (f"{path}/" if path else ""), 0
    with os.scandir(path or ".") as entries:
        inside = sorted((entry.name, entry) for entry in entries)
    for name, entry in inside:
        each = prefix + name
        if name == _COMPILED or each in _LEFT_OUT:
            continue
        try:
            latest = max(latest, _judge(each, entry.stat(follow_symlinks=False), found, seen))
        except FileNotFoundError:
            found.append(each)
    return latest


def _add(path: str, status: os.stat_result, found: list[object]) -> int:
    changed = status.st_ctime_ns
    found.append((path, status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, changed))
    return changed


def _target(path: str, found: list[object], seen: set[tuple[int, int]]) -> int:
    """What a link leads to; a folder beyond the checkout is looked at as a whole."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return 0
    if not stat.S_ISDIR(status.st_mode):
        return _add(path, status, found)
    target, here = os.path.realpath(path), os.getcwd()  # noqa: PTH109
    return 0 if f"{target}/".startswith(f"{here}/") else _look(target, found, seen)
