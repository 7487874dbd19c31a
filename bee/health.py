"""What is wrong with the machine: one table of rules, each a pure look at the audit (docs/audit.md lists them all)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bee.model import Finding

if TYPE_CHECKING:
    from bee.model import Audit, Disk, Nvme, PciDevice, RaidController, RaidMember, Sensor, Slot

# Component and evidence of one finding.
Found = tuple[str, str]
SEVERITIES = ("critical", "warning")

WORN_PERCENT = 100
WEAR_PERCENT = 80
# The kernel keeps about 1/64 of memory for its page tables, and firmware some GiB: less than any one module.
MEMORY_KEPT = 0.05
# An event log is read for what the machine has, not for its history: so many entries are quoted.
QUOTED_EVENTS = 3

_CHANNEL = re.compile(r".*?channel[ _-]?[a-z0-9]+", re.IGNORECASE)
# `P1-DIMMA2`, `DIMM_B1`, `CPU1_DIMM_C1`: a letter is a channel where no letter has more slots than a channel holds.
_LETTERED = re.compile(r"(.*?DIMM[ _-]?[A-Z])([0-9])", re.IGNORECASE)
_SLOTS_A_CHANNEL = 3
_BRIDGE_CLASS, _GPU_CLASSES = "0604", ("03", "12")
_SUPPLY_ENTITY = "10."
_SUPPLY_FAULT = re.compile(
    r"failure detected|predictive failure|AC lost|input lost|out-of-range|config(?:uration)? error", re.IGNORECASE
)
_REDUNDANCY = re.compile(r"redundancy (?:lost|degraded)|non-redundant", re.IGNORECASE)
_BAD_SENSOR = {"cr": "critical", "nr": "non-recoverable"}


# What slows a GPU down for its own or its supply's good; a power cap and idleness are no defects.
_SLOWDOWNS = ("hw_slowdown", "hw_thermal_slowdown", "sw_thermal_slowdown", "hw_power_brake_slowdown")


# storcli64's and sas2ircu's words.
_VOLUME_WELL = ("Optl", "Okay", "Optimal", "Cac")
_DRIVE_FAILED = ("Offln", "UBad", "Failed", "Msng", "F", "Missing", "Out of Sync", "Degraded")
_CONTROLLER_WELL = ("Optimal", "OK", "Opt", "Ok")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `finds` and `action` are what people read; `check` gives what the rule finds in an audit."""

    id: str
    severity: str
    finds: str
    action: str
    check: Callable[[Audit], Iterator[Found]]


def judged(audit: Audit) -> Audit:
    """`audit` with its findings, the critical ones first. A rule that fails costs its own findings and is noted."""
    findings: list[Finding] = []
    notes: list[str] = []
    for rule in RULES:
        try:
            findings += [_finding(rule, component, evidence) for component, evidence in rule.check(audit)]
        except Exception as error:  # an audit without a verdict is worth more than no audit
            notes.append(f"bee itself failed in the rule {rule.id}: {type(error).__name__}: {error}")
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return replace(audit, findings=tuple(findings), notes=(*audit.notes, *notes))


def _finding(rule: Rule, component: str, evidence: str) -> Finding:
    return Finding(severity=rule.severity, component=component, rule=rule.id, evidence=evidence, action=rule.action)


def _clock(audit: Audit) -> Iterator[Found]:
    if audit.started_at < "1971":
        yield "clock", f"the audit began at {audit.started_at} by the machine's clock"


def _disks(audit: Audit) -> Iterator[tuple[str, Disk | RaidMember]]:
    """The disks, and the drives behind RAID controllers."""
    if audit.storage is None:
        return
    for disk in audit.storage.disks:
        yield f"disk {disk.name}", disk
    for member in audit.storage.raid_members:
        yield f"disk {member.type} behind {member.device}", member


def _nvme(disk: Disk | RaidMember) -> Nvme | None:
    return getattr(disk, "nvme", None)


