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

from busnode.contract import Operation, StepStatus
from busnode.steps import applied, confirm, firewall, sshd

if TYPE_CHECKING:
    from busnode.inventory import Target
    from busnode.report import Report
    from busnode.script import Layout
    from tests.busnode.conftest import Run

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="owners are changed by root only")

Program = Callable[[str, str], Path]
ID = "0" * 32
BACK = "1" * 32


@dataclass(frozen=True, slots=True)
class Machine:
    """A node whose systemd, nft and sshd are programs of the test's own, and its files."""

    run: Run
    layout: Layout
    target: Target
    root: Path
    shell: tuple[str, ...]

    def harden(self, *, dry_run: bool = False, operation_id: str = ID) -> Report:
        """The changing part of harden, as its plan has it."""
        policy = self.target.firewall_policy
        assert policy is not None
        steps = (confirm.compare(), *confirm.arm(60), *sshd.steps(), *firewall.steps())
        return self.run(
            *steps,
            dry_run=dry_run,
            exclusive=True,
            operation=Operation.HARDEN,
            operation_id=operation_id,
            parts=("credentials", "restore", "applied"),
            before=(confirm.wanted(self.target, policy, self.layout),),
            after=(("rolled_back_if_broken",), applied.KEEP),
        )

    def status(self) -> Report:
        """Whether what was set still stands, as status asks it."""
        return self.run(applied.read(), operation=Operation.STATUS, parts=("facts",))

    def confirm(self, operation_id: str = ID) -> Report:
        return self.run(confirm.confirm(operation_id), parts=("restore",), before=(("lock_node", "-n"),))

    def give_up(self) -> Report:
        return self.run(confirm.give_up(ID), parts=("restore",), before=(("lock_node", "-n"),))

    def go_back(self, *, dry_run: bool = False) -> Report:
        """The changing part of rollback, as its plan has it."""
        return self.run(
            confirm.compare_undo(),
            *confirm.arm(60),
            confirm.restore(),
            operation=Operation.ROLLBACK,
            operation_id=BACK,
            dry_run=dry_run,
            exclusive=True,
            parts=("restore", "firewall"),
            before=(confirm.wanted_back(self.layout),),
            after=(("rolled_back_if_broken",),),
        )

    def roll_back(self, *mode: str, code: int = 0) -> str:
        """What the timer does, or with `boot` a start of the node; what it complained of."""
        done = subprocess.run(
            [*self.shell, f"{self.layout.state_dir}/rollback.sh", *mode],
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == code, done
        return done.stderr

    def state(self, name: str) -> Path:
        """A path of the state that the node keeps."""
        return Path(self.layout.state_dir) / name

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
[ ! -e {dropin} ] || sed -n 's/ 1G 1h$/ 1073741824 3600/; /^[A-Z]/p' {dropin}
echo "passwordauthentication yes"
"""
SYSTEMCTL = """case "$*" in
*is-active*busnode-rollback.timer) exit 0 ;;
*is-active*ssh.socket*) exit 3 ;;
*is-active*busnode-firewall*) cat {root}/active 2>/dev/null && exit 0; echo inactive; exit 3 ;;
*is-enabled*) [ -L {units}/sysinit.target.wants/busnode-firewall.service ] && echo enabled || echo disabled ;;
*enable*) mkdir -p {units}/sysinit.target.wants; ln -sf x {units}/sysinit.target.wants/busnode-firewall.service ;;
*reload-or-restart\\ busnode*) echo active >{root}/active; cp {rules} {root}/rules ;;
*start\\ busnode-firewall*) echo active >{root}/active; cp {rules} {root}/rules ;;
*stop*busnode-firewall*) rm -f {root}/active {root}/rules ;;
esac"""
# Keeps what was loaded last, and knows the one table by it.
NFT = """case "$*" in
"list tables") [ ! -e {root}/rules ] || echo table inet busnode ;;
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


def _hardened(machine: Machine) -> dict[str, tuple[int, int, int, bytes]]:
    """The files of a node whose hardening was confirmed."""
    machine.harden()
    machine.confirm()
    return machine.files()


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


