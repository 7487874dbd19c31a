"""What stands behind RAID controllers: their members (smartctl's device types), and the vendors' own tools.

storcli64, sas2ircu and sas3ircu are proprietary, and on the live CD only where its builder put them: they are asked
where they are, and nothing is amiss where they are not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bee.collectors import drive_health, unscanned
from bee.collectors.step import bounded
from bee.model import RaidController, RaidMember
from bee.parsers import sas_ircu, smartctl, storcli

if TYPE_CHECKING:
    from bee.collectors.step import Step
    from bee.model import Disk

STORCLI_SECONDS = 60.0
SAS_IRCU_SECONDS = 60.0
_STORCLI = (("storcli64", "/call", "show", "all", "J"), ("storcli64", "/call/eall/sall", "show", "all", "J"))
_SCAN = ("smartctl", "-j", "--scan")
# `megaraid,0`, `cciss,1`, `areca,3/2`, `sat+megaraid,12`: a drive that the kernel does not show.
_MEMBER_TYPE = re.compile(r"[a-z0-9+_-]{1,32},[0-9,/]{1,16}", re.ASCII)
_DEVICE = re.compile(r"/dev/[A-Za-z0-9][A-Za-z0-9/_.-]{0,63}", re.ASCII)
_MAX_MEMBERS = 256


def ask_ahead(step: Step) -> None:
    """Begin what is asked whatever lsblk says."""
    step.ahead(*_SCAN, limit=drive_health.SMARTCTL_SECONDS)
    for command in _STORCLI:
        step.ahead(*command, limit=STORCLI_SECONDS)
    unscanned.ask_ahead(step)


def members(step: Step, disks: tuple[Disk, ...], notes: list[str]) -> tuple[RaidMember, ...]:
    """The drives behind RAID controllers that `smartctl --scan` finds, in its order, then those that it does not list.

    A controller that also shows the kernel its drives does not have them twice: those among `disks` are left out.
    """
    # Without smartctl the disks have said so, or there are none.
    if not step.machine.has_tool("smartctl"):
        return ()
    output = step.run(*_SCAN, limit=drive_health.SMARTCTL_SECONDS)
    scan = smartctl.parse_scan(output or b"")
    for note in scan.notes:
        step.trouble(f"smartctl --scan: {note}")
    found = [
        (device.name, device.type)
        for device in scan.devices
        if _MEMBER_TYPE.fullmatch(device.type) and _DEVICE.fullmatch(device.name)
    ][:_MAX_MEMBERS]
    for name, kind in found:
        step.ahead(*drive_health.command(name, kind), limit=drive_health.SMARTCTL_SECONDS)
    scanned = [_member(step, name, kind) for name, kind in dict.fromkeys(found)]
    shown = {serial for disk in disks for serial in (disk.serial, disk.nvme.serial if disk.nvme else None) if serial}
    behind = [_record(*answer) for answer in unscanned.answers(step, notes)]
    return (*scanned, *(member for member in behind if member.serial not in shown))


def _member(step: Step, device: str, kind: str) -> RaidMember:
    notes: list[str] = []
    smart = drive_health.ask(step, drive_health.command(device, kind), notes)
    return _record(device, kind, smart, notes)


def _record(device: str, kind: str, smart: smartctl.Smart, notes: list[str]) -> RaidMember:
    return RaidMember(
        device=device,
        type=kind,
        model=drive_health.first_known(notes, "model", smart.model),
        vendor=drive_health.first_known(notes, "vendor", smart.vendor),
        serial=drive_health.first_known(notes, "serial", smart.serial),
        wwn=drive_health.first_known(notes, "wwn", smart.wwn),
        firmware=drive_health.first_known(notes, "firmware", smart.firmware),
        size_bytes=smart.size_bytes,
        logical_sector_bytes=smart.logical_sector_bytes,
        physical_sector_bytes=smart.physical_sector_bytes,
        smart=drive_health.health(smart),
        notes=bounded(notes),
    )


def controllers(step: Step) -> tuple[RaidController, ...]:
    """The controllers that the vendors' tools show; one that two tools show is taken from the first."""
    found = _by_storcli(step)
    for tool in ("sas2ircu", "sas3ircu"):
        if step.machine.has_tool(tool):
            known = {controller.pci_address for controller in found}
            found += [c for c in _by_sas_ircu(step, tool) if c.pci_address is None or c.pci_address not in known]
    return tuple(found)


def _by_storcli(step: Step) -> list[RaidController]:
    if not step.machine.has_tool("storcli64"):
        return []
    # A bad exit code is what a machine without such a controller gives, and says so on stdout.
    outputs = [step.run(*command, limit=STORCLI_SECONDS, refusals=()) or b"" for command in _STORCLI]
    report = storcli.parse(outputs[0], outputs[1])
    for note in report.notes:
        step.trouble(f"storcli64: {note}")
    return list(report.controllers)


def _by_sas_ircu(step: Step, tool: str) -> list[RaidController]:
    listed = sas_ircu.parse_list(step.run(tool, "LIST", limit=SAS_IRCU_SECONDS, refusals=()) or b"")
    found = []
    for index in listed:
        output = step.run(tool, str(index), "DISPLAY", limit=SAS_IRCU_SECONDS)
        report = sas_ircu.parse(output or b"", tool, index)
        for note in report.notes:
            step.trouble(f"{tool}: {note}")
        found += list(report.controllers)
    return found
