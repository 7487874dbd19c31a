"""Booted over the network by the script that docs/iso.md gives, with what lies beside the ISO and no medium at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot.command_line import WEB_SERVER
from tests.boot.conftest import timed
from tests.boot.hardware import SERVER
from tests.boot.qemu import Guest, boot
from tests.boot.smoke import SMOKE_LIMIT, SMOKETEST
from tests.boot.start import BIOS, NETWORK, UEFI, Firmware, Start
from tests.house.tree import ROOT

pytestmark = [pytest.mark.acceptance_full, pytest.mark.timeout(900)]

DOCUMENTED = re.search(r"```ipxe\n(.*?)```", (ROOT / "docs/iso.md").read_text(), re.DOTALL)
SETTLED_LIMIT = 300


def script(iso: Path) -> str:
    """The documented script, for this server and this image."""
    assert DOCUMENTED
    return DOCUMENTED[1].replace("SERVER", WEB_SERVER).replace("IMAGE", iso.stem)


@pytest.fixture(scope="module", params=[BIOS, UEFI], ids=lambda firmware: firmware.name)
def guest(
    request: pytest.FixtureRequest, iso: Path, key: Path, kept: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guest]:
    """The machine, its audit made."""
    firmware: Firmware = request.param
    folder = tmp_path_factory.mktemp("boot-server")
    for suffix in (".vmlinuz", ".initrd.img", ".squashfs"):
        (folder / f"{iso.stem}{suffix}").symlink_to(iso.with_suffix(suffix))
    (folder / "boot.ipxe").write_text(script(iso))
    with boot(iso, SERVER, key, Start(firmware, NETWORK, boot_server=folder)) as machine:
        try:
            with timed(f"{firmware.name} over the network: to a log-in"):
                machine.wait_for_login()
            machine.run("systemctl is-system-running --wait", limit=SETTLED_LIMIT, check=False)
            yield machine
        finally:
            (kept / f"serial-netboot-{firmware.name.lower()}.log").write_text(machine.serial)


def test_it_runs_from_memory_with_no_medium_in_the_machine(guest: Guest, iso: Path) -> None:
    assert guest.run("findmnt -nro FSTYPE /run/live/medium").stdout in {"ramfs\n", "tmpfs\n"}
    assert guest.run("lsblk -dno TYPE,TRAN").stdout.count("usb") == 0
    size = int(guest.run(f"stat -c %s /run/live/medium/live/{iso.stem}.squashfs").stdout)
    assert size == iso.with_suffix(".squashfs").stat().st_size


def test_the_documented_kernel_arguments_are_those_of_the_boot_menu(guest: Guest) -> None:
    words = guest.run("cat /proc/cmdline").stdout.split()
    configured = (ROOT / "iso/builder/auto/config").read_text()
    append = " ".join(re.findall(r'^append="(?:\$append )?(.*)"$', configured, re.MULTILINE)).split()
    assert len(append) > 5
    assert set(append) <= set(words)


def test_the_smoke_test_passes(guest: Guest) -> None:
    answer = guest.run("sh -s", stdin=SMOKETEST.read_text(), limit=SMOKE_LIMIT, check=False)
    assert answer.code == 0, answer
