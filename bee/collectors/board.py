"""Step 1: BIOS, system, baseboards and chassis (dmidecode -t 0,1,2, and 3 for the chassis)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bee.collectors.smbios import Fields, read_table
from bee.collectors.step import Step, bounded
from bee.model import Baseboard, Bios, Board, Chassis, System
from bee.quantities import size_bytes

if TYPE_CHECKING:
    from bee.parsers.dmidecode import Structure


def collect(step: Step) -> Board | None:
    """All three serials are given (system, baseboard, chassis): vendors differ in which is the machine's."""
    table = read_table(step, "0,1,2,3")
    if table is None:
        return None
    notes: list[str] = []
    bios, system = table.of_type(0), table.of_type(1)
    return Board(
        bios=_bios(bios[0], notes) if bios else None,
        system=_system(system[0], notes) if system else None,
        baseboards=tuple(_baseboard(structure, notes) for structure in table.of_type(2)),
        chassis=tuple(_chassis(structure, notes) for structure in table.of_type(3)),
        notes=bounded(notes),
    )


def _bios(structure: Structure, notes: list[str]) -> Bios:
    fields = Fields(structure, notes, "BIOS")
    return Bios(
        vendor=fields.text("Vendor"),
        version=fields.text("Version"),
        release_date=fields.text("Release Date"),
        revision=fields.text("BIOS Revision"),
        firmware_revision=fields.text("Firmware Revision"),
        rom_size_bytes=size_bytes(fields.raw("ROM Size")),
    )


def _system(structure: Structure, notes: list[str]) -> System:
    fields = Fields(structure, notes, "system")
    uuid = fields.text("UUID")
    return System(
        manufacturer=fields.text("Manufacturer"),
        product=fields.text("Product Name"),
        version=fields.text("Version"),
        serial=fields.text("Serial Number"),
        uuid=uuid.lower() if uuid else None,
        sku=fields.text("SKU Number"),
        family=fields.text("Family"),
    )


def _baseboard(structure: Structure, notes: list[str]) -> Baseboard:
    fields = Fields(structure, notes, "baseboard")
    return Baseboard(
        manufacturer=fields.text("Manufacturer"),
        product=fields.text("Product Name"),
        version=fields.text("Version"),
        serial=fields.text("Serial Number"),
        asset_tag=fields.text("Asset Tag"),
        type=fields.text("Type"),
        location=fields.text("Location In Chassis"),
    )


def _chassis(structure: Structure, notes: list[str]) -> Chassis:
    fields = Fields(structure, notes, "chassis")
    return Chassis(
        manufacturer=fields.text("Manufacturer"),
        type=fields.text("Type"),
        version=fields.text("Version"),
        serial=fields.text("Serial Number"),
        asset_tag=fields.text("Asset Tag"),
        sku=fields.text("SKU Number"),
    )
