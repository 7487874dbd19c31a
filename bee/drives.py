"""Drives, as findings, notes and comparisons of them speak: disks, and those behind RAID controllers."""

from __future__ import annotations

from bee.model import Disk, RaidMember

Drive = Disk | RaidMember

# How a note begins that has smartctl's own words.
SMARTCTL_NOTE = "smartctl: "


def name(drive: Drive) -> str:
    """What a drive is called: `sda`, or `megaraid,4 behind /dev/sda`."""
    return drive.name if isinstance(drive, Disk) else f"{drive.type} behind {drive.device}"


def component(called: str) -> str:
    """What a finding calls a drive of that name."""
    return f"disk {called}"
