"""The ISO boots through its own boot loader on hardware that is known, and the audit says exactly that hardware."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from bee.views import qr
from bee.working_folder import ONE_ENTRY, REGISTER
from tests.bee.console import read_code
from tests.boot.breakages import BREAKAGES, command
from tests.boot.conftest import timed
from tests.boot.expectations import differences, expected, expected_device, expected_fru
from tests.boot.hardware import SERVER
from tests.boot.qemu import Guest, boot
from tests.boot.smoke import CHECKS, SMOKE_LIMIT, SMOKETEST, Verdict, verdicts
from tests.house.tree import ROOT
from tests.iso.compiling import OTHER_VERSION, WATCHED, compiled

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

AUDIT = "/var/log/bee-audit.json"
BEE = "/usr/local/bin/bee"
# The upper layer of the live system's root.
WRITTEN_SINCE_BOOT = "/run/live/overlay/rw"
MARKER = "/etc/bee/password-fallback"
# The SHA-crypt specification's own test vector: the password with its hash.
PASSWORD = "Hello world!"
PASSWORD_HASH = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
SETTLED_LIMIT = 300  # seconds from the first log-in to the end of the last start job, the audit
# What cannot be checked without a GPU.
NEED_A_GPU = {"nvidia-modules", "nvidia-nodes", "nvidia-smi", "audit-nvidia"}


@pytest.fixture(scope="module")
def guest(iso: Path, key: Path, kept: Path) -> Iterator[Guest]:
    """The booted live CD, its audit made."""
    with boot(iso, SERVER, key) as machine:
        try:
            with timed("boot to a log-in"):
                machine.wait_for_login()
            with timed("from the log-in to the audit"):
                machine.run("systemctl is-system-running --wait", limit=SETTLED_LIMIT, check=False)
            yield machine
        finally:
            (kept / "serial.log").write_text(machine.serial)


@pytest.fixture(scope="module")
def audit(guest: Guest, kept: Path) -> dict[str, object]:
    """The audit that the boot made."""
    text = guest.run(f"cat {AUDIT}").stdout
    (kept / "audit.json").write_text(text)
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


def _smoke(guest: Guest, *names: str) -> tuple[int, dict[str, Verdict], str]:
    answer = guest.run(" ".join(("sh -s --", *names)), stdin=SMOKETEST.read_text(), limit=SMOKE_LIMIT, check=False)
    return answer.code, verdicts(answer.stdout), answer.stdout + answer.stderr


def test_the_checksums_beside_the_image_are_its_own(iso: Path, guest: Guest) -> None:
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    checked = subprocess.run(command, cwd=iso.parent, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    for suffix in (".iso", ".vmlinuz", ".initrd.img", ".squashfs"):
        assert f"{iso.stem}{suffix}: OK" in checked.stdout.splitlines()


def test_os_release_says_which_image_it_is(guest: Guest) -> None:
    script = ". /etc/bee-release; . /etc/os-release; echo $IMAGE_ID $IMAGE_VERSION $BEE_VERSION $BUILD_ID $GIT_COMMIT"
    name, image, bee, build, commit = guest.run(script).stdout.split()
    assert (name, image) == ("bee", bee)
    assert build.endswith(f"Z-{commit}")


def test_the_system_runs_and_no_unit_failed(guest: Guest) -> None:
    assert guest.run("systemctl is-system-running", check=False).stdout == "running\n"


def test_the_smoke_test_passes_and_skips_only_what_needs_a_gpu(guest: Guest, kept: Path) -> None:
    with timed("smoke test"):
        code, found, said = _smoke(guest)
    (kept / "smoketest.txt").write_text(said)
    assert code == 0, said
    assert list(found) == list(CHECKS)
    assert {name for name, verdict in found.items() if verdict.word == "SKIP"} == NEED_A_GPU, said
    assert all("no NVIDIA GPU on the bus" in found[name].reason for name in NEED_A_GPU), said


def test_the_audit_says_what_the_guest_was_given(audit: dict[str, object]) -> None:
    assert differences(expected(SERVER), audit) == []


def test_the_audit_lists_the_network_card_at_its_place_on_the_bus(audit: dict[str, object]) -> None:
    assert isinstance(audit["pcie"], dict)
    [card] = [device for device in audit["pcie"]["devices"] if device["address"] == SERVER.nic.slot]
    assert differences(expected_device(SERVER.nic), card) == []


def test_the_audit_keeps_every_unit_of_the_bmcs_inventory(audit: dict[str, object]) -> None:
    assert isinstance(audit["psu"], dict)
    found = {unit["id"]: unit for unit in audit["psu"]["frus"]}
    for fru_id, fru in enumerate(SERVER.frus, start=1):
        assert differences(expected_fru(fru, fru_id), found[fru_id]) == []


def test_the_audit_validates_here_as_it_does_on_the_live_cd(audit: dict[str, object]) -> None:
    schema = json.loads((ROOT / "schemas/audit.schema.json").read_text())
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(audit)) == []


def _compiled_by_an_audit(guest: Guest, program: str) -> list[str]:
    command = f"/usr/bin/python3 -I - {program} audit --output /run/compiling.json"
    return compiled(guest.run(command, stdin=WATCHED, limit=300).stderr)


def test_an_audit_compiles_no_module(guest: Guest) -> None:
    """Neither of bee's own, nor, since the boot, one of Python's: what is compiled there stays in the overlay."""
    assert _compiled_by_an_audit(guest, BEE) == []
    assert guest.run(f"find {WRITTEN_SINCE_BOOT} -name '*.pyc'").stdout == ""
    guest.run(f"/usr/bin/python3 -I - {BEE} /run/other-version", stdin=OTHER_VERSION)
    assert "/run/other-version/bee/audit.py" in _compiled_by_an_audit(guest, "/run/other-version")


def test_the_screen_and_the_serial_line_show_the_summary(guest: Guest) -> None:
    for fact in (SERVER.system.serial, SERVER.system.product):
        assert fact in guest.serial
        assert fact in guest.run("tr -c '[:print:]' ' ' </dev/vcs1").stdout


def test_a_camera_reads_the_code_off_the_screen(guest: Guest, kept: Path) -> None:
    picture = guest.picture()
    (kept / "screen.ppm").write_bytes(picture)
    content = guest.run(f"cat {AUDIT}").stdout.encode()
    assert read_code(picture) == qr.payload(json.loads(content), content)


def test_both_consoles_offer_a_log_in_and_stay(guest: Guest) -> None:
    for unit in ("getty@tty1", "serial-getty@ttyS0", "serial-getty@ttyS1"):
        said = guest.run(f"systemctl show -p ActiveState -p NRestarts {unit}").stdout
        assert sorted(said.split()) == ["ActiveState=active", "NRestarts=0"], unit
    assert "bee login:" in guest.serial
    assert "ssh root@" in guest.serial


def test_a_password_is_not_even_asked_for(guest: Guest) -> None:
    tried = guest.run_by_password(PASSWORD, "id -un")
    assert tried.code == 255
    assert "Permission denied (publickey)" in tried.stderr


@pytest.fixture
def marker(guest: Guest) -> Iterator[None]:
    """The guest as an image without keys has it: with the marker, whose content is the password's hash."""
    decide_again = "systemctl restart bee-sshsetup && systemctl restart ssh"
    guest.run(f"cat >{MARKER} && {decide_again}", stdin=f"{PASSWORD_HASH}\n")
    yield
    guest.run(f"rm {MARKER} && {decide_again}")


