"""Power supplies, what the BMC's sensors and event log say, and every FRU record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bee.views.document import part, rows, strings, text
from bee.views.html.drawing import icon
from bee.views.html.markup import Content, Markup, element
from bee.views.html.parts import Row, card, facts, folded, mono, notes, number, section, table, words

if TYPE_CHECKING:
    from bee.views.html.marks import Marks

_SENSOR = {"ok": "ok", "ns": "no reading", "nc": "non-critical", "cr": "critical", "nr": "non-recoverable"}


def power(document: dict[str, object], marks: Marks) -> Markup:
    """Supplies with their bays, sensors, events, FRU records."""
    here = part(document, "psu")
    supplies = rows(here, "supplies")
    events, sensors, frus = rows(here, "sel_critical"), rows(here, "sensors"), rows(here, "frus")
    present = sum(1 for supply in supplies if supply.get("present") is True)
    return section(
        document,
        "psu",
        "Power",
        element("div", [_supply(s, marks) for s in supplies], class_="cards")
        if supplies
        else element("p", "No power supply is listed.", class_="unknown"),
        _events(events, number(here, "sel_entries")),
        folded(
            "Sensors of power supplies, and all that are not well",
            table("Sensors", ("Sensor", "State", "Reading", "Entity"), [_sensor(s, marks) for s in sensors]),
            count=len(sensors),
        )
        if sensors
        else None,
        folded("FRU records", table("FRU records", _FRU_HEAD, [_fru(f) for f in frus]), count=len(frus))
        if frus
        else None,
        notes([f"{text(f, 'description')}: {note}" for f in frus for note in strings(f, "notes")]),
        summary=f"{present} of {len(supplies)} supplies" if supplies else "",
    )


def _supply(supply: dict[str, object], marks: Marks) -> Markup:
    name = text(supply, "name", "")
    title: Content = name or "Power supply"
    state = marks.of(f"power supply {name}")
    if supply.get("present") is False:
        return element(
            "article",
            element("h3", icon(state) if state else None, title),
            element("p", "empty bay", class_="unknown"),
            class_=f"card empty {state}".rstrip(),
        )
    plugged = {"yes": "yes", "no": "no"}.get(text(supply, "plugged", ""), "")
    return card(
        [title, element("small", number(supply, "capacity_watts", "W"))],
        facts(
            (
                ("Model", words(supply, "manufacturer", "model")),
                ("Serial", mono(text(supply, "serial", ""))),
                ("Part", mono(text(supply, "part_number", ""))),
                ("Status", text(supply, "status", "")),
                ("Plugged in", plugged),
                ("Listed by", ", ".join(strings(supply, "sources"))),
            )
        ),
        notes(strings(supply, "notes")),
        state=state,
    )


def _events(events: list[dict[str, object]], entries: str) -> Markup | None:
    if not events:
        return None
    body = [
        Row(
            (
                number(e, "id"),
                text(e, "occurred_at", ""),
                text(e, "sensor", ""),
                text(e, "event", ""),
                text(e, "asserted", ""),
            )
        )
        for e in events
    ]
    listed = table("Critical entries of the BMC's event log", ("Entry", "When", "Sensor", "Event", "Asserted"), body)
    said = f"{len(events):,} of {entries} entries" if entries else ""
    return folded("Critical entries of the BMC's event log", listed, count=len(events), said=said)


def _sensor(sensor: dict[str, object], marks: Marks) -> Row:
    name, status = text(sensor, "name", ""), text(sensor, "status", "")
    return Row(
        (name, _SENSOR.get(status, status), text(sensor, "reading", ""), text(sensor, "entity", "")),
        marks.of(f"sensor {name}", f"power supply sensor {name}"),
    )


_FRU_HEAD = ("Record", "Present", "Maker", "Product", "Part", "Serial", "Asset tag", "Chassis serial")


def _fru(fru: dict[str, object]) -> Row:
    board, product, chassis = part(fru, "board"), part(fru, "product"), part(fru, "chassis")
    return Row(
        (
            words(fru, "description"),
            text(fru, "present", ""),
            text(product, "manufacturer", "") or text(board, "manufacturer", ""),
            text(product, "name", "") or text(board, "product", ""),
            mono(text(product, "part_number", "") or text(board, "part_number", "")),
            mono(text(product, "serial", "") or text(board, "serial", "")),
            mono(text(product, "asset_tag", "")),
            mono(text(chassis, "serial", "")),
        )
    )
