"""The vendors' programs that a site may put on its CDs: each is an x86-64 program that SHA256SUMS lists."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from iso.image import elf
from iso.settings import file_problem
from iso.tree import file_digest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = ("storcli64", "sas2ircu", "sas3ircu", "mstflint")
SUMS = "SHA256SUMS"

# A line of sha256sum(1), of a file read as text or as bytes.
_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](?:\./)?(\S+)")


def programs(folder: Path) -> list[Path]:
    """The vendors' programs that are there.

    Args:
        folder: iso/vendor of a checkout.
    """
    # A link that leads nowhere is one, too: `problems` says so.
    return [path for name in PROGRAMS if os.path.lexists(path := folder / name)]


def parse_sums(text: str) -> tuple[dict[str, str], list[int]]:
    """Digests by file name, and the numbers of lines that sha256sum(1) did not write.

    Args:
        text: content of SHA256SUMS.
    """
    found: dict[str, str] = {}
    strange = []
    for number, line in enumerate(text.split("\n"), 1):
        if match := _LINE.fullmatch(line.rstrip("\r")):
            found[match[2]] = match[1].lower()
        elif line.strip():
            strange.append(number)
    return found, strange


def problems(folder: Path) -> list[str]:
    """All that is wrong with the vendors' programs, a line each.

    Args:
        folder: iso/vendor of a checkout.
    """
    there = programs(folder)
    if not there:
        return []
    # A pipe would be waited for until somebody writes into it.
    unread = file_problem(str(folder / SUMS))
    if unread is None:
        try:
            sums, strange = parse_sums((folder / SUMS).read_text(errors="replace"))
        except OSError as error:
            unread = error.strerror
    if unread:
        make = f"sha256sum {' '.join(path.name for path in there)} >{SUMS}, once you know that they are the vendor's"
        return [f"{folder / SUMS}: {unread}: in that folder, {make}"]
    said = [f"{folder / SUMS}:{number}: not a line of sha256sum(1)" for number in strange]
    return said + [complaint for path in there if (complaint := _problem(path, sums.get(path.name)))]


def _problem(path: Path, wanted: str | None) -> str | None:
    if problem := file_problem(str(path)):
        return f"{path}: {problem}"
    try:
        with path.open("rb") as stream:
            is_program = elf.is_program(stream)
        if not is_program:
            return f"{path}: not an x86-64 executable"
        if wanted is None:
            return f"{path}: not in {SUMS} beside it"
        found = file_digest(path)
    except OSError as error:
        return f"{path}: {error.strerror}"
    return None if found == wanted else f"{path}: its sha256 is {found}, {SUMS} says {wanted}"
