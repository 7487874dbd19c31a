"""Power supplies as the BMC (ipmitool fru) and the firmware (SMBIOS type 39) list them, merged: neither has all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bee.agreement import differing
from bee.collectors.smbios import Fields
from bee.model import Supply
from bee.quantities import whole
from bee.records import replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee.model import Fru
    from bee.parsers.dmidecode import Structure

BMC, FIRMWARE = "ipmitool fru", "dmidecode -t 39"

_WATTS_IN_NAME = re.compile(r"\b([0-9]{3,5})\s?WP?\b", re.ASCII)
_BAY = re.compile(r"(?<![0-9])[0-9]{1,2}(?![0-9])", re.ASCII)
_YES_NO = {"Yes": True, "No": False}
_COMPARED = ("present", "manufacturer", "model", "serial", "part_number", "capacity_watts")


def of_fru(fru: Fru) -> Supply:
    """A supply's names stand in its product area or, with Dell, in its board area."""
    board, product = fru.board, fru.product
    model = (product and product.name) or (board and board.product) or None
    return Supply(
        name=fru.description,
        present=fru.present,
        manufacturer=(product and product.manufacturer) or (board and board.manufacturer) or None,
        model=model,
        serial=(product and product.serial) or (board and board.serial) or None,
        part_number=(product and product.part_number) or (board and board.part_number) or None,
        revision=(product and product.version) or None,
        # A capacity of zero is a field left empty; the name often says it.
        capacity_watts=fru.capacity_watts or _watts_in(model),
        location=None,
        status=None,
        plugged=None,
        hot_replaceable=None,
        fru_id=fru.id,
        sources=(BMC,),
        notes=(),
    )


def of_structure(structure: Structure, index: int) -> Supply:
    """The `index`-th System Power Supply structure (DSP0134, 7.40)."""
    notes: list[str] = []
    fields = Fields(structure, notes)
    location, model = fields.text("Location"), fields.text("Name")
    serial, part_number = fields.text("Serial Number"), fields.text("Model Part Number")
    status = fields.raw("Status")
    return Supply(
        name=location or (model if model and _BAY.search(model) else None) or f"power supply {index}",
        present=_presence(status, serial),
        manufacturer=fields.text("Manufacturer"),
        model=model,
        serial=serial,
        part_number=part_number,
        revision=fields.text("Revision"),
        capacity_watts=whole(fields.raw("Max Power Capacity"), "W") or _watts_in(model),
        location=location,
        status=status or None,
        plugged=_YES_NO.get(fields.raw("Plugged")),
        hot_replaceable=_YES_NO.get(fields.raw("Hot Replaceable")),
        fru_id=None,
        sources=(FIRMWARE,),
        notes=tuple(notes),
    )


def _presence(status: str, serial: str | None) -> bool | None:
    """By `Present, OK` or `Not Present`; where the firmware leaves it open, what has a serial number is there."""
    if status.startswith(("Present", "Not Present")):
        return status.startswith("Present")
    return True if serial is not None else None


def says_nothing(supply: Supply) -> bool:
    """Whether it is only a line of the firmware's template: no name, no number, no watts, no bay."""
    known = (supply.location, supply.model, supply.serial, supply.part_number, supply.capacity_watts)
    return all(value is None for value in known)


def merge(of_bmc: list[Supply], of_firmware: list[Supply]) -> tuple[Supply, ...]:
    """The BMC's supplies, completed by the firmware's, then those that the firmware alone lists.

    Two are one when their serial numbers are equal, or else their bays, where one side's bays are among the other's.
    What is left is paired in order, where there are equally many and no serial number and no bay speaks against it.
    """
    partner: dict[int, int] = {}
    _pair(partner, of_bmc, of_firmware, lambda a, b: a.serial is not None and _bare(a.serial) == _bare(b.serial))
    left, right = _unpaired(partner, of_bmc, of_firmware)
    if _number_alike([_bay(of_bmc[i]) for i in left], [_bay(of_firmware[j]) for j in right]):
        _pair(partner, of_bmc, of_firmware, lambda a, b: _bay(a) == _bay(b))
    left, right = _unpaired(partner, of_bmc, of_firmware)
    pairs = [(of_bmc[i], of_firmware[j]) for i, j in zip(left, right, strict=False)]
    if len(left) == len(right) and not any(a.serial and b.serial for a, b in pairs) and _in_one_order(pairs):
        partner.update(zip(left, right, strict=True))
    merged = [_both(s, of_firmware[partner[i]]) if i in partner else s for i, s in enumerate(of_bmc)]
    return (*merged, *(s for j, s in enumerate(of_firmware) if j not in partner.values()))


