"""One image on every kind of machine: BIOS, UEFI and Secure Boot, CD and USB stick, and each entry of both menus."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.boot import traffic
from tests.boot.conftest import timed
from tests.boot.hardware import SERVER
from tests.boot.qemu import BOOT_LIMIT, Guest, boot
from tests.boot.smoke import SMOKE_LIMIT, SMOKETEST, verdicts
from tests.boot.start import BIOS, CD, SECURE_BOOT, UEFI, USB, Start

pytestmark = pytest.mark.timeout(900)

BOOT_LOADER_LIMIT = 180  # seconds from power-on to the boot loader's prompt
SETTLED_LIMIT = 300  # seconds from the first log-in to the end of the last start job, the audit
LIVE, TORAM, NOMODESET, FORCED = "live", "toram", "nomodeset", "nvidia-force"
# What to type at GRUB's menu; ISOLINUX takes the label itself.
LETTERS = {LIVE: "l", TORAM: "t", NOMODESET: "n", FORCED: "f"}
# ICMPv6: the kernel looks for neighbours and routers on every link that comes up.
PERMITTED_TRAFFIC = {"ARP", "DHCP", "ICMPv6", "SSH"}
IN_CI = (SECURE_BOOT, USB, LIVE)
STARTS = [
    IN_CI,
    (SECURE_BOOT, CD, LIVE),
    (UEFI, CD, LIVE),
    (UEFI, USB, TORAM),
    (UEFI, CD, NOMODESET),
    (UEFI, USB, FORCED),
    (BIOS, USB, TORAM),
    (BIOS, CD, NOMODESET),
    (BIOS, USB, LIVE),
]


def _parameter(start: tuple[object, ...]) -> object:
    mark = pytest.mark.acceptance if start == IN_CI else pytest.mark.acceptance_full
    return pytest.param(start, marks=mark, id=" ".join(str(getattr(part, "name", part)) for part in start))


@dataclass(frozen=True, slots=True)
class Started:
    """A guest that has made its audit, how it was started, by which entry of the menu, and what it had sent by then."""

    guest: Guest
    start: Start
    entry: str
    sent: set[str]


@pytest.fixture(scope="module", params=[_parameter(start) for start in STARTS])
def started(request: pytest.FixtureRequest, iso: Path, key: Path, kept: Path) -> Iterator[Started]:
    """A machine of each kind."""
    firmware, medium, entry = request.param
    start = Start(firmware, medium)
    with boot(iso, SERVER, key, start) as guest:
        try:
            with timed(f"{start}, {entry}: to a log-in"):
                if entry != LIVE:
                    choose(guest, start, entry)
                guest.wait_for_login()
            with timed(f"{start}, {entry}: from the log-in to the audit"):
                guest.run("systemctl is-system-running --wait", limit=SETTLED_LIMIT, check=False)
            yield Started(guest, start, entry, traffic.sent(guest.wire.read_bytes(), SERVER.nic.mac))
        finally:
            name = re.sub(r"[^a-z]+", "-", f"{start} {entry}".lower())
            for line in (0, 1):
                (kept / f"serial{line}-{name}.log").write_text(guest.said(line))


def choose(guest: Guest, start: Start, entry: str) -> None:
    """Start an entry of the boot loader's menu, on the first serial line."""
    if start.firmware is BIOS:
        guest.wait_for_serial("boot: ", BOOT_LOADER_LIMIT)
        guest.type_on_serial(f"{entry}\r")
    else:
        guest.wait_for_serial("bee: live system (l)", BOOT_LOADER_LIMIT)
        guest.type_on_serial(LETTERS[entry])


def test_the_firmware_is_what_the_machine_has(started: Started) -> None:
    guest, start = started.guest, started.start
    is_efi = guest.run("test -d /sys/firmware/efi", check=False).code == 0
    assert is_efi == (start.firmware is not BIOS)
    # The variable's four bytes of attributes come before its one of value (UEFI specification, 3.3).
    secure = guest.run("od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-*", check=False).stdout.strip()
    assert (secure == "1") == start.firmware.secure_boot
    said = guest.run("mokutil --sb-state", check=False).stdout
    assert ("SecureBoot enabled" in said) == start.firmware.secure_boot
    locked = guest.run("cat /sys/kernel/security/lockdown").stdout
    assert ("[integrity]" in locked) == start.firmware.secure_boot


def test_it_runs_from_the_medium_that_it_was_booted_from(started: Started) -> None:
    guest, start, entry = started.guest, started.start, started.entry
    source, file_system = guest.run("findmnt -nro SOURCE,FSTYPE /run/live/medium").stdout.split()
    if entry == TORAM:
        assert file_system == "tmpfs"
    else:
        assert file_system == "iso9660"
        assert source.startswith("/dev/sr" if start.medium == CD else "/dev/sd")


def test_it_takes_the_short_way_but_where_its_entry_wants_live_boot(started: Started) -> None:
    # live-boot leaves what it said.
    was_live_boot = started.guest.run("test -e /var/log/live/boot.log", check=False).code == 0
    assert was_live_boot == (started.entry == TORAM)


def test_no_disk_of_the_machine_was_written_to(started: Started) -> None:
    assert started.guest.run("blkid -o value -s TYPE /dev/nvme0n1").stdout == "ext4\n"
    assert started.guest.changed_disks() == []


def test_the_entry_of_the_menu_did_what_it_says(started: Started) -> None:
    guest, entry = started.guest, started.entry
    words = guest.run("cat /proc/cmdline").stdout.split()
    assert ("nomodeset" in words) == (entry == NOMODESET)
    assert ("bee.nvidia=force" in words) == (entry == FORCED)
    assert ("toram=filesystem.squashfs" in words) == (entry == TORAM)
    # The machine's own screen has a driver in the kernel, unless the kernel was told to leave it alone.
    has_driver = guest.run("test -e /dev/dri/card0 || test -e /dev/dri/card1", check=False).code == 0
    assert has_driver == (entry != NOMODESET)


def test_nothing_was_sent_but_what_an_address_and_a_log_in_need(started: Started) -> None:
    assert started.sent >= {"DHCP", "SSH"}
    assert started.sent <= PERMITTED_TRAFFIC


def test_out_of_memory_it_outlives_its_stick(started: Started) -> None:
    guest, entry = started.guest, started.entry
    if entry == TORAM:
        guest.pull_the_stick()
        guest.run("sync; echo 3 >/proc/sys/vm/drop_caches; udevadm settle")
        assert "usb" not in guest.run("lsblk -dno TRAN").stdout.split()
        guest.run("bee audit --output /run/again.json && bee validate /run/again.json", limit=180)


def test_both_serial_lines_have_the_summary_and_a_log_in(started: Started) -> None:
    guest = started.guest
    for line in (0, 1):
        guest.wait_for_serial("bee login:", BOOT_LIMIT, line)
        assert SERVER.system.serial in guest.said(line)
        unit = f"serial-getty@ttyS{line}"
        said = guest.run(f"systemctl show -p ActiveState -p NRestarts {unit}").stdout
        assert sorted(said.split()) == ["ActiveState=active", "NRestarts=0"], unit
        assert guest.run(f"stty -F /dev/ttyS{line} speed").stdout == "115200\n"


def test_the_smoke_test_passes(started: Started) -> None:
    answer = started.guest.run("sh -s", stdin=SMOKETEST.read_text(), limit=SMOKE_LIMIT, check=False)
    assert answer.code == 0, answer
    assert verdicts(answer.stdout)["audit-fresh"].word == "PASS"
