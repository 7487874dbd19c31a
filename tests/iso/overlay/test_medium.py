"""The initrd's way to the root file system: which command lines keep to the short one, and what is done to disks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from iso.tree import file_digest
from tests.iso.overlay.medium import is_ordinary, run, says

ORDINARY = "BOOT_IMAGE=/live/vmlinuz boot=live nonetworking quiet console=tty0 console=ttyS0,115200"


@pytest.mark.parametrize(
    "words",
    [
        *("", "findiso=", "nomodeset", "bee.nvidia=force", "bee.net=eno1:192.0.2.7/24 bee.skip=psu"),
        *("loglevel=7", "initrd=/live/x"),
    ],
)
def test_the_cds_own_menu_keeps_to_it(tmp_path: Path, words: str) -> None:
    assert is_ordinary(tmp_path, f"{ORDINARY} {words}")


@pytest.mark.parametrize(
    "word",
    [
        "toram",
        "toram=filesystem.squashfs",
        "fetch=http://192.0.2.1/bee.squashfs",
        "netboot=nfs",
        "findiso=/bee.iso",
        "fromiso=/dev/sda1/bee.iso",
        "live-media=/dev/sdb",
        "live-media-path=/casper",
        "persistence",
        "persistence-label=x",
        "overlay-size=90%",
        "verify-checksums",
        "live-boot.verify-checksums=true",
        "ip=dhcp",
        "root=/dev/sda1",
        "boot=local",
        "debug",
    ],
)
def test_what_asks_live_boot_for_more_is_left_to_it(tmp_path: Path, word: str) -> None:
    assert not is_ordinary(tmp_path, f"{ORDINARY} {word}")
    assert not is_ordinary(tmp_path, f"{word} {ORDINARY}")


@pytest.mark.parametrize(
    ("pci_class", "asked"),
    [
        ("0x010802", True),  # NVMe
        ("0x010400", True),  # RAID
        ("0x020000", True),  # Ethernet
        ("0x0c0330", True),  # xHCI
        ("0x080501", True),  # SD host
        ("0x030000", False),  # VGA
        ("0x0c0500", False),  # SMBus
        ("0x060000", False),  # host bridge
    ],
)
def test_drivers_of_storage_usb_and_network_cards_are_asked_for(tmp_path: Path, pci_class: str, asked: bool) -> None:
    device = tmp_path / "sys/bus/pci/devices/0000:00:02.0"
    device.mkdir(parents=True)
    (device / "class").write_text(f"{pci_class}\n")
    (device / "uevent").touch()
    assert run(tmp_path, "add_drivers") == 0
    assert (device / "uevent").read_text() == ("add\n" if asked else "")


def test_a_machine_without_pci_is_no_failure(tmp_path: Path) -> None:
    assert run(tmp_path, "add_drivers") == 0


def _seen_by_udev(root: Path, number: str, *facts: str) -> None:
    (root / "run/udev/data").mkdir(parents=True, exist_ok=True)
    (root / f"run/udev/data/b{number}").write_text("".join(f"E:{fact}\n" for fact in facts))


def test_every_medium_labelled_like_this_one_is_looked_at_partitions_first(tmp_path: Path) -> None:
    for number in ("8:0", "8:1", "11:0"):
        _seen_by_udev(tmp_path, number, "ID_FS_TYPE=iso9660", "ID_FS_LABEL_ENC=bee\\x200.1.0")
    _seen_by_udev(tmp_path, "8:16", "ID_FS_TYPE=vfat", "ID_FS_LABEL_ENC=BEE")
    _seen_by_udev(tmp_path, "8:32", "ID_FS_TYPE=iso9660", "ID_FS_LABEL_ENC=d-live\\x2013")
    said = says(tmp_path, "labelled").split()
    assert [Path(record).name for record in said] == ["b8:1", "b8:0", "b11:0"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A block device with a file system of a machine that lost its power: there is a journal to replay."""
    image, place = tmp_path / "disk.img", tmp_path / "mounted"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    (place / "file").write_text("written")
    subprocess.run(["sync"], check=True)
    crashed = image.with_suffix(".crashed")
    crashed.write_bytes(image.read_bytes())
    subprocess.run(["umount", place], check=True)
    device = subprocess.run(["losetup", "--find", "--show", crashed], check=True, capture_output=True, text=True).stdout
    yield Path(device.strip())
    subprocess.run(["umount", "-q", place], check=False)
    subprocess.run(["losetup", "--detach", device.strip()], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_disk_with_a_journal_to_replay_is_left_as_it_is(tmp_path: Path, disk: Path) -> None:
    before = file_digest(tmp_path / "disk.crashed")
    mount = f"mount_untouched -t ext4 -o ro,noatime {disk} {tmp_path}/mounted"
    assert run(tmp_path, mount) != 0
    assert file_digest(tmp_path / "disk.crashed") == before
    assert says(tmp_path, f"blockdev --getro {disk}").strip() == "0"
    # As Debian's own would do it, so that there was something to replay.
    subprocess.run(["mount", "-t", "ext4", "-o", "ro,noatime", disk, tmp_path / "mounted"], check=True)
    assert file_digest(tmp_path / "disk.crashed") != before


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_disk_that_was_left_in_order_can_be_read_and_is_left_as_it_is(tmp_path: Path, disk: Path) -> None:
    subprocess.run(["fsck.ext4", "-p", disk], check=False)
    before = file_digest(tmp_path / "disk.crashed")
    assert run(tmp_path, f"mount_untouched -t ext4 -o ro,noatime {disk} {tmp_path}/mounted") == 0
    assert (tmp_path / "mounted/file").read_text() == "written"
    subprocess.run(["umount", tmp_path / "mounted"], check=True)
    assert file_digest(tmp_path / "disk.crashed") == before


def test_other_mounts_are_as_they_were(tmp_path: Path) -> None:
    # A folder, which no mount(8) takes for a device: it is asked all the same, and says so.
    assert run(tmp_path, f"mount_untouched -o ro {tmp_path} {tmp_path}/nowhere") != 0
