"""A file that takes another's place: whoever reads it, and however this ends, there is the old one or the new one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def replace_file(file: Path, content: bytes, mode: int | None = None) -> None:
    """Write a file, whole or not at all (rename(2) after fsync(2)).

    Args:
        file: it may be there already.
        content: all of it.
        mode: its permissions from the first byte on; None: as the user's umask has them.
    """
    beside = file.with_name(f"{file.name}.partial")
    if mode is not None:
        beside.touch(mode=mode)
        beside.chmod(mode)
    with beside.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(file)
