"""Step 6: power supplies (ipmitool fru, dmidecode -t 39), and what the BMC's sensors and event log say of the machine.

Silent where there is no BMC: the firmware's table may still list the supplies.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bee import bmc_states
from bee.collectors import bmc, supplies
from bee.collectors.smbios import DMIDECODE_SECONDS
from bee.collectors.step import Step, bounded
from bee.model import Fru, FruBoard, FruChassis, FruField, FruProduct, Psu, SelEvent, Sensor
from bee.parsers import dmidecode, ipmitool
from bee.placeholders import known
from bee.quantities import whole

if TYPE_CHECKING:
    from bee.model import Supply

# The newest entries of the event log that are looked at: a full one has thousands, at 10 ms and more each.
SEL_ENTRIES = 500
# Entity ids (IPMI 2.0, table 43-13): power supply, power unit, power module, power system board.
_POWER_ENTITIES = ("10.", "19.", "20.", "21.")
# What ipmitool calls a sensor that is fine, or that cannot be read.
_QUIET_STATUS = ("ok", "ns", "na", "")
# Mere words that mean one of this sensor alone: a processor is disabled by a defect, a watchdog by whoever set it.
_CRITICAL_OF_SENSOR = re.compile(r"Processor\b[^|]*\|Disabled", re.IGNORECASE)

# `PS1`, `PSU1 FRU`, `PS 2`, `Pwr Supply 1 FRU`, `Power Supply 1`; Dell's board product `PWR SPLY,495W,RDNT,DELTA`.
_SUPPLY_NAME = re.compile(r"\bPSU?[ _-]?[0-9]*\b|\bPSU|P(?:o?we?r)[ _-]*(?:Supply|SPLY)|power_?supply", re.IGNORECASE)
# What the supplies are plugged into, or what spreads their power, under a name much like theirs.
_NO_SUPPLY = re.compile(
    r"back[ _-]?(?:plane|board)|mid[ _-]?plane|interposer|distribution|\bPDB|(?:\b|_)BP(?:\b|[0-9_])|\briser",
    re.IGNORECASE,
)
_FIRMWARE_LIST = ("dmidecode", "-t", "39")
_AREAS = ("Chassis ", "Board ", "Product ")


def collect(step: Step) -> Psu | None:
    """Every FRU record is kept; those of power supplies are listed once more as `supplies`."""
    notes: list[str] = []
    if _can_read_firmware(step):
        step.ahead(*_FIRMWARE_LIST, limit=DMIDECODE_SECONDS)
    inventory = _inventory(step)
    frus = tuple(_fru(fru) for fru in inventory.frus) if inventory else ()
    sensors = _sensors(step) if inventory else ()
    events = _events(step) if inventory else ()
    of_firmware = _listed_by_firmware(step, notes)
    if inventory is None and not of_firmware:
        return None
    merged = supplies.merge([supplies.of_fru(fru) for fru in frus if fru.power_supply], of_firmware)
    return Psu(
        supplies=merged,
        frus=frus,
        sensors=sensors,
        sel_entries=len(events) if inventory else None,
        sel_critical=tuple(filter(_is_defect, events)),
        notes=bounded([*notes, *supplies.apart(merged), *(inventory.notes if inventory else ())]),
    )


def _can_read_firmware(step: Step) -> bool:
    # Without dmidecode or root the first three steps have said so.
    return step.machine.has_tool("dmidecode") and step.machine.is_root()


def _listed_by_firmware(step: Step, notes: list[str]) -> list[Supply]:
    if not _can_read_firmware(step):
        return []
    output = step.run(*_FIRMWARE_LIST, limit=DMIDECODE_SECONDS)
    table = dmidecode.parse(output or b"")
    listed = [supplies.of_structure(s, i) for i, s in enumerate(table.of_type(39), start=1)]
    silent = sum(1 for supply in listed if supplies.says_nothing(supply))
    if silent:
        notes.append(f"{supplies.FIRMWARE} lists {silent} of which it says nothing; left out")
    return [supply for supply in listed if not supplies.says_nothing(supply)]


def _inventory(step: Step) -> ipmitool.Frus | None:
    if not bmc.is_there(step):
        step.absent("/dev/ipmi0 does not exist: no BMC, or ipmi_si and ipmi_devintf are not loaded", silent=True)
        return None
    output = step.run("ipmitool", "fru", limit=bmc.IPMITOOL_SECONDS)
    if output is None:
        return None
    inventory = ipmitool.parse(output)
    if not inventory.frus:
        step.trouble("ipmitool fru shows no record")
        return None
    return inventory


def _sensors(step: Step) -> tuple[Sensor, ...]:
    """The sensors of the power supplies, and all others that are not fine, by ipmitool's word or by their state."""
    seen = ipmitool.parse_sensors(bmc.ask(step, "sdr", "elist"))
    return tuple(
        Sensor(name=s.name, status=s.status, entity=s.entity, reading=s.reading or None)
        for s in seen.sensors
        if s.entity.startswith(_POWER_ENTITIES) or s.status not in _QUIET_STATUS or _is_bad_state(s.reading)
    )


