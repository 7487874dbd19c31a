"""A server as bee has seen it: the recordings beside this file, written by hand from the tools' documented formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bee.audit import collect
from bee.machine import Recorded, Run
from tests.bee import RECORDINGS

if TYPE_CHECKING:
    from bee.model import Audit

FILES = {
    ("dmidecode", "-t", "0,1,2,3,43"): "dmidecode-board.txt",
    ("dmidecode", "-t", "4"): "dmidecode-cpu.txt",
    ("dmidecode", "-t", "16,17"): "dmidecode-memory.txt",
    ("lsblk", "-J", "-b", "-O"): "lsblk.json",
    ("smartctl", "-j", "-x", "/dev/sda"): "smartctl-sda.json",
    ("smartctl", "-j", "-x", "/dev/nvme0n1"): "smartctl-nvme0n1.json",
    ("smartctl", "-j", "-x", "/dev/nvme0n2"): "smartctl-nvme0n1.json",
    ("smartctl", "-j", "--scan"): "smartctl-scan.json",
    ("smartctl", "-j", "-x", "-d", "megaraid,4", "/dev/bus/0"): "smartctl-megaraid4.json",
    ("storcli64", "/call", "show", "all", "J"): "storcli-call.json",
    ("storcli64", "/call/eall/sall", "show", "all", "J"): "storcli-drives.json",
    ("sas3ircu", "LIST"): "sas3ircu-list.txt",
    ("sas3ircu", "0", "DISPLAY"): "sas3ircu-display.txt",
    ("nvme", "id-ctrl", "-o", "json", "/dev/nvme0"): "nvme-id-ctrl.json",
    ("nvme", "smart-log", "-o", "json", "/dev/nvme0"): "nvme-smart-log.json",
    ("lspci", "-vmm", "-D", "-nn", "-k"): "lspci.txt",
    ("dmidecode", "-t", "39"): "dmidecode-supplies.txt",
    ("ipmitool", "fru"): "ipmitool-fru.txt",
    ("ipmitool", "sdr", "elist"): "ipmitool-sdr.txt",
    ("ipmitool", "sel", "elist", "last", "500"): "ipmitool-sel.txt",
    ("ipmitool", "mc", "info"): "ipmitool-mc-info.txt",
    ("ipmitool", "lan", "print"): "ipmitool-lan.txt",
    ("ethtool", "-i", "enp94s0"): "ethtool.txt",
    ("mstflint", "-d", "0000:5e:00.0", "query"): "mstflint.txt",
    ("nvidia-smi", "-q", "-x"): "nvidia-smi.xml",
    ("nvidia-smi", "nvlink", "-s"): "nvidia-smi-nvlink.txt",
    ("nvidia-smi", "nvlink", "-e"): "nvidia-smi-nvlink-errors.txt",
}
_PCI = "/sys/bus/pci/devices"
_TREE = "/sys/devices/pci0000:00"
SYS_FILES = {
    "/dev/ipmi0": "",
    "/proc/cpuinfo": "processor\t: 0\nmodel name\t: Xeon Gold 6240\nmicrocode\t: 0x5003302\n\nprocessor\t: 1\n",
    "/proc/meminfo": "MemTotal:       49152000 kB\nMemFree:  1 kB\n",
    "/proc/sys/kernel/hostname": "rack7\n",
    "/sys/firmware/efi/runtime": "0x0\n",
    "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c": "\x06\0\0\0\1",
    "/sys/bus/pci/slots/3/address": "0000:01:00\n",
    "/sys/bus/pci/slots/24/address": "0000:02:00\n",
    "/sys/class/tpm/tpm0/tpm_version_major": "2\n",
    "/sys/class/net/enp94s0/address": "0c:c4:7a:00:00:10\n",
    "/sys/class/net/enp94s0/operstate": "up\n",
    "/sys/class/net/enp94s0/carrier": "1\n",
    "/sys/class/net/enp94s0/speed": "25000\n",
    "/sys/class/net/lo/address": "00:00:00:00:00:00\n",
    f"{_PCI}/0000:01:00.0/numa_node": "1\n",
    f"{_PCI}/0000:01:00.0/current_link_width": "8\n",
    f"{_PCI}/0000:01:00.0/max_link_width": "16\n",
    f"{_PCI}/0000:01:00.0/current_link_speed": "2.5 GT/s PCIe\n",
    f"{_PCI}/0000:01:00.0/max_link_speed": "16.0 GT/s PCIe\n",
    f"{_PCI}/0000:00:17.0/numa_node": "-1\n",
    f"{_PCI}/0000:00:17.0/current_link_width": "0\n",
    f"{_PCI}/0000:00:17.0/max_link_width": "255\n",
    f"{_PCI}/0000:00:17.0/current_link_speed": "Unknown\n",
    f"{_PCI}/0000:00:1f.5/vendor": "0x8086\n",
    f"{_PCI}/0000:00:1f.5/device": "0xa1a4\n",
    f"{_PCI}/0000:00:1f.5/class": "0x0c8000\n",
}
LINKS = {
    f"{_PCI}/0000:00:01.0": f"{_TREE}/0000:00:01.0",
    f"{_PCI}/0000:01:00.0": f"{_TREE}/0000:00:01.0/0000:01:00.0",
    f"{_PCI}/0000:01:00.0/driver": "/sys/bus/pci/drivers/nvidia",
    "/sys/block/sda": f"{_TREE}/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda",
    "/sys/block/sda/device/enclosure_device:Slot 03": "/sys/class/enclosure/0:0:8:0/Slot 03",
    "/sys/block/nvme0n1": f"{_TREE}/0000:00:03.0/0000:02:00.0/nvme/nvme0/nvme0n1",
    "/sys/class/net/enp94s0/device": "/sys/devices/pci0000:5d/0000:5d:00.0/0000:5e:00.0",
    "/sys/module/nvidia": "/sys/module/nvidia",
}


def runs() -> dict[tuple[str, ...], Run]:
    """Every recorded command with what it printed."""
    made = {args: exited(args, (RECORDINGS / name).read_bytes()) for args, name in FILES.items()}
    made["smartctl", "-j", "-x", "/dev/sda"] = exited(
        ("smartctl", "-j", "-x", "/dev/sda"), (RECORDINGS / "smartctl-sda.json").read_bytes(), code=64
    )
    return made


def exited(args: tuple[str, ...], stdout: bytes, *, code: int = 0, stderr: bytes = b"") -> Run:
    """A run that ended by itself."""
    return Run(args=args, outcome="exited", exit_code=code, stdout=stdout, stderr=stderr, seconds=0.01)


def server() -> Recorded:
    """The whole machine."""
    return Recorded(runs=runs(), files=SYS_FILES, links=LINKS)


def audit(machine: Recorded) -> Audit:
    """The audit of a recorded machine, its log thrown away."""
    return collect(machine, lambda level, text: None)


def without(*tools: str) -> Recorded:
    """The machine, with these tools not installed."""
    return Recorded({args: run for args, run in runs().items() if args[0] not in tools}, SYS_FILES, LINKS)
