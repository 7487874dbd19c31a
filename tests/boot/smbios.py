"""Raw SMBIOS structures for QEMU's `-smbios file=` (DMTF DSP0134, 7.18 Memory Device).

QEMU makes one type 17 record of its own and a second `-smbios type=17` only replaces it: DIMMs that differ need one
file each. A file holds one structure with its strings, and no `-smbios type=` of the same number may stand beside it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MEMORY_DEVICE = 17
FIRST_HANDLE = 0x1100  # where QEMU numbers its own type 17 records
MEMORY_ARRAY_HANDLE = 0x1000  # QEMU's type 16
NO_ERROR_INFORMATION = 0xFFFE
FORM_FACTOR_DIMM = 0x09
TYPE_DDR4 = 0x1A
TYPE_DDR5 = 0x22
SYNCHRONOUS_REGISTERED = 0x2080


@dataclass(frozen=True, slots=True)
class Dimm:
    """A memory slot. `size_mib` 0 is an empty one; speeds are in MT/s, the voltage in mV, widths in bits."""

    locator: str
    bank: str
    size_mib: int
    type_code: int = TYPE_DDR4
    speed: int = 0
    configured_speed: int = 0
    millivolts: int = 1200
    rank: int = 0
    total_width: int = 72
    data_width: int = 64
    manufacturer: str = ""
    serial: str = ""
    asset_tag: str = ""
    part_number: str = ""


class _Strings:
    """The string set after a structure: fields hold 1-based numbers, 0 is no string."""

    def __init__(self) -> None:
        self._strings: list[bytes] = []

    def number(self, text: str) -> int:
        if not text:
            return 0
        self._strings.append(text.encode("ascii"))
        return len(self._strings)

    def encode(self) -> bytes:
        if not self._strings:
            return b"\0\0"
        return b"".join(text + b"\0" for text in self._strings) + b"\0"


def memory_device(dimm: Dimm, index: int) -> bytes:
    """The structure of the slot with this index (from 0), in SMBIOS 2.8's length."""
    strings = _Strings()
    extended = dimm.size_mib >= 0x7FFF
    formatted = struct.pack(
        "<HHHHHBBBBBHHBBBBBIHHHH",
        MEMORY_ARRAY_HANDLE,
        NO_ERROR_INFORMATION,
        dimm.total_width,
        dimm.data_width,
        0x7FFF if extended else dimm.size_mib,
        FORM_FACTOR_DIMM,
        0,  # no device set
        strings.number(dimm.locator),
        strings.number(dimm.bank),
        dimm.type_code,
        SYNCHRONOUS_REGISTERED,
        dimm.speed,
        strings.number(dimm.manufacturer),
        strings.number(dimm.serial),
        strings.number(dimm.asset_tag),
        strings.number(dimm.part_number),
        dimm.rank,
        dimm.size_mib if extended else 0,
        dimm.configured_speed,
        dimm.millivolts,
        dimm.millivolts,
        dimm.millivolts,
    )
    header = struct.pack("<BBH", MEMORY_DEVICE, 4 + len(formatted), FIRST_HANDLE + index)
    return header + formatted + strings.encode()
