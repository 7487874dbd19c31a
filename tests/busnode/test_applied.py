"""Whether what was set still stands: the script that the node kept, run dry, in throw-away roots and each shell."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busnode import view
from busnode.contract import Operation, Response, StepResult, StepStatus
from busnode.report import Applied, parse_report
from busnode.script import Step
from busnode.steps import applied

if TYPE_CHECKING:
    from busnode.report import Report
    from busnode.script import StepRecord
    from tests.busnode.conftest import Run

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="owners are changed by root only")

Program = Callable[[str, str], Path]
SECRET = b"s3cret of the site"


def _directory(path: Path) -> Step:
    call = ("directory_present", str(path), "root", "root", "750")
    return Step("create-directories", f"directory {path.name}", "directories", call)


def _credential(path: Path) -> Step:
    call = ("credential_placed", "0", hashlib.sha256(SECRET).hexdigest(), str(path), "root", "root", "600")
    return Step("place-credentials", f"credential {path.name}", "credentials", call)


class Own(NamedTuple):
    """A step of an operator's own."""

    action: str
    name: str
    shell: str
    call: tuple[str, ...]


def _set(run: Run, *steps: StepRecord) -> Report:
    """Steps as a bootstrap runs them."""
    return run(*steps, blobs=(SECRET,), exclusive=True, parts=("applied",), after=(applied.KEEP,))


def _asked(run: Run) -> Report:
    """What status says of it."""
    report = run(applied.read(), operation=Operation.STATUS, parts=("facts",), operation_id="2" * 32)
    assert [step.status for step in report.steps] == [StepStatus.OK]
    assert report.ended == "ok"
    return report


def _only(report: Report) -> dict[str, tuple[bool, str]]:
    (one,) = report.applied
    return {step.name: (applied.stands(step), step.detail) for step in one.steps}


def test_a_node_that_was_never_touched_says_so(run: Run) -> None:
    report = _asked(run)
    assert report.steps[0].detail == "busnode has set nothing here"
    assert report.applied == ()


def test_each_step_is_named_that_no_longer_stands_whatever_else_is_broken(run: Run, tmp_path: Path) -> None:
    first, second, token = tmp_path / "first", tmp_path / "it's 2nd", tmp_path / "token"
    _set(run, _directory(first), _directory(second), _credential(token))
    report = _asked(run)
    assert _only(report) == {
        "directory first": (True, ""),
        "directory it's 2nd": (True, ""),
        "credential token": (True, ""),
    }
    (one,) = report.applied
    assert (one.operation, one.operation_id, one.by, one.left_out) == ("bootstrap", "0" * 32, "tester@here", 0)
    assert report.steps[0].detail == "bootstrap stands"
    # A link in the place of a directory makes the step fail, and the ones after it are looked at all the same.
    first.rmdir()
    first.symlink_to(tmp_path)
    second.chmod(0o777)
    token.write_text("another")
    found = _only(_asked(run))
    assert found["directory first"] == (False, "a symbolic link; name the folder it leads to")
    assert found["directory it's 2nd"] == (False, "root:root 777 -> root:root 750")
    assert found["credential token"][0] is False
    assert _asked(run).steps[0].detail == "of bootstrap 3 steps no longer stand"
    assert second.stat().st_mode & 0o777 == 0o777, "it looks and changes nothing"
    assert token.read_text() == "another"


def test_what_is_kept_is_roots_alone_and_holds_no_secret(run: Run, tmp_path: Path) -> None:
    _set(run, _credential(tmp_path / "token"))
    kept = tmp_path / "state/applied.bootstrap"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert SECRET not in kept.read_bytes()


def test_of_a_bootstrap_that_failed_half_way_the_rest_does_not_stand(run: Run, tmp_path: Path) -> None:
    made, taken, missed = tmp_path / "made", tmp_path / "taken", tmp_path / "missed"
    taken.write_text("a file")
    assert _set(run, _directory(made), _directory(taken), _directory(missed)).ended == "failed"
    assert [stands for stands, _ in _only(_asked(run)).values()] == [True, False, False]


def test_a_bootstrap_that_changed_nothing_before_it_failed_takes_no_others_place(run: Run, tmp_path: Path) -> None:
    _set(run, _directory(tmp_path / "made"))
    (tmp_path / "taken").write_text("a file")
    assert _set(run, _directory(tmp_path / "taken")).ended == "failed"
    assert list(_only(_asked(run))) == ["directory made"]


def test_a_step_for_once_is_not_asked_again(run: Run, tmp_path: Path) -> None:
    _set(run, Step("guard", "guard", "packages", ("ok", "seen"), once=True), _directory(tmp_path / "made"))
    assert list(_only(_asked(run))) == ["directory made"]


@pytest.mark.parametrize("script", ["exit 1\n", "((", "kill $$\n", ""])
def test_a_kept_script_that_somebody_broke_does_not_break_status(run: Run, tmp_path: Path, script: str) -> None:
    _set(run, _directory(tmp_path / "made"))
    (tmp_path / "state/applied.bootstrap").write_text(script)
    report = _asked(run)
    assert report.steps[0].detail.startswith("what bootstrap set cannot be looked at")
    (one,) = report.applied
    assert one.unread
    assert applied.digest(one)["stands"] is None


@pytest.mark.parametrize("of", ["folder", "file"])
def test_what_others_can_write_root_does_not_run(run: Run, tmp_path: Path, of: str) -> None:
    _set(run, _directory(tmp_path / "made"))
    kept = tmp_path / "state/applied.bootstrap"
    kept.write_text(f"touch {tmp_path}/ran\n{kept.read_text()}")
    (kept if of == "file" else kept.parent).chmod(0o770)
    (one,) = _asked(run).applied
    assert one.unread == "others than root can write it"
    assert not (tmp_path / "ran").exists()


