"""Step 6: power supplies, out of the BMC's inventory (ipmitool fru). Silent where there is no BMC."""

from __future__ import annotations

import re

from bee.collectors.step import Step, bounded
from bee.model import Fru, FruBoard, FruChassis, FruField, FruProduct, Psu, Supply
from bee.parsers import ipmitool
from bee.placeholders import known
from bee.quantities import whole

# A BMC answers each FRU in its own time; a Dell with 20 of them was seen to take half a minute.
IPMITOOL_SECONDS = 60.0
# Where ipmitool itself looks for the BMC (its `open` interface).
_BMC_NODES = (("/dev", "ipmi0"), ("/dev/ipmi", "0"), ("/dev/ipmidev", "0"))

# `PS1`, `PSU1 FRU`, `PS 2`, `Pwr Supply 1 FRU`, `Power Supply 1`; Dell's board product `PWR SPLY,495W,RDNT,DELTA`.
_SUPPLY_NAME = re.compile(r"\bPSU?[ _-]?[0-9]*\b|\bPSU|P(?:o?we?r)[ _-]*(?:Supply|SPLY)|power_?supply", re.IGNORECASE)
_SUPPLY_WATTS = re.compile(r"\b([0-9]{3,5})\s?W\b", re.ASCII)
_AREAS = ("Chassis ", "Board ", "Product ")


def collect(step: Step) -> Psu | None:
    """Every FRU record is kept; those of power supplies are listed once more as `supplies`."""
    if not any(name in step.machine.names(folder) for folder, name in _BMC_NODES):
        step.absent("/dev/ipmi0 does not exist: no BMC, or ipmi_si and ipmi_devintf are not loaded", silent=True)
        return None
    output = step.run("ipmitool", "fru", limit=IPMITOOL_SECONDS)
    if output is None:
        return None
    inventory = ipmitool.parse(output)
    if not inventory.frus:
        step.trouble("ipmitool fru shows no record")
        return None
    frus = tuple(_fru(fru) for fru in inventory.frus)
    return Psu(
        supplies=tuple(_supply(fru) for fru in frus if fru.power_supply),
        frus=frus,
        notes=bounded(inventory.notes),
    )


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
        present=not any("not present" in remark.lower() for remark in fru.remarks),
        power_supply=supply_record or _SUPPLY_NAME.search(names) is not None,
        chassis=chassis if _has_area(fru, "Chassis ") else None,
        board=board if _has_area(fru, "Board ") else None,
        product=product if _has_area(fru, "Product ") else None,
        capacity_watts=whole(fru.get("Capacity"), "W", "Watts"),
        other=tuple(FruField(name=name, value=value) for name, value in fru.fields if value and name not in read),
        notes=bounded(notes),
    )


def _has_area(fru: ipmitool.Fru, prefix: str) -> bool:
    return any(name.startswith(prefix) for name, _ in fru.fields)


def _supply(fru: Fru) -> Supply:
    """A supply's names stand in its product area or, with Dell, in its board area."""
    board, product = fru.board, fru.product
    model = (product and product.name) or (board and board.product) or None
    stated = _SUPPLY_WATTS.search(model or "")
    return Supply(
        name=fru.description,
        present=fru.present,
        manufacturer=(product and product.manufacturer) or (board and board.manufacturer) or None,
        model=model,
        serial=(product and product.serial) or (board and board.serial) or None,
        part_number=(product and product.part_number) or (board and board.part_number) or None,
        # A capacity of zero is a field left empty; the name often says it.
        capacity_watts=fru.capacity_watts or (int(stated[1]) if stated else None),
        fru_id=fru.id,
    )
