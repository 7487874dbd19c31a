"""The DIMM slots, drawn by processor and channel as far as their names tell, and listed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bee.views.document import integer, part, rows, size, strings, text
from bee.views.html.markup import Content, Markup, element
from bee.views.html.parts import NOTHING, Row, folded, mark, mono, notes, number, section, table
from bee.views.html.places import places

if TYPE_CHECKING:
    from bee.views.html.marks import Marks

_HEAD = ("Slot", "Bank", "Size", "Type", "Speed", "Ranks", "ECC", "Maker", "Part", "Serial", "Asset tag")

Group = dict[str, list[dict[str, object]]]


def memory(document: dict[str, object], marks: Marks) -> Markup:
    """All slots, empty ones too."""
    here = part(document, "memory")
    slots = rows(here, "slots")
    return section(
        document,
        "memory",
        "Memory",
        [_group(name, channels, marks) for name, channels in _groups(slots).items()],
        folded(
            "All slots",
            table("Memory slots", _HEAD, [_row(s, marks) for s in slots], numeric=("Size",)),
            count=len(slots),
        )
        if slots
        else element("p", "The firmware lists no slots.", class_="unknown"),
        notes([f"{text(s, 'locator')}: {note}" for s in slots for note in strings(s, "notes")]),
        summary=", ".join(_summary(here, slots)),
    )


def _summary(memory: dict[str, object], slots: list[dict[str, object]]) -> Iterator[str]:
    total = size(integer(memory, "total_bytes"), missing="?")
    yield f"{total} in {text(memory, 'populated', '?')} of {len(slots)} slots"
    modes = sorted({text(a, "error_correction", "") for a in rows(memory, "arrays")} - {""})
    if modes:
        yield f"error correction: {' / '.join(modes)}"


def _groups(slots: list[dict[str, object]]) -> dict[str, Group]:
    """The slots by group and channel, in the firmware's order."""
    found: dict[str, Group] = {}
    names = [(text(s, "locator", "").strip(), text(s, "bank", "").strip()) for s in slots]
    for slot, (group, channel) in zip(slots, places(names), strict=True):
        found.setdefault(group, {}).setdefault(channel, []).append(slot)
    return found


def _group(name: str, channels: Group, marks: Marks) -> Markup:
    slots = [slot for members in channels.values() for slot in members]
    held = [slot for slot in slots if _filled(slot)]
    total = size(sum(integer(slot, "size_bytes") or 0 for slot in held))
    return element(
        "div",
        element("h3", name or "Slots", element("small", f"{total} in {len(held)} of {len(slots)} slots")),
        element("ul", [_channel(channel, members, marks) for channel, members in channels.items()], class_="channels")
        if len(channels) > 1
        else element("ul", [_slot(slot, marks) for slot in slots], class_="slots loose"),
        class_="bank",
    )


def _channel(name: str, slots: list[dict[str, object]], marks: Marks) -> Markup:
    return element(
        "li",
        element("h4", f"Channel {name}" if name else "Channel not known"),
        element("ul", [_slot(slot, marks) for slot in slots], class_="slots"),
    )


def _filled(slot: dict[str, object]) -> bool:
    return slot.get("populated") is True


def _slot(slot: dict[str, object], marks: Marks) -> Markup:
    locator = text(slot, "locator", "")
    state = marks.of_slot(locator, text(slot, "bank", "")) if _filled(slot) else ""
    if _filled(slot):
        kind = " · ".join(word for word in (text(slot, "type", ""), _ranks(slot)) if word)
        content: Content = [
            element("span", kind or "type not known", class_="detail"),
            element("span", _runs_at(slot) or "speed not known", class_="detail"),
            element("span", mono(text(slot, "part_number", "")) or "part not known", class_="part"),
        ]
        held = element("strong", size(integer(slot, "size_bytes"), missing="size not known"))
    else:
        content = None
        held = element("span", "empty" if slot.get("populated") is False else "not known", class_="unknown")
    return element(
        "li",
        element("span", element("span", mark(state), locator or "no name", class_="name"), held, class_="row"),
        content,
        class_=" ".join(word for word in ("dimm", "filled" if _filled(slot) else "empty", state) if word),
    )


def _runs_at(slot: dict[str, object]) -> str:
    now, rated = integer(slot, "configured_speed_mts"), integer(slot, "speed_mts")
    if now is not None and rated is not None and now != rated:
        return f"{now} of {rated} MT/s"
    return number(slot, "configured_speed_mts").replace(",", "") + " MT/s" if now else f"{rated} MT/s" if rated else ""


def _ranks(slot: dict[str, object]) -> str:
    return f"{ranks}R" if (ranks := integer(slot, "ranks")) else ""


def _row(slot: dict[str, object], marks: Marks) -> Row:
    locator, bank = text(slot, "locator", ""), text(slot, "bank", "")
    if slot.get("populated") is False:
        # Of an empty slot nothing else is known, and nothing else is to be.
        return Row((locator, bank, "empty", *(NOTHING for _ in _HEAD[3:])))
    return Row(
        (
            locator,
            bank,
            size(integer(slot, "size_bytes"), missing=""),
            text(slot, "type", ""),
            _runs_at(slot),
            number(slot, "ranks"),
            text(slot, "ecc", ""),
            text(slot, "manufacturer", ""),
            mono(text(slot, "part_number", "")),
            mono(text(slot, "serial", "")),
            mono(text(slot, "asset_tag", "")),
        ),
        marks.of_slot(locator, bank),
    )
