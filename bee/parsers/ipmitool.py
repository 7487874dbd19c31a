"""ipmitool(1) `fru`: the inventory records of the BMC (IPMI Platform Management FRU Information Storage Definition)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEADER = re.compile(r"\s*FRU Device Description\s*:\s*(.*?)\s*(?:\(ID ([0-9]{1,5})\))?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fru:
    """One FRU record: its fields in order, and the lines that are no field, such as `Device not present`."""

    description: str
    id: int | None
    fields: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]

    def get(self, name: str) -> str:
        """The raw value of the first field of that name; an empty string when there is none."""
        return next((value for key, value in self.fields if key == name), "")


@dataclass(frozen=True, slots=True)
class Frus:
    """All records in ipmitool's order, and notes on what stands outside of any."""

    frus: tuple[Fru, ...] = ()
    notes: tuple[str, ...] = ()


def parse(data: bytes) -> Frus:
    """Read `ipmitool fru`. Padding and NUL bytes around a value are taken off."""
    frus: list[tuple[str, int | None, list[tuple[str, str]], list[str]]] = []
    notes: list[str] = []
    for line in data.decode("utf-8", "replace").split("\n"):
        text = line.replace("\0", "").strip()
        if not text:
            continue
        header = _HEADER.fullmatch(text)
        if header is not None:
            frus.append((header[1], int(header[2]) if header[2] else None, [], []))
            continue
        key, colon, value = text.partition(":")
        if not frus:
            notes.append(text)
        elif colon and key.strip():
            frus[-1][2].append((key.strip(), value.strip()))
        else:
            frus[-1][3].append(text)
    return Frus(tuple(Fru(d, i, tuple(f), tuple(r)) for d, i, f, r in frus), tuple(notes))
