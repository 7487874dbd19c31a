"""Step 2: processor sockets, those without a processor too (dmidecode -t 4), and the microcode (/proc/cpuinfo)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bee.collectors.smbios import Fields, read_table
from bee.model import Cpu, Socket
from bee.quantities import number, whole
from bee.records import replace

if TYPE_CHECKING:
    from bee.collectors.step import Step
    from bee.parsers.dmidecode import Structure

# DSP0134, 7.5, Processor Type: a video processor or a DSP has a structure of type 4 too, and no socket for a CPU.
_SIGNATURE = re.compile(r"(?:Type [0-9]+, )?Family ([0-9]{1,5}), Model ([0-9]{1,5}), Stepping ([0-9]{1,5})", re.ASCII)
_CPUID = re.compile(r"([0-9A-F]{2}) ([0-9A-F]{2}) ([0-9A-F]{2}) ([0-9A-F]{2})( [0-9A-F]{2}){4}", re.ASCII)
_X86 = ("Intel", "AMD", "Advanced Micro Devices", "Hygon", "Zhaoxin")
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
        unpopulated=sum(1 for socket in sockets if socket.populated is False),
        disabled=sum(1 for socket in populated if socket.enabled is False),
        cores=_total([socket.cores for socket in populated]),
        cores_enabled=_total([0 if socket.enabled is False else socket.cores_enabled for socket in populated]),
        threads=_total([socket.threads for socket in populated]),
        microcodes=_microcodes(step.machine.read("/proc/cpuinfo") or ""),
        notes=(),
    )


def _total(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def _microcodes(cpuinfo: str) -> tuple[str, ...]:
    lines = (line.partition(":") for line in cpuinfo.split("\n"))
    return tuple(sorted({value.strip() for key, _, value in lines if key.strip() == "microcode" and value.strip()}))


def _version(signature: str, cpuid: str, manufacturer: str) -> tuple[int | None, int | None, int | None]:
    """Family, model and stepping: as dmidecode decodes them, or out of the bytes of CPUID leaf 1, EAX first."""
    match = _SIGNATURE.fullmatch(signature.strip())
    if match is not None:
        return int(match[1]), int(match[2]), int(match[3])
    raw = _CPUID.fullmatch(cpuid.strip())
    if raw is None or not manufacturer.startswith(_X86) or not any(int(raw[i], 16) for i in range(1, 5)):
        return None, None, None
    eax = int(raw[4] + raw[3] + raw[2] + raw[1], 16)
    family, model = eax >> 8 & 0xF, eax >> 4 & 0xF
    # Intel's and AMD's manuals, CPUID leaf 1: the extended model counts for the families 6 and 15 alone.
    if family in {6, 15}:
        model |= eax >> 12 & 0xF0
    return family + (eax >> 20 & 0xFF if family == 15 else 0), model, eax & 0xF


def _socket(structure: Structure) -> Socket:
    notes: list[str] = []
    fields = Fields(structure, notes)
    status = fields.raw("Status")
    populated = _populated(status, fields.raw("Version"))
    family, model, stepping = _version(fields.raw("Signature"), fields.raw("ID"), fields.raw("Manufacturer").strip())
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
        family_number=family,
        model_number=model,
        stepping=stepping,
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