def _is_bad_state(reading: str) -> bool:
    return bmc_states.is_defect(reading) or bmc_states.is_not_redundant(reading)


def _events(step: Step) -> tuple[SelEvent, ...]:
    seen = ipmitool.parse_events(bmc.ask(step, "sel", "elist", "last", str(SEL_ENTRIES)))
    return tuple(
        SelEvent(id=e.id, occurred_at=e.when, sensor=e.sensor, event=e.event, asserted=e.asserted) for e in seen.events
    )


def _is_defect(event: SelEvent) -> bool:
    means_defect = bmc_states.is_defect(event.event) or bmc_states.is_redundancy_gone(event.event)
    return event.asserted and (means_defect or _CRITICAL_OF_SENSOR.match(f"{event.sensor}|{event.event}") is not None)


def _fru(fru: ipmitool.Fru) -> Fru:
    notes = list(fru.remarks)
    read = {"Capacity"}

    def text(name: str) -> str | None:
        read.add(name)
        return known(name, fru.get(name), notes)

    chassis = FruChassis(
        type=text("Chassis Type"), part_number=text("Chassis Part Number"), serial=text("Chassis Serial")
    )
    board = FruBoard(
        manufactured=text("Board Mfg Date"),
        manufacturer=text("Board Mfg"),
        product=text("Board Product"),
        serial=text("Board Serial"),
        part_number=text("Board Part Number"),
    )
    product = FruProduct(
        manufacturer=text("Product Manufacturer"),
        name=text("Product Name"),
        part_number=text("Product Part Number"),
        version=text("Product Version"),
        serial=text("Product Serial"),
        asset_tag=text("Product Asset Tag"),
    )
    supply_record = any(remark.startswith("Power Supply") for remark in fru.remarks)
    names = f"{fru.description}\n{board.product or ''}\n{product.name or ''}"
    return Fru(
        id=fru.id,
        description=fru.description,
        present=_presence(fru),
        power_supply=supply_record or (_SUPPLY_NAME.search(names) is not None and not _NO_SUPPLY.search(names)),
        chassis=chassis if _has_area(fru, "Chassis ") else None,
        board=board if _has_area(fru, "Board ") else None,
        product=product if _has_area(fru, "Product ") else None,
        capacity_watts=whole(fru.get("Capacity"), "W", "Watts"),
        other=tuple(FruField(name=name, value=value) for name, value in fru.fields if value and name not in read),
        notes=bounded(notes),
    )


def _presence(fru: ipmitool.Fru) -> bool | None:
    """None where ipmitool could not read the record (`Unknown FRU header version 0x00`): an empty bay has that, too."""
    if any("not present" in remark.lower() for remark in fru.remarks):
        return False
    return True if fru.fields or not fru.remarks else None


def _has_area(fru: ipmitool.Fru, prefix: str) -> bool:
    return any(name.startswith(prefix) for name, _ in fru.fields)
