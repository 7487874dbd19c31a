"""A USB stick as a file: partitioned and formatted as they are sold, put into a guest, read back on this machine."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
FIRST_SECTOR = 2048
FAT32_LBA = 0x0C  # the partition's type
DRIVE = "stick"  # QEMU's name of the device


@dataclass(frozen=True, slots=True)
class Stick:
    """`image` holds a partition table and one FAT file system."""

    image: Path

    @classmethod
    def make(cls, image: Path, label: str, size: int) -> Stick:
        """A new one of `size` bytes, its file system labelled `label`."""
        sectors = size // SECTOR - FIRST_SECTOR
        entry = struct.pack("<B3sB3sII", 0, b"\xfe\xff\xff", FAT32_LBA, b"\xfe\xff\xff", FIRST_SECTOR, sectors)
        with image.open("wb") as file:
            file.truncate(size)
            file.seek(446)
            file.write(entry)
            file.seek(510)
            file.write(b"\x55\xaa")
        command = ["mkfs.vfat", "-n", label, "--offset", str(FIRST_SECTOR), str(image), str(sectors // 2)]
        subprocess.run(command, capture_output=True, check=True)
        return cls(image)

    def arguments(self) -> list[str]:
        """QEMU's, with the stick in a USB 3 socket."""
        return [
            *("-device", "qemu-xhci"),
            *("-drive", f"file={self.image},if=none,id={DRIVE}-image,format=raw,cache=writeback"),
            *("-device", f"usb-storage,id={DRIVE},drive={DRIVE}-image,removable=on"),
        ]

    @property
    def _partition(self) -> str:
        return f"{self.image}@@{FIRST_SECTOR * SECTOR}"

    def read_into(self, folder: Path) -> None:
        """Copy all that is on it into `folder`."""
        subprocess.run(["mcopy", "-s", "-n", "-i", self._partition, "::/", str(folder)], check=True)

    def complaints(self, folder: Path) -> str:
        """What fsck finds wrong with its file system; nothing where it was unmounted as it should be."""
        partition = folder / "partition.img"
        with self.image.open("rb") as image:
            image.seek(FIRST_SECTOR * SECTOR)
            partition.write_bytes(image.read())
        checked = subprocess.run(["fsck.vfat", "-n", str(partition)], capture_output=True, text=True, check=False)
        partition.unlink()
        return "" if checked.returncode == 0 else checked.stdout + checked.stderr
