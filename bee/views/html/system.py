"""The board with its firmware, and the processors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bee.views.document import integer, part, rows, size, strings, text
from bee.views.html.markup import Content, Markup, element
from bee.views.html.parts import absent, card, facts, mono, notes, number, section, words

if TYPE_CHECKING:
    from bee.views.html.marks import Marks


def board(document: dict[str, object]) -> Markup:
    """System, baseboards, chassis, firmware, BMC, TPM, and the running system that saw them."""
    here = part(document, "board")
    cards = [
        _system(part(here, "system")),
        *(_baseboard(b) for b in rows(here, "baseboards")),
        *(_chassis(c) for c in rows(here, "chassis")),
        _bios(part(here, "bios"), text(here, "secure_boot", "")),
        _bmc(part(here, "bmc")),
        _tpm(part(here, "tpm")),
        _host(part(document, "host")),
    ]
    return element(
        "section",
        element("h2", "Board", id="board-title"),
        None if here else absent(document, "board"),
        element("div", cards if here else cards[-1], class_="cards"),
        notes(strings(here, "notes")),
        id="board",
        aria_labelledby="board-title",
    )


def _system(system: dict[str, object]) -> Markup:
    return card(
        "System",
        facts(
            (
                ("Product", words(system, "manufacturer", "product")),
                ("Version", text(system, "version", "")),
                ("Serial", mono(text(system, "serial", ""))),
                ("SKU", mono(text(system, "sku", ""))),
                ("UUID", mono(text(system, "uuid", ""))),
            )
        ),
    )


def _baseboard(baseboard: dict[str, object]) -> Markup:
    return card(
        "Baseboard",
        facts(
            (
                ("Product", words(baseboard, "manufacturer", "product")),
                ("Version", text(baseboard, "version", "")),
                ("Serial", mono(text(baseboard, "serial", ""))),
                ("Asset tag", mono(text(baseboard, "asset_tag", ""))),
            )
        ),
    )


def _chassis(chassis: dict[str, object]) -> Markup:
    return card(
        "Chassis",
        facts(
            (
                ("Kind", words(chassis, "manufacturer", "type")),
                ("Serial", mono(text(chassis, "serial", ""))),
                ("Asset tag", mono(text(chassis, "asset_tag", ""))),
            )
        ),
    )


def _bios(bios: dict[str, object], secure_boot: str) -> Markup:
    return card(
        "BIOS",
        facts(
            (
                ("Version", words(bios, "vendor", "version")),
                ("Released", text(bios, "release_date", "")),
                ("ROM", size(integer(bios, "rom_size_bytes"), missing="")),
                ("Secure Boot", {"yes": "on", "no": "off"}.get(secure_boot, "")),
            )
        ),
    )


def _bmc(bmc: dict[str, object]) -> Markup:
    if not bmc:
        return card("BMC", element("p", "None was seen.", class_="unknown"))
    return card(
        "BMC",
        facts(
            (
                ("Maker", words(bmc, "manufacturer", "product")),
                ("Firmware", text(bmc, "firmware", "")),
                ("Address", mono(text(bmc, "ip_address", ""))),
                ("From", text(bmc, "ip_source", "")),
                ("MAC", mono(text(bmc, "mac", ""))),
            )
        ),
    )


def _tpm(tpm: dict[str, object]) -> Markup:
    if not tpm:
        return card("TPM", element("p", "None was seen.", class_="unknown"))
    return card(
        "TPM",
        facts(
            (
                ("Specification", text(tpm, "specification", "")),
                ("Vendor", text(tpm, "vendor", "")),
                ("Firmware", text(tpm, "firmware", "")),
            )
        ),
    )


def _host(host: dict[str, object]) -> Markup:
    root = {"yes": "root", "no": "another user: much is hidden from it"}.get(text(host, "root", ""), "")
    return card(
        "As the kernel saw it",
        facts(
            (
                ("Kernel", words(host, "kernel", "architecture")),
                ("Boot mode", text(host, "boot_mode", "")),
                ("Processors", words(host, "logical_cpus", "cpu_model")),
                ("Usable memory", size(integer(host, "memory_bytes"), missing="")),
                ("Audited as", root),
            )
        ),
    )


def cpu(document: dict[str, object], marks: Marks) -> Markup:
    """One card a socket, empty ones too."""
    here = part(document, "cpu")
    sockets = rows(here, "sockets")
    return section(
        document,
        "cpu",
        "Processors",
        element("div", [_socket(s, marks) for s in sockets], class_="cards"),
        facts([("Microcode", ", ".join(strings(here, "microcodes")))]),
        summary=", ".join(_totals(here)),
    )


def _totals(cpu: dict[str, object]) -> Iterator[str]:
    yield f"{text(cpu, 'populated', '?')} of {len(rows(cpu, 'sockets'))} sockets"
    for name, label in (("cores", "cores"), ("threads", "threads")):
        if value := number(cpu, name):
            yield f"{value} {label}"


def _socket(socket: dict[str, object], marks: Marks) -> Markup:
    name = text(socket, "socket", "")
    title: Content = name or "Socket"
    if socket.get("populated") is False:
        return element("article", element("h3", title), element("p", "empty", class_="unknown"), class_="card empty")
    enabled = {"yes": "enabled", "no": "disabled"}.get(text(socket, "enabled", ""), "")
    return card(
        title,
        element("p", text(socket, "model", "") or "Model not known", class_="model"),
        facts(
            (
                ("Cores", _cores(socket)),
                ("Threads", number(socket, "threads")),
                ("Speed", _speed(socket)),
                ("State", enabled or text(socket, "status", "")),
                ("Serial", mono(text(socket, "serial", ""))),
            )
        ),
        notes(strings(socket, "notes")),
        state=marks.of(f"socket {name}"),
    )


def _cores(socket: dict[str, object]) -> str:
    cores, enabled = integer(socket, "cores"), integer(socket, "cores_enabled")
    if cores is None:
        return ""
    return f"{cores:,}" if enabled is None or enabled == cores else f"{enabled:,} of {cores:,} enabled"


def _speed(socket: dict[str, object]) -> str:
    now, most = number(socket, "current_speed_mhz", "MHz"), number(socket, "max_speed_mhz", "MHz")
    return f"{now} of {most}" if now and most else now or most
