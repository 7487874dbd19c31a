"""A machine with more disks and media than the one that it is booted from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.boot.hardware import SERVER
from tests.boot.qemu import boot
from tests.boot.start import BIOS, CD, UEFI, Firmware, Start
from tests.boot.test_starts import BOOT_LOADER_LIMIT, SETTLED_LIMIT

pytestmark = [pytest.mark.acceptance_full, pytest.mark.timeout(600)]

# Seconds; Debian's own initrd waits that long for a driver alone.
INITRD_LIMIT = 60


@dataclass(frozen=True, slots=True)
class Part:
    """Something more in a machine.

    Attributes:
        words: QEMU's arguments.
    """

    words: tuple[str, ...]

    def arguments(self) -> list[str]:
        """QEMU's, with it."""
        return list(self.words)


def other_stick(image: Path) -> Part:
    """Another image on a stick in a USB socket; the machine's firmware starts something else."""
    drive = f"file={image},if=none,id=other,format=raw,readonly=on"
    return Part(("-drive", drive, "-device", "qemu-xhci", "-device", "usb-storage,drive=other,removable=on"))


def slow_disk(image: Path) -> Part:
    """A disk that answers its first question at once, and the next after a minute."""
    drive = f"file={image},if=none,id=slow,format=raw,throttling.bps-total=64"
    return Part(("-drive", drive, "-device", "virtio-blk-pci,drive=slow"))


@pytest.fixture(scope="module")
def other(iso: Path, tmp_path_factory: pytest.TempPathFactory) -> Part:
    """The image, with another id on its medium and in its initrd."""
    data = iso.read_bytes()
    (own,) = set(re.findall(rb"(?<=bee-image-id\0)\0*([0-9a-f]{64})\n", data))
    file = tmp_path_factory.mktemp("other") / "other.iso"
    file.write_bytes(data.replace(own, own[::-1]))
    return other_stick(file)


@pytest.mark.parametrize(
    ("firmware", "words"),
    [(BIOS, ""), (UEFI, ""), (BIOS, "union=overlay")],
    ids=["BIOS", "UEFI", "live-boot"],
)
def test_it_runs_from_its_own_medium_whatever_else_there_is(
    iso: Path, key: Path, other: Part, firmware: Firmware, words: str
) -> None:
    with boot(iso, SERVER, key, Start(firmware, CD), stick=other) as guest:
        if words:
            guest.wait_for_serial("boot: ", BOOT_LOADER_LIMIT)
            guest.type_on_serial(f"live {words}\r")
        guest.wait_for_login()
        assert guest.run("lsblk -dno TRAN /dev/sda /dev/sdb").stdout.split().count("usb") == 1
        assert guest.run("findmnt -nro SOURCE /run/live/medium").stdout == "/dev/sr0\n"
        assert guest.changed_disks() == []


def test_a_network_card_that_is_plugged_in_later_gets_its_address(iso: Path, key: Path, other: Part) -> None:
    with boot(iso, SERVER, key, Start(BIOS, CD), stick=other) as guest:
        guest.wait_for_login()
        guest.run("systemctl is-system-running --wait", limit=SETTLED_LIMIT, check=False)
        guest.plug_in_a_network_card("later")
        asked = "ip -4 -o address show scope global | wc -l"
        guest.wait_for(lambda: guest.run(asked).stdout == "2\n", "an address of the second card", 120)


def test_a_disk_that_hangs_delays_no_log_in(iso: Path, key: Path, tmp_path: Path) -> None:
    disk = tmp_path / "slow.img"
    with disk.open("wb") as file:
        file.truncate(64 << 20)
    with boot(iso, SERVER, key, Start(BIOS, CD), stick=slow_disk(disk)) as guest:
        guest.wait_for_login()
        shown = guest.run("systemctl show --value -p UserspaceTimestampMonotonic").stdout
        assert int(shown) / 1e6 < INITRD_LIMIT
        # Its driver waits for an answer, and nobody for its driver.
        waits = "test -e /sys/block/vda && cat /sys/block/vda/inflight"
        guest.wait_for(lambda: guest.run(waits, check=False).stdout.split() > ["0", "0"], "the disk to be asked", 120)
