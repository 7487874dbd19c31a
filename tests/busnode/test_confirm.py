"""Commit-confirm on the node's side, in throw-away roots: what was saved comes back, and one of two wins the rename."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from busnode.contract import StepStatus
from busnode.steps import confirm, firewall, sshd

if TYPE_CHECKING:
    from busnode.inventory import Target
    from busnode.script import Layout, Report
    from tests.busnode.conftest import Run

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="owners are changed by root only")

Program = Callable[[str, str], Path]
ID = "0" * 32


@dataclass(frozen=True, slots=True)
class Machine:
    """A node whose systemd, nft and sshd are programs of the test's own, and its files."""

    run: Run
    layout: Layout
    target: Target
    root: Path
    shell: tuple[str, ...]

    def harden(self, *, dry_run: bool = False) -> Report:
        """The changing part of harden, as its plan has it."""
        policy = self.target.firewall_policy
        assert policy is not None
        steps = (confirm.compare(), *confirm.arm(60), *sshd.steps(), *firewall.steps())
        return self.run(
            *steps,
            dry_run=dry_run,
            exclusive=True,
            parts=("credentials",),
            before=(confirm.wanted(self.target, policy, None, self.layout),),
            after=(("rolled_back_if_broken",),),
        )

    def confirm(self) -> Report:
        return self.run(confirm.confirm(ID), before=(("lock_node", "-n"),))

    def roll_back(self) -> None:
        """What the timer does."""
        subprocess.run(
            [*self.shell, f"{self.layout.state_dir}/rollback.sh"], check=True, capture_output=True, timeout=30
        )

    def files(self) -> dict[str, tuple[int, int, int, bytes]]:
        """Everything that harden manages, with mode, owner, time and content; folders by their names."""
        found = {}
        for top in ("ssh", "etc", "units"):
            for path in sorted((self.root / top).rglob("*")):
                status = path.lstat()
                content = (
                    str(path.readlink()).encode() if path.is_symlink() else b"/" if path.is_dir() else path.read_bytes()
                )
                mtime = 0 if path.is_dir() else status.st_mtime_ns
                found[str(path.relative_to(self.root))] = (status.st_mode, status.st_uid, mtime, content)
        return found


SSHD = """case $* in -t) exit 0 ;; esac
[ ! -e {dropin} ] || grep -a '^[A-Z]' {dropin}
echo "passwordauthentication yes"
"""
SYSTEMCTL = """case "$*" in
*is-active*busnode-rollback.timer) exit 0 ;;
*is-active*ssh.socket*) exit 3 ;;
*is-active*busnode-firewall*) cat {root}/active 2>/dev/null && exit 0; exit 3 ;;
*is-enabled*) [ -L {units}/sysinit.target.wants/busnode-firewall.service ] && echo enabled || echo disabled ;;
*enable*) mkdir -p {units}/sysinit.target.wants; ln -sf x {units}/sysinit.target.wants/busnode-firewall.service ;;
*reload-or-restart\\ busnode*) echo active >{root}/active; cp {rules} {root}/rules ;;
*stop*busnode-firewall*) rm -f {root}/active {root}/rules ;;
esac"""
# Keeps what was loaded last, and knows the one table by it.
NFT = """case "$*" in
*list*) cat {root}/rules ;;
"-c -f"*) ;;
"-f -") sed 1,2d >{root}/rules; [ -s {root}/rules ] || rm {root}/rules ;;
esac"""


@pytest.fixture
def machine(
    run: Run, layout: Layout, target: Target, tmp_path: Path, program: Program, shell: tuple[str, ...]
) -> Machine:
    (tmp_path / "etc").mkdir()
    names = {"root": tmp_path, "units": layout.unit_dir, "dropin": layout.sshd_dropin, "rules": layout.firewall_rules}
    program("sshd", SSHD.format(**names))
    program("systemctl", SYSTEMCTL.format(**names))
    program("nft", NFT.format(**names))
    program("logger", "")
    return Machine(run, layout, replace(target, service_accounts=()), tmp_path, shell)


def _statuses(report: Report) -> dict[str, str]:
    return {step.name: step.status.value for step in report.steps}


def test_it_is_saved_armed_and_changed_in_that_order(machine: Machine) -> None:
    report = machine.harden()
    assert report.error is None, report
    assert list(_statuses(report)) == [
        "difference to the policy",
        "old state",
        "rollback",
        "sshd drop-in",
        "sshd reload",
        "sshd policy",
        "firewall rules",
    ]
    assert report.facts["armed"] == ID
    assert (Path(machine.layout.state_dir) / "pending").stat().st_mode & 0o777 == 0o700


def test_confirmed_it_stays_and_a_late_rollback_does_nothing(machine: Machine) -> None:
    machine.harden()
    assert _statuses(machine.confirm()) == {"confirmation": "changed"}
    kept = machine.files()
    assert not any("rollback" in name for name in kept)
    machine.roll_back()
    assert machine.files() == kept
    assert _statuses(machine.confirm()) == {"confirmation": "ok"}, "an answer that was lost can be asked for again"


