"""The clock: kept by whichever NTP service is there, installed where none is, and left alone where none can set it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from busnode.contract import Operation
from busnode.inventory import Target
from busnode.node import Node
from busnode.script import Layout, Plan
from busnode.steps import clock
from busnode.transport.local import Local
from tests.busnode.conftest import SHELLS

if TYPE_CHECKING:
    from busnode.report import Report
    from busnode.script import Step
    from tests.busnode.conftest import Run

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="the last of them makes a process 1 of its own")

Program = Callable[[str, str], Path]

# A systemd whose NTP services are files: NAME.there, .enabled, .active, .masked and .static.
SYSTEMCTL = """cd {0}
for unit do :; done
case $1 in
is-active) [ -e "$unit.active" ] ;;
is-enabled)
    if [ -e "$unit.enabled" ]; then echo enabled; exit; fi
    if [ -e "$unit.masked" ]; then echo masked; exit 1; fi
    if [ -e "$unit.static" ]; then echo static; exit; fi
    if [ -e "$unit.there" ]; then echo disabled; fi
    exit 1 ;;
-q) touch "$unit.active" "$unit.enabled" ;;
esac"""


class Machine:
    """A machine of the test's own: its NTP services, and when its clock becomes right."""

    def __init__(self, program: Program, folder: Path, *, right_after: int = 0, container: str = "") -> None:
        self.folder = folder
        program("systemd-detect-virt", f"echo '{container or 'none'}'; [ -n '{container}' ]")
        program("systemctl", SYSTEMCTL.format(folder))
        self.slept = program("sleep", "")
        self.slept.touch()
        program("timedatectl", f'[ "$(cat {self.slept} | wc -l)" -ge {right_after} ] && echo yes || echo no')
        program("chronyc", "exit 1")
        program("dpkg-query", f"[ ! -e {folder}/installed ] || printf '|installed %s|' $(cat {folder}/installed)")
        self.apt = program(
            "apt-get",
            f'case $* in *" install "*) echo systemd-timesyncd >{folder}/installed; {self._unit_comes} ;; esac',
        )

    @property
    def _unit_comes(self) -> str:
        return f"touch {self.folder}/systemd-timesyncd.service.there"

    def has(self, unit: str, *states: str) -> None:
        for state in ("there", *states):
            (self.folder / f"{unit}.{state}").touch()


def _only(report: Report) -> tuple[str, str]:
    assert len(report.steps) == 1
    return report.steps[0].status.value, report.steps[0].detail


def _step(**settings: object) -> Step:
    return clock.steps(Target.from_document("a", {"host": "h", "user": "bus", **settings}))[0]


def _run(run: Run, **options: object) -> tuple[str, str]:
    return _only(run(_step(), parts=("packages",), **options))


@pytest.mark.parametrize("unit", ["chrony.service", "ntpsec.service", "systemd-timesyncd.service"])
def test_a_clock_that_is_kept_is_left_alone(run: Run, program: Program, tmp_path: Path, unit: str) -> None:
    machine = Machine(program, tmp_path)
    machine.has("systemd-timesyncd.service")
    machine.has(unit, "enabled", "active")
    assert _run(run) == ("ok", f"synchronised by {unit}")
    assert not machine.apt.exists()


def test_a_service_that_is_there_is_started_and_its_clock_awaited(run: Run, program: Program, tmp_path: Path) -> None:
    machine = Machine(program, tmp_path, right_after=3)
    machine.has("chrony.service")
    assert _run(run) == ("changed", "started chrony.service, the clock is synchronised")
    assert machine.slept.read_text() == "1\n" * 3
    assert not machine.apt.exists()
    assert _run(run) == ("ok", "synchronised by chrony.service")


def test_a_node_without_an_ntp_service_gets_one(run: Run, program: Program, tmp_path: Path) -> None:
    machine = Machine(program, tmp_path)
    assert _run(run)[1] == ("installed systemd-timesyncd, started systemd-timesyncd.service, the clock is synchronised")
    assert machine.apt.read_text().splitlines()[-1].endswith("install --no-install-recommends -- systemd-timesyncd")


def test_a_package_that_brings_no_service_is_named(run: Run, program: Program, tmp_path: Path) -> None:
    machine = Machine(program, tmp_path)
    (tmp_path / "installed").write_text("systemd-timesyncd")
    for dry_run in (True, False):
        assert _run(run, dry_run=dry_run) == ("failed", "systemd-timesyncd is installed, and brought no NTP service")
    assert not machine.apt.exists()


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("unit", ["systemd-timesyncd.service", "chrony.service"])
def test_a_masked_service_is_neither_started_nor_removed_for_another(
    run: Run, program: Program, tmp_path: Path, unit: str, dry_run: bool
) -> None:
    machine = Machine(program, tmp_path)
    machine.has(unit, "masked")
    assert _run(run, dry_run=dry_run) == ("failed", f"{unit} is masked; unmask it, or set time_synchronised to false")
    assert not machine.apt.exists()


