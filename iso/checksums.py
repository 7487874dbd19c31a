"""SHA256SUMS, as sha256sum(1) writes and checks it: one line a file of the folder it lies in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from iso.replacement import replace_file
from iso.tree import file_digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_LINE = re.compile(r"([0-9a-f]{64})  ([^/\\]+)")


def parse(text: str) -> dict[str, str]:
    """Digests by file name; lines that are something else are left out.

    Args:
        text: the file's content.
    """
    return {match[2]: match[1] for line in text.split("\n") if (match := _LINE.fullmatch(line))}


def write(sums: Path, files: Sequence[Path], *, known: Mapping[str, str] | None = None, checked: bool = False) -> None:
    """Say the digests of files, beside those said earlier of other files that are still there.

    Args:
        sums: the file SHA256SUMS.
        files: files of its folder.
        known: digests of some of them, by name, which were read already.
        checked: also read the other files again, and leave out those that are not what was said: for what is signed.

    Raises:
        BuildError: one of them cannot be read.
    """
    said = parse(sums.read_text(errors="replace")) if sums.exists() else {}
    said = {name: mark for name, mark in said.items() if (sums.parent / name).exists()}
    read = known or {}
    given = {path.name: read.get(path.name) or file_digest(path) for path in files}
    if checked:
        said = {name: mark for name, mark in said.items() if name in given or _holds(sums.parent / name, mark)}
    said |= given
    replace_file(sums, "".join(f"{mark}  {name}\n" for name, mark in sorted(said.items())).encode())


def _holds(file: Path, mark: str) -> bool:
    try:
        return file_digest(file) == mark
    except OSError:
        return False
