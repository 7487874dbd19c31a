"""How many drives a machine has, and how much they hold: each once, whatever its paths and namespaces."""

from __future__ import annotations

from bee.views.document import integer, part, rows, text


def drives(storage: dict[str, object]) -> tuple[int, int]:
    """The number of the machine's own disks, and the bytes on them.

    A disk that is reached by two paths (one WWN) is one; the namespaces of an NVMe controller are on one disk. A USB
    disk is not the machine's: it may be the very stick that was booted from.
    """
    own = [disk for disk in rows(storage, "disks") if disk.get("transport") != "usb"]
    media = {text(disk, "wwn", "") or text(disk, "name"): integer(disk, "size_bytes") or 0 for disk in own}
    return len({drive(disk, text(disk, "name")) for disk in own}), sum(media.values())


def drive(disk: dict[str, object], name: str) -> str:
    """What tells one drive from the others, its `name` where nothing else does; each namespace has a WWN of its own."""
    serial = text(part(disk, "nvme"), "serial", "")
    return f"NVMe {serial}" if serial else text(disk, "wwn", "") or name
