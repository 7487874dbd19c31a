"""A rack without DHCP, twice: an address by bee.net=, then a link-local one; a stick takes the audit away each time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from tests.boot.conftest import timed
from tests.boot.hardware import SERVER
from tests.boot.lan import Lan, lan
from tests.boot.qemu import BOOT_LIMIT, Guest, GuestError, boot
from tests.boot.smoke import SMOKE_LIMIT, SMOKETEST, verdicts
from tests.boot.usb_stick import DRIVE, Stick
from tests.house.tree import ROOT

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

STATIC, LINK_LOCAL_PEER, LEASED = "198.51.100.7", "169.254.99.1", "198.51.100.8"
OPERATOR = ("198.51.100.1/24", f"{LINK_LOCAL_PEER}/16")
MISTAKE = "bee.net=eth99:192.0.2.1/24"
BOOT_LOADER_LIMIT = 120  # seconds from power-on to the boot loader's prompt
ADDRESS_LIMIT = 120  # seconds from the plugged cable to an address
FOLDER = "bee-audits"
SERIAL = SERVER.system.serial
# `id >/run/typed`, and Enter, by QEMU's names of the keys.
TYPED = ["i", "d", "spc", "shift-dot", "slash", "r", "u", "n", "slash", "t", "y", "p", "e", "d", "ret"]
QUICK = "bee audit --skip board,cpu,memory,storage,pcie,psu,nvidia --save-to-usb"


@pytest.fixture(scope="module")
def rack(iso: Path) -> Iterator[Lan]:
    """The operator's laptop, with the rack's only cable, and no server of any kind."""
    with lan(*OPERATOR) as cable:
        yield cable


@pytest.fixture(scope="module")
def stick(iso: Path, tmp_path_factory: pytest.TempPathFactory) -> Stick:
    """One stick labelled BEE, for both boots."""
    return Stick.make(tmp_path_factory.mktemp("stick") / "stick.img", "BEE", 64 << 20)


def _saved(guest: Guest) -> str:
    """The folder on the stick that the consoles named."""
    guest.wait_for_serial("saved on /dev/", BOOT_LIMIT)
    # Said again below each change of the addresses.
    [folder] = set(re.findall(r"^saved on /dev/sd[a-z]1: (\S+)", guest.serial, re.MULTILINE))
    return str(folder)


def _device(guest: Guest) -> str:
    """The stick, as the live system calls it."""
    return guest.run("blkid -L BEE").stdout.strip()


@pytest.fixture(scope="module")
def first(iso: Path, key: Path, kept: Path, rack: Lan, stick: Stick) -> Iterator[Guest]:
    """Booted with an address, a mistake and a shell on the kernel's command line."""
    words = f"bee.net={SERVER.nic.mac}:{STATIC}/24 {MISTAKE} bee.shell=tty1"
    with boot(iso, SERVER, key, lan=rack, stick=stick) as machine:
        try:
            with timed("boot without DHCP, bee.net=, to the audit on the stick"):
                machine.wait_for_serial("boot: ", BOOT_LOADER_LIMIT)
                machine.type_on_serial(f"live {words}\r")
                machine.log_in_at(STATIC, rack)
                machine.wait_for_login()
                _saved(machine)
            yield machine
        finally:
            (kept / "serial-bee-net.log").write_text(machine.serial)


def test_the_address_of_the_command_line_is_there_and_dhcp_is_not_asked(first: Guest) -> None:
    assert f" {STATIC}/24 " in first.run("ip -4 -o address show scope global").stdout
    assert first.run("pgrep -c dhclient", check=False).stdout == "0\n"


def test_the_consoles_tell_how_to_log_in_and_what_was_wrong(first: Guest) -> None:
    screen = first.run("tr -c '[:print:]' ' ' </dev/vcs1").stdout
    assert f"ssh root@{STATIC}" in first.serial
    assert f"ssh root@{STATIC}" in screen or f"ssh root@{STATIC}" in first.run("agetty --show-issue").stdout
    wrong = f"{MISTAKE} on the kernel's command line is ignored: there is no interface eth99"
    assert f"bee: {wrong}" in first.serial
    assert wrong in first.run("journalctl -b -u bee-network -o cat --no-pager").stdout