def test_rolled_back_it_is_gone_and_a_late_confirmation_is_told(machine: Machine) -> None:
    before = machine.files()
    machine.harden()
    assert machine.files() != before
    machine.roll_back()
    assert machine.files() == before
    report = machine.confirm()
    assert report.error == ("rolled_back", "the node had taken the change back before it was confirmed")
    machine.roll_back()
    assert machine.files() == before


def test_the_second_time_nothing_is_armed(machine: Machine) -> None:
    machine.harden()
    machine.confirm()
    kept = machine.files()
    report = machine.harden()
    assert set(_statuses(report).values()) == {"ok"}, report
    assert "armed" not in report.facts
    assert machine.files() == kept


def test_a_pending_change_is_a_conflict_for_the_next(machine: Machine) -> None:
    machine.harden()
    report = machine.harden()
    assert report.error is not None
    assert report.error[0] == "conflict"
    assert "tester@here since" in report.error[1]


def test_a_step_that_fails_takes_it_back_at_once(machine: Machine, program: Program) -> None:
    before = machine.files()
    program("nft", NFT.format(root=machine.root).replace('"-c -f"*)', '"-c -f"*) echo bad rule; exit 1'))
    report = machine.harden()
    assert report.error is not None
    assert report.error[0] == "rolled_back"
    assert "bad rule" in report.error[1]
    assert report.steps[-1].name == "roll back"
    assert machine.files() == before


def test_a_rollback_that_was_cut_off_goes_on(machine: Machine) -> None:
    before = machine.files()
    machine.harden()
    state = Path(machine.layout.state_dir)
    (state / "pending").rename(state / "rolling-back")
    machine.roll_back()
    assert machine.files() == before
    assert (state / "rolled-back/id").read_text().strip() == ID


def test_after_a_reboot_only_files_are_put_back(machine: Machine) -> None:
    before = machine.files()
    machine.harden()
    (Path(machine.layout.run_dir) / "armed").unlink()
    calls = machine.root / "systemctl.calls"
    calls.unlink()
    machine.roll_back()
    assert machine.files() == before
    assert not calls.exists()


def test_a_dry_run_shows_the_difference_and_writes_nothing(machine: Machine) -> None:
    before = machine.files()
    report = machine.harden(dry_run=True)
    assert machine.files() == before
    assert not list(Path(machine.layout.state_dir).iterdir())
    details = {step.name: step.detail for step in report.steps if step.status is StepStatus.WOULD_CHANGE}
    assert "+PasswordAuthentication no" in details["sshd drop-in"]
    assert "+        tcp dport { 22, 80, 443, 8080 } accept" in details["firewall rules"]


files = st.one_of(
    st.none(),
    st.tuples(st.just("link"), st.text("abc/", min_size=1, max_size=8), st.just(0o777)),
    st.tuples(st.just("file"), st.binary(max_size=40), st.sampled_from([0o600, 0o644, 0o400, 0o755])),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(there=st.lists(files, min_size=5, max_size=5), active=st.booleans())
def test_whatever_was_there_comes_back_byte_for_byte(machine: Machine, there: list[object], active: bool) -> None:
    layout = machine.layout
    subprocess.run(
        ["rm", "-rf", *(str(machine.root / name) for name in ("ssh", "etc", "units", "state", "run", "rules"))],
        check=True,
    )
    for name in ("ssh", "etc", "units"):
        (machine.root / name).mkdir()
    (machine.root / "active").write_text("active\n") if active else (machine.root / "active").unlink(missing_ok=True)
    places = [
        layout.sshd_dropin,
        layout.firewall_rules,
        f"{layout.unit_dir}/busnode-firewall.service",
        f"{layout.unit_dir}/sysinit.target.wants/busnode-firewall.service",
        f"{layout.unit_dir}/nftables.service.wants/busnode-firewall.service",
    ]
    for place, file in zip(map(Path, places), there, strict=True):
        match file:
            case ("link", str(aim), int()):
                place.parent.mkdir(exist_ok=True)
                place.symlink_to(aim)
            case ("file", bytes(content), int(mode)):
                place.parent.mkdir(exist_ok=True)
                place.write_bytes(content)
                place.chmod(mode)
    before = machine.files()
    machine.harden()
    machine.roll_back()
    assert machine.files() == before
    assert (machine.root / "active").exists() == active


def test_the_rollback_is_a_script_of_its_own(layout: Layout, tmp_path: Path, shell: tuple[str, ...]) -> None:
    text = confirm.rollback_script(replace(layout, state_dir="/it's here"))
    assert text.startswith("#!/bin/sh\nstate_dir=" + shlex.quote("/it's here") + "\n")
    (tmp_path / "rollback.sh").write_text(text)
    subprocess.run([*shell, "-n", str(tmp_path / "rollback.sh")], check=True)


def test_the_unit_that_reloads_sshd_does_not_stand_before_it(machine: Machine) -> None:
    """Its own reload of ssh would wait for its end, and the node stay as it is."""
    machine.harden()
    units = Path(machine.layout.unit_dir)
    assert "Before=" not in (units / "busnode-rollback.service").read_text()
    assert "ssh.service" in (units / "busnode-rollback-boot.service").read_text()
