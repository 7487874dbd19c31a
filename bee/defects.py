"""How each defect shows in an audit: what the rules of bee/health.py look for. What is not known is no defect.

Those of disks are in bee/disk_defects.py.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bee import bmc_states
from bee.gpus import ERROR_NOTE, with_cards
from bee.quantities import size

if TYPE_CHECKING:
    from bee.model import Audit, Gpu, PciDevice, RaidController, Sensor, Slot

# Component and evidence of one finding.
Found = tuple[str, str]

# The kernel keeps about 1/64 of memory for its page tables, and firmware some GiB: less than any one module.
MEMORY_KEPT = 0.05
# An event log is read for what the machine has, not for its history: so many entries are quoted.
QUOTED_EVENTS = 3

_CHANNEL = re.compile(r".*?channel[ _-]?[a-z0-9]+", re.IGNORECASE)
# `P1-DIMMA2`, `DIMM_B1`, `CPU1_DIMM_C1`: a letter is a channel where no letter has more slots than a channel holds.
_LETTERED = re.compile(r"(.*?DIMM[ _-]?[A-Z])([0-9])", re.IGNORECASE)
_SLOTS_A_CHANNEL = 3
# What modules of one channel have in common.
_ALIKE = ("size_bytes", "type", "speed_mts", "ranks")
_BRIDGE_CLASS = "0604"
_SUPPLY_ENTITY = "10."
_BAD_SENSOR = {"cr": "critical", "nr": "non-recoverable"}
# What slows a GPU down for its own or its supply's good; a power cap and idleness are no defects.
_SLOWDOWNS = ("hw_slowdown", "hw_thermal_slowdown", "sw_thermal_slowdown", "hw_power_brake_slowdown")
# nvidia-smi's words, but for their case, which has changed.
_ALL_LINKS_DOWN = "all links are inactive"
# storcli64's and sas2ircu's words.
_VOLUME_WELL = ("Optl", "Okay", "Optimal", "Cac")
_DRIVE_FAILED = ("Offln", "UBad", "Failed", "Msng", "Missing", "Out of Sync", "Degraded")
_CONTROLLER_WELL = ("Optimal", "Optl", "OK")


def clock(audit: Audit) -> Iterator[Found]:
    if audit.started_at < "1971":
        yield "clock", f"the audit began at {audit.started_at} by the machine's clock"


def bad_volume(audit: Audit) -> Iterator[Found]:
    for controller in audit.storage.raid_controllers if audit.storage else ():
        for volume in controller.volumes:
            if volume.status and not volume.status.startswith(_VOLUME_WELL):
                yield f"volume {volume.id} of {raid_name(controller)}", f"{volume.level}, its state is {volume.status}"


def bad_raid_drive(audit: Audit) -> Iterator[Found]:
    for controller in audit.storage.raid_controllers if audit.storage else ():
        for drive in controller.drives:
            said = [f"its state is {drive.status}"] if (drive.status or "").startswith(_DRIVE_FAILED) else []
            said += [f"it has warned of failure {drive.predictive_failures} times"] if drive.predictive_failures else []
            said += ["its own verdict (SMART) is: failing"] if drive.smart_alert else []
            if said:
                yield f"drive {drive.enclosure}:{drive.slot} of {raid_name(controller)}", "; ".join(said)


def bad_raid_controller(audit: Audit) -> Iterator[Found]:
    for controller in audit.storage.raid_controllers if audit.storage else ():
        if controller.status and controller.status not in _CONTROLLER_WELL:
            yield raid_name(controller), f"its state is {controller.status}"
        if controller.battery and controller.battery not in _CONTROLLER_WELL:
            yield raid_name(controller), f"the battery of its cache is {controller.battery}"


def raid_name(controller: RaidController) -> str:
    return f"RAID controller {controller.pci_address or controller.index} {controller.model or ''}".rstrip()


def _modules(audit: Audit) -> list[Slot]:
    """The modules of DRAM: persistent ones (Optane) stand beside others by design, and are no part of MemTotal.

    Nor need a processor's own high-bandwidth memory be: the BIOS may make it a cache.
    """
    slots = audit.memory.slots if audit.memory else ()
    return [
        slot
        for slot in slots
        if slot.populated and "Non-Volatile" not in (slot.type_detail or "") and not (slot.type or "").startswith("HBM")
    ]


def mixed_channel(audit: Audit) -> Iterator[Found]:
    modules = _modules(audit)
    for channel, members in channels(audit).items():
        slots = [slot for slot in members if slot in modules]
        if any(len({getattr(s, name) for s in slots} - {None}) > 1 for name in _ALIKE):
            yield f"memory channel {channel}", "; ".join(f"{s.locator}: {_module(s)}" for s in slots)


def _module(slot: Slot) -> str:
    """What is known of it."""
    said = [size(slot.size_bytes), slot.type, f"{slot.speed_mts} MT/s" if slot.speed_mts is not None else None]
    ranks = f", {slot.ranks} ranks" if slot.ranks is not None else ""
    return " ".join(word for word in said if word) + ranks


def channels(audit: Audit) -> dict[str, list[Slot]]:
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


def missing_memory(audit: Audit) -> Iterator[Found]:
    sizes = [slot.size_bytes for slot in _modules(audit) if slot.size_bytes]
    if audit.memory is None or audit.host.memory_bytes is None or not sizes:
        return
    missing = sum(sizes) - audit.host.memory_bytes
    if missing >= min(sizes) * 0.9 and missing > sum(sizes) * MEMORY_KEPT:
        yield "memory", f"the modules hold {size(sum(sizes))}, the kernel can use {size(audit.host.memory_bytes)}"


def unlisted_memory(audit: Audit) -> Iterator[Found]:
    if audit.memory is None or audit.host.memory_bytes is None or not audit.memory.total_bytes:
        return
    usable, listed = audit.host.memory_bytes, audit.memory.total_bytes
    if usable > listed:
        yield "memory", f"the kernel can use {size(usable)}, {size(usable - listed)} more than the modules listed hold"


def ecc_off(audit: Audit) -> Iterator[Found]:
    modes = {array.error_correction for array in audit.memory.arrays} if audit.memory else set()
    if modes == {"None"} and any(slot.ecc for slot in _modules(audit)):
        yield "memory", "the modules carry ECC, and the memory array works without"


def disabled_cpu(audit: Audit) -> Iterator[Found]:
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
        inside_switch = device.class_id == _BRIDGE_CLASS and _is_switch_upstream(port, devices)
        if not inside_switch:
            yield device, port


def _is_switch_upstream(port: PciDevice, devices: dict[str, PciDevice]) -> bool:
    """Ports alternate on the way from the root: a root port, a switch's upstream port, its downstream port, and on."""
    way = [port]
    while (above := devices.get(way[-1].upstream_port or "")) is not None and above not in way:
        way.append(above)
    return len(way) % 2 == 0