def test_with_the_word_on_the_command_line_the_screen_is_a_root_shell(first: Guest) -> None:
    first.type_on_keyboard(TYPED)
    assert first.run("sleep 2; cat /run/typed").stdout.startswith("uid=0(root)")


def test_the_smoke_test_passes_on_a_rack_without_dhcp(first: Guest) -> None:
    answer = first.run("sh -s", stdin=SMOKETEST.read_text(), limit=SMOKE_LIMIT, check=False)
    assert answer.code == 0, answer
    assert verdicts(answer.stdout)["shell"].reason == "root's shell is on tty1, by bee.shell=tty1"


def test_the_journal_has_the_summary(first: Guest) -> None:
    said = first.run("journalctl -b -u bee-audit -o cat --no-pager").stdout.splitlines()
    assert f"saved on {_device(first)}: {_saved(first)}" in said


def test_the_history_has_the_audit_under_its_time(first: Guest) -> None:
    started_at = json.loads(first.run("cat /var/log/bee-audit.json").stdout)["started_at"]
    name = started_at.replace(":", "") + ".json"
    assert (
        first.run("cmp /var/log/bee-audit.json /var/log/bee-audit/*.json && ls /var/log/bee-audit").stdout
        == f"{name}\n"
    )


def test_no_stick_stays_mounted(first: Guest) -> None:
    assert first.run("cat /proc/*/mountinfo | grep -c '/dev/sd'", check=False).stdout == "0\n"


def test_by_hand_another_one_is_added(first: Guest) -> None:
    before = _saved(first)
    said = first.run(QUICK).stdout.splitlines()[0]
    assert re.fullmatch(rf"saved on /dev/sd[a-z]1: {FOLDER}/no-serial_\S+Z", said)
    assert before not in said


@pytest.mark.parametrize(
    ("broken", "said", "mended"),
    [
        (
            "mount LABEL=BEE /mnt && ! cp /dev/zero /mnt/filler 2>/dev/null; umount /mnt",
            "it is full",
            "mount LABEL=BEE /mnt && rm /mnt/filler; umount /mnt",
        ),
        ("blockdev --setro $STICK", "it cannot be mounted: ", "blockdev --setrw $STICK"),
        ("mount LABEL=BEE /mnt", "it is in use at /mnt; left alone", "umount /mnt"),
    ],
    ids=["full", "read-only", "in-use"],
)
def test_a_stick_that_cannot_take_it_is_one_line_and_the_audit_is_written(
    first: Guest, broken: str, said: str, mended: str
) -> None:
    stick = "STICK=$(blkid -L BEE)"
    answer = first.run(f"{stick}; {broken}; {QUICK} --output /run/a.json; code=$?; {mended}; exit $code", check=False)
    line = answer.stdout.splitlines()[0]
    assert (answer.code, line.startswith("not saved on /dev/sd")) == (3, True), answer
    assert said in line
    assert first.run("bee validate /run/a.json; rm /run/a.json").stdout.count("valid, schema") == 1


def test_a_disk_inside_that_bears_the_label_is_left_alone(first: Guest) -> None:
    first.run("mkswap -L BEE /dev/nvme0n1 && udevadm settle")
    before = first.run("sha256sum </dev/nvme0n1").stdout
    answer = first.run(QUICK, check=False)
    assert answer.code == 3
    assert "not saved on /dev/nvme0n1: it is on no USB and no removable disk; left alone" in answer.stdout
    assert first.run("sha256sum </dev/nvme0n1; wipefs -a -q /dev/nvme0n1; udevadm settle").stdout == before


# --- the second boot, with the same stick


