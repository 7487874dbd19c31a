"""What must hold for the live system's files as they lie in the overlay: units, links, invariants of the boot."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bee.collecting import NOT_SAVED
from tests.house.tree import ROOT
from tests.iso.overlay.world import OVERLAY, SCRIPTS

UNITS = OVERLAY / "etc/systemd/system"
NETWORK = ("bee-network-early", "bee-network-later", "bee-network")
SERVICES = ("bee-addresses", "bee-audit", *NETWORK, "bee-nvidia", "bee-sshsetup")
# What does its work and ends; bee-addresses runs as long as the system.
ONE_SHOTS = ("bee-audit", "bee-network-early", "bee-network", "bee-nvidia", "bee-sshsetup")
SHELL = "bee.shell=tty1"
PLACEHOLDERS = {"BEE_VERSION", "GIT_COMMIT", "SUITE", "KERNEL_ABI", "NVIDIA_VERSION", "BUILD_DATE"}


def _settings(name: str) -> dict[str, list[str]]:
    """A unit's settings, words of repeated lists joined."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / f"{name}.service").read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def _words(name: str, key: str) -> set[str]:
    return set(" ".join(_settings(name).get(key, [])).split())


def _texts() -> list[Path]:
    return [path for path in OVERLAY.rglob("*") if path.is_file() and not path.is_symlink()]


def test_every_service_is_enabled_by_a_link_that_leads_to_it() -> None:
    wants = UNITS / "multi-user.target.wants"
    assert sorted(link.name for link in wants.iterdir()) == [f"{name}.service" for name in SERVICES]
    for name in SERVICES:
        assert (wants / f"{name}.service").resolve() == UNITS / f"{name}.service"
        assert _settings(name)["WantedBy"] == ["multi-user.target"]


