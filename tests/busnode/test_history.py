"""The history file: two lines a run, read back whatever else the file holds."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from busnode import history
from busnode.contract import Operation, Response, StepResult, StepStatus, UnreachableError
from busnode.history import History


def _history(folder: Path) -> History:
    return History(folder / "state/busnode/history.jsonl", "tester@here", pytest.fail)


def _note(record: History, node_id: str) -> None:
    with record.run(node_id, "harden", dry_run=False) as made:
        step = StepResult("sshd drop-in", StepStatus.CHANGED, "+PasswordAuthentication no", 0.1)
        made.response = Response(True, node_id, Operation.HARDEN, steps=(step,), plan_digest="0" * 16)


def test_a_run_is_kept_with_its_steps_and_without_their_details(tmp_path: Path) -> None:
    record = _history(tmp_path)
    _note(record, "proxy")
    [entry] = record.entries()
    assert entry["steps"] == [{"name": "sshd drop-in", "status": "changed"}]
    assert (entry["event"], entry["by"], entry["ok"], entry["plan_digest"]) == ("ended", "tester@here", True, "0" * 16)
    assert record.path.stat().st_mode & 0o777 == 0o600
    assert "Password" not in record.path.read_text()


def test_a_failure_is_kept_and_raised(tmp_path: Path) -> None:
    record = _history(tmp_path)
    with pytest.raises(UnreachableError), record.run("proxy", "status", dry_run=False):
        raise UnreachableError("proxy: no route")
    [entry] = record.entries()
    assert (entry["ok"], entry["error_class"]) == (False, "unreachable")


def test_a_run_that_was_cut_off_is_there_as_it_began(tmp_path: Path) -> None:
    record = _history(tmp_path)
    with pytest.raises(KeyboardInterrupt), record.run("proxy", "harden", dry_run=True):
        raise KeyboardInterrupt
    [entry] = record.entries()
    assert (entry["event"], entry["dry_run"]) == ("began", True)


def test_runs_side_by_side_keep_their_lines_whole(tmp_path: Path) -> None:
    record = _history(tmp_path)
    threads = [threading.Thread(target=_note, args=(record, f"n{number}")) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {entry["node_id"] for entry in record.entries()} == {f"n{number}" for number in range(20)}
    assert len(record.path.read_text().splitlines()) == 40
    assert [entry["node_id"] for entry in record.entries(frozenset({"n7"}))] == ["n7"]


json_values = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
)
noise_lines = st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.lists(noise_lines, max_size=5))
def test_lines_that_are_none_lose_nothing(tmp_path: Path, noise: list[bytes]) -> None:
    record = _history(tmp_path)
    record.path.unlink(missing_ok=True)
    record.path.parent.mkdir(parents=True, exist_ok=True)
    record.path.write_bytes(b"".join(line.replace(b"\n", b"") + b"\n" for line in noise))
    _note(record, "proxy")
    assert [entry["node_id"] for entry in record.entries()] == ["proxy"]


def test_a_place_that_cannot_be_written_is_said_and_stops_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "state").write_text("a file")
    record = History(tmp_path / "state/busnode/history.jsonl", "tester@here", said.append)
    _note(record, "proxy")
    assert all("not in the history" in line for line in said)
    assert said


def test_the_place_is_the_users_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert history.place({"XDG_STATE_HOME": "/var/state"}) == Path("/var/state/busnode/history.jsonl")
    assert history.place({"XDG_STATE_HOME": "relative"}) == tmp_path / ".local/state/busnode/history.jsonl"
