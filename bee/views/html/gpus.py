"""The GPUs: a card each, with its memory, its heat and power, its link, and what its memory has suffered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bee.views.document import integer, part, real, rows, size, strings, text
from bee.views.html.drawing import bar, lanes
from bee.views.html.markup import Content, Markup, element
from bee.views.html.parts import Row, card, facts, mono, notes, number, section, table

if TYPE_CHECKING:
    from bee.views.html.marks import Marks

_KINDS = ("Corrected", "Uncorrected")


def gpus(document: dict[str, object], marks: Marks) -> Markup:
    """One card a GPU."""
    here = part(document, "nvidia")
    found = rows(here, "gpus")
    versions = (("driver", "driver_version"), ("CUDA", "cuda_version"))
    said = [str(len(found)), *(f"{label} {text(here, name)}" for label, name in versions if text(here, name, ""))]
    return section(
        document,
        "nvidia",
        "GPUs",
        element("div", [_gpu(gpu, marks) for gpu in found], class_="cards wide")
        if found
        else element("p", "No GPU was seen.", class_="unknown"),
        summary=", ".join(said),
    )


def _gpu(gpu: dict[str, object], marks: Marks) -> Markup:
    address = text(gpu, "pci_address", "")
    of_link = marks.of(f"PCI {address}")
    return card(
        [text(gpu, "name", "") or "GPU", element("small", mono(address) or "address not known")],
        facts(_measures(gpu, of_link)),
        _errors(gpu),
        facts(_identity(gpu)),
        _mig(gpu),
        notes(strings(gpu, "notes")),
        state=marks.of(f"GPU {address}", f"PCI {address}"),
    )


def _measures(gpu: dict[str, object], of_link: str) -> Iterator[tuple[str, Content]]:
    yield "Memory", _gauge(integer(gpu, "memory_used_bytes"), integer(gpu, "memory_bytes"), _bytes, "memory used")
    limit = integer(gpu, "slowdown_temperature_celsius") or integer(gpu, "shutdown_temperature_celsius")
    yield (
        "Temperature",
        _gauge(integer(gpu, "temperature_celsius"), limit, lambda n: f"{n:g} °C", "of where it slows down"),
    )
    yield (
        "Power",
        _gauge(real(gpu, "power_draw_watts"), real(gpu, "power_limit_watts"), lambda n: f"{n:,.0f} W", "power"),
    )
    yield "Link", _link(part(gpu, "link"), of_link)
    if links := rows(gpu, "nvlinks"):
        yield "NVLink", _nvlinks(links)
    if text(gpu, "memory_temperature_celsius", ""):
        yield "Memory at", number(gpu, "memory_temperature_celsius", "°C")
    yield "Repairs", _repairs(gpu)
    yield "Slowed by", ", ".join(strings(gpu, "throttle_reasons")) or "nothing"


def _bytes(count: float) -> str:
    return size(int(count))


def _gauge(now: float | None, most: float | None, shown: Callable[[float], str], label: str) -> Content:
    """A value of its limit, with a bar where both are known."""
    if now is None:
        return shown(most) if most is not None else ""
    if not most or most < 0:
        return shown(now)
    said = f"{shown(now)} of {shown(most)}"
    return element("span", bar(100 * now / most, f"{label}: {said}"), element("span", said), class_="measured")


def _link(link: dict[str, object], state: str) -> Content:
    width, most = integer(link, "width"), integer(link, "max_width")
    if width is None:
        return ""
    generations = [text(link, name, "") for name in ("generation", "max_generation")]
    said = f"x{width}" + (f" of x{most}" if most is not None else "")
    said += f", Gen{generations[0]}" if generations[0] else ""
    said += f" of {generations[1]}" if generations[0] and generations[1] else ""
    return element(
        "span", lanes(width, most or width, f"link: {said}", state), element("span", said), class_="measured"
    )


def _nvlinks(links: list[dict[str, object]]) -> Content:
    """How many of the links are up, how fast, and what went wrong on all of them together."""
    up = [link for link in links if link.get("active") is True]
    speeds = sorted({speed for link in up if (speed := real(link, "speed_gigabytes_per_second")) is not None})
    said = f"{len(up)} of {len(links)} up"
    said += f", {' / '.join(f'{speed:g}' for speed in speeds)} GB/s each" if speeds else ""
    for kind, word in (("replay_errors", "replays"), ("recovery_errors", "recoveries"), ("crc_errors", "CRC errors")):
        if count := sum(integer(link, kind) or 0 for link in links):
            said += f", {count:,} {word}"
    return element("span", lanes(len(up), len(links), f"NVLink: {said}"), element("span", said), class_="measured")


def _errors(gpu: dict[str, object]) -> Markup | None:
    """What its memory has suffered: ECC's counters, and what was taken out of use."""
    ecc = part(gpu, "ecc")
    off = ", now off" if text(ecc, "enabled", "") == "no" else ""
    counters = [
        (f"ECC since start{off}", ecc, "volatile_corrected", "volatile_uncorrected"),
        (f"ECC in all{off}", ecc, "aggregate_corrected", "aggregate_uncorrected"),
        ("Remapped rows", part(gpu, "remapped_rows"), "corrected", "uncorrected"),
        ("Retired pages", part(gpu, "retired_pages"), "single_bit", "double_bit"),
    ]
    body = [Row((name, number(record, good), number(record, bad))) for name, record, good, bad in counters if record]
    return table("Memory errors", ("Memory errors", *_KINDS), body, numeric=_KINDS)


def _repairs(gpu: dict[str, object]) -> str:
    """Whether rows or pages still wait to be taken out of use, or cannot be."""
    flags = [
        (record[name], word)
        for record, name, word in (
            (part(gpu, "remapped_rows"), "pending", "a row waits to be remapped"),
            (part(gpu, "remapped_rows"), "failed", "a row could not be remapped"),
            (part(gpu, "retired_pages"), "pending", "a page waits to be retired"),
        )
        if isinstance(record.get(name), bool)
    ]
    return (", ".join(word for is_so, word in flags if is_so) or "none waiting, none failed") if flags else ""


def _identity(gpu: dict[str, object]) -> Iterator[tuple[str, Content]]:
    yield "Serial", mono(text(gpu, "serial", ""))
    yield "UUID", mono(text(gpu, "uuid", ""))
    yield "Part", mono(text(gpu, "part_number", ""))
    yield "VBIOS", mono(text(gpu, "vbios", ""))
    if text(gpu, "on_bus", "") == "no":
        yield "On the bus", "no: lspci does not list it"


def _mig(gpu: dict[str, object]) -> Markup | None:
    return table(
        "MIG devices",
        ("MIG", "GI ID", "CI ID", "Memory"),
        [
            Row(
                (
                    number(m, "index"),
                    number(m, "gpu_instance"),
                    number(m, "compute_instance"),
                    size(integer(m, "memory_bytes"), missing=""),
                )
            )
            for m in rows(gpu, "mig_devices")
        ],
    )