def narrow_link(audit: Audit) -> Iterator[Found]:
    for device, port in _links(audit):
        if device.link is None or port.link is None:
            continue
        now, ends = device.link.width, (device.link.max_width, port.link.max_width)
        if now is not None and ends[0] is not None and ends[1] is not None and now < min(ends[0], ends[1]):
            yield (
                _pci(device),
                f"its link has {now} lanes; it can have {ends[0]}, its port {port.address} {ends[1]}",
            )


def slow_link(audit: Audit) -> Iterator[Found]:
    # An idle GPU lowers its speed by itself.
    idle = with_cards(audit.pcie.devices if audit.pcie else ())
    for device, port in _links(audit):
        if device.link is None or port.link is None or device.address in idle:
            continue
        now, ends = device.link.speed_gts, (device.link.max_speed_gts, port.link.max_speed_gts)
        if now is not None and ends[0] is not None and ends[1] is not None and now < min(ends[0], ends[1]):
            yield (
                _pci(device),
                f"its link runs at {now:g} GT/s; it can run at {ends[0]:g}, its port {port.address} at {ends[1]:g}",
            )


def _pci(device: PciDevice) -> str:
    return f"PCI {device.address} {device.device_name or device.device_id or ''}".rstrip()


def absent_supply(audit: Audit) -> Iterator[Found]:
    supplies = audit.psu.supplies if audit.psu else ()
    # Something feeds the machine: firmware that calls all bays empty says nothing.
    for supply in supplies if any(supply.present for supply in supplies) else ():
        if supply.present is False:
            at_boot = f"; its status at boot was {supply.status!r}" if supply.status else ""
            yield f"power supply {supply.name}", f"it is not present by {supply.sources[0]}{at_boot}"


def failed_supply(audit: Audit) -> Iterator[Found]:
    for supply in audit.psu.supplies if audit.psu else ():
        if supply.status and supply.status.endswith(("Critical", "Non-recoverable")):
            yield f"power supply {supply.name}", f"its status at boot was {supply.status!r}"
    for sensor in _sensors(audit):
        if _is_failed_supply(sensor):
            yield f"power supply sensor {sensor.name}", f"it says: {sensor.reading}"


def _is_failed_supply(sensor: Sensor) -> bool:
    return sensor.entity.startswith(_SUPPLY_ENTITY) and bmc_states.is_supply_fault(sensor.reading or "")


def unplugged_supply(audit: Audit) -> Iterator[Found]:
    for supply in audit.psu.supplies if audit.psu else ():
        if supply.present and supply.plugged is False:
            yield f"power supply {supply.name}", "it was not plugged in at boot"


def redundancy(audit: Audit) -> Iterator[Found]:
    for sensor in _sensors(audit):
        if bmc_states.is_not_redundant(sensor.reading or ""):
            yield f"sensor {sensor.name}", f"it says: {sensor.reading}"