def _counter(name: str) -> Callable[[Audit], Iterator[Found]]:
    """The rule that a counter of a disk's health is zero; `name` is a field of `smart` or `nvme`."""

    def check(audit: Audit) -> Iterator[Found]:
        for component, disk in _disks(audit):
            value = _health(disk, name)
            if value:
                yield component, f"{name} is {value}"

    return check


def _health(disk: Disk | RaidMember, name: str) -> int | None:
    """The NVMe controller's own log goes before what smartctl makes of it."""
    values = (getattr(record, name, None) for record in (_nvme(disk), disk.smart))
    return next((value for value in values if value is not None), None)


def _smart(audit: Audit) -> Iterator[Found]:
    for component, disk in _disks(audit):
        if disk.smart is not None and disk.smart.passed is False:
            yield component, "its own overall verdict (SMART) is: failing"
        nvme = _nvme(disk)
        if nvme is not None and nvme.critical_warning:
            yield component, f"its NVMe critical warning is 0x{nvme.critical_warning:02x}"


def _self_test(audit: Audit) -> Iterator[Found]:
    for component, disk in _disks(audit):
        newest = disk.smart.self_tests[0] if disk.smart and disk.smart.self_tests else None
        if newest is not None and newest.passed is False:
            yield component, f"its newest self-test ended with: {newest.status}"


def _bad_volume(audit: Audit) -> Iterator[Found]:
    for controller in audit.storage.raid_controllers if audit.storage else ():
        for volume in controller.volumes:
            if volume.status and not volume.status.startswith(_VOLUME_WELL):
                yield f"volume {volume.id} of {_raid(controller)}", f"{volume.level}, its state is {volume.status}"


def _bad_raid_drive(audit: Audit) -> Iterator[Found]:
    for controller in audit.storage.raid_controllers if audit.storage else ():
        for drive in controller.drives:
            said = [f"its state is {drive.status}"] if (drive.status or "").startswith(_DRIVE_FAILED) else []
            said += [f"it has warned of failure {drive.predictive_failures} times"] if drive.predictive_failures else []
            said += ["its own verdict (SMART) is: failing"] if drive.smart_alert else []
            if said:
                yield f"drive {drive.enclosure}:{drive.slot} of {_raid(controller)}", "; ".join(said)


def _bad_raid_controller(audit: Audit) -> Iterator[Found]:
    for controller in audit.storage.raid_controllers if audit.storage else ():
        if controller.status and controller.status not in _CONTROLLER_WELL:
            yield _raid(controller), f"its state is {controller.status}"
        if controller.battery and controller.battery not in _CONTROLLER_WELL:
            yield _raid(controller), f"the battery of its cache is {controller.battery}"


def _raid(controller: RaidController) -> str:
    return f"RAID controller {controller.pci_address or controller.index} {controller.model or ''}".rstrip()


def _wear(least: int, below: int | None = None) -> Callable[[Audit], Iterator[Found]]:
    def check(audit: Audit) -> Iterator[Found]:
        for component, disk in _disks(audit):
            wear = _health(disk, "wear_percent")
            if wear is not None and wear >= least and (below is None or wear < below):
                yield component, f"{wear} % of its rated endurance is used"

    return check


def _spare(audit: Audit) -> Iterator[Found]:
    for component, disk in _disks(audit):
        nvme = _nvme(disk)
        if nvme is None:
            continue
        spare, least = nvme.available_spare_percent, nvme.spare_threshold_percent
        if spare is not None and least is not None and spare < least:
            yield component, f"{spare} % of its spare blocks are left, its own limit is {least} %"


def _modules(audit: Audit) -> list[Slot]:
    """The modules of DRAM: persistent ones (Optane) stand beside others by design, and are no part of MemTotal."""
    slots = audit.memory.slots if audit.memory else ()
    return [slot for slot in slots if slot.populated and "Non-Volatile" not in (slot.type_detail or "")]


