"""Where two tools print the same fact they agree, or a note says so: one value is given, the other is never hidden."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bee.records import replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee.model import Audit, Cpu, Disk, Gpu, PciDevice, RaidDrive, RaidMember, Storage

_IS = " is "
# What `_quoted` made; a note ends after 500 characters, maybe within a quote.
_QUOTE = re.compile(r"(?:(?<= is )|(?<=, ))'((?:[^'\\]|\\.)*)(?:' by |\\?\Z)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_SMBIOS, _FRU, _KERNEL = "dmidecode", "ipmitool fru", "/proc/cpuinfo"
# A tool that rounds a size, or leaves out what the controller keeps of a drive for itself, is near this.
_ROUNDED = 0.01
# What sas2ircu and sas3ircu have of a longer serial number; of fewer characters many drives have the same.
_CUT_SERIAL = 8


def differing(name: str, said: dict[str, str | int | None], *, cut: bool = False) -> list[str]:
    """The note that the tools in `said` differ about `name`, none where those that know it agree.

    Strings are compared by their letters and digits, whatever their case and padding. With `cut` one that holds the
    other agrees with it: lsblk has models and serial numbers that the kernel cut short.
    """
    known = [(tool, value) for tool, value in said.items() if value is not None and value != ""]
    bare = {_bare(value) for _, value in known}
    longest = max(bare, key=len, default="")
    if len(bare) < 2 or (cut and all(one in longest for one in bare)):
        return []
    return [f"{name}{_IS}" + ", ".join(f"{_quoted(value)} by {tool}" for tool, value in known)]


def subject(note: str) -> str:
    """What a note that tools differ is about; of any other note whatever stands before `is`, if anything does."""
    name, verb, _ = note.partition(_IS)
    return name if verb else ""


def quotes(note: str) -> list[str]:
    """What the tools say, of a note that they differ; it may have been cut within the last."""
    return [_ESCAPE.sub(r"\1", match[1]) for match in _QUOTE.finditer(note)]


def requoted(note: str, prose: Callable[[str], str], quote: Callable[[str], str]) -> str:
    """A note that tools differ, with what stands between its quotes and what is quoted as these functions make them."""
    pieces, end = [], 0
    for match, value in zip(_QUOTE.finditer(note), quotes(note), strict=True):
        pieces += [prose(note[end : match.start(1)]), _escaped(quote(value))]
        end = match.end(1)
    return "".join([*pieces, prose(note[end:])])


def _quoted(value: str | int) -> str:
    """A string in single quotes, whatever it holds: repr would take double ones where there is one in it."""
    return f"'{_escaped(value)}'" if isinstance(value, str) else str(value)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("'", r"\'")


def _bare(value: str | int) -> str:
    return "".join(c for c in str(value).casefold() if c.isalnum())


def noted(audit: Audit) -> Audit:
    """`audit` with a note in each part whose facts another part's tool, or the kernel, has otherwise."""
    board = audit.board and replace(audit.board, notes=(*audit.board.notes, *_serials(audit)))
    cpu = audit.cpu and replace(audit.cpu, notes=(*audit.cpu.notes, *_processors(audit, audit.cpu)))
    audit = replace(audit, board=board, cpu=cpu, storage=audit.storage and _beside_controllers(audit.storage))
    if audit.nvidia is None or audit.pcie is None:
        return audit
    devices = {device.address: device for device in audit.pcie.devices}
    gpus = tuple(
        replace(gpu, notes=(*gpu.notes, *_links(gpu, devices.get(gpu.pci_address or "")))) for gpu in audit.nvidia.gpus
    )
    return replace(audit, nvidia=replace(audit.nvidia, gpus=gpus))


