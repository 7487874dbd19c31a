"""What the running kernel says of the machine, with no tool and no privilege: the yardstick for the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bee.model import Host
from bee.quantities import size_bytes

if TYPE_CHECKING:
    from bee.machine import Machine


def collect(machine: Machine) -> Host:
    """Read /proc and /sys; whatever cannot be read is None."""
    cpus = [line.partition(":") for line in (machine.read("/proc/cpuinfo") or "").split("\n")]

    def first(name: str) -> str | None:
        return next((value.strip() for key, _, value in cpus if key.strip() == name and value.strip()), None)

    def text(path: str) -> str | None:
        return (machine.read(path) or "").strip() or None

    meminfo = dict(line.split(":", 1) for line in (machine.read("/proc/meminfo") or "").split("\n") if ":" in line)
    return Host(
        hostname=text("/proc/sys/kernel/hostname"),
        kernel=text("/proc/sys/kernel/osrelease"),
        architecture=text("/proc/sys/kernel/arch"),
        boot_mode="uefi" if machine.names("/sys/firmware/efi") else "bios" if machine.names("/sys/firmware") else None,
        cpu_model=first("model name"),
        logical_cpus=sum(1 for key, _, _ in cpus if key.strip() == "processor") or None,
        microcode=first("microcode"),
        memory_bytes=size_bytes(meminfo.get("MemTotal", "")),
        root=machine.is_root(),
    )
