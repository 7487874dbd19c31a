"""Booted with bee.nvidia=force and no cable: the modules go in without a GPU, and nothing waits for a network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot.conftest import timed
from tests.boot.hardware import SERVER
from tests.boot.qemu import BOOT_LIMIT, Guest, boot
from tests.boot.smoke import SMOKE_LIMIT, SMOKETEST, verdicts

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

LABEL = "nvidia-force"  # of the boot loader's menu
BOOT_LOADER_LIMIT = 120  # seconds from power-on to the boot loader's prompt
NVIDIA = "/usr/local/lib/nvidia/"
LEASE_LIMIT = 120  # seconds from the plugged cable to a log-in


@pytest.fixture(scope="module")
def guest(iso: Path, key: Path, kept: Path) -> Iterator[Guest]:
    """The live CD booted by its menu's entry; its cable was plugged in only after the audit was made."""
    with boot(iso, SERVER, key, cable=False) as machine:
        try:
            with timed("second boot, no cable, to the audit"):
                machine.wait_for_serial("boot: ", BOOT_LOADER_LIMIT)
                machine.type_on_serial(f"{LABEL}\r")
                machine.wait_for_serial(SERVER.system.serial, BOOT_LIMIT)
                machine.wait_for_serial("bee login: ", BOOT_LIMIT)
            with timed("from the plugged cable to a log-in"):
                machine.set_cable(plugged=True)
                machine.wait_for_login()
            yield machine
        finally:
            (kept / "serial-nvidia-force.log").write_text(machine.serial)


@pytest.fixture(scope="module")
def order(guest: Guest) -> list[str]:
    """The modules in the order that the build computed."""
    return guest.run(f"cat {NVIDIA}load-order").stdout.split()


@pytest.fixture(scope="module")
def log(guest: Guest) -> str:
    """What bee-nvidia.service said."""
    return guest.run("journalctl -b -u bee-nvidia -o cat --no-pager").stdout


def test_the_boot_loaders_entry_forces(guest: Guest) -> None:
    assert "bee.nvidia=force" in guest.run("cat /proc/cmdline").stdout.split()


def _when(journal: str, event: str) -> float:
    """Seconds from power-on to the first line that says so."""
    found = re.search(rf"^\[ *([0-9.]+)\].*{event}", journal, re.MULTILINE)
    assert found, event
    return float(found[1])


def test_audit_and_sshd_came_before_any_address(guest: Guest) -> None:
    journal = guest.run("journalctl -b -o short-monotonic --no-pager").stdout
    bound = _when(journal, "dhclient.*: bound to")
    assert _when(journal, "Finished bee-audit") < bound
    assert _when(journal, "Server listening on") < bound


def test_every_module_was_inserted_by_absolute_path_in_the_order_of_the_build(order: list[str], log: str) -> None:
    assert all(path.startswith("/") for path in order)
    mentioned = re.findall(r"^(/\S+\.ko\S*): (.*)$", log, re.MULTILINE)
    assert [path for path, _ in mentioned] == order
    for path, outcome in mentioned:
        if path == f"{NVIDIA}nvidia.ko":
            assert "No such device" in outcome
        elif path.startswith(NVIDIA):
            assert outcome == "left out, it needs nvidia.ko"
        else:
            assert outcome in {"loaded", "already loaded"}


def test_the_kernel_ran_nvidia_ko_and_found_no_symbol_unknown(guest: Guest) -> None:
    said = guest.run("dmesg").stdout
    assert re.search(r"NVRM: No NVIDIA (GPU|graphics adapter|devices?) ", said), "nvidia.ko's own words are missing"
    assert not re.findall(r".*(?i:unknown symbol|disagrees about version).*", said)


def test_the_service_ends_well_and_says_why_it_skipped(guest: Guest, log: str) -> None:
    assert guest.run("systemctl is-active bee-nvidia").stdout == "active\n"
    assert "skipped: nvidia.ko answers No such device" in log


def test_the_smoke_test_passes_and_accounts_for_no_such_device(guest: Guest) -> None:
    answer = guest.run("sh -s", stdin=SMOKETEST.read_text(), limit=SMOKE_LIMIT, check=False)
    assert answer.code == 0, answer
    verdict = verdicts(answer.stdout)["nvidia-modules"]
    assert verdict.word == "PASS"
    assert "nvidia.ko answers No such device" in verdict.reason
