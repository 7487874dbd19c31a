"""sas2ircu and sas3ircu, which print alike: `LIST`, and `N DISPLAY` for one controller."""

from __future__ import annotations

import re

from bee.model import RaidController, RaidDrive, RaidEnclosure, RaidVolume
from bee.placeholders import known
from bee.quantities import count
from bee.records import dataclass

_LISTED = re.compile(r"\s*([0-9]{1,3})\s+\S+\s+[0-9a-f]+h\s+[0-9a-f]+h\s.*", re.ASCII | re.IGNORECASE)
_VOLUME = re.compile(r"IR volume ([0-9]{1,5})", re.ASCII | re.IGNORECASE)
_MEGABYTE = 1 << 20
_SECTION_ENDS = "---"
_MAX_CONTROLLERS = 16


@dataclass(frozen=True, slots=True)
class Report:
    """The controller, none when there is nothing of it in the output, and notes on what could not be read."""

    controllers: tuple[RaidController, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Block:
    """A run of `name : value` lines below a heading; a name may come again, as with each enclosure."""

    section: str
    title: str
    fields: list[tuple[str, str]]

    def get(self, *names: str) -> str:
        return next((value for name in names for key, value in self.fields if key == name), "")


def parse_list(data: bytes) -> tuple[int, ...]:
    """Read `LIST`: the controllers' indices."""
    rows = (_LISTED.fullmatch(line) for line in data.decode("utf-8", "replace").split("\n"))
    return tuple(dict.fromkeys(int(row[1]) for row in rows if row))[:_MAX_CONTROLLERS]


def parse(data: bytes, tool: str = "sas3ircu", index: int | None = None) -> Report:
    """Read `N DISPLAY`; `tool` and `index` are what was asked."""
    blocks = _blocks(data.decode("utf-8", "replace"))
    controller = next((b for b in blocks if b.section == "Controller information"), None)
    if controller is None:
        return Report(notes=("there is no controller in the output",) if data.strip() else ())
    notes: list[str] = []
    return Report(
        (
            RaidController(
                tool=tool,
                index=index,
                model=known("model", controller.get("Controller type"), notes),
                serial=None,
                firmware=known("firmware", controller.get("Firmware version"), notes),
                firmware_package=None,
                bios=known("bios", controller.get("BIOS version"), notes),
                driver=None,
                driver_version=None,
                pci_address=_address(controller),
                status=None,
                battery=None,
                enclosures=_enclosures(blocks),
                volumes=tuple(_volume(b) for b in blocks if _VOLUME.fullmatch(b.title)),
                drives=tuple(
                    _drive(b, notes) for b in blocks if b.title.startswith("Device is a") and "disk" in b.title.lower()
                ),
                notes=tuple(notes),
            ),
        )
    )


def _blocks(text: str) -> list[_Block]:
    """Headings stand between two rules; within a section a line that is no field begins a block."""
    blocks: list[_Block] = []
    section, heading = "", False
    for line in text.split("\n"):
        bare = line.strip()
        if bare.startswith(_SECTION_ENDS):
            heading = not heading
            continue
        key, colon, value = bare.partition(":")
        if heading and bare and not colon:
            section = bare
            blocks.append(_Block(section, "", []))
        elif bare and not colon:
            blocks.append(_Block(section, bare, []))
        elif colon and blocks:
            # A section's first rule may be missing: its fields are still its own.
            heading = False
            blocks[-1].fields.append((key.strip(), value.strip()))
    return blocks


def _address(block: _Block) -> str | None:
    """Segment, bus, device and function, decimal."""
    numbers = [count(block.get(name)) for name in ("Segment", "Bus", "Device", "Function")]
    segment, bus, device, function = numbers
    if segment is None or bus is None or device is None or function is None:
        return None
    if segment > 0xFFFF or bus > 0xFF or device > 0x1F or function > 7:
        return None
    return f"{segment:04x}:{bus:02x}:{device:02x}.{function}"


def _enclosures(blocks: list[_Block]) -> tuple[RaidEnclosure, ...]:
    rows: list[dict[str, str]] = []
    for block in blocks:
        if block.section == "Enclosure information":
            for name, value in block.fields:
                if name == "Enclosure#":
                    rows.append({})
                if rows:
                    rows[-1][name] = value
    return tuple(
        RaidEnclosure(
            id=count(row["Enclosure#"]), status=None, slots=count(row.get("Numslots")), drives=None, product=None
        )
        for row in rows
    )


def _volume(block: _Block) -> RaidVolume:
    megabytes = count(block.get("Size (in MB)"))
    return RaidVolume(
        id=block.get("Volume ID") or None,
        name=block.title,
        level=block.get("RAID level") or None,
        status=block.get("Status of volume") or None,
        size_bytes=None if megabytes is None else megabytes * _MEGABYTE,
        wwid=block.get("Volume wwid") or None,
    )


def _drive(block: _Block, notes: list[str]) -> RaidDrive:
    place = f"drive {block.get('Enclosure #')}:{block.get('Slot #')}"
    megabytes, _, sectors = block.get("Size (in MB)/(in sectors)").partition("/")
    medium = block.get("Drive Type").rpartition("_")[2]
    size, last = count(megabytes), count(sectors)
    return RaidDrive(
        enclosure=count(block.get("Enclosure #")),
        slot=count(block.get("Slot #")),
        status=block.get("State") or None,
        model=known(f"{place} model", block.get("Model Number"), notes),
        serial=known(f"{place} serial", block.get("Unit Serial No(VPD)") or block.get("Serial No"), notes),
        wwn=known(f"{place} wwn", block.get("GUID"), notes),
        firmware=known(f"{place} firmware", block.get("Firmware Revision"), notes),
        # The number of sectors is that of the last one; they are of 512 bytes where the two numbers agree on it.
        size_bytes=(last + 1) * 512
        if size is not None and last is not None and last * 512 // _MEGABYTE in {size, size + 1}
        else None
        if size is None
        else size * _MEGABYTE,
        sector_bytes=None,
        protocol=block.get("Protocol") or None,
        medium=medium or None,
        media_errors=None,
        predictive_failures=None,
        smart_alert=None,
    )