@pytest.fixture(scope="module")
def after_first(first: Guest, stick: Stick, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the first boot left on the stick, once its power was cut."""
    first.power_off()
    folder = tmp_path_factory.mktemp("read")
    assert stick.complaints(folder) == ""
    stick.read_into(folder)
    return _files(folder)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_on_the_stick_is_the_audit_that_its_recording_gives(
    first: Guest, after_first: dict[str, bytes], tmp_path: Path
) -> None:
    folder = _saved(first)
    assert folder.startswith(f"{FOLDER}/{SERIAL}_2")
    content = after_first[f"{folder}/audit.json"]
    schema = json.loads((ROOT / "schemas/audit.schema.json").read_text())
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(json.loads(content))) == []
    (tmp_path / "recording.tar.gz").write_bytes(after_first[f"{folder}/recording.tar.gz"])
    again = [sys.executable, "-m", "bee", "audit", "--from", str(tmp_path / "recording.tar.gz")]
    assert subprocess.run(again, capture_output=True, cwd=ROOT, check=True).stdout == content
    for report in ("report.txt", "report.html"):
        assert SERIAL in after_first[f"{folder}/{report}"].decode()


@pytest.fixture(scope="module")
def second(iso: Path, key: Path, kept: Path, rack: Lan, stick: Stick, after_first: dict[str, bytes]) -> Iterator[Guest]:
    """Booted as it is, its cable plugged in only after the audit was on the stick."""
    with boot(iso, SERVER, key, cable=False, lan=rack, stick=stick) as machine:
        try:
            with timed("boot without a network, to the audit on the stick"):
                _saved(machine)
            with timed("from the plugged cable to a log-in by a link-local address"):
                machine.set_cable(plugged=True)
                machine.log_in_at(_told(machine, r"169\.254\.\d+\.\d+"), rack)
                machine.wait_for_login()
            yield machine
        finally:
            (kept / "serial-link-local.log").write_text(machine.serial)


def _told(guest: Guest, address: str) -> str:
    """The address of that form that the consoles tell to log in at."""
    guest.wait_for(lambda: re.search(rf"ssh root@{address}", guest.serial) is not None, address, ADDRESS_LIMIT)
    found = re.findall(rf"ssh root@({address})", guest.serial)
    return str(found[-1])


def test_where_dhcp_gives_nothing_there_is_a_link_local_address(second: Guest) -> None:
    told = second.run("ip -4 -o address show scope link | grep -v ' lo '").stdout
    assert re.search(r" 169\.254\.\d+\.\d+/16 ", told)
    assert second.run("ip route show default").stdout == ""


def test_without_the_word_the_screen_asks_who_it_is(second: Guest) -> None:
    second.type_on_keyboard(TYPED)
    assert second.run("sleep 2; test -e /run/typed", check=False).code == 1
    assert second.run("systemctl is-active bee-shell", check=False).stdout == "inactive\n"


def test_the_second_boot_adds_to_the_stick_and_overwrites_nothing(
    second: Guest, stick: Stick, after_first: dict[str, bytes], tmp_path: Path
) -> None:
    stick.read_into(tmp_path)
    found = _files(tmp_path)
    assert {name: found.get(name) for name in after_first} == after_first
    added = {name.rsplit("/", 1)[0] for name in found.keys() - after_first.keys()}
    assert added == {_saved(second)}


def test_when_dhcp_answers_at_last_its_address_takes_over(second: Guest, rack: Lan, tmp_path: Path) -> None:
    with rack.dhcp(tmp_path, LEASED):
        second.log_in_at(_told(second, re.escape(LEASED)), rack)
        second.wait_for_login()
    assert "169.254." not in second.run("sleep 3; ip -4 -o address").stdout
    assert second.run("cat /run/bee-addresses").stdout.count("ssh root@1") == 1


def test_a_stick_pulled_out_while_it_is_written_is_one_line(second: Guest) -> None:
    second.throttle(DRIVE, 4096)
    second.run(f"rm -f /run/a.json; nohup sh -c '{QUICK} --output /run/a.json; echo $? >/run/code' >/run/said 2>&1 &")
    second.run("for _ in $(seq 100); do grep -qs /dev/sd /proc/[0-9]*/mountinfo && break; sleep 0.2; done")
    second.pull_out(DRIVE)
    second.run("for _ in $(seq 300); do [ -s /run/code ] && break; sleep 0.2; done")
    assert second.run("cat /run/code").stdout == "3\n"
    line = second.run("grep saved /run/said").stdout.strip()
    assert line.startswith("not saved on /dev/sd"), line
    assert second.run("bee validate /run/a.json").stdout.count("valid, schema") == 1
    assert second.run("cat /proc/[0-9]*/mountinfo | grep -c /dev/sd", check=False).stdout == "0\n"
    with pytest.raises(GuestError):
        second.run("blkid -L BEE")
