"""Step 2: processor sockets, those without a processor too (dmidecode -t 4)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bee.collectors.smbios import Fields, read_table
from bee.model import Cpu, Socket
from bee.quantities import number, whole

if TYPE_CHECKING:
    from bee.collectors.step import Step
    from bee.parsers.dmidecode import Structure

# DSP0134, 7.5, Processor Type: a video processor or a DSP has a structure of type 4 too, and no socket for a CPU.
_NO_CPU = ("Video Processor", "DSP Processor", "Math Processor")


def collect(step: Step) -> Cpu | None:
    """One record a socket; the totals count populated sockets only, and are None where one of them does not say."""
    table = read_table(step, "4")
    if table is None:
        return None
    sockets = tuple(_socket(s) for s in table.of_type(4) if s.get("Type") not in _NO_CPU)
    # A socket whose status is unknown holds a processor when it names one.
    populated = [socket for socket in sockets if socket.populated]
    return Cpu(
        sockets=sockets,
        populated=len(populated),
        cores=_total([socket.cores for socket in populated]),
        threads=_total([socket.threads for socket in populated]),
        notes=(),
    )


def _total(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def _socket(structure: Structure) -> Socket:
    notes: list[str] = []
    fields = Fields(structure, notes)
    status = fields.raw("Status")
    populated = _populated(status, fields.raw("Version"))
    socket = Socket(
        socket=fields.text("Socket Designation"),
        populated=populated,
        enabled=_enabled(status, populated),
        status=status.strip() or None,
        manufacturer=fields.text("Manufacturer"),
        model=_squeeze(fields.text("Version")),
        family=fields.text("Family"),
        signature=fields.text("Signature"),
        cpuid=fields.text("ID"),
        # Zero: not known (DSP0134, 7.5.6).
        cores=whole(fields.raw("Core Count"), "") or None,
        cores_enabled=whole(fields.raw("Core Enabled"), "") or None,
        threads=whole(fields.raw("Thread Count"), "") or None,
        current_speed_mhz=whole(fields.raw("Current Speed"), "MHz"),
        max_speed_mhz=whole(fields.raw("Max Speed"), "MHz"),
        external_clock_mhz=whole(fields.raw("External Clock"), "MHz"),
        voltage_volts=number(fields.raw("Voltage"), "V"),
        upgrade=fields.text("Upgrade"),
        serial=fields.text("Serial Number"),
        part_number=fields.text("Part Number"),
        asset_tag=fields.text("Asset Tag"),
        notes=(),
    )
    # Of an empty socket nothing is known, and that needs no saying field by field.
    return socket if populated is False else replace(socket, notes=tuple(notes))


def _populated(status: str, model: str) -> bool | None:
    if status.startswith("Populated"):
        return True
    if status.startswith("Unpopulated"):
        return False
    return True if model.strip() and not status else None


def _enabled(status: str, populated: bool | None) -> bool | None:
    """`Populated, Enabled`, `Populated, Idle`, `Populated, Disabled By User`, `Populated, Disabled By BIOS`."""
    if not populated:
        return False if populated is False else None
    if "Disabled" in status:
        return False
    return True if "Enabled" in status or "Idle" in status else None


def _squeeze(text: str | None) -> str | None:
    """Intel pads the brand string in the middle: `Intel(R) Xeon(R) CPU           E5620  @ 2.40GHz`."""
    return " ".join(text.split()) if text else None
