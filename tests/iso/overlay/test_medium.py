"""The initrd's ordinary way to the root file system: which command lines keep to it, and which drivers it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.iso.overlay.medium import is_ordinary, run

if TYPE_CHECKING:
    from pathlib import Path

ORDINARY = "BOOT_IMAGE=/live/vmlinuz boot=live nonetworking quiet console=tty0 console=ttyS0,115200"


@pytest.mark.parametrize(
    "words",
    ["", "nomodeset", "bee.nvidia=force", "bee.net=eno1:192.0.2.7/24 bee.skip=psu", "loglevel=7", "initrd=/live/x"],
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