def test_with_the_marker_its_password_logs_in_and_no_other(guest: Guest, marker: None) -> None:
    assert guest.run_by_password(PASSWORD, "id -un").stdout == "root\n"
    assert "Permission denied" in guest.run_by_password("hello world!", "id -un").stderr
    assert guest.run(f"stat -c %a {MARKER}").stdout == "600\n"
    _, found, said = _smoke(guest, "ssh-policy", "passwords")
    assert {name: verdict.word for name, verdict in found.items()} == {"ssh-policy": "PASS", "passwords": "PASS"}, said


def test_another_key_is_refused(guest: Guest, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    command_line = [*guest.ssh_command("-i", str(other), "-o", "BatchMode=yes"), "true"]
    tried = subprocess.run(command_line, capture_output=True, text=True, timeout=60, check=False)
    assert tried.returncode == 255
    assert "Permission denied" in tried.stderr


def _shown(guest: Guest, unit: str, name: str) -> str:
    return guest.run(f"systemctl show --value -p {name} {unit}").stdout.strip()


def test_sshd_started_after_its_set_up_and_nothing_it_follows_is_a_network(guest: Guest) -> None:
    set_up = int(_shown(guest, "bee-sshsetup.service", "ActiveEnterTimestampMonotonic"))
    started = int(_shown(guest, "ssh.service", "ExecMainStartTimestampMonotonic"))
    assert 0 < set_up <= started
    chain = guest.run("systemd-analyze critical-chain ssh.service").stdout
    assert "bee-network" not in chain
    assert "network-online" not in chain


def test_no_target_of_the_boot_waits_for_network_nvidia_or_audit(guest: Guest) -> None:
    awaited = set(_shown(guest, "multi-user.target", "After").split())
    assert "ssh.service" in awaited
    audit, later = "bee-audit.service", "bee-network-later.service"
    for unit in ("bee-network.service", "bee-nvidia.service", audit, later):
        assert unit not in awaited
        assert set(_shown(guest, unit, "Before").split()) <= {"shutdown.target", audit, later}, unit


def test_the_audit_ran_after_nvidia_with_the_bmcs_modules_in_the_kernel(guest: Guest) -> None:
    assert "bee-nvidia.service" in _shown(guest, "bee-audit.service", "After").split()
    assert guest.run("grep -c -E '^ipmi_(si|devintf) ' /proc/modules").stdout == "2\n"


# Rules for events of modules, for which the CD does not ask: what they do is masked, of no use here, or done otherwise.
UNASKED = {"block", "configfs", "fuse", "nvme_tcp", "parport_pc"}


def test_the_coldplug_leaves_out_only_what_no_rule_asks_for(guest: Guest) -> None:
    rules = r"""grep -rhE 'SUBSYSTEM=="(module|drivers|subsystem|bus|class)"' /usr/lib/udev/rules.d /etc/udev/rules.d"""
    asked = [line.partition('KERNEL=="')[2].partition('"')[0] for line in guest.run(rules).stdout.splitlines()]
    assert set(asked) <= UNASKED
    # The one of them with a use here: whether a drive has got a medium is asked every 2 s.
    assert guest.run("cat /sys/module/block/parameters/events_dfl_poll_msecs").stdout == "2000\n"


def test_every_device_that_a_driver_may_take_is_announced(guest: Guest) -> None:
    begin = _shown(guest, "systemd-udev-trigger.service", "ExecStart").partition("argv[]=")[2].partition(" ;")[0]
    every = "udevadm trigger --type=devices"
    assert begin.startswith(every)
    announced, there = (
        set(guest.run(f"{command} --dry-run --verbose").stdout.splitlines()) for command in (begin, every)
    )
    assert announced < there
    left_out = "".join(f"{path}/modalias\n" for path in sorted(there - announced))
    # What udev hands to modprobe: a device without one waits for no driver.
    assert guest.run("while read -r path; do cat $path 2>/dev/null; done || :", stdin=left_out).stdout == ""


@pytest.mark.parametrize("words", ["fru", "sdr elist", "sel elist last 500", "lan print"])
def test_ipmitool_says_the_same_with_a_small_register(guest: Guest, words: str) -> None:
    home = guest.run("mktemp -d").stdout.strip()
    guest.run(f"mkdir -p {home}/$(dirname {REGISTER}) && cat >{home}/{REGISTER}", stdin=ONE_ENTRY.decode())
    whole, small = (guest.run(f"HOME={place} ipmitool {words}", check=False) for place in ("/nonexistent", home))
    assert small == whole
    assert "OEM info" not in small.stderr


@pytest.mark.parametrize("name", BREAKAGES)
def test_the_smoke_test_notices_what_is_broken(guest: Guest, name: str) -> None:
    breakage = BREAKAGES[name]
    with timed("break each check once"):
        answer = guest.run(command(name), stdin=SMOKETEST.read_text(), check=False)
    [verdict] = verdicts(answer.stdout).values()
    assert (answer.code, verdict.word) == (1, "FAIL"), answer
    assert breakage.reason in verdict.reason
    assert "not restored" not in answer.stderr


def test_after_all_was_restored_the_smoke_test_passes_again(guest: Guest) -> None:
    code, _, said = _smoke(guest)
    assert code == 0, said