def _mixed_channel(audit: Audit) -> Iterator[Found]:
    modules = _modules(audit)
    for channel, members in _channels(audit).items():
        slots = [slot for slot in members if slot in modules]
        if len({(s.size_bytes, s.type, s.speed_mts, s.ranks) for s in slots}) > 1:
            yield (
                f"memory channel {channel}",
                "; ".join(
                    f"{s.locator}: {(s.size_bytes or 0) // 2**20} MiB {s.type} {s.speed_mts} MT/s, {s.ranks} ranks"
                    for s in slots
                ),
            )


def _channels(audit: Audit) -> dict[str, list[Slot]]:
    """The slots by channel, as far as their names tell: `P0_Node0_Channel0_Dimm1`, or `P1-DIMMA1`, `P1-DIMMA2`."""
    named: defaultdict[str, list[Slot]] = defaultdict(list)
    lettered: defaultdict[str, list[Slot]] = defaultdict(list)
    slots = audit.memory.slots if audit.memory else ()
    for slot in slots:
        match = _CHANNEL.match(slot.bank or "") or _CHANNEL.match(slot.locator or "")
        if match:
            named[match[0]].append(slot)
        elif letter := _LETTERED.fullmatch(slot.locator or ""):
            lettered[letter[1]].append(slot)
    # With Dell the letter is the processor: it then has more slots than any channel.
    if len(lettered) < 2 or any(len(group) > _SLOTS_A_CHANNEL for group in lettered.values()):
        lettered.clear()
    # A name that stands on every slot tells no channels apart.
    return {**named, **lettered} if len(named) + len(lettered) > 1 else {}


def _missing_memory(audit: Audit) -> Iterator[Found]:
    sizes = [slot.size_bytes for slot in _modules(audit) if slot.size_bytes]
    if audit.memory is None or audit.host.memory_bytes is None or not sizes:
        return
    missing = sum(sizes) - audit.host.memory_bytes
    if missing >= min(sizes) * 0.9 and missing > sum(sizes) * MEMORY_KEPT:
        yield "memory", f"the modules hold {sum(sizes)} bytes, the kernel can use {audit.host.memory_bytes}"


def _unlisted_memory(audit: Audit) -> Iterator[Found]:
    if audit.memory is None or audit.host.memory_bytes is None or not audit.memory.total_bytes:
        return
    if audit.host.memory_bytes > audit.memory.total_bytes:
        yield (
            "memory",
            f"the kernel can use {audit.host.memory_bytes} bytes, the modules listed hold {audit.memory.total_bytes}",
        )


def _ecc_off(audit: Audit) -> Iterator[Found]:
    modes = {array.error_correction for array in audit.memory.arrays} if audit.memory else set()
    if modes == {"None"} and any(slot.ecc for slot in _modules(audit)):
        yield "memory", "the modules carry ECC, and the memory array works without"


def _disabled_cpu(audit: Audit) -> Iterator[Found]:
    system = audit.board.system if audit.board else None
    # VMware shows the sockets that a guest may be given later as disabled processors.
    if audit.cpu is None or (system and (system.manufacturer or "").startswith("VMware")):
        return
    disabled = [socket for socket in audit.cpu.sockets if socket.populated and socket.enabled is False]
    # The audit ran on one of them: firmware that calls all disabled says nothing.
    if len(disabled) < audit.cpu.populated:
        yield from ((f"socket {socket.socket}", f"its status is {socket.status!r}") for socket in disabled)


def _links(audit: Audit) -> Iterator[tuple[PciDevice, PciDevice]]:
    """Each device with the port at the other end of its link, function 0 for all functions of a device."""
    devices = {device.address: device for device in audit.pcie.devices} if audit.pcie else {}
    for device in devices.values():
        port = devices.get(device.upstream_port or "")
        if port is None or not device.address.endswith(".0"):
            continue
        # Below a switch's upstream port its downstream ports lie on the switch's own bus: their links lead elsewhere.
        inside_switch = device.class_id == _BRIDGE_CLASS and port.upstream_port in devices
        if not inside_switch:
            yield device, port