def test_rolled_back_an_sshd_that_its_socket_has_started_is_restarted(machine: Machine, program: Program) -> None:
    machine.harden()
    calls = program("systemctl", "")
    machine.roll_back()
    assert "try-restart ssh.service" in calls.read_text()


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


@pytest.mark.parametrize("question", ["list tables", "-n list table inet busnode"])
def test_rules_in_force_that_cannot_be_saved_are_not_changed(machine: Machine, program: Program, question: str) -> None:
    """An nft that is away for a moment says nothing: the way back would be to no firewall at all."""
    machine.harden()
    machine.confirm()
    before = machine.files()
    program("nft", f'case "$*" in "{question}") exit 127 ;; esac\n{NFT.format(root=machine.root)}')
    policy = machine.target.firewall_policy
    assert policy is not None
    changed = replace(machine.target, firewall_policy=replace(policy, allowed_ports=(22, 8443)))
    report = replace(machine, target=changed).harden()
    assert report.steps[-1].status is StepStatus.SKIPPED
    assert [step.name for step in report.steps if step.status is StepStatus.FAILED] == ["old state"]
    assert not machine.state("pending").exists()
    assert machine.files() == before


def test_a_rollback_that_was_cut_off_goes_on(machine: Machine) -> None:
    before = machine.files()
    machine.harden()
    state = Path(machine.layout.state_dir)
    (state / "pending").rename(state / "rolling-back")
    machine.roll_back()
    assert machine.files() == before
    assert (state / "rolled-back/id").read_text().strip() == ID


@pytest.mark.parametrize("mode", ["boot", ""])
def test_of_an_operation_cut_off_before_it_changed_anything_no_unit_stays(machine: Machine, mode: str) -> None:
    machine.harden()
    machine.state("pending").rename(machine.state("preparing"))
    machine.roll_back(*mode.split())
    assert not list(Path(machine.layout.unit_dir).rglob("busnode-rollback*"))
    assert not machine.state("preparing").exists()


def test_what_a_power_cut_left_beside_a_file_is_taken_away(machine: Machine) -> None:
    before = machine.files()
    machine.harden()
    for path in (machine.layout.sshd_dropin, machine.layout.firewall_rules):
        Path(f"{path}.busnode-new").write_text("half")
    machine.roll_back()
    assert machine.files() == before


def test_a_start_of_the_node_puts_back_files_only(machine: Machine) -> None:
    """Also after systemctl soft-reboot, which keeps /run: to reload ssh there would wait for this unit's own end."""
    before = machine.files()
    machine.harden()
    unit = (Path(machine.layout.unit_dir) / "busnode-rollback-boot.service").read_text()
    assert "rollback.sh boot\n" in unit
    assert f"ConditionPathExists=|{machine.layout.state_dir}/preparing" in unit
    calls = machine.root / "systemctl.calls"
    calls.unlink()
    machine.roll_back("boot")
    assert machine.files() == before
    assert not calls.exists()


NFT_CANNOT_LOAD = """case "$*" in "-f -" | delete*) echo no netlink >&2; exit 1 ;; esac"""


@pytest.mark.parametrize(
    ("name", "body", "why"),
    [
        ("nft", NFT_CANNOT_LOAD, "nft does not load the old rules"),
        ("sshd", "echo bad option >&2; exit 255", "sshd does not take its old configuration"),
    ],
)
def test_a_rollback_that_fails_is_not_called_done_and_is_tried_again(
    machine: Machine, program: Program, name: str, body: str, why: str
) -> None:
    before = machine.files()
    machine.harden()
    works = (machine.root / "bin" / name).read_text()
    program(name, body)
    assert why in machine.roll_back(code=1)
    assert machine.state("rolling-back").is_dir()
    assert "Restart=on-failure" in (Path(machine.layout.unit_dir) / "busnode-rollback.service").read_text()
    note = machine.state("last-operation")
    assert not note.exists() or "rolled-back" not in note.read_text()
    # The next operation does not build on it, and its operator is told why.
    error = machine.harden().error
    assert error is not None
    assert error[0] == "conflict"
    assert error[1].startswith("an unfinished rollback cannot be completed:")
    assert why in error[1]
    assert machine.give_up().steps[0].status is StepStatus.FAILED
    (machine.root / "bin" / name).write_text(works)
    assert machine.give_up().facts["outcome"] == "rolled_back"
    assert machine.files() == before