def test_more_steps_than_there_is_room_for_stand_all_the_same(run: Run, tmp_path: Path) -> None:
    made = tmp_path / "made"
    steps = [Step("x", f"{number:03} {'n' * 180}", "packages", ("ok",)) for number in range(200)]
    _set(run, *steps, _directory(made))
    (one,) = _asked(run).applied
    assert 0 < len(one.steps) < 200
    assert len(one.steps) + one.left_out == 201
    assert applied.digest(one)["stands"] is True
    assert applied.diagnostics(one) == []
    made.chmod(0o777)
    (one,) = _asked(run).applied
    assert one.drifted == 1
    # The one step that no longer stands is told, though it comes last, and the order is as before.
    assert one.steps[-1].name == "directory made"
    assert [step.name for step in one.steps[:-1]] == sorted(step.name for step in one.steps[:-1])
    assert len(applied.diagnostics(one)) == 1


def test_steps_that_no_longer_stand_and_have_no_room_are_counted(run: Run, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number:03}{'n' * 180}" for number in range(200)]
    _set(run, *map(_directory, paths))
    for path in paths:
        path.chmod(0o777)
    (one,) = _asked(run).applied
    assert (one.drifted, applied.digest(one)["stands"]) == (200, False)
    more = 200 - len(one.steps)
    assert more > 0
    assert applied.diagnostics(one)[-1] == f"no longer as bootstrap set it: {more} more, which are too many to tell"


def test_status_looks_at_the_lock_beside_others_that_look(run: Run, tmp_path: Path) -> None:
    _set(run, _directory(tmp_path / "made"))
    with (tmp_path / "run/lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert _asked(run).steps[0].detail == "bootstrap stands"
        fcntl.flock(lock, fcntl.LOCK_EX)
        report = run(applied.read(), operation=Operation.STATUS, parts=("facts",), operation_id="2" * 32)
    assert [step.status for step in report.steps] == [StepStatus.SKIPPED]
    assert not applied.was_looked_at(report.steps)


def test_a_long_difference_is_its_beginning(run: Run, tmp_path: Path) -> None:
    text = "line\n" * 2000
    # Many of them, each of a length that would fit.
    many = 'for n in 1 2 3 4 5 6 7 8 9; do difference "$1.$n" "$2"; done'
    shell = f'own_file() {{ would "$({many})" && return; changed; }}'

    _set(run, Own("own", "file", shell, ("own_file", str(tmp_path / "file"), text)))
    detail = _only(_asked(run))["file"][1]
    assert detail.startswith(f"--- {tmp_path}/file.1 (now)")
    assert detail.endswith("(the rest of the difference is left out)")
    assert len(detail) < 2200


# What a node says of it is judged like all that it says.


@given(st.text(), st.text(), st.integers(), st.integers(), st.integers(), st.sampled_from(list(StepStatus)))
def test_whatever_a_node_says_of_it_has_a_document(
    operation: str, by: str, at: int, drifted: int, left_out: int, status: StepStatus
) -> None:
    line = {"of": operation, "name": by, "status": status.value, "detail": by, "seconds": 0}
    counts = {"drifted": drifted, "left_out": left_out}
    end = {"applied": operation, "operation_id": by, "by": by, "at": at, **counts}
    unread = {"applied": operation, "unread": by}
    report = parse_report(f"{json.dumps(line)}\n{json.dumps(end)}\n{json.dumps(unread)}\n".encode())
    assert report.steps == ()
    assert [len(one.steps) for one in report.applied] == [1, 0]
    for one in report.applied:
        json.dumps([applied.digest(one), applied.diagnostics(one)], ensure_ascii=False).encode()
    assert applied.digest(report.applied[1])["stands"] is None


def test_a_step_that_no_longer_stands_is_one_line_for_the_operator() -> None:
    steps = (
        StepResult("directory /a", StepStatus.OK, "", 0.0),
        StepResult("directory /b", StepStatus.WOULD_CHANGE, "absent -> root:root 750", 0.0),
        StepResult("firewall rules", StepStatus.WOULD_CHANGE, "--- a\n+++ b", 0.0),
        StepResult("service x.service", StepStatus.FAILED, "masked", 0.0),
        StepResult("time", StepStatus.SKIPPED, "a container", 0.0),
    )
    one = Applied("harden", "0", "me", steps=steps)
    assert applied.diagnostics(one) == [
        "no longer as harden set it: directory /b: absent -> root:root 750",
        "no longer as harden set it: firewall rules: --- a …",
        "no longer as harden set it: service x.service: masked",
    ]
    assert [step["stands"] for step in applied.digest(one)["steps"]] == [True, False, False, False, True]


def test_people_read_what_stands_in_a_few_lines() -> None:
    steps = (StepResult("directory /a", StepStatus.OK, "", 0), StepResult("time\x1b", StepStatus.FAILED, "a\nb", 0))
    one = applied.digest(Applied("bootstrap", "0", "me@here", steps=steps))
    answer = Response(ok=True, node_id="proxy", operation=Operation.STATUS, facts={"applied": [one]})
    assert view.response(answer, color=False).splitlines() == [
        "proxy: status ok, 1 no longer as set",
        "  set by bootstrap: 1 of 2 steps no longer stand (me@here, 1970-01-01 00:00:00 UTC)",
        "  no longer stands: time?: a",
    ]
    assert "1 no longer as set" in view.ended(answer, 0.1, color=False)
    untouched = Response(ok=True, node_id="proxy", operation=Operation.STATUS, facts={"applied": []})
    assert view.response(untouched, color=False).splitlines() == [
        "proxy: status ok, nothing was set here",
        "  last operation: none; busnode has changed nothing here",
    ]
