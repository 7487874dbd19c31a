"""Step 4: disks (lsblk -J), their health (smartctl -j), NVMe controllers (nvme id-ctrl, nvme smart-log), RAID."""

from __future__ import annotations

import re

from bee.agreement import differing
from bee.collectors import drive_health, raid
from bee.collectors.step import Step, bounded
from bee.model import Disk, Nvme, Storage
from bee.parsers import lsblk, nvme, smartctl
from bee.parsers.lspci import normalise
from bee.placeholders import known

LSBLK_SECONDS = 20.0
NVME_SECONDS = 20.0

# Block devices of type `disk` that are no hardware, or no medium of their own (an eMMC's boot areas).
_NO_DISK = re.compile(
    r"(?:zram|ram|loop|nbd|rbd|drbd|fd|md|dm-|zd|nullb|pmem|mtdblock)[0-9].*|mmcblk[0-9]+(?:rpmb|boot[0-9])", re.ASCII
)
_NVME = re.compile(r"(nvme[0-9]+)(?:c[0-9]+)?n[0-9]+", re.ASCII)
# A namespace that several controllers may share is named by its subsystem, and its path through each by that and the
# controller: `nvme0n1`, `nvme0c1n1` (drivers/nvme/host/multipath.c).
_SHARED = re.compile(r"nvme([0-9]+)n([0-9]+)", re.ASCII)
_PATH = re.compile(r"nvme([0-9]+)c([0-9]+)n([0-9]+)", re.ASCII)
# In /sys/block and not in lsblk: the paths of a multipath NVMe namespace; as no disk: CD drives.
_UNLISTED = re.compile(r"nvme[0-9]+c[0-9]+n[0-9]+|sr[0-9]+", re.ASCII)
_DEVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9!._-]{0,63}", re.ASCII)
_BAY = "enclosure_device:"
_PCI_SLOTS = "/sys/bus/pci/slots"
_PCI_IN_PATH = re.compile(r"/([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])(?=/)", re.ASCII)


def collect(step: Step) -> Storage | None:
    """One record a disk, in lsblk's order of names."""
    raid.ask_ahead(step)
    _ask_ahead(step, [name for name in step.machine.names("/sys/block") if _has_medium(step, name)])
    output = step.run("lsblk", "-J", "-b", "-O", limit=LSBLK_SECONDS)
    if output is None:
        return None
    found = lsblk.parse(output)
    for note in found.notes:
        step.trouble(f"lsblk: {note}")
    if not found.devices and (found.notes or not output.strip()):
        if not step.troubled:
            step.trouble("lsblk printed nothing")
        return None
    devices = {d.name: d for d in found.devices if d.type == "disk" and not _NO_DISK.fullmatch(d.name)}
    _ask_ahead(step, list(devices))
    controllers: dict[str, Nvme | None] = {}
    disks = tuple(_disk(step, devices[name], controllers) for name in sorted(devices))
    if disks and not step.machine.is_root():
        step.trouble("reading the health of disks needs root")
    notes = [*found.notes]
    return Storage(
        disks=disks,
        raid_members=raid.members(step, disks, notes),
        raid_controllers=raid.controllers(step),
        notes=bounded(notes),
    )


def _has_medium(step: Step, name: str) -> bool:
    """Whether lsblk will list the device `name` of /sys/block as a disk: not hidden, no CD drive, and not empty."""
    size = (step.machine.read(f"/sys/block/{name}/size") or "").strip()
    return size not in {"", "0"} and not _NO_DISK.fullmatch(name) and not _UNLISTED.fullmatch(name)


def _ask_ahead(step: Step, names: list[str]) -> None:
    """Begin what will be asked of these disks: each may take a second, and all are asked at once."""
    for name in filter(_DEVICE_NAME.fullmatch, names):
        step.ahead(*drive_health.command(f"/dev/{name}"), limit=drive_health.SMARTCTL_SECONDS)
        if controller := _controller_name(step, name):
            for command in _nvme(controller):
                step.ahead(*command, limit=NVME_SECONDS)


