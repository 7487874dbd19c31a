"""dmidecode(8): the SMBIOS table as text (DSP0134, System Management BIOS Reference Specification)."""

from __future__ import annotations

import re

from bee.records import dataclass

_HANDLE = re.compile(r"\s*Handle 0x([0-9A-Fa-f]{1,8}), DMI type ([0-9]{1,3}), [0-9]{1,5} bytes\.?\s*", re.ASCII)
# What dmidecode prints between structures when the table itself is not whole.
_TROUBLE = re.compile(
    r"broken|Stop\.|Invalid entry|TRUNCATED|Wrong DMI|No SMBIOS|mmap|Permission denied|Can't read|failed", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Structure:
    """One structure of the table: its fields in order, and the lines listed under a field that has no value."""

    handle: str
    type: int
    title: str
    fields: tuple[tuple[str, str], ...]
    lists: tuple[tuple[str, tuple[str, ...]], ...]

    def get(self, *names: str) -> str:
        """The raw value of the first of `names` that is there; an empty string when none is."""
        for name in names:
            for key, value in self.fields:
                if key == name:
                    return value
        return ""

    def items(self, name: str) -> tuple[str, ...]:
        """The lines listed under `name`."""
        return next((lines for key, lines in self.lists if key == name), ())


@dataclass(frozen=True, slots=True)
class Table:
    """All structures that were printed, and notes on what the table lacks."""

    structures: tuple[Structure, ...] = ()
    notes: tuple[str, ...] = ()

    def of_type(self, number: int) -> tuple[Structure, ...]:
        """The structures of one SMBIOS type, in the table's order."""
        return tuple(s for s in self.structures if s.type == number)


def parse(data: bytes) -> Table:
    """Read what `dmidecode` or `dmidecode -t …` printed. A table that breaks off half way gives what came before."""
    structures: list[Structure] = []
    notes: list[str] = []
    block: list[str] = []
    for line in [*data.decode("utf-8", "replace").splitlines(), "Handle 0x0, DMI type 0, 0 bytes"]:
        if _HANDLE.fullmatch(line):
            if block:
                structures.append(_structure(block))
            block = [line]
        elif line.strip() and line[0] not in " \t" and _TROUBLE.search(line):
            # `Invalid entry length (16). Fixed up to 11.`: dmidecode mended it, nothing is lost.
            if "Fixed up" not in line:
                notes.append(line.strip())
        elif block:
            block.append(line)
    return Table(tuple(s for s in structures if s.title or s.fields), tuple(notes))


def _structure(block: list[str]) -> Structure:
    match = _HANDLE.fullmatch(block[0])
    handle, number = ("0x" + match[1], int(match[2])) if match else ("", -1)
    title = ""
    fields: list[tuple[str, str]] = []
    lists: list[tuple[str, list[str]]] = []
    field_indent = 0
    for line in block[1:]:
        text = line.strip()
        if not text:
            continue
        indent = len(line) - len(line.lstrip())
        if not title and not fields:
            title, field_indent = text, 0
            title_indent = indent
            continue
        if field_indent == 0 and indent > title_indent:
            field_indent = indent
        if indent > field_indent and lists and not fields[-1][1]:
            lists[-1][1].append(text)
            continue
        key, colon, value = text.partition(":")
        if colon and indent == field_indent:
            fields.append((key.strip(), value.strip()))
            lists.append((key.strip(), []))
    return Structure(handle, number, title, tuple(fields), tuple((k, tuple(v)) for k, v in lists if v))
