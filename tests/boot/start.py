"""How a machine is started: its firmware, what it boots from, and what its network card is plugged into."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Firmware:
    """`code` and `variables` are files of Debian's package ovmf; without them it is QEMU's BIOS."""

    name: str
    code: str = ""
    variables: str = ""
    secure_boot: bool = False


_OVMF = "/usr/share/OVMF"
BIOS = Firmware("BIOS")
UEFI = Firmware("UEFI", f"{_OVMF}/OVMF_CODE_4M.fd", f"{_OVMF}/OVMF_VARS_4M.fd")
# Microsoft's keys are enrolled in these variables, as in a server's.
SECURE_BOOT = Firmware(
    "UEFI Secure Boot", f"{_OVMF}/OVMF_CODE_4M.ms.fd", f"{_OVMF}/OVMF_VARS_4M.ms.fd", secure_boot=True
)

CD, USB, NETWORK = "CD", "USB", "network"
CUT_OFF = "DHCP, and nothing else"
SILENT = "nobody answers"
NO_NIC = "no network card"


@dataclass(frozen=True, slots=True)
class Start:
    """`boot_server` is the folder of a machine that boots over the network; the network card then boots first."""

    firmware: Firmware = BIOS
    medium: str = CD
    network: str = CUT_OFF
    boot_server: Path | None = None

    def __str__(self) -> str:
        return f"{self.firmware.name} from {self.medium}"
