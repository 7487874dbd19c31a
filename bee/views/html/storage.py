"""Disks with how worn they are, and what stands behind RAID controllers."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from bee.views.document import integer, part, rows, size, strings, text
from bee.views.html.drawing import bar, icon
from bee.views.html.markup import Content, Markup, element, join
from bee.views.html.parts import Row, card, facts, folded, known, mono, notes, number, section, table, words
from bee.views.totals import drive, drives

if TYPE_CHECKING:
    from bee.views.html.marks import Marks

_HEAD = ("Disk", "Model", "Serial", "Size", "Bus", "Bay", "Health", "Wear", "On for", "Temp.", "Errors", "Firmware")
_NUMERIC = ("Size", "On for", "Temp.")
_ERRORS = {
    "reallocated_sectors": "reallocated",
    "pending_sectors": "pending",
    "offline_uncorrectable_sectors": "offline uncorrectable",
    "media_errors": "media",
    "uncorrected_errors": "uncorrected",
    "grown_defects": "grown defects",
    "crc_errors": "CRC",
}


def storage(document: dict[str, object], marks: Marks) -> Markup:
    """Every disk, every drive that smartctl reached behind a controller, every controller."""
    here = part(document, "storage")
    disks, members = rows(here, "disks"), rows(here, "raid_members")
    remarks = [f"{text(d, 'name')}: {note}" for d in disks for note in strings(d, "notes")]
    remarks += [f"{text(m, 'type')}: {note}" for m in members for note in strings(m, "notes")]
    controllers = rows(here, "raid_controllers")
    named = [*((d, text(d, "name", "")) for d in disks), *((m, _member(m)) for m in members)]
    # A finding names one of a drive's paths and namespaces, and is about all of them.
    called: defaultdict[str, list[str]] = defaultdict(list)
    for record, name in named:
        called[drive(record, name)].append(f"disk {name}")
    listed = [_disk(record, name, marks.of(*called[drive(record, name)])) for record, name in named]
    count, space = drives(here)
    return section(
        document,
        "storage",
        "Disks",
        table("Disks", _HEAD, listed[: len(disks)], numeric=_NUMERIC)
        or element("p", "The kernel shows no disks.", class_="unknown"),
        join(
            element("h3", "Drives behind controllers, by smartctl"),
            table("Drives behind controllers", _HEAD, listed[len(disks) :], numeric=_NUMERIC),
        )
        if members
        else None,
        [_controller(c, marks) for c in controllers],
        notes(remarks),
        summary=f"{count}, {size(space, decimal=True)}" if disks else "",
    )


def _member(member: dict[str, object]) -> str:
    return f"{text(member, 'type')} behind {text(member, 'device')}"


def _disk(disk: dict[str, object], name: str, state: str) -> Row:
    return Row(
        (
            name,
            words(disk, "model") or words(disk, "vendor"),
            mono(text(disk, "serial", "")),
            size(integer(disk, "size_bytes"), decimal=True, missing=""),
            text(disk, "transport", ""),
            text(disk, "slot", ""),
            _verdict(part(disk, "smart")),
            _wear(_health(disk, "wear_percent"), state),
            "" if (hours := _health(disk, "power_on_hours")) is None else f"{hours:,} h",
            "" if (celsius := _health(disk, "temperature_celsius")) is None else f"{celsius} °C",
            _errors(disk),
            text(disk, "firmware", ""),
        ),
        state,
    )


def _health(disk: dict[str, object], name: str) -> int | None:
    """The NVMe controller's own log goes before what smartctl makes of it."""
    value = integer(part(disk, "nvme"), name)
    return integer(part(disk, "smart"), name) if value is None else value


def _verdict(smart: dict[str, object]) -> Content:
    passed = smart.get("passed")
    if passed is True:
        return element("span", icon("ok"), "passed", class_="verdict")
    return element("span", icon("critical"), "failing", class_="verdict") if passed is False else ""


def _wear(percent: int | None, state: str) -> Content:
    if percent is None:
        return ""
    label = f"{percent} %"
    worn = state if percent >= 80 else ""
    return element("span", bar(percent, f"wear {label}", worn), element("span", label), class_="measured")


def _errors(disk: dict[str, object]) -> str:
    counts = {label: _health(disk, name) for name, label in _ERRORS.items()}
    if all(count is None for count in counts.values()):
        return ""
    return ", ".join(f"{count:,} {label}" for label, count in counts.items() if count) or "none"


def _controller(controller: dict[str, object], marks: Marks) -> Markup:
    """One RAID controller with its enclosures, volumes and drives."""
    where = text(controller, "pci_address", "") or text(controller, "index", "")
    component = f"RAID controller {where}"
    named = " ".join(word for word in (component, text(controller, "model", "")) if word)
    return card(
        text(controller, "model", "RAID controller"),
        facts(
            (
                ("Address", mono(text(controller, "pci_address", ""))),
                ("State", text(controller, "status", "")),
                ("Firmware", words(controller, "firmware", "firmware_package")),
                ("BIOS", text(controller, "bios", "")),
                ("Driver", words(controller, "driver", "driver_version")),
                ("Cache battery", text(controller, "battery", "")),
                ("Serial", mono(text(controller, "serial", ""))),
                ("Seen by", text(controller, "tool", "")),
            )
        ),
        table(
            "Volumes",
            ("Volume", "Name", "Level", "Size", "State"),
            _volumes(controller, named, marks),
            numeric=("Size",),
        ),
        table("Enclosures", ("Enclosure", "Product", "Slots", "Drives", "State"), _enclosures(controller)),
        folded("Drives", _drives(controller, named, marks), count=len(rows(controller, "drives")))
        if rows(controller, "drives")
        else None,
        notes(strings(controller, "notes")),
        state=marks.of(component),
    )


def _volumes(controller: dict[str, object], named: str, marks: Marks) -> list[Row]:
    return [
        Row(
            (
                text(v, "id", ""),
                text(v, "name", ""),
                text(v, "level", ""),
                size(integer(v, "size_bytes"), decimal=True, missing=""),
                text(v, "status", ""),
            ),
            marks.of(f"volume {text(v, 'id', '')} of {named}"),
        )
        for v in rows(controller, "volumes")
    ]


def _enclosures(controller: dict[str, object]) -> list[Row]:
    return [
        Row(
            (
                text(e, "id", ""),
                text(e, "product", ""),
                number(e, "slots"),
                number(e, "drives"),
                text(e, "status", ""),
            )
        )
        for e in rows(controller, "enclosures")
    ]


def _drives(controller: dict[str, object], named: str, marks: Marks) -> Markup | None:
    head = ("Slot", "Model", "Serial", "Size", "Kind", "State", "Media errors", "Warnings", "Firmware")
    body = [
        Row(
            (
                f"{text(d, 'enclosure')}:{text(d, 'slot')}",
                text(d, "model", ""),
                mono(text(d, "serial", "")),
                size(integer(d, "size_bytes"), decimal=True, missing=""),
                words(d, "protocol", "medium"),
                known(text(d, "status", "")),
                number(d, "media_errors"),
                number(d, "predictive_failures"),
                text(d, "firmware", ""),
            ),
            marks.of(f"drive {text(d, 'enclosure', 'None')}:{text(d, 'slot', 'None')} of {named}"),
        )
        for d in rows(controller, "drives")
    ]
    return table("Drives", head, body, numeric=("Size", "Media errors", "Warnings"))
