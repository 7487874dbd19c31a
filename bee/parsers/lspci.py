"""lspci(8) in its machine-readable form (`lspci -vmm -D -nn -k`): one record a PCI function."""

from __future__ import annotations

import re

from bee.records import dataclass

_SLOT = re.compile(r"(?:([0-9a-f]{1,8}):)?([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])", re.ASCII | re.IGNORECASE)
_ID_IN_BRACKETS = re.compile(r"\[([0-9a-f]{4})\]", re.ASCII | re.IGNORECASE)
_BARE_ID = re.compile(r"[0-9a-f]{4}", re.ASCII)
# What pci.ids' absence makes lspci print in place of a name.
_NAMELESS = re.compile(
    r"(?:Device|Class|Vendor|Unknown device|Unknown class|Unknown vendor|Subsystem)(?: [0-9a-f]{4})?", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One PCI function. Ids are four lower-case hex digits; names are None where pci.ids has none."""

    address: str
    class_name: str | None = None
    class_id: str | None = None
    vendor_name: str | None = None
    vendor_id: str | None = None
    device_name: str | None = None
    device_id: str | None = None
    subsystem_vendor_name: str | None = None
    subsystem_vendor_id: str | None = None
    subsystem_name: str | None = None
    subsystem_id: str | None = None
    revision: str | None = None
    physical_slot: str | None = None
    driver: str | None = None


@dataclass(frozen=True, slots=True)
class Functions:
    """All functions in lspci's order, and notes on what could not be read."""

    functions: tuple[Function, ...] = ()
    notes: tuple[str, ...] = ()


def normalise(address: str) -> str | None:
    """`65:00.0`, `0000:65:00.0` and nvidia-smi's `00000000:65:00.0` as `0000:65:00.0`; None when it is no address."""
    match = _SLOT.fullmatch(address.strip())
    if match is None:
        return None
    return f"{int(match[1] or '0', 16):04x}:{match[2].lower()}"


def parse(data: bytes) -> Functions:
    """Read `lspci -vmm`, with or without -D, -n, -nn and -k. A record without a slot is noted and left out."""
    functions: list[Function] = []
    notes: list[str] = []
    record: dict[str, str] = {}
    for line in [*data.decode("utf-8", "replace").split("\n"), ""]:
        key, colon, value = line.partition(":")
        if line.strip() and colon:
            if key.strip() == "Slot" and record:
                _finish(record, functions, notes)
                record = {}
            record.setdefault(key.strip(), value.strip())
        elif line.strip():
            notes.append(f"not understood: {line.strip()}")
        elif record:
            _finish(record, functions, notes)
            record = {}
    return Functions(tuple(functions), tuple(notes))


def _finish(record: dict[str, str], functions: list[Function], notes: list[str]) -> None:
    address = normalise(record.get("Slot", ""))
    if address is None:
        notes.append(f"a record without a slot: {', '.join(f'{k}: {v}' for k, v in record.items())}")
        return
    class_name, class_id = _name_and_id(record.get("Class", ""))
    vendor_name, vendor_id = _name_and_id(record.get("Vendor", ""))
    device_name, device_id = _name_and_id(record.get("Device", ""))
    subsystem_vendor_name, subsystem_vendor_id = _name_and_id(record.get("SVendor", ""))
    subsystem_name, subsystem_id = _name_and_id(record.get("SDevice", ""))
    functions.append(
        Function(
            address=address,
            class_name=class_name,
            class_id=class_id,
            vendor_name=vendor_name,
            vendor_id=vendor_id,
            device_name=device_name,
            device_id=device_id,
            subsystem_vendor_name=subsystem_vendor_name,
            subsystem_vendor_id=subsystem_vendor_id,
            subsystem_name=subsystem_name,
            subsystem_id=subsystem_id,
            revision=record.get("Rev") or None,
            physical_slot=record.get("PhySlot") or None,
            driver=record.get("Driver") or None,
        )
    )


def _name_and_id(text: str) -> tuple[str | None, str | None]:
    """`GA100 [A100 PCIe 40GB] [20f1]` → its name and its id; either may be missing."""
    if _BARE_ID.fullmatch(text):
        return None, text
    match = _ID_IN_BRACKETS.fullmatch(text[-6:])
    name, number = (text[:-6].rstrip(), match[1].lower()) if match else (text, None)
    if not name or _NAMELESS.fullmatch(name):
        return None, number
    return name, number
