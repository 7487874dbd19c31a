"""An audit for a terminal of 80 columns: the whole as a table, and the few lines of a summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bee.views.columns import WIDTH, columns, wrap
from bee.views.document import integer, part, rows, size, strings, text
from bee.views.totals import drives

if TYPE_CHECKING:
    from collections.abc import Iterator


# The summary stands on a console of 25 lines beside a QR code.
_CRITICAL_SHOWN = 3


def table(document: dict[str, object]) -> str:
    """The whole audit: what is wrong first, then one section a part, a part that is null with its reason."""
    sections = (
        ("board", _board),
        ("cpu", _cpu),
        ("memory", _memory),
        ("storage", _storage),
        ("pcie", _pcie),
        ("psu", _psu),
        ("nvidia", _nvidia),
    )
    lines = [*_header(document), "", "FINDINGS", *_findings(document)]
    for name, section in sections:
        lines += ["", name.upper()]
        lines += section(part(document, name)) if part(document, name) else [f"  {_why_not(document, name)}"]
        lines += [f"  note: {note}" for note in strings(part(document, name), "notes")]
    lines += ["", "COLLECTORS", *_collectors(document)]
    return "\n".join(piece for line in lines for piece in wrap(line))


def summary(document: dict[str, object], width: int = WIDTH) -> str:
    """A few lines of at most `width` columns: what the machine is, how much of everything, what could not be seen."""
    lines = [_title(document), *_counts(document), *_verdicts(document)]
    gaps = [c for c in rows(document, "collectors") if text(c, "status") in {"failed", "partial"}]
    if gaps:
        lines.append(
            f"Gaps    {', '.join(text(c, 'name') + ' ' + text(c, 'status') for c in gaps)}; bee report says why"
        )
    return "\n".join(piece for line in lines for piece in wrap(line, width))


def _verdicts(document: dict[str, object]) -> Iterator[str]:
    """How many findings, and the critical ones by name."""
    findings = rows(document, "findings")
    if not findings:
        return
    critical = [f for f in findings if text(f, "severity") == "critical"]
    counted = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
    yield f"Health  {counted}, {len(critical)} critical; bee report says what to do"
    yield from (f"  {text(f, 'component')}: {text(f, 'evidence')}" for f in critical[:_CRITICAL_SHOWN])


def _findings(document: dict[str, object]) -> Iterator[str]:
    findings = rows(document, "findings")
    if not findings:
        yield "  none"
    for finding in findings:
        yield f"  {text(finding, 'severity').upper():<9}{text(finding, 'component')}: {text(finding, 'evidence')}"
        yield f"           {text(finding, 'action')} ({text(finding, 'rule')})"


def _title(document: dict[str, object]) -> str:
    system = part(document, "board", "system")
    name = " ".join(word for key in ("manufacturer", "product") if (word := text(system, key, "")))
    return f"{name or 'Unknown system'}, serial {text(system, 'serial', 'not known')}"


def _counts(document: dict[str, object]) -> Iterator[str]:
    cpu, memory, storage = part(document, "cpu"), part(document, "memory"), part(document, "storage")
    if cpu:
        models = {text(s, "model", "unknown model") for s in rows(cpu, "sockets") if s.get("populated")}
        yield (
            f"CPU     {text(cpu, 'populated')} x {' / '.join(sorted(models)) or '-'}, "
            f"{text(cpu, 'cores')} cores, {text(cpu, 'threads')} threads"
        )
    if memory:
        yield f"Memory  {_fill(memory)}"
    if storage:
        count, space = drives(storage)
        yield f"Disks   {count}, {size(space, decimal=True)}"
    pcie, psu, nvidia = part(document, "pcie"), part(document, "psu"), part(document, "nvidia")
    if pcie:
        yield f"PCI     {len(rows(pcie, 'devices'))} functions"
    if psu:
        supplies = rows(psu, "supplies")
        yield f"PSU     {sum(1 for s in supplies if s.get('present'))} of {len(supplies)} present"
    if nvidia:
        yield f"GPU     {len(rows(nvidia, 'gpus'))}, driver {text(nvidia, 'driver_version')}"


def _header(document: dict[str, object]) -> Iterator[str]:
    host = part(document, "host")
    yield (
        f"{text(host, 'hostname')}, Linux {text(host, 'kernel')}, {text(host, 'boot_mode')} boot, "
        f"{text(host, 'logical_cpus')} CPUs, {size(integer(host, 'memory_bytes'))} usable memory"
    )
    by = "root" if host.get("root") else "a user who is not root"
    yield f"{text(document, 'started_at')}, bee {text(document, 'bee_version')} as {by}, {text(document, 'seconds')} s"
    yield from strings(document, "notes")


def _why_not(document: dict[str, object], name: str) -> str:
    collector = next((c for c in rows(document, "collectors") if text(c, "name") == name), {})
    return (
        f"{text(collector, 'status', 'not audited')}: {'; '.join(strings(collector, 'reasons')) or 'no reason given'}"
    )


def _board(board: dict[str, object]) -> Iterator[str]:
    bios, system = part(board, "bios"), part(board, "system")
    yield _fact("System", system, "manufacturer", "product", "version")
    yield _fact("  serial", system, "serial") + f"   uuid {text(system, 'uuid')}   sku {text(system, 'sku')}"
    for baseboard in rows(board, "baseboards"):
        yield _fact("Baseboard", baseboard, "manufacturer", "product", "version")
        yield _fact("  serial", baseboard, "serial")
    for chassis in rows(board, "chassis"):
        yield _fact("Chassis", chassis, "manufacturer", "type")
        yield _fact("  serial", chassis, "serial") + f"   asset tag {text(chassis, 'asset_tag')}"
    yield _fact("BIOS", bios, "vendor", "version", "release_date")
    if bmc := part(board, "bmc"):
        yield _fact("BMC", bmc, "manufacturer", "firmware") + f"   address {text(bmc, 'ip_address')}"
    if tpm := part(board, "tpm"):
        yield _fact("TPM", tpm, "vendor", "specification", "firmware")
    yield _fact("SecureBoot", board, "secure_boot")


def _fact(label: str, record: dict[str, object], *names: str) -> str:
    return f"  {label:<11}" + (" ".join(word for name in names if (word := text(record, name, ""))) or "-")


def _cpu(cpu: dict[str, object]) -> Iterator[str]:
    yield from columns(
        ("Socket", "Model", "Cores", "Threads", "MHz", "State"),
        [
            (
                text(s, "socket"),
                text(s, "model"),
                text(s, "cores"),
                text(s, "threads"),
                text(s, "max_speed_mhz"),
                _state(s),
            )
            for s in rows(cpu, "sockets")
        ],
    )


def _state(socket: dict[str, object]) -> str:
    if socket.get("populated") is False:
        return "empty"
    enabled = socket.get("enabled")
    return "-" if enabled is None else "enabled" if enabled else "disabled"


def _fill(memory: dict[str, object]) -> str:
    total = size(integer(memory, "total_bytes"))
    return f"{total} in {text(memory, 'populated')} of {len(rows(memory, 'slots'))} slots"


def _memory(memory: dict[str, object]) -> Iterator[str]:
    yield f"  {_fill(memory)}"
    yield from columns(
        ("Slot", "Bank", "Size", "Type", "MT/s", "Manufacturer", "Part", "Serial"),
        [
            (
                text(s, "locator"),
                text(s, "bank"),
                "empty" if s.get("populated") is False else size(integer(s, "size_bytes")),
                text(s, "type"),
                text(s, "configured_speed_mts", text(s, "speed_mts")),
                text(s, "manufacturer"),
                text(s, "part_number"),
                text(s, "serial"),
            )
            for s in rows(memory, "slots")
        ],
    )


def _storage(storage: dict[str, object]) -> Iterator[str]:
    disks = rows(storage, "disks")
    yield from columns(
        ("Disk", "Model", "Serial", "Size", "Bus"),
        [
            (
                text(d, "name"),
                text(d, "model"),
                text(d, "serial"),
                size(integer(d, "size_bytes"), decimal=True),
                text(d, "transport"),
            )
            for d in disks
        ],
    )
    seen = [d for d in disks if part(d, "smart") or part(d, "nvme")]
    if seen:
        yield from columns(
            ("Disk", "Firmware", "Health", "Wear %", "Hours", "C", "Realloc", "Pending", "Media err"),
            [
                (
                    text(d, "name"),
                    text(d, "firmware"),
                    _verdict(part(d, "smart")),
                    _health(d, "wear_percent"),
                    _health(d, "power_on_hours"),
                    _health(d, "temperature_celsius"),
                    _health(d, "reallocated_sectors"),
                    _health(d, "pending_sectors"),
                    _health(d, "media_errors"),
                )
                for d in seen
            ],
        )
    for disk in disks:
        yield from (f"  {text(disk, 'name')}: {note}" for note in strings(disk, "notes"))
    yield from _raid(storage)


def _raid(storage: dict[str, object]) -> Iterator[str]:
    if members := rows(storage, "raid_members"):
        yield "  behind RAID controllers:"
        yield from columns(
            ("Disk", "Model", "Serial", "Size", "Health", "Hours"),
            [
                (
                    text(m, "type"),
                    text(m, "model"),
                    text(m, "serial"),
                    size(integer(m, "size_bytes"), decimal=True),
                    _verdict(part(m, "smart")),
                    text(part(m, "smart"), "power_on_hours"),
                )
                for m in members
            ],
        )
    for controller in rows(storage, "raid_controllers"):
        yield (
            f"  {text(controller, 'model')} at {text(controller, 'pci_address')}, firmware "
            f"{text(controller, 'firmware')}, {text(controller, 'status', 'state not known')}"
        )
        for volume in rows(controller, "volumes"):
            space = size(integer(volume, "size_bytes"), decimal=True)
            yield f"    volume {text(volume, 'id')}: {text(volume, 'level')}, {space}, {text(volume, 'status')}"
        yield from columns(
            ("Slot", "Model", "Serial", "Size", "State"),
            [
                (
                    f"{text(d, 'enclosure')}:{text(d, 'slot')}",
                    text(d, "model"),
                    text(d, "serial"),
                    size(integer(d, "size_bytes"), decimal=True),
                    text(d, "status"),
                )
                for d in rows(controller, "drives")
            ],
        )


def _verdict(smart: dict[str, object]) -> str:
    passed = smart.get("passed")
    return "-" if passed is None else "passed" if passed else "FAILING"


def _health(disk: dict[str, object], name: str) -> str:
    return text(part(disk, "nvme"), name, text(part(disk, "smart"), name))


def _pcie(pcie: dict[str, object]) -> Iterator[str]:
    yield from columns(
        ("Address", "Device", "Driver", "Link", "Can"),
        [
            (
                text(d, "address"),
                f"{text(d, 'vendor_name', text(d, 'vendor_id'))} {text(d, 'device_name', text(d, 'device_id'))}",
                text(d, "driver"),
                _link(part(d, "link"), "width", "speed_gts"),
                _link(part(d, "link"), "max_width", "max_speed_gts"),
            )
            for d in rows(pcie, "devices")
        ],
    )
    yield from _interfaces(pcie)


def _interfaces(pcie: dict[str, object]) -> Iterator[str]:
    found = [(device, nic) for device in rows(pcie, "devices") for nic in rows(device, "interfaces")]
    if found:
        yield from columns(
            ("Interface", "Address", "MAC", "State", "Mbit/s", "Firmware"),
            [
                (
                    text(nic, "name"),
                    text(device, "address"),
                    text(nic, "mac"),
                    text(nic, "state"),
                    text(nic, "speed_mbps"),
                    text(nic, "firmware", text(part(device, "firmware"), "version")),
                )
                for device, nic in found
            ],
        )


def _link(link: dict[str, object], width: str, speed: str) -> str:
    return f"x{text(link, width)} {text(link, speed)}" if link else "-"


def _psu(psu: dict[str, object]) -> Iterator[str]:
    yield from columns(
        ("Supply", "Present", "Manufacturer", "Model", "Serial", "Watts"),
        [
            (
                text(s, "name"),
                text(s, "present"),
                text(s, "manufacturer"),
                text(s, "model"),
                text(s, "serial"),
                text(s, "capacity_watts"),
            )
            for s in rows(psu, "supplies")
        ],
    )
    yield f"  {len(rows(psu, 'frus'))} FRU records: {', '.join(text(f, 'description') for f in rows(psu, 'frus'))}"


def _nvidia(nvidia: dict[str, object]) -> Iterator[str]:
    yield f"  driver {text(nvidia, 'driver_version')}, CUDA {text(nvidia, 'cuda_version')}"
    yield from columns(
        ("Address", "Name", "Serial", "VBIOS", "Memory", "Link", "C", "ECC"),
        [
            (
                text(g, "pci_address"),
                text(g, "name"),
                text(g, "serial"),
                text(g, "vbios"),
                size(integer(g, "memory_bytes")),
                f"x{text(part(g, 'link'), 'width')}",
                text(g, "temperature_celsius"),
                text(part(g, "ecc"), "volatile_uncorrected"),
            )
            for g in rows(nvidia, "gpus")
        ],
    )


def _collectors(document: dict[str, object]) -> Iterator[str]:
    for collector in rows(document, "collectors"):
        yield f"  {text(collector, 'name'):<8} {text(collector, 'status'):<8} {text(collector, 'seconds'):>7} s"
        # A part that is null has said why in its own section.
        if text(collector, "status") == "partial":
            yield from (f"    {reason}" for reason in strings(collector, "reasons"))
