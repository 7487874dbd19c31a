"""An operation that is sent twice has its effect once: the node keeps what came of it, under its lock."""

from __future__ import annotations

import fcntl
import shlex
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from busnode.contract import StepStatus
from busnode.script import Layout, Step

if TYPE_CHECKING:
    from busnode.report import Report
    from tests.busnode.conftest import Run

ID = "a" * 32


def _append(file: Path, pause: float = 0) -> Step:
    return Step("x", "append", "packages", ("eval", f"sleep {pause}; echo x >>{shlex.quote(str(file))}; changed"))


def test_a_repeated_operation_is_told_what_came_of_the_first(run: Run, tmp_path: Path, layout: Layout) -> None:
    file = tmp_path / "file"
    steps = (_append(file), Step("x", "done", "packages", ("changed", "it's “done”")))
    first = run(*steps, exclusive=True, may_come_again=True, operation_id=ID)
    assert run(*steps, exclusive=True, may_come_again=True, operation_id=ID) == first
    assert file.read_text() == "x\n"
    assert run(*steps, exclusive=True, may_come_again=True, operation_id="b" * 32).steps[1] == first.steps[1]
    assert file.read_text() == "x\nx\n"
    assert (Path(layout.state_dir) / "results").stat().st_mode & 0o777 == 0o700


def test_a_failure_is_kept_too_and_a_dry_run_is_not(run: Run, tmp_path: Path) -> None:
    failing = Step("x", "fails", "packages", ("failed", "no"))
    first = run(failing, exclusive=True, may_come_again=True, operation_id=ID)
    assert first.ended == "failed"
    assert run(_append(tmp_path / "file"), exclusive=True, may_come_again=True, operation_id=ID) == first
    run(_append(tmp_path / "file"), exclusive=True, may_come_again=True, dry_run=True, operation_id=ID)
    assert (tmp_path / "file").read_text() == "x\n"


def test_what_is_still_under_way_is_waited_for(run: Run, tmp_path: Path, layout: Layout) -> None:
    file = tmp_path / "file"
    reports: list[Report] = []
    slow = (_append(file, 1.5), Step("x", "done", "packages", ("changed", "done")))
    thread = threading.Thread(
        target=lambda: reports.append(run(*slow, exclusive=True, may_come_again=True, operation_id=ID))
    )
    thread.start()
    while not (Path(layout.run_dir) / "operation-id").exists():
        thread.join(0.02)
    again = run(*slow, exclusive=True, may_come_again=True, operation_id=ID)
    thread.join()
    assert [again] == reports
    assert again.steps[1].status is StepStatus.CHANGED
    assert file.read_text() == "x\n"


def test_what_was_cut_off_is_run_again(run: Run, tmp_path: Path, layout: Layout) -> None:
    cut = Step("x", "cut", "packages", ("exit", "1"))
    assert run(_append(tmp_path / "file"), cut, exclusive=True, may_come_again=True, operation_id=ID).ended is None
    again = run(
        _append(tmp_path / "file"),
        Step("x", "done", "packages", ("ok",)),
        exclusive=True,
        may_come_again=True,
        operation_id=ID,
    )
    assert again.steps[1].status is StepStatus.OK
    assert (tmp_path / "file").read_text() == "x\nx\n"


def test_only_the_last_hundred_are_kept(run: Run, layout: Layout) -> None:
    results = Path(layout.state_dir) / "results"
    results.mkdir(mode=0o700)
    for number in range(105):
        (results / f"old-{number}").touch()
    run(Step("x", "done", "packages", ("ok",)), exclusive=True, may_come_again=True, operation_id=ID)
    assert len(list(results.iterdir())) == 100
    assert (results / ID).exists()


def test_what_was_kept_is_told_also_while_another_operation_holds_the_node(
    run: Run, tmp_path: Path, layout: Layout
) -> None:
    file = tmp_path / "file"
    first = run(_append(file), exclusive=True, may_come_again=True, operation_id=ID)
    with (Path(layout.run_dir) / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (Path(layout.run_dir) / "operation-id").write_text("b" * 32)
        assert run(_append(file), exclusive=True, may_come_again=True, operation_id=ID) == first
    assert file.read_text() == "x\n"


def test_a_report_that_a_full_disk_cut_is_not_kept(run: Run, tmp_path: Path, layout: Layout) -> None:
    file, results = tmp_path / "file", Path(layout.state_dir) / "results"
    full = Step("x", "fill", "packages", ("eval", "exec 8>/dev/full; ok"))
    assert run(full, exclusive=True, may_come_again=True, operation_id=ID).ended == "ok"
    assert list(results.iterdir()) == []
    assert run(_append(file), exclusive=True, may_come_again=True, operation_id=ID).ended == "ok"
    assert file.read_text() == "x\n"
    assert [kept.name for kept in results.iterdir()] == [ID]