def test_beside_a_masked_service_another_can_run(run: Run, program: Program, tmp_path: Path) -> None:
    machine = Machine(program, tmp_path)
    machine.has("ntpsec.service", "masked")
    machine.has("systemd-timesyncd.service")
    assert _run(run) == ("changed", "started systemd-timesyncd.service, the clock is synchronised")


def test_a_static_service_is_started(run: Run, program: Program, tmp_path: Path) -> None:
    machine = Machine(program, tmp_path)
    machine.has("systemd-timesyncd.service", "static")
    assert _run(run) == ("changed", "started systemd-timesyncd.service, the clock is synchronised")
    assert not machine.apt.exists()


def test_the_wait_for_timesyncd_needs_no_timedatectl(run: Run, program: Program, tmp_path: Path) -> None:
    machine = Machine(program, tmp_path)
    program("timedatectl", "exit 1")
    machine.has("systemd-timesyncd.service", "enabled", "active")
    assert _run(run)[1].startswith("systemd-timesyncd.service runs, and the clock is not synchronised after 90 s")


def test_chrony_is_asked_where_timedatectl_reaches_nobody(run: Run, program: Program, tmp_path: Path) -> None:
    machine = Machine(program, tmp_path)
    program("timedatectl", "exit 1")
    machine.has("chrony.service", "enabled", "active")
    asked = program("chronyc", f'[ "$(cat {machine.slept} | wc -l)" -ge 2 ]')
    assert _run(run) == ("ok", "synchronised by chrony.service")
    assert asked.read_text().splitlines() == ["-n waitsync 1"] * 3


@pytest.mark.parametrize("dry_run", [False, True])
def test_where_nobody_can_be_asked_nothing_is_awaited(
    run: Run, program: Program, tmp_path: Path, dry_run: bool
) -> None:
    machine = Machine(program, tmp_path)
    program("timedatectl", "echo 'Failed to connect to bus' >&2; exit 1")
    machine.has("openntpd.service", "enabled", "active")
    why = "nobody can be asked whether the clock is synchronised: timedatectl does not reach its service over D-Bus"
    assert _run(run, dry_run=dry_run) == ("skipped", f"openntpd.service runs; {why}")
    (tmp_path / "openntpd.service.active").unlink()
    if not dry_run:
        assert _run(run) == ("changed", f"started openntpd.service, {why}")
    assert machine.slept.read_text() == ""


def test_the_wait_has_its_end(run: Run, program: Program, tmp_path: Path) -> None:
    machine = Machine(program, tmp_path, right_after=10_000)
    machine.has("systemd-timesyncd.service", "enabled", "active")
    status, detail = _run(run)
    assert status == "failed"
    assert detail.startswith("systemd-timesyncd.service runs, and the clock is not synchronised after 90 s; give it")
    assert len(machine.slept.read_text().splitlines()) == 90


@pytest.mark.parametrize(
    ("states", "would"),
    [
        (None, "install systemd-timesyncd, start its service, wait for the clock"),
        ((), "enable and start chrony.service, wait for the clock"),
        (("enabled", "active"), "wait for chrony.service to synchronise the clock"),
    ],
)
def test_a_dry_run_neither_waits_nor_starts(
    run: Run, program: Program, tmp_path: Path, states: tuple[str, ...] | None, would: str
) -> None:
    machine = Machine(program, tmp_path, right_after=10_000)
    if states is not None:
        machine.has("chrony.service", *states)
    before = sorted(tmp_path.glob("*.service.*"))
    assert _run(run, dry_run=True) == ("would-change", would)
    assert sorted(tmp_path.glob("*.service.*")) == before
    assert machine.slept.read_text() == ""
    assert not machine.apt.exists()


def test_a_container_is_left_its_hosts_clock(run: Run, program: Program, tmp_path: Path) -> None:
    machine = Machine(program, tmp_path, container="systemd-nspawn")
    assert _run(run) == (
        "skipped",
        "this is a container (systemd-nspawn), which sets no clock",
    )
    assert not machine.apt.exists()


def test_a_process_1_without_the_right_to_set_it_is_named(program: Program, layout: Layout, tmp_path: Path) -> None:
    """The kernel's own word: a process 1 whose bounding set lacks CAP_SYS_TIME."""
    Machine(program, tmp_path)
    apart = ("unshare", "--pid", "--fork", "--mount-proc", "setpriv", "--bounding-set=-sys_time", *SHELLS["dash"])
    node = Node(Target("a", "h", "bus"), Local(apart), layout=layout)
    report = node.run(Plan(Operation.BOOTSTRAP, (_step(),), parts=("packages",)), 20)
    assert _only(report) == (
        "skipped",
        "this is a machine whose process 1 lacks CAP_SYS_TIME, which sets no clock",
    )


def test_the_inventory_has_the_last_word() -> None:
    assert _step(packages=["jq", "chrony"]).call[-1] == "chrony"
    assert clock.steps(Target.from_document("a", {"host": "h", "user": "bus", "time_synchronised": False})) == []
