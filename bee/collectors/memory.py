"""Step 3: memory slots, empty ones too, and what holds them (dmidecode -t 17, and 16 for the arrays)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bee import jedec
from bee.collectors.smbios import Fields, read_table
from bee.collectors.step import Step, bounded
from bee.model import Memory, MemoryArray, Slot
from bee.quantities import number, size_bytes, whole

if TYPE_CHECKING:
    from bee.parsers.dmidecode import Structure

_EMPTY = ("No Module Installed", "Not Installed", "None")
_FLASH_ARRAY = "Flash Memory"


def collect(step: Step) -> Memory | None:
    """Flash chips are in the same table and are no DIMMs: they are named in the notes and counted nowhere."""
    table = read_table(step, "16,17")
    if table is None:
        return None
    arrays = {structure.handle: structure for structure in table.of_type(16)}
    flash = {handle for handle, structure in arrays.items() if structure.get("Use") == _FLASH_ARRAY}
    notes: list[str] = []
    slots = []
    for structure in table.of_type(17):
        if structure.get("Array Handle") in flash or structure.get("Type") == "Flash":
            notes.append(
                f"{structure.get('Locator') or structure.handle} is a flash chip of {structure.get('Size')}, not a DIMM"
            )
            continue
        slots.append(_slot(structure))
    return Memory(
        total_bytes=sum(slot.size_bytes or 0 for slot in slots),
        populated=sum(1 for slot in slots if slot.populated),
        slots=tuple(slots),
        arrays=tuple(_array(structure, notes) for handle, structure in arrays.items() if handle not in flash),
        notes=bounded(notes),
    )


def _array(structure: Structure, notes: list[str]) -> MemoryArray:
    fields = Fields(structure, notes, "array")
    return MemoryArray(
        location=fields.text("Location"),
        # `None` is an answer here, not a placeholder.
        error_correction=fields.raw("Error Correction Type") or None,
        max_capacity_bytes=size_bytes(fields.raw("Maximum Capacity")),
        slots=whole(fields.raw("Number Of Devices"), ""),
    )


def _slot(structure: Structure) -> Slot:
    notes: list[str] = []
    fields = Fields(structure, notes)
    size = fields.raw("Size")
    populated = _populated(size)
    if populated and size_bytes(size) is None:
        notes.append(f"Size is {size!r}")
    total, data = whole(fields.raw("Total Width"), "bits"), whole(fields.raw("Data Width"), "bits")
    locator, bank = fields.text("Locator"), fields.text("Bank Locator")
    if populated is False:
        # What else the firmware says of an empty slot is left over from its template.
        return _empty(locator, bank, fields)
    manufacturer, jedec_id = _maker(fields, notes)
    return Slot(
        locator=locator,
        bank=bank,
        populated=populated,
        size_bytes=size_bytes(size),
        form_factor=fields.text("Form Factor"),
        type=fields.text("Type"),
        type_detail=fields.text("Type Detail"),
        speed_mts=_speed(fields.raw("Speed")),
        configured_speed_mts=_speed(fields.raw("Configured Memory Speed", "Configured Clock Speed")),
        manufacturer=manufacturer,
        jedec_id=jedec_id,
        serial=fields.text("Serial Number"),
        part_number=fields.text("Part Number"),
        asset_tag=fields.text("Asset Tag"),
        ranks=whole(fields.raw("Rank"), ""),
        total_width_bits=total,
        data_width_bits=data,
        ecc=total > data if total and data else None,
        configured_voltage_volts=number(fields.raw("Configured Voltage"), "V"),
        notes=tuple(notes),
    )


def _maker(fields: Fields, notes: list[str]) -> tuple[str | None, str | None]:
    """The maker's name and JEDEC number; where the firmware prints the number in the name's place, it is resolved."""
    raw = fields.raw("Manufacturer").strip()
    stated = fields.raw("Module Manufacturer ID")
    number = jedec.number(stated) or jedec.number(raw)
    jedec_id = f"bank {number[0]}, 0x{number[1]:02x}" if number else None
    if jedec.number(raw) and (name := jedec.maker(raw)):
        notes.append(f"Manufacturer is {raw!r}")
        return name, jedec_id
    return fields.text("Manufacturer") or jedec.maker(stated), jedec_id


def _empty(locator: str | None, bank: str | None, fields: Fields) -> Slot:
    return Slot(
        locator=locator,
        bank=bank,
        populated=False,
        size_bytes=None,
        form_factor=fields.text("Form Factor"),
        type=None,
        type_detail=None,
        speed_mts=None,
        configured_speed_mts=None,
        manufacturer=None,
        jedec_id=None,
        serial=None,
        part_number=None,
        asset_tag=None,
        ranks=None,
        total_width_bits=None,
        data_width_bits=None,
        ecc=None,
        configured_voltage_volts=None,
        notes=(),
    )


def _populated(size: str) -> bool | None:
    if size in _EMPTY or size_bytes(size) == 0:
        return False
    return None if size in {"", "Unknown"} else True


def _speed(text: str) -> int | None:
    """`2400 MT/s`, or `2400 MHz` as dmidecode before 3.2 called the same number. Zero is no speed."""
    return whole(text, "MT/s", "MHz") or None
