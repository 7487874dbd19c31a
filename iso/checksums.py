"""SHA256SUMS, as sha256sum(1) writes and checks it: one line a file of the folder it lies in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from iso.replacement import replace_file
from iso.tree import file_digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LINE = re.compile(r"([0-9a-f]{64})  ([^/\\]+)")


def parse(text: str) -> dict[str, str]:
    """Digests by file name; lines that are something else are left out.

    Args:
        text: the file's content.
    """
    return {match[2]: match[1] for line in text.split("\n") if (match := _LINE.fullmatch(line))}


def write(sums: Path, files: Sequence[Path]) -> None:
    """Say the digests of files, beside those said earlier of other files that are still there.

    Args:
        sums: the file SHA256SUMS.
        files: files of its folder.

    Raises:
        BuildError: one of them cannot be read.
    """
    said = parse(sums.read_text(errors="replace")) if sums.exists() else {}
    said = {name: mark for name, mark in said.items() if (sums.parent / name).exists()}
    said |= {path.name: file_digest(path) for path in files}
    replace_file(sums, "".join(f"{mark}  {name}\n" for name, mark in sorted(said.items())).encode())
