"""storcli64 (and perccli64) as JSON: `/call show all J`, and `/call/eall/sall show all J` for the drives' details."""

from __future__ import annotations

import re

from bee.model import RaidController, RaidDrive, RaidEnclosure, RaidVolume
from bee.parsers.json_text import array, load, mapping, string
from bee.parsers.lspci import normalise
from bee.placeholders import known
from bee.quantities import count, size_bytes
from bee.records import dataclass, replace

_PCI = re.compile(r"([0-9a-f]{2}):([0-9a-f]{2}):([0-9a-f]{2}):0?([0-7])", re.ASCII | re.IGNORECASE)
_DRIVE_KEY = re.compile(r"Drive (/c[0-9]+(?:/e[0-9]+)?/s[0-9]+)", re.ASCII)
_SECTORS = re.compile(r".*\[0x([0-9a-f]{1,16}) Sectors\]", re.ASCII | re.IGNORECASE)
_DECIMAL_SIZE = re.compile(r"([0-9]{1,9})\.?([0-9]{0,6}) ([KMGTP])B", re.ASCII)
_NO_CONTROLLER = re.compile(r"no controller|controller [0-9]+ not found", re.IGNORECASE)
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4, "P": 5}


@dataclass(frozen=True, slots=True)
class Report:
    """All controllers in storcli's order, and notes on what could not be read."""

    controllers: tuple[RaidController, ...] = ()
    notes: tuple[str, ...] = ()


def parse(data: bytes, drives: bytes = b"") -> Report:
    """Read `/call show all J` and, for the drives' serial numbers and errors, `/call/eall/sall show all J`."""
    value, notes = load(data)
    details_value, details_notes = load(drives)
    details: dict[int, dict[str, object]] = {}
    for entry in array(mapping(details_value).get("Controllers")):
        number = count(mapping(mapping(entry).get("Command Status")).get("Controller"))
        if number is not None:
            details[number] = mapping(mapping(entry).get("Response Data"))
    # A version that prints GiB means 10^9 by GB; the older ones mean 2^30.
    decimal = b'iB"' in data
    controllers: list[RaidController] = []
    said = [*notes, *details_notes]
    for entry in array(mapping(value).get("Controllers")):
        status, response = (mapping(mapping(entry).get(key)) for key in ("Command Status", "Response Data"))
        if response:
            number = count(status.get("Controller"))
            controllers.append(
                _controller(number, response, details.get(number if number is not None else -1, {}), decimal)
            )
        elif (description := string(status.get("Description"))) and not _NO_CONTROLLER.search(description):
            said.append(description)
    return Report(tuple(controllers), tuple(said))


def _controller(
    index: int | None, response: dict[str, object], details: dict[str, object], decimal: bool
) -> RaidController:
    """Newer versions group the fields (`Basics`, `Version`, `Status`), `show` of an HBA has them flat."""
    notes: list[str] = []
    groups = [mapping(response.get(key)) for key in ("Basics", "Version", "Status")] + [response]

    def text(name: str, *keys: str) -> str | None:
        raws = (group.get(key) for group in groups for key in keys)
        return next((found for raw in raws if isinstance(raw, str) and (found := known(name, raw, notes))), None)

    battery = mapping(next(iter(array(response.get("BBU_Info")) or array(response.get("Cachevault_Info"))), None))
    return RaidController(
        tool="storcli64",
        index=index,
        model=text("model", "Model", "Product Name"),
        serial=text("serial", "Serial Number"),
        firmware=text("firmware", "Firmware Version", "FW Version"),
        firmware_package=text("firmware_package", "Firmware Package Build", "FW Package Build"),
        bios=text("bios", "Bios Version", "BIOS Version"),
        driver=text("driver", "Driver Name"),
        driver_version=text("driver_version", "Driver Version"),
        pci_address=_address(text("pci_address", "PCI Address") or ""),
        status=text("status", "Controller Status"),
        battery=known("battery", battery.get("State"), notes),
        enclosures=_enclosures(response),
        volumes=tuple(_volume(mapping(row), decimal, notes) for row in array(response.get("VD LIST"))),
        drives=_drives(response, details, decimal, notes),
        notes=tuple(notes),
    )


