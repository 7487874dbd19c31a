"""Asking one drive for its health with smartctl, whatever it hangs on: what disks and RAID members share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bee.drives import SMARTCTL_NOTE
from bee.model import SelfTest, Smart
from bee.parsers import smartctl
from bee.placeholders import known

if TYPE_CHECKING:
    from bee.collectors.step import Step

# A disk that spins up or retries a bad sector takes its time.
SMARTCTL_SECONDS = 30.0


def command(device: str, kind: str | None = None) -> tuple[str, ...]:
    """The command that asks `device`; `kind` is smartctl's device type, such as `megaraid,0`."""
    return ("smartctl", "-j", "-x", *(("-d", kind) if kind else ()), device)


def ask(step: Step, args: tuple[str, ...], notes: list[str]) -> smartctl.Smart:
    """What smartctl says to `args`, its warnings added to `notes`; an empty record where it is not installed."""
    # Every exit code is good: it is a mask that describes the disk, and the JSON holds it.
    output = step.run(*args, limit=SMARTCTL_SECONDS, good_exits=range(256))
    if output is None:
        return smartctl.Smart()
    smart = smartctl.parse(output)
    notes.extend(f"{SMARTCTL_NOTE}{note}" for note in smart.notes)
    return smart


def first_known(notes: list[str], name: str, *raws: str | None) -> str | None:
    """The first of `raws` that says something; placeholders go to `notes`."""
    return next((text for raw in raws if (text := known(name, raw, notes)) is not None), None)


def health(smart: smartctl.Smart) -> Smart | None:
    """The health part of what smartctl said; None when it could not even open the drive."""
    if smart.exit_status is None or smart.exit_status & smartctl.NO_DATA_BITS:
        return None
    return Smart(
        protocol=smart.protocol,
        passed=smart.passed,
        exit_status=smart.exit_status,
        temperature_celsius=smart.temperature_celsius,
        power_on_hours=smart.power_on_hours,
        power_cycles=smart.power_cycles,
        wear_percent=smart.wear_percent,
        reallocated_sectors=smart.reallocated_sectors,
        pending_sectors=smart.pending_sectors,
        offline_uncorrectable_sectors=smart.offline_uncorrectable_sectors,
        uncorrected_errors=smart.uncorrected_errors,
        media_errors=smart.media_errors,
        crc_errors=smart.crc_errors,
        grown_defects=smart.grown_defects,
        error_log_entries=smart.error_log_entries,
        read_bytes=smart.read_bytes,
        written_bytes=smart.written_bytes,
        rotation_rpm=smart.rotation_rpm,
        interface_speed_gbps=smart.interface_speed_gbps,
        self_tests=tuple(
            SelfTest(kind=t.kind, status=t.status, passed=t.passed, power_on_hours=t.power_on_hours)
            for t in smart.self_tests
        ),
    )