def apart(supplies: tuple[Supply, ...]) -> list[str]:
    """The note that each side lists supplies which are not known to be any of the other's: some may be there twice."""
    names = {side: [s.name for s in supplies if s.sources == (side,)] for side in (BMC, FIRMWARE)}
    if not all(names.values()):
        return []
    said = " and ".join(f"{', '.join(listed)} by {side}" for side, listed in names.items())
    return [f"listed apart, since nothing says which are the same: {said}"]


def _number_alike(bays: list[int | None], others: list[int | None]) -> bool:
    """Whether a bay's number means the same bay on both sides, as far as the numbers tell."""
    if None in (*bays, *others) or len({*bays}) < len(bays) or len({*others}) < len(others):
        return False
    few, many = sorted(({*bays}, {*others}), key=len)
    # Where the longer list begins with 0 and the shorter without, the second of the one may be the first of the other.
    return few <= many and (few == many or 0 in few or 0 not in many)


def _in_one_order(pairs: list[tuple[Supply, Supply]]) -> bool:
    """Whether supplies paired in their order may be the same: the bays of one side have no numbers, or both have a row.

    `PS1`, `PS2` and `PSU0`, `PSU1` are one row; a single one whose number is another is another bay.
    """
    bays, others = [_bay(a) for a, _ in pairs], [_bay(b) for _, b in pairs]
    if all(bay is None for bay in bays) or all(bay is None for bay in others):
        return True
    return len(pairs) > 1 and _is_row(bays) and _is_row(others)


def _is_row(bays: list[int | None]) -> bool:
    first = bays[0]
    return first is not None and bays == list(range(first, first + len(bays)))


def _pair(
    partner: dict[int, int], of_bmc: list[Supply], of_firmware: list[Supply], same: Callable[[Supply, Supply], bool]
) -> None:
    for i, supply in enumerate(of_bmc):
        if i not in partner:
            free = (j for j in range(len(of_firmware)) if j not in partner.values())
            match = next((j for j in free if same(supply, of_firmware[j])), None)
            if match is not None:
                partner[i] = match


def _unpaired(partner: dict[int, int], of_bmc: list[Supply], of_firmware: list[Supply]) -> tuple[list[int], list[int]]:
    taken = set(partner.values())
    return [i for i in range(len(of_bmc)) if i not in partner], [j for j in range(len(of_firmware)) if j not in taken]


def _both(bmc: Supply, firmware: Supply) -> Supply:
    """The BMC is asked now, the firmware looked at boot: the BMC's word goes first, and a difference is noted."""
    notes = [*bmc.notes, *firmware.notes]
    for name in _COMPARED:
        notes += differing(name, {BMC: getattr(bmc, name), FIRMWARE: getattr(firmware, name)})
    return replace(
        bmc,
        present=firmware.present if bmc.present is None else bmc.present,
        manufacturer=bmc.manufacturer or firmware.manufacturer,
        model=bmc.model or firmware.model,
        serial=bmc.serial or firmware.serial,
        part_number=bmc.part_number or firmware.part_number,
        revision=bmc.revision or firmware.revision,
        capacity_watts=bmc.capacity_watts or firmware.capacity_watts,
        location=firmware.location,
        status=firmware.status,
        plugged=firmware.plugged,
        hot_replaceable=firmware.hot_replaceable,
        sources=(BMC, FIRMWARE),
        notes=tuple(notes),
    )


def _bay(supply: Supply) -> int | None:
    """The number in `PS1`, `PSU1 FRU`, `Power Supply 1`, `System Power Supply #1`."""
    match = _BAY.search(supply.name)
    return int(match[0]) if match else None


def _bare(value: object) -> str:
    return "".join(c for c in str(value).casefold() if c.isalnum())


def _watts_in(model: str | None) -> int | None:
    stated = _WATTS_IN_NAME.search(model or "")
    return int(stated[1]) if stated else None