def _narrow_link(audit: Audit) -> Iterator[Found]:
    for device, port in _links(audit):
        if device.link is None or port.link is None:
            continue
        now, ends = device.link.width, (device.link.max_width, port.link.max_width)
        if now is not None and ends[0] is not None and ends[1] is not None and now < min(ends[0], ends[1]):
            yield (
                _pci(device),
                f"its link has {now} lanes; it can have {ends[0]}, its port {port.address} {ends[1]}",
            )


def _slow_link(audit: Audit) -> Iterator[Found]:
    for device, port in _links(audit):
        # An idle GPU lowers its speed by itself.
        if device.link is None or port.link is None or (device.class_id or "").startswith(_GPU_CLASSES):
            continue
        now, ends = device.link.speed_gts, (device.link.max_speed_gts, port.link.max_speed_gts)
        if now is not None and ends[0] is not None and ends[1] is not None and now < min(ends[0], ends[1]):
            yield (
                _pci(device),
                f"its link runs at {now:g} GT/s; it can run at {ends[0]:g}, its port {port.address} at {ends[1]:g}",
            )


def _pci(device: PciDevice) -> str:
    return f"PCI {device.address} {device.device_name or device.device_id or ''}".rstrip()


def _absent_supply(audit: Audit) -> Iterator[Found]:
    supplies = audit.psu.supplies if audit.psu else ()
    # Something feeds the machine: firmware that calls all bays empty says nothing.
    for supply in supplies if any(supply.present for supply in supplies) else ():
        if not supply.present:
            yield f"power supply {supply.name}", f"it is not present by {' and '.join(supply.sources)}"


def _failed_supply(audit: Audit) -> Iterator[Found]:
    for supply in audit.psu.supplies if audit.psu else ():
        if supply.status and supply.status.endswith(("Critical", "Non-recoverable")):
            yield f"power supply {supply.name}", f"its status at boot was {supply.status!r}"
    for sensor in _sensors(audit):
        if sensor.entity.startswith(_SUPPLY_ENTITY) and _SUPPLY_FAULT.search(sensor.reading or ""):
            yield f"power supply sensor {sensor.name}", f"it says: {sensor.reading}"


def _unplugged_supply(audit: Audit) -> Iterator[Found]:
    for supply in audit.psu.supplies if audit.psu else ():
        if supply.present and supply.plugged is False:
            yield f"power supply {supply.name}", "it was not plugged in at boot"


def _redundancy(audit: Audit) -> Iterator[Found]:
    for sensor in _sensors(audit):
        if _REDUNDANCY.search(sensor.reading or ""):
            yield f"sensor {sensor.name}", f"it says: {sensor.reading}"


def _bad_sensor(audit: Audit) -> Iterator[Found]:
    for sensor in _sensors(audit):
        if sensor.status in _BAD_SENSOR:
            yield f"sensor {sensor.name}", f"the BMC calls it {_BAD_SENSOR[sensor.status]}: {sensor.reading or '-'}"


def _sensors(audit: Audit) -> tuple[Sensor, ...]:
    return audit.psu.sensors if audit.psu else ()


def _event_log(audit: Audit) -> Iterator[Found]:
    events = audit.psu.sel_critical if audit.psu else ()
    if events:
        quoted = "; ".join(f"{e.occurred_at or 'no date'} {e.sensor}: {e.event}" for e in events[-QUOTED_EVENTS:])
        yield (
            "BMC event log",
            f"{len(events)} critical of {audit.psu and audit.psu.sel_entries} entries, newest last: {quoted}",
        )


def _gpu_ecc(audit: Audit) -> Iterator[Found]:
    for gpu in audit.nvidia.gpus if audit.nvidia else ():
        counts = {"volatile": gpu.ecc.volatile_uncorrected, "aggregate": gpu.ecc.aggregate_uncorrected}
        if any(counts.values()):
            said = ", ".join(f"{count} {span}" for span, count in counts.items() if count)
            yield f"GPU {gpu.pci_address}", f"uncorrected ECC errors: {said}"


def _unequal_microcode(audit: Audit) -> Iterator[Found]:
    if audit.cpu and len(audit.cpu.microcodes) > 1:
        yield "processors", f"their microcode revisions are {', '.join(audit.cpu.microcodes)}"