def test_new_rules_do_not_stay_where_the_old_ones_cannot_be_loaded(machine: Machine, program: Program) -> None:
    machine.harden()
    calls = program("nft", """case "$*" in "-f -") exit 1 ;; esac""")
    machine.roll_back()
    assert calls.read_text().splitlines()[-1] == "delete table inet busnode"


def test_the_nodes_own_record_says_rolled_back(machine: Machine) -> None:
    machine.harden()
    machine.give_up()
    assert '"ended":"rolled-back"' in machine.state("last-operation").read_text()
    machine.confirm()
    assert '"ended":"rolled-back"' in machine.state("last-operation").read_text()


def test_the_timer_runs_before_a_change_is_pending(machine: Machine, program: Program) -> None:
    """Whatever stops the script in between: no change waits for a timer that was never started."""
    seen = machine.root / "seen"
    systemctl = SYSTEMCTL.format(
        root=machine.root,
        units=machine.layout.unit_dir,
        dropin=machine.layout.sshd_dropin,
        rules=machine.layout.firewall_rules,
    )
    program(
        "systemctl", f'case "$*" in *start*rollback.timer) ls {machine.layout.state_dir} >{seen} ;; esac\n{systemctl}'
    )
    machine.harden()
    assert "preparing" in seen.read_text()
    assert "pending" not in seen.read_text()


def test_a_timer_that_does_not_start_leaves_nothing(machine: Machine, program: Program) -> None:
    before = machine.files()
    program("systemctl", 'case "$*" in *start*rollback.timer) echo no bus; exit 1 ;; *is-active*) exit 3 ;; esac')
    report = machine.harden()
    assert "no bus" in report.steps[2].detail
    assert not machine.state("pending").exists()
    assert {name for name in machine.files() if "rollback" in name} <= set(before)


def test_a_pending_change_without_its_timer_is_taken_back_by_the_next_operation(
    machine: Machine, program: Program
) -> None:
    machine.harden()
    works = (machine.root / "bin/systemctl").read_text()
    (machine.root / "bin/systemctl").write_text(
        works.replace("busnode-rollback.timer) exit 0", "rollback.timer) exit 3")
    )
    report = machine.run(
        confirm.compare(),
        exclusive=True,
        before=(("wanted", "", "", "", "", "", "", ""),),
        parts=("sshd", "firewall", "credentials"),
    )
    assert report.error is None, report
    assert not machine.state("pending").exists()


def test_a_dry_run_shows_the_difference_and_writes_nothing(machine: Machine) -> None:
    before = machine.files()
    report = machine.harden(dry_run=True)
    assert machine.files() == before
    assert not list(Path(machine.layout.state_dir).iterdir())
    details = {step.name: step.detail for step in report.steps if step.status is StepStatus.WOULD_CHANGE}
    assert "+PasswordAuthentication no" in details["sshd drop-in"]
    assert "+        elements = { 22, 80, 443, 8080 }" in details["firewall rules"]


def test_back_to_the_state_before_the_last_change(machine: Machine) -> None:
    before = machine.files()
    machine.harden()
    machine.confirm()
    report = machine.go_back()
    assert report.error is None, report
    assert report.facts["armed"] == BACK
    assert _statuses(machine.confirm(BACK)) == {"confirmation": "changed"}
    assert machine.files() == before
    assert _statuses(machine.confirm(BACK)) == {"confirmation": "ok"}, "an answer that was lost can be asked for again"
    again = machine.go_back()
    assert set(_statuses(again).values()) == {"ok"}
    assert "nothing to go back to" in again.steps[0].detail
    assert machine.files() == before


def test_going_back_without_a_confirmation_ends_as_hardened(machine: Machine) -> None:
    hardened = _hardened(machine)
    machine.go_back()
    assert machine.files() != hardened
    machine.roll_back()
    assert machine.files() == hardened
    assert '"operation":"rollback"' in machine.state("last-operation").read_text()
    machine.go_back()
    machine.confirm(BACK)
    assert machine.files() != hardened, "it can still be gone back"


