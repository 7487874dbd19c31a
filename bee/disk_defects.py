"""How the defects of disks show in an audit. Each disk is judged once, whatever its paths and namespaces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bee import drives
from bee.defects import Found, raid_name
from bee.drives import SMARTCTL_NOTE

if TYPE_CHECKING:
    from bee.drives import Drive
    from bee.model import Audit, Nvme

    Check = Callable[[Audit], Iterator[Found]]

# How the vendor or the model of a hypervisor's disk begins.
_VIRTUAL = ("vmware", "qemu", "vbox", "virtual", "msft")
# smartctl's advice where a RAID controller's volume stands in the place of its drives.
_ASK_BEHIND = "try adding '-d"


def _disks(audit: Audit) -> dict[str, list[tuple[str, Drive]]]:
    """The disks, and the drives behind RAID controllers: by what tells one from another, its names and records.

    A disk that is reached by two paths has two, and an NVMe controller one for each of its namespaces. Disks are told
    apart as bee/views/totals.py counts them.
    """
    found: dict[str, list[tuple[str, Drive]]] = {}
    every: tuple[Drive, ...] = (*audit.storage.disks, *audit.storage.raid_members) if audit.storage else ()
    for disk in every:
        name = drives.name(disk)
        found.setdefault(_identity(disk) or name, []).append((name, disk))
    return found


def _identity(disk: Drive) -> str | None:
    """Every namespace has a WWN of its own."""
    nvme = _nvme(disk)
    return f"NVMe {nvme.serial}" if nvme is not None and nvme.serial else disk.wwn


def _rule(evidence: Callable[[Drive], str | None]) -> Check:
    """The rule that finds the disks of which any path or namespace gives evidence; it names the others."""

    def check(audit: Audit) -> Iterator[Found]:
        for records in _disks(audit).values():
            said = next((text for _, record in records if (text := evidence(record))), None)
            (name, _), *others = records
            if said:
                also = f"; this disk is also {', '.join(other for other, _ in others)}" if others else ""
                yield drives.component(name), said + also

    return check


def _nvme(disk: Drive) -> Nvme | None:
    return getattr(disk, "nvme", None)


def _health(disk: Drive, name: str) -> int | None:
    """The NVMe controller's own log goes before what smartctl makes of it."""
    values = (getattr(record, name, None) for record in (_nvme(disk), disk.smart))
    return next((value for value in values if value is not None), None)


def counter(name: str) -> Check:
    """The rule that a counter of a disk's health is zero; `name` is a field of `smart` or `nvme`."""
    return _rule(lambda disk: f"{name} is {value}" if (value := _health(disk, name)) else None)


def media_errors(audit: Audit) -> Iterator[Found]:
    """By the disks' own count, and by a RAID controller's of its drives, which smartctl may not reach."""
    yield from counter("media_errors")(audit)
    for controller in audit.storage.raid_controllers if audit.storage else ():
        for drive in controller.drives:
            if drive.media_errors:
                component = f"drive {drive.enclosure}:{drive.slot} of {raid_name(controller)}"
                yield component, f"its controller counts {drive.media_errors} media errors"


def _verdict(disk: Drive) -> str | None:
    said = []
    if disk.smart is not None and disk.smart.passed is False:
        said.append("its own overall verdict (SMART) is: failing")
    nvme = _nvme(disk)
    if nvme is not None and nvme.critical_warning:
        said.append(f"its NVMe critical warning is 0x{nvme.critical_warning:02x}")
    return "; ".join(said) or None


def _self_test(disk: Drive) -> str | None:
    newest = disk.smart.self_tests[0] if disk.smart and disk.smart.self_tests else None
    failed = newest is not None and newest.passed is False
    return f"its newest self-test ended with: {newest.status}" if newest is not None and failed else None


def no_health(audit: Audit) -> Iterator[Found]:
    """Of disks that have a health to give, and give it by none of their paths: root asked smartctl for it."""
    for records in _disks(audit).values() if audit.host.root else ():
        name, disk = records[0]
        said = [note for note in disk.notes if note.startswith(SMARTCTL_NOTE)]
        volume = any(_ASK_BEHIND in note for note in said)
        if said and not volume and _has_health(disk) and all(record.smart is None for _, record in records):
            yield drives.component(name), said[0]


def _has_health(disk: Drive) -> bool:
    own = getattr(disk, "transport", None) in {"sata", "sas"} and not getattr(disk, "removable", None)
    return own and not any((name or "").casefold().startswith(_VIRTUAL) for name in (disk.vendor, disk.model))


def wear(least: int, below: int | None = None) -> Check:
    """The rule that so many percent of a disk's endurance, or more, are used; those that `below` finds are left out."""

    def evidence(disk: Drive) -> str | None:
        used = _health(disk, "wear_percent")
        worn = used is not None and used >= least and (below is None or used < below)
        return f"{used} % of its rated endurance is used" if worn else None

    return _rule(evidence)


def _spare(disk: Drive) -> str | None:
    nvme = _nvme(disk)
    left, least = (nvme.available_spare_percent, nvme.spare_threshold_percent) if nvme else (None, None)
    low = left is not None and least is not None and left < least
    return f"{left} % of its spare blocks are left, its own limit is {least} %" if low else None


smart, self_test, spare = _rule(_verdict), _rule(_self_test), _rule(_spare)