def _gpu_pending(audit: Audit) -> Iterator[Found]:
    for gpu in audit.nvidia.gpus if audit.nvidia else ():
        if gpu.remapped_rows and gpu.remapped_rows.pending:
            yield f"GPU {gpu.pci_address}", "a row of its memory waits to be remapped"
        if gpu.retired_pages and gpu.retired_pages.pending:
            yield f"GPU {gpu.pci_address}", "a page of its memory waits to be retired"


def _gpu_remap_failed(audit: Audit) -> Iterator[Found]:
    for gpu in audit.nvidia.gpus if audit.nvidia else ():
        if gpu.remapped_rows and gpu.remapped_rows.failed:
            yield f"GPU {gpu.pci_address}", "a row of its memory could not be remapped"


def _gpu_slowed(audit: Audit) -> Iterator[Found]:
    for gpu in audit.nvidia.gpus if audit.nvidia else ():
        reasons = [reason for reason in gpu.throttle_reasons if reason in _SLOWDOWNS]
        if reasons:
            yield f"GPU {gpu.pci_address}", f"{', '.join(reasons)} at {gpu.temperature_celsius} °C"


RULES = (
    Rule(
        "disk-failing",
        "critical",
        "a disk's own verdict is failing: SMART, or an NVMe critical warning",
        "Copy the data off it and replace it.",
        _smart,
    ),
    Rule(
        "disk-self-test-failed",
        "critical",
        "a disk's newest self-test failed",
        "Copy the data off it and replace it.",
        _self_test,
    ),
    Rule(
        "raid-volume-degraded",
        "critical",
        "a RAID volume is not in order",
        "Replace the drive that failed; see that the volume is being rebuilt.",
        _bad_volume,
    ),
    Rule(
        "raid-drive-failed",
        "critical",
        "a RAID controller calls one of its drives failed, missing, or about to fail",
        "Replace the drive.",
        _bad_raid_drive,
    ),
    Rule(
        "raid-controller",
        "warning",
        "a RAID controller, or the battery of its cache, is not in order",
        "Look at the controller with its vendor's tool; replace the battery.",
        _bad_raid_controller,
    ),
    Rule(
        "disk-worn-out",
        "critical",
        f"a disk has used {WORN_PERCENT} % or more of its rated endurance",
        "Replace it; it may turn read-only.",
        _wear(WORN_PERCENT),
    ),
    Rule(
        "disk-spare-low",
        "critical",
        "an NVMe disk has fewer spare blocks left than its own limit",
        "Replace it.",
        _spare,
    ),
    Rule(
        "disk-pending",
        "critical",
        "a disk has sectors that it cannot read and has not replaced",
        "Copy the data off it; write it whole once and look again, replace it if any come back.",
        _counter("pending_sectors"),
    ),
    Rule(
        "disk-media-errors",
        "warning",
        "a disk has given back data that it could not correct",
        "Replace it when the number grows.",
        _counter("media_errors"),
    ),
    Rule(
        "disk-uncorrected-errors",
        "warning",
        "a disk has reported errors to the host that it could not correct",
        "Replace it when the number grows.",
        _counter("uncorrected_errors"),
    ),
    Rule(
        "disk-reallocated",
        "warning",
        "a disk has replaced bad sectors",
        "Replace it when the number grows.",
        _counter("reallocated_sectors"),
    ),
    Rule(
        "disk-grown-defects",
        "warning",
        "a SAS disk has added to its list of defects since it was made",
        "Replace it when the number grows.",
        _counter("grown_defects"),
    ),
    Rule(
        "disk-wear",
        "warning",
        f"a disk has used {WEAR_PERCENT} % or more of its rated endurance",
        "Plan its replacement.",
        _wear(WEAR_PERCENT, below=WORN_PERCENT),
    ),
    Rule(
        "disk-crc-errors",
        "warning",
        "transfers between a disk and its controller were damaged on the way",
        "Reseat or change its cable, and look whether the number grows.",
        _counter("crc_errors"),
    ),
    Rule(
        "memory-missing",
        "critical",
        "the kernel can use less memory than the modules hold, by a module or more",
        "Reseat the modules; look in the BIOS for one that is disabled or mapped out.",
        _missing_memory,
    ),
    Rule(
        "memory-unlisted",
        "warning",
        "the kernel can use more memory than the firmware's list of modules holds",
        "Count the modules by eye; the firmware's table is wrong.",
        _unlisted_memory,
    ),
    Rule(
        "memory-mixed-channel",
        "warning",
        "modules of DRAM of different size, type, speed or ranks share a channel",
        "Sort the modules, so that each channel holds equal ones.",
        _mixed_channel,
    ),
    Rule(
        "memory-ecc-off",
        "warning",
        "the modules carry ECC and the machine does not use it",
        "Turn ECC on in the BIOS.",
        _ecc_off,
    ),
    Rule(
        "cpu-disabled",
        "warning",
        "the processor of one socket is disabled while another works; guests of VMware are left out",
        "Look in the BIOS set-up and the BMC's log for why.",
        _disabled_cpu,
    ),
    Rule(
        "cpu-microcode-unequal",
        "warning",
        "the processors run different microcode",
        "Update the BIOS; look whether the processors are of one stepping.",
        _unequal_microcode,
    ),
    Rule(
        "pcie-link-narrow",
        "warning",
        "a PCI Express link has fewer lanes than both its ends can",
        "Reseat the card or riser; clean its contacts; look for a bifurcation setting.",
        _narrow_link,
    ),
    Rule(
        "pcie-link-slow",
        "warning",
        "a PCI Express link runs slower than both its ends can; GPUs, which slow down when idle, are left out",
        "Reseat the card or riser; look for a link speed set in the BIOS.",
        _slow_link,
    ),
    Rule(
        "psu-failed",
        "critical",
        "a power supply has failed, is about to, or has lost its input",
        "Check its cable and its outlet, then replace it.",
        _failed_supply,
    ),
    Rule(
        "psu-absent",
        "warning",
        "a bay for a power supply is empty, and another is not",
        "Fit one, where the machine is meant to have it.",
        _absent_supply,
    ),
    Rule(
        "psu-unplugged",
        "warning",
        "a power supply is there and was not plugged in at boot",
        "Plug it in.",
        _unplugged_supply,
    ),
    Rule(
        "redundancy-lost",
        "warning",
        "the BMC says that power, fans or another group is no longer redundant",
        "Look for the member that is missing or has failed.",
        _redundancy,
    ),
    Rule(
        "sensor-critical",
        "critical",
        "the BMC calls a sensor critical or non-recoverable",
        "Look at what the sensor watches.",
        _bad_sensor,
    ),
    Rule(
        "sel-critical",
        "warning",
        "the BMC's event log holds entries that mean a defect",
        "Read `ipmitool sel elist`; when it is dealt with, save the log and clear it.",
        _event_log,
    ),
    Rule(
        "gpu-ecc-uncorrected",
        "critical",
        "a GPU's memory had errors that ECC could not correct",
        "Run NVIDIA's field diagnostics; replace the GPU when they come back.",
        _gpu_ecc,
    ),
    Rule(
        "gpu-remap-failed",
        "critical",
        "a GPU has no spare rows left for a bad one of its memory",
        "Replace the GPU.",
        _gpu_remap_failed,
    ),
    Rule(
        "gpu-remap-pending",
        "warning",
        "a GPU has a bad row or page that it replaces at its next reset",
        "Reset the GPU or restart the machine, then look again.",
        _gpu_pending,
    ),
    Rule(
        "gpu-slowed-down",
        "warning",
        "a GPU's clocks are held down by heat or by its power supply",
        "Look at its airflow and its power cables.",
        _gpu_slowed,
    ),
    Rule(
        "clock-unset",
        "warning",
        "the machine's clock stands at 1970",
        "Set the clock; replace the battery when it does not keep it.",
        _clock,
    ),
)
