"""lsblk(8) as JSON (`lsblk -J -b -O`): the kernel's block devices."""

from __future__ import annotations

from bee.parsers.json_text import array, boolean, load, mapping, string
from bee.quantities import count
from bee.records import dataclass

_MAX_DEPTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDevice:
    """One block device; None where this lsblk did not print the column. Sizes in bytes."""

    name: str
    type: str | None
    size_bytes: int | None
    model: str | None
    vendor: str | None
    serial: str | None
    wwn: str | None
    revision: str | None
    transport: str | None
    hctl: str | None
    rotational: bool | None
    removable: bool | None
    logical_sector_bytes: int | None
    physical_sector_bytes: int | None


@dataclass(frozen=True, slots=True)
class BlockDevices:
    """All devices, those that lie on others after them, and notes on what could not be read."""

    devices: tuple[BlockDevice, ...] = ()
    notes: tuple[str, ...] = ()


def parse(data: bytes) -> BlockDevices:
    """Read `lsblk -J`; numbers may be strings, as before util-linux 2.33, and children may nest."""
    value, notes = load(data)
    devices: list[BlockDevice] = []
    _gather(array(mapping(value).get("blockdevices")), devices, 0)
    return BlockDevices(tuple(devices), notes)


def _gather(entries: list[object], devices: list[BlockDevice], depth: int) -> None:
    for entry in entries:
        columns = mapping(entry)
        name = string(columns.get("kname")) or string(columns.get("name"))
        if name:
            devices.append(_device(name, columns))
        if depth < _MAX_DEPTH:
            _gather(array(columns.get("children")), devices, depth + 1)


def _device(name: str, columns: dict[str, object]) -> BlockDevice:
    return BlockDevice(
        name=name,
        type=string(columns.get("type")),
        size_bytes=count(columns.get("size")),
        model=string(columns.get("model")),
        vendor=string(columns.get("vendor")),
        serial=string(columns.get("serial")),
        wwn=string(columns.get("wwn")),
        revision=string(columns.get("rev")),
        transport=string(columns.get("tran")),
        hctl=string(columns.get("hctl")),
        rotational=boolean(columns.get("rota")),
        removable=boolean(columns.get("rm")),
        logical_sector_bytes=count(columns.get("log-sec")),
        physical_sector_bytes=count(columns.get("phy-sec")),
    )