def _address(text: str) -> str | None:
    """`00:64:00:00`, domain first, as `0000:64:00.0`."""
    match = _PCI.fullmatch(text.strip())
    return normalise(f"{match[1]}:{match[2]}:{match[3]}.{match[4]}") if match else None


def _enclosures(response: dict[str, object]) -> tuple[RaidEnclosure, ...]:
    rows = array(response.get("Enclosure LIST")) or array(response.get("Enclosure Information"))
    return tuple(
        RaidEnclosure(
            id=count(row.get("EID")),
            status=string(row.get("State")),
            slots=count(row.get("Slots")),
            drives=count(row.get("PD")),
            product=(string(row.get("ProdID")) or "").strip() or None,
        )
        for row in map(mapping, rows)
    )


def _volume(row: dict[str, object], decimal: bool, notes: list[str]) -> RaidVolume:
    return RaidVolume(
        id=string(row.get("DG/VD")),
        name=known("volume name", row.get("Name"), notes),
        level=string(row.get("TYPE")),
        status=string(row.get("State")),
        size_bytes=_size(row.get("Size"), decimal),
        wwid=None,
    )


def _drives(
    response: dict[str, object], details: dict[str, object], decimal: bool, notes: list[str]
) -> tuple[RaidDrive, ...]:
    """The rows of `PD LIST`, or of an HBA's `Physical Device Information`, each with what details there are."""
    details = {**mapping(response.get("Physical Device Information")), **details}
    detailed: dict[str, dict[str, object]] = {}
    listed = [mapping(row) for row in array(response.get("PD LIST"))]
    for key, value in details.items():
        match = _DRIVE_KEY.fullmatch(key)
        rows = array(value)
        if match is None or not rows:
            continue
        row = mapping(rows[0])
        detailed[str(row.get("EID:Slt"))] = {
            group: mapping(mapping(details.get(f"{key} - Detailed Information")).get(f"{key} {group}"))
            for group in ("State", "Device attributes")
        }
        if str(row.get("EID:Slt")) not in {str(other.get("EID:Slt")) for other in listed}:
            listed.append(row)
    return tuple(_drive(row, detailed.get(str(row.get("EID:Slt")), {}), decimal, notes) for row in listed)


def _drive(row: dict[str, object], detail: dict[str, object], decimal: bool, notes: list[str]) -> RaidDrive:
    state, attributes = mapping(detail.get("State")), mapping(detail.get("Device attributes"))
    enclosure, _, slot = (string(row.get("EID:Slt")) or "").partition(":")
    place = f"drive {row.get('EID:Slt')}"
    sector = size_bytes(string(row.get("SeSz")) or "")
    drive = RaidDrive(
        enclosure=count(enclosure.strip()),
        slot=count(slot.strip()),
        status=string(row.get("State")),
        model=known(f"{place} model", row.get("Model"), notes),
        serial=known(f"{place} serial", attributes.get("SN"), notes),
        wwn=known(f"{place} wwn", attributes.get("WWN"), notes),
        firmware=known(f"{place} firmware", attributes.get("Firmware Revision"), notes),
        size_bytes=_size(row.get("Size"), decimal),
        sector_bytes=sector,
        protocol=string(row.get("Intf")),
        medium=string(row.get("Med")),
        media_errors=count(state.get("Media Error Count")),
        predictive_failures=count(state.get("Predictive Failure Count")),
        smart_alert={"Yes": True, "No": False}.get(string(state.get("S.M.A.R.T alert flagged by drive")) or ""),
    )
    sectors = _SECTORS.fullmatch(string(attributes.get("Raw size")) or "")
    return replace(drive, size_bytes=int(sectors[1], 16) * sector) if sectors and sector else drive


def _size(value: object, decimal: bool) -> int | None:
    text = (string(value) or "").strip()
    match = _DECIMAL_SIZE.fullmatch(text) if decimal else None
    if match is None:
        return size_bytes(text)
    return int(match[1] + match[2]) * int("1" + "000" * _POWERS[match[3]]) // int("1" + "0" * len(match[2]))