def _nvme(controller: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return (
        ("nvme", "id-ctrl", "-o", "json", f"/dev/{controller}"),
        ("nvme", "smart-log", "-o", "json", f"/dev/{controller}"),
    )


def _disk(step: Step, device: lsblk.BlockDevice, controllers: dict[str, Nvme | None]) -> Disk:
    notes: list[str] = []
    smart = smartctl.Smart()
    controller = None
    if _DEVICE_NAME.fullmatch(device.name):
        smart = drive_health.ask(step, drive_health.command(f"/dev/{device.name}"), notes)
        controller = _controller(step, device.name, controllers)
    else:
        notes.append("its name is not one that the kernel gives; no tool was run on it")
    notes += _differences(device, smart, controller)
    return Disk(
        name=device.name,
        model=drive_health.first_known(
            notes, "model", smart.model, controller.model if controller else None, device.model
        ),
        vendor=drive_health.first_known(notes, "vendor", smart.vendor, device.vendor),
        serial=drive_health.first_known(
            notes, "serial", smart.serial, controller.serial if controller else None, device.serial
        ),
        wwn=drive_health.first_known(notes, "wwn", device.wwn, smart.wwn),
        # lsblk's REV is cut to SCSI's four characters.
        firmware=drive_health.first_known(
            notes, "firmware", smart.firmware, controller.firmware if controller else None, device.revision
        ),
        size_bytes=device.size_bytes if device.size_bytes is not None else smart.size_bytes,
        logical_sector_bytes=device.logical_sector_bytes,
        physical_sector_bytes=device.physical_sector_bytes,
        rotational=device.rotational,
        removable=device.removable,
        transport=device.transport or None,
        hctl=device.hctl or None,
        slot=_bay_name(_slot(step, device.name), notes),
        pci_address=_pci_address(step, device.name),
        smart=drive_health.health(smart),
        nvme=controller,
        notes=bounded(notes),
    )


def _differences(device: lsblk.BlockDevice, smart: smartctl.Smart, controller: Nvme | None) -> list[str]:
    """What lsblk, smartctl and nvme differ about; counters that grow while they run are left out."""
    wwn = device.wwn if (device.wwn or "").startswith("0x") else None
    # Of a SAS disk udev gives the WWN, or the beginning of the serial number, as the serial number.
    serial = None if device.serial and device.wwn and device.serial in device.wwn else device.serial
    model, number, firmware = (controller.model, controller.serial, controller.firmware) if controller else (None,) * 3
    wear, media_errors = (controller.wear_percent, controller.media_errors) if controller else (None, None)
    said = ("smartctl", "nvme id-ctrl", "lsblk")
    facts = (
        ("model", (smart.model, model, device.model), True),
        ("serial", (smart.serial, number, serial), True),
        # lsblk's REV is cut to SCSI's four characters.
        ("firmware", (smart.firmware, firmware, device.revision), True),
        ("wwn", (smart.wwn, None, wwn and wwn.lower()), True),
        ("size_bytes", (smart.size_bytes, None, device.size_bytes), False),
        ("logical_sector_bytes", (smart.logical_sector_bytes, None, device.logical_sector_bytes), False),
        ("physical_sector_bytes", (smart.physical_sector_bytes, None, device.physical_sector_bytes), False),
        ("wear_percent", (smart.wear_percent, wear, None), False),
        ("media_errors", (smart.media_errors, media_errors, None), False),
    )
    return [
        note for name, values, cut in facts for note in differing(name, dict(zip(said, values, strict=True)), cut=cut)
    ]


def _controller(step: Step, name: str, known_controllers: dict[str, Nvme | None]) -> Nvme | None:
    """The NVMe controller of the namespace `name`, asked once however many namespaces it has."""
    controller = _controller_name(step, name)
    if controller is None:
        return None
    if controller not in known_controllers:
        known_controllers[controller] = _ask_controller(step, controller)
    return known_controllers[controller]


def _controller_name(step: Step, name: str) -> str | None:
    """The controller of the namespace `name`, the first of several that share it; None for what is no NVMe."""
    if paths := _nvme_paths(step, name):
        return f"nvme{paths[0][0]}"
    match = _NVME.fullmatch(name)
    return match[1] if match else None


def _nvme_paths(step: Step, name: str) -> list[tuple[int, str]]:
    """Of a namespace that several controllers may share: the number of each, and its path's name in /sys/block."""
    shared = _SHARED.fullmatch(name)
    if shared is None:
        return []
    paths = filter(None, map(_PATH.fullmatch, step.machine.names("/sys/block")))
    return sorted((int(path[2]), path[0]) for path in paths if (path[1], path[3]) == shared.groups())


def _ask_controller(step: Step, name: str) -> Nvme | None:
    id_ctrl, smart_log = _nvme(name)
    identity_output = step.run(*id_ctrl, limit=NVME_SECONDS)
    if identity_output is None:
        return None
    log_output = step.run(*smart_log, limit=NVME_SECONDS)
    identity, log = nvme.parse(identity_output), nvme.parse_smart_log(log_output or b"")
    for note in (*identity.notes, *log.notes):
        step.trouble(f"nvme on {name}: {note}")
    if identity.model is None and identity.serial is None and log.power_on_hours is None:
        return None
    return Nvme(
        controller=name,
        model=identity.model,
        serial=identity.serial,
        firmware=identity.firmware,
        vendor_id=identity.vendor_id,
        nvme_version=identity.nvme_version,
        capacity_bytes=identity.capacity_bytes,
        critical_warning=log.critical_warning,
        temperature_celsius=log.temperature_celsius,
        available_spare_percent=log.available_spare_percent,
        spare_threshold_percent=log.spare_threshold_percent,
        wear_percent=log.wear_percent,
        power_on_hours=log.power_on_hours,
        power_cycles=log.power_cycles,
        unsafe_shutdowns=log.unsafe_shutdowns,
        media_errors=log.media_errors,
        error_log_entries=log.error_log_entries,
        read_bytes=log.read_bytes,
        written_bytes=log.written_bytes,
    )


def _bay_name(slot: str | None, notes: list[str]) -> str | None:
    """A bay called `000` is the first, however much that looks like a field left empty."""
    return slot if slot and slot.isdecimal() else known("slot", slot, notes)


def _slot(step: Step, name: str) -> str | None:
    """The bay: the link that the kernel's ses module makes to it, or the PCI slot of an NVMe disk."""
    links = step.machine.names(f"/sys/block/{name.replace('/', '!')}/device")
    bay = next((link.removeprefix(_BAY) for link in links if link.startswith(_BAY)), None)
    if bay is not None or not _NVME.fullmatch(name):
        return bay
    # A slot's address is without the function: `0000:02:00`.
    device = (_pci_address(step, name) or "").rpartition(".")[0]
    slots = step.machine.names(_PCI_SLOTS) if device else ()
    return next((s for s in slots if (step.machine.read(f"{_PCI_SLOTS}/{s}/address") or "").strip() == device), None)


def _pci_address(step: Step, name: str) -> str | None:
    """The PCI function nearest to the disk on its path below /sys/devices, or on that of its NVMe controller."""
    controller = _controller_name(step, name)
    places = [f"/sys/block/{name.replace('/', '!')}", *(f"/sys/block/{path}" for _, path in _nvme_paths(step, name))]
    for place in [*places, f"/sys/class/nvme/{controller}"] if controller else places:
        addresses = _PCI_IN_PATH.findall(step.machine.resolve(place) or "")
        if addresses:
            return normalise(addresses[-1])
    return None