def _serials(audit: Audit) -> list[str]:
    """The BMC's own unit (FRU 0) is the machine: it carries the serial numbers of the firmware's tables too."""
    unit = next((fru for fru in audit.psu.frus if fru.id == 0), None) if audit.psu else None
    if unit is None or audit.board is None:
        return []
    board = audit.board
    pairs = (
        (
            "system serial",
            [board.system.serial if board.system else None],
            unit.product.serial if unit.product else None,
        ),
        ("baseboard serial", [b.serial for b in board.baseboards], unit.board.serial if unit.board else None),
        ("chassis serial", [c.serial for c in board.chassis], unit.chassis.serial if unit.chassis else None),
    )
    notes: list[str] = []
    for name, listed, serial in pairs:
        known = [value for value in listed if value]
        # Of a machine with several boards one is the unit's.
        if not any(differing(name, {_SMBIOS: value, _FRU: serial}) == [] for value in known):
            notes += [note for value in known[:1] for note in differing(name, {_SMBIOS: value, _FRU: serial})]
    return notes


def _processors(audit: Audit, cpu: Cpu) -> list[str]:
    """The processors at work, as the firmware's table and the kernel have them."""
    working = [socket for socket in cpu.sockets if socket.populated and socket.enabled is not False]
    models = sorted({socket.model for socket in working if socket.model})
    notes: list[str] = []
    if models and all(differing("model", {_SMBIOS: m, _KERNEL: audit.host.cpu_model}, cut=True) for m in models):
        notes += differing("model", {_SMBIOS: " / ".join(models), _KERNEL: audit.host.cpu_model})
    threads = [socket.threads for socket in working]
    if working and all(threads):
        total = sum(count or 0 for count in threads)
        notes += differing("number of threads", {_SMBIOS: total, _KERNEL: audit.host.logical_cpus})
    return notes


def _beside_controllers(storage: Storage) -> Storage:
    """A drive that smartctl reaches, and a RAID controller's own tool shows too, is the same one in both."""
    shown = [(controller.tool, drive) for controller in storage.raid_controllers for drive in controller.drives]
    return replace(
        storage,
        disks=tuple(
            replace(disk, notes=(*disk.notes, *_drives(disk, "lsblk or smartctl", shown))) for disk in storage.disks
        ),
        raid_members=tuple(
            replace(member, notes=(*member.notes, *_drives(member, "smartctl", shown)))
            for member in storage.raid_members
        ),
    )


def _drives(drive: Disk | RaidMember, by: str, shown: list[tuple[str, RaidDrive]]) -> list[str]:
    """What a controller's tool has otherwise; counts of errors are each tool's own, and are left out."""
    notes: list[str] = []
    for tool, other in shown:
        if not _same_drive(drive, other):
            continue
        for name, values in (
            ("model", (drive.model, other.model)),
            ("serial", (drive.serial, other.serial)),
            ("wwn", (drive.wwn, other.wwn)),
            ("firmware", (drive.firmware, other.firmware)),
        ):
            notes += differing(name, dict(zip((by, tool), values, strict=True)), cut=True)
        size = drive.size_bytes or 0
        if other.size_bytes is not None and abs(size - other.size_bytes) > _ROUNDED * size:
            notes += differing("size_bytes", {by: drive.size_bytes, tool: other.size_bytes})
        notes += differing("logical_sector_bytes", {by: drive.logical_sector_bytes, tool: other.sector_bytes})
    return notes


def _same_drive(drive: Disk | RaidMember, other: RaidDrive) -> bool:
    """By its WWN, or by its serial number, which may be cut in one of both."""
    if drive.wwn and other.wwn and _bare(drive.wwn).removeprefix("0x") == _bare(other.wwn).removeprefix("0x"):
        return True
    short, long = sorted((_bare(drive.serial or ""), _bare(other.serial or "")), key=len)
    return short != "" and (short == long or (len(short) >= _CUT_SERIAL and long.startswith(short)))


def _links(gpu: Gpu, device: PciDevice | None) -> list[str]:
    """The width alone: the speed of a GPU's link follows its load from one moment to the next."""
    width = device.link.width if device and device.link else None
    return differing("link width", {"nvidia-smi": gpu.link.width, "/sys": width})