@pytest.mark.parametrize("name", SERVICES)
def test_systemd_takes_the_unit(name: str, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    root = tmp_path / "root"
    # the programs are on the live system only: stand-ins, so that everything else is judged
    for program in re.findall(r"^Exec\w+=-?(\S+)", (UNITS / f"{name}.service").read_text(), re.MULTILINE):
        stand_in = root / program.lstrip("/")
        stand_in.parent.mkdir(parents=True, exist_ok=True)
        stand_in.write_text("#!/bin/sh\n")
        stand_in.chmod(0o755)
    folder = root / "etc/systemd/system"
    folder.mkdir(parents=True)
    shutil.copy(UNITS / f"{name}.service", folder)
    for target in ("basic", "sysinit", "local-fs", "multi-user", "shutdown"):
        (folder / f"{target}.target").write_text(f"[Unit]\nDescription={target}\nDefaultDependencies=no\n")
    judged = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", f"--root={root}", f"{name}.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (judged.returncode, judged.stderr) == (0, "")


def test_sshd_follows_the_set_up_which_waits_for_nothing() -> None:
    assert "ssh.service" in _words("bee-sshsetup", "Before")
    assert _words("bee-sshsetup", "After") == set()
    assert _settings("bee-sshsetup")["DefaultDependencies"] == ["no"]
    # A listening ssh.socket would start sshd at the first knock, before the set-up.
    assert (UNITS / "ssh.socket").readlink() == Path("/dev/null")


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_waits_for_the_network(name: str) -> None:
    ordered = set().union(*(_words(name, key) for key in ("After", "Requires", "Wants", "BindsTo", "Requisite")))
    # Each starts a client in the background, and is done; what comes later must not come before them.
    own = {"bee-network-early.service"} | ({"bee-network.service"} if name == "bee-network-later" else set())
    assert not [unit for unit in ordered - own if "network" in unit or "dhc" in unit]


@pytest.mark.parametrize("name", ["bee-addresses", "bee-audit", *NETWORK, "bee-nvidia"])
def test_no_target_waits_for_what_may_be_slow(name: str) -> None:
    # with default dependencies multi-user.target would be ordered after everything it wants
    assert _settings(name)["DefaultDependencies"] == ["no"]
    assert _words(name, "Before") == {"shutdown.target"}
    assert _words(name, "Conflicts") == {"shutdown.target"}


@pytest.mark.parametrize("name", ONE_SHOTS)
def test_every_service_ends_by_itself(name: str) -> None:
    unit = _settings(name)
    assert unit["Type"] == ["oneshot"]
    assert unit["RemainAfterExit"] == ["yes"]
    assert re.fullmatch(r"[1-5]min", unit["TimeoutStartSec"][0])


def test_the_audit_runs_after_nvidia_and_a_bounded_settle_with_ipmi_loaded_best_effort() -> None:
    assert "bee-nvidia.service" in _words("bee-audit", "After")
    before = _settings("bee-audit")["ExecStartPre"]
    assert before == [
        "-/usr/sbin/modprobe ipmi_si",
        "-/usr/sbin/modprobe ipmi_devintf",
        "-/usr/bin/udevadm settle --timeout=30",
    ]
    audit = "/usr/local/bin/bee audit --deadline 240 --save-to-usb"
    assert _settings("bee-audit")["ExecStart"] == [f"/bin/sh -c 'exec {audit} >/run/bee-audit.summary'"]
    # no stick, or one that took nothing, is no failed audit
    assert _settings("bee-audit")["SuccessExitStatus"] == [str(NOT_SAVED)]


def test_an_audit_that_cannot_be_written_is_tried_a_bounded_number_of_times() -> None:
    unit = _settings("bee-audit")
    assert unit["Restart"] == ["on-failure"]
    assert unit["StartLimitBurst"] == ["3"]
    # even three attempts that run into their time limit are within the interval
    assert (unit["StartLimitIntervalSec"], unit["TimeoutStartSec"]) == (["1h"], ["5min"])


def test_the_audit_goes_to_the_journal_and_its_summary_to_every_console() -> None:
    unit = _settings("bee-audit")
    assert (unit["StandardOutput"], unit["StandardError"]) == (["journal"], ["journal"])
    shown = "cat /run/bee-addresses /run/bee-audit.summary 2>/dev/null | /usr/local/lib/bee/console"
    assert unit["ExecStartPost"] == [f"-/bin/sh -c 'cat /run/bee-audit.summary; {shown}'"]


def test_a_shell_without_a_log_in_is_there_by_one_word_alone_and_then_in_the_prompts_place() -> None:
    assert _settings("bee-shell")["ConditionKernelCommandLine"] == [SHELL]
    prompt = (UNITS / "getty@tty1.service.d/bee-shell.conf").read_text()
    assert f"\nConditionKernelCommandLine=!{SHELL}\n" in prompt
    link = UNITS / "getty.target.wants/bee-shell.service"
    assert link.resolve() == UNITS / "bee-shell.service"
    builder = [path for path in (ROOT / "iso/builder").rglob("*") if path.is_file() and path.name != "smoketest.sh"]
    assert not [path for path in builder if SHELL in path.read_text()]


def test_the_prompt_shows_the_addresses() -> None:
    link = OVERLAY / "etc/issue.d/bee-addresses.issue"
    assert f"issue=$root{link.readlink()} " in (SCRIPTS / "addresses").read_text()


def test_nobody_is_logged_in_automatically() -> None:
    # live-config's generator would log in a user whom this CD does not have, again and again
    generator = OVERLAY / "etc/systemd/system-generators/live-config-getty-generator"
    assert generator.readlink() == Path("/dev/null")


@pytest.mark.parametrize(
    "word", ["modprobe nvidia", "network-online", "apt", "apt-get", "dpkg", "curl", "wget", "http"]
)
def test_no_file_of_the_live_system_reaches_for_what_it_must_not(word: str) -> None:
    found = [str(path.relative_to(OVERLAY)) for path in _texts() if re.search(rf"\b{word}\b", path.read_text())]
    assert not found


def test_no_password_is_in_the_overlay() -> None:
    assert not [path for path in _texts() if re.search(r"\$(1|2[aby]|5|6|y|gy)\$", path.read_text())]


def test_nouveau_is_kept_out() -> None:
    assert "blacklist nouveau" in (OVERLAY / "etc/modprobe.d/bee-nouveau.conf").read_text().splitlines()


def test_sshd_takes_keys_only_unless_the_fallback_comes_first() -> None:
    folder = OVERLAY / "etc/ssh/sshd_config.d"
    [keys_only] = folder.iterdir()
    lines = keys_only.read_text().splitlines()
    assert {"PasswordAuthentication no", "KbdInteractiveAuthentication no", "AllowUsers root"} <= set(lines)
    # in sshd the first value wins, in the C locale's order of names
    [fallback] = re.findall(r"sshd_config\.d/(\S+\.conf)$", (SCRIPTS / "sshsetup").read_text(), re.MULTILINE)
    assert fallback < keys_only.name


def test_motd_has_a_place_for_everything_that_the_build_knows() -> None:
    assert set(re.findall(r"@([A-Z_]+)@", (OVERLAY / "etc/motd").read_text())) == PLACEHOLDERS


def test_scripts_are_executable() -> None:
    assert [path.name for path in sorted(SCRIPTS.iterdir())] == [
        *("addresses", "console", "network", "nvidia", "sshsetup", "static_addresses.py"),
    ]
    assert all(path.stat().st_mode & 0o111 == 0o111 for path in SCRIPTS.iterdir())


def test_what_a_crashed_system_left_in_the_firmware_is_not_taken_out_of_it() -> None:
    hook = (ROOT / "iso/builder/hooks/normal/0500-lean-boot.hook.chroot").read_text()
    masked = hook.partition("for unit in")[2].partition("\ndo\n")[0].split()
    assert {"systemd-pstore.service", "modprobe@efi_pstore.service"} <= set(masked)
