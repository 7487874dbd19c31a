"""Answers of slow questions about this machine, kept as long as the files that they come from stay as they are."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

from iso import shell
from iso.paths import user_cache
from iso.tree import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


def capture(command: Sequence[str], sources: Iterable[Path]) -> str:
    """The standard output of a short command, from memory where nothing has changed since it was asked.

    Args:
        command: program and arguments.
        sources: all files and folders that its answer comes from; of a folder the files in it, too.

    Raises:
        BuildError: it is missing or failed.
    """
    state = digest([os.environ.get("APT_CONFIG"), *(_states(source) for source in sources)])
    kept = user_cache() / "this-machine" / digest(list(command))[:16]
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(kept.read_bytes())
        if known["state"] == state:
            return str(known["answer"])
    answer = shell.capture(command)
    # What cannot be kept is asked again the next time.
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_name(f"{kept.name}.{os.getpid()}")
        beside.touch(mode=0o600)
        beside.write_text(json.dumps({"state": state, "answer": answer}))
        beside.replace(kept)
    return answer


def _states(source: Path) -> list[object]:
    """What tells one state of a file from another without reading it; a change cannot undo its ctime."""
    try:
        found: list[object] = [_state(source.stat())]
        if source.is_dir():
            with os.scandir(source) as entries:
                found += sorted([entry.name, *_state(entry.stat())] for entry in entries)
    except OSError as error:
        return [error.errno]
    return found


def _state(status: os.stat_result) -> list[int]:
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