def test_an_old_state_that_sshd_does_not_take_is_given_up_at_once(machine: Machine, program: Program) -> None:
    hardened = _hardened(machine)
    program("sshd", f"[ -e {machine.layout.sshd_dropin} ] || {{ echo bad option >&2; exit 255; }}")
    report = machine.go_back()
    assert report.error is not None
    assert report.error[0] == "rolled_back"
    assert "bad option" in report.error[1]
    assert machine.files() == hardened


def test_a_start_of_the_node_while_going_back_starts_the_firewall_that_comes_back(machine: Machine) -> None:
    hardened = _hardened(machine)
    machine.go_back()
    calls = machine.root / "systemctl.calls"
    calls.unlink()
    machine.roll_back("boot")
    assert machine.files() == hardened
    assert calls.read_text().splitlines() == ["daemon-reload", "--no-block start busnode-firewall.service"]


def test_a_confirmation_that_is_cut_off_loses_no_state(machine: Machine) -> None:
    """Between its two renames, and after them: the state to go back to is whole, under its name or the next."""
    before = machine.files()
    machine.harden()
    machine.confirm()
    machine.go_back()
    machine.state("undone").mkdir()
    machine.state("undone").rename(machine.state("undone.old"))
    machine.roll_back()
    assert machine.state("confirmed/paths").exists()
    machine.go_back()
    machine.state("pending").rename(machine.state("undone"))
    assert machine.state("confirmed/paths").exists()
    assert _statuses(machine.confirm(BACK)) == {"confirmation": "ok"}
    assert machine.files() == before
    assert not machine.state("confirmed").exists()
    assert "nothing to go back to" in machine.go_back().steps[0].detail


def _with_key(machine: Machine, keys: Path, *, before: str) -> None:
    """The pending change, as a harden that added a key leaves it."""
    pending = machine.state("pending")
    (pending / "key-path").write_text(f"{keys}\n")
    with (pending / "paths").open("a") as paths:
        paths.write(f"{keys}\n")
    number = len((pending / "paths").read_text().splitlines())
    (pending / f"files/{number}").write_text(before)


@pytest.mark.parametrize("changed", [False, True])
def test_keys_that_were_added_since_stay(machine: Machine, changed: bool) -> None:
    keys = machine.root / "keys"
    keys.write_text("operator\npolicy\n")
    machine.harden()
    _with_key(machine, keys, before="operator\n")
    machine.confirm()
    if changed:
        keys.write_text("operator\npolicy\ncolleague\n")
    report = machine.go_back()
    machine.confirm(BACK)
    assert keys.read_text() == ("operator\npolicy\ncolleague\n" if changed else "operator\n")
    assert ("notice.keys" in report.facts) == changed


def test_a_dry_run_shows_what_going_back_would_change(machine: Machine) -> None:
    hardened = _hardened(machine)
    report = machine.go_back(dry_run=True)
    assert machine.files() == hardened
    [difference] = [step.detail for step in report.steps if step.name == "state before"]
    assert "-PasswordAuthentication no" in difference
    assert "-        elements = { 22, 80, 443, 8080 }" in difference


def test_a_dry_run_of_going_back_shows_the_changed_lines_of_a_file_of_keys_alone(machine: Machine) -> None:
    keys = machine.root / "keys"
    keys.write_text("the user's own\npolicy\n")
    machine.harden()
    _with_key(machine, keys, before="the user's own\n")
    machine.confirm()
    [shown] = [step.detail for step in machine.go_back(dry_run=True).steps if step.name == "state before"]
    assert f"--- {keys} (now)\n+++ {keys} (before)\n@@ -2 +1,0 @@\n-policy" in shown
    assert "the user's own" not in shown


files = st.one_of(
    st.none(),
    st.tuples(st.just("link"), st.text("abc/", min_size=1, max_size=8), st.just(0o777)),
    st.tuples(st.just("file"), st.binary(max_size=40), st.sampled_from([0o600, 0o644, 0o400, 0o755])),
)