def bad_sensor(audit: Audit) -> Iterator[Found]:
    for sensor in _sensors(audit):
        if sensor.status in _BAD_SENSOR:
            yield f"sensor {sensor.name}", f"the BMC calls it {_BAD_SENSOR[sensor.status]}: {sensor.reading or '-'}"
        elif bmc_states.is_defect(sensor.reading or "") and not _is_failed_supply(sensor):
            yield f"sensor {sensor.name}", f"it says: {sensor.reading}"


def _sensors(audit: Audit) -> tuple[Sensor, ...]:
    return audit.psu.sensors if audit.psu else ()


def event_log(audit: Audit) -> Iterator[Found]:
    events = audit.psu.sel_critical if audit.psu else ()
    if events:
        quoted = "; ".join(f"{e.occurred_at or 'no date'} {e.sensor}: {e.event}" for e in events[-QUOTED_EVENTS:])
        yield (
            "BMC event log",
            f"{len(events)} critical of {audit.psu and audit.psu.sel_entries} entries, newest last: {quoted}",
        )


def gpu_in_error(audit: Audit) -> Iterator[Found]:
    for gpu in audit.nvidia.gpus if audit.nvidia else ():
        said = [note for note in gpu.notes if note.startswith(ERROR_NOTE)]
        if said:
            yield f"GPU {gpu.pci_address}", "; ".join(said)


def gpu_ecc(audit: Audit) -> Iterator[Found]:
    for gpu in audit.nvidia.gpus if audit.nvidia else ():
        counts = {"volatile": gpu.ecc.volatile_uncorrected, "aggregate": gpu.ecc.aggregate_uncorrected}
        if any(counts.values()):
            said = ", ".join(f"{count} {span}" for span, count in counts.items() if count)
            yield f"GPU {gpu.pci_address}", f"uncorrected ECC errors: {said}"


def unequal_microcode(audit: Audit) -> Iterator[Found]:
    if audit.cpu and len(audit.cpu.microcodes) > 1:
        yield "processors", f"their microcode revisions are {', '.join(audit.cpu.microcodes)}"


def gpu_pending(audit: Audit) -> Iterator[Found]:
    for gpu in audit.nvidia.gpus if audit.nvidia else ():
        if gpu.remapped_rows and gpu.remapped_rows.pending:
            yield f"GPU {gpu.pci_address}", "a row of its memory waits to be remapped"
        if gpu.retired_pages and gpu.retired_pages.pending:
            yield f"GPU {gpu.pci_address}", "a page of its memory waits to be retired"


def gpu_remap_failed(audit: Audit) -> Iterator[Found]:
    for gpu in audit.nvidia.gpus if audit.nvidia else ():
        if gpu.remapped_rows and gpu.remapped_rows.failed:
            yield f"GPU {gpu.pci_address}", "a row of its memory could not be remapped"


def gpu_slowed(audit: Audit) -> Iterator[Found]:
    for gpu in audit.nvidia.gpus if audit.nvidia else ():
        reasons = [reason for reason in gpu.throttle_reasons if reason in _SLOWDOWNS]
        if reasons:
            yield f"GPU {gpu.pci_address}", f"{', '.join(reasons)} at {gpu.temperature_celsius} °C"


def nvlink_down(audit: Audit) -> Iterator[Found]:
    """A GPU's own links say nothing: how many of them are wired depends on the board and its bridges."""
    gpus = audit.nvidia.gpus if audit.nvidia else ()
    up = [sum(1 for link in gpu.nvlinks if link.active) for gpu in gpus]
    for gpu, count in zip(gpus, up, strict=True):
        most = max(other for other, peer in zip(up, gpus, strict=True) if peer.name == gpu.name)
        if count < most and (gpu.nvlinks or _says_all_down(gpu)):
            yield f"GPU {gpu.pci_address}", f"{count} of its NVLinks are up, {most} of another {gpu.name}"


def _says_all_down(gpu: Gpu) -> bool:
    """nvidia-smi lists no link then, as of a GPU that has none; in MIG mode links are off by design."""
    return gpu.mig_enabled is not True and any(_ALL_LINKS_DOWN in note.casefold() for note in gpu.notes)


def nvlink_errors(audit: Audit) -> Iterator[Found]:
    """CRC errors alone are a link's daily life: it sends again, and counts that as a replay."""
    for gpu in audit.nvidia.gpus if audit.nvidia else ():
        bad = [link for link in gpu.nvlinks if link.replay_errors or link.recovery_errors]
        if bad:
            said = ", ".join(f"link {e.number}: {e.replay_errors} replays, {e.recovery_errors} recoveries" for e in bad)
            yield f"GPU {gpu.pci_address}", f"NVLink errors: {said}"