def _given(machine: Machine, there: list[object], active: bool) -> None:
    """A node with these files where harden's own will be."""
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
        f"{layout.unit_dir}/nftables.service.d/busnode.conf",
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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(there=st.lists(files, min_size=6, max_size=6), active=st.booleans())
def test_whatever_was_there_comes_back_byte_for_byte(machine: Machine, there: list[object], active: bool) -> None:
    _given(machine, there, active)
    before = machine.files()
    machine.harden()
    machine.roll_back()
    assert machine.files() == before
    assert (machine.root / "active").exists() == active


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
@given(there=st.lists(files, min_size=6, max_size=6), active=st.booleans())
def test_back_and_forth_is_byte_for_byte_too(machine: Machine, there: list[object], active: bool) -> None:
    _given(machine, there, active)
    before = machine.files()
    hardened = _hardened(machine)
    machine.go_back()
    machine.roll_back()
    assert machine.files() == hardened
    machine.go_back()
    machine.confirm(BACK)
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


def test_a_timer_that_was_not_needed_is_stopped_before_its_service_is_gone_from_systemd(machine: Machine) -> None:
    """Reloaded first, systemd has a timer of no service, and keeps it as failed."""
    machine.harden()
    calls = machine.root / "systemctl.calls"
    calls.unlink()
    assert machine.give_up().facts["outcome"] == "rolled_back"
    words = calls.read_text().splitlines()
    assert words.index("stop busnode-rollback.timer") < len(words) - 1
    assert words[-1] == "daemon-reload"


def test_a_change_that_was_given_up_before_it_began_does_not_begin(machine: Machine) -> None:
    """Its connection was lost on the way: under the node's lock its operator was told that nothing was changed."""
    before = machine.files()
    assert machine.give_up().facts["outcome"] == "absent"
    assert '"ended":"given-up"' in machine.state("last-operation").read_text()
    report = machine.harden()
    assert report.error is None
    assert [step.detail for step in report.steps if step.status is StepStatus.FAILED] == [
        "its operator gave it up before it changed anything"
    ]
    assert machine.files() == before
    assert not machine.state("pending").exists()
    assert machine.harden(operation_id="3" * 32).facts["armed"] == "3" * 32, "another may"


# Whether it still stands


def _no_longer_stands(machine: Machine) -> list[str]:
    (one,) = machine.status().applied
    return [step.name for step in one.steps if not applied.stands(step)]


def test_what_harden_set_stands_until_somebody_changes_it(machine: Machine) -> None:
    assert machine.status().applied == ()
    _hardened(machine)
    (one,) = machine.status().applied
    assert [step.name for step in one.steps] == [
        "difference to the policy",
        "sshd drop-in",
        "sshd policy",
        "firewall rules",
    ]
    assert _no_longer_stands(machine) == []
    dropin = Path(machine.layout.sshd_dropin)
    text = dropin.read_text()
    dropin.write_text(text.replace("PasswordAuthentication no", "PasswordAuthentication yes"))
    assert _no_longer_stands(machine) == ["sshd drop-in", "sshd policy"]
    dropin.write_text(text)
    rules = machine.root / "rules"
    loaded = rules.read_text()
    rules.write_text(loaded.replace("443, ", ""))
    assert _no_longer_stands(machine) == ["firewall rules"]
    rules.write_text(loaded)
    (machine.root / "active").unlink()
    (one,) = machine.status().applied
    assert "busnode-firewall.service: inactive -> active" in one.steps[-1].detail


def test_of_a_change_that_was_taken_back_nothing_is_wanted_any_more(machine: Machine) -> None:
    machine.harden()
    machine.roll_back()
    assert machine.status().applied == ()


def test_after_going_back_what_was_set_before_is_wanted_again(machine: Machine) -> None:
    _hardened(machine)
    first = machine.state("applied.harden").read_bytes()
    policy = machine.target.firewall_policy
    assert policy is not None
    other = replace(machine, target=replace(machine.target, firewall_policy=replace(policy, allowed_ports=(22, 8443))))
    other.harden()
    assert machine.state("applied.harden").read_bytes() != first
    other.roll_back()
    assert machine.state("applied.harden").read_bytes() == first
    other.harden(operation_id="2" * 32)
    machine.confirm("2" * 32)
    machine.go_back()
    machine.confirm(BACK)
    assert machine.state("applied.harden").read_bytes() == first
    assert _no_longer_stands(machine) == []
