"""The history of `bee audit`: nothing is lost, not within one second, not when the power goes, and it stays bounded."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee import history
from bee.audit import DEFAULT_PATH, OutputError, write
from tests.house.tree import ROOT

TIME = "2026-11-22T03:17:46Z"
STEM = "2026-11-22T031746Z"


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_audits_of_one_second_are_all_kept(tmp_path: Path) -> None:
    folder = str(tmp_path / "bee-audit")
    paths = [Path(history.keep(folder, content, TIME)) for content in (b"1", b"2", b"3")]
    assert [path.name for path in paths] == [f"{STEM}.json", f"{STEM}-2.json", f"{STEM}-3.json"]
    assert [path.read_bytes() for path in paths] == [b"1", b"2", b"3"]


def test_only_root_may_read_it(tmp_path: Path) -> None:
    path = Path(history.keep(str(tmp_path / "bee-audit"), b"1", TIME))
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path.parent, path)] == [0o700, 0o600]


def test_the_oldest_go_and_nothing_else_does(tmp_path: Path) -> None:
    old = [f"2026-11-{day:02}T000000Z{number}.json" for day in range(1, 29) for number in ("", "-2", "-10")]
    for name in (*old, "notes.txt", "2026-11-01.json"):
        (tmp_path / name).touch()
    history.keep(str(tmp_path), b"1", "2026-12-01T00:00:00Z")
    kept = [*old[1 - history.KEPT :], "2026-12-01T000000Z.json", "notes.txt", "2026-11-01.json"]
    assert _names(tmp_path) == sorted(kept)


def test_an_audit_of_1970_stays_among_newer_ones(tmp_path: Path) -> None:
    for minute in range(history.KEPT):
        (tmp_path / f"2026-11-22T00{minute:02}00Z.json").touch()
    assert Path(history.keep(str(tmp_path), b"1", "1970-01-01T00:00:09Z")).exists()
    assert len(_names(tmp_path)) == history.KEPT


@given(text=st.text(max_size=24))
def test_a_time_never_leads_out_of_the_folder(text: str) -> None:
    try:
        found = history.stamp(text)
    except ValueError:
        return
    assert not set("/:") & set(found)
    assert not found.startswith(".")


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"^cannot write .*/file/bee-audit: Not a directory$"):
        history.keep(str(tmp_path / "file/bee-audit"), b"1", TIME)


@pytest.mark.parametrize("call", ["os.fsync", "os.link", "os.listdir"])
def test_a_kill_at_any_moment_leaves_each_file_whole(tmp_path: Path, call: str) -> None:
    history.keep(str(tmp_path), b"before", TIME)
    code = (
        "import os, signal; from bee import history\n"
        f"{call} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"history.keep({str(tmp_path)!r}, b'after' * 100000, {TIME!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == -9
    seen = {path.name: len(path.read_bytes()) for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert seen in ({f"{STEM}.json": 6}, {f"{STEM}.json": 6, f"{STEM}-2.json": 500000})


def _audits(commands: str) -> list[str]:
    """What a shell prints, as root, on a machine whose /var/log is empty; $BEE audits next to nothing."""
    skip = "--skip board,cpu,memory,storage,pcie,psu,nvidia"
    script = f"set -e; mount -t tmpfs tmpfs /var/log; BEE='{sys.executable} -m bee audit {skip}'; {commands}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, cwd=ROOT, env=environment, check=True
    )
    return done.stdout.decode().splitlines()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a mount")
def test_an_audit_at_its_own_place_is_kept_twice_and_elsewhere_once() -> None:
    folder = history.folder_of(DEFAULT_PATH)
    said = _audits(
        f"$BEE >/dev/null; $BEE --output /var/log/other.json >/dev/null; ls /var/log {folder}/; "
        f"cmp {DEFAULT_PATH} {folder}/*.json; cat {DEFAULT_PATH}"
    )
    start = said.index("{")
    document = json.loads("\n".join(said[start:]))
    name = document["started_at"].replace(":", "") + ".json"
    assert [line for line in said[:start] if line] == [
        *("/var/log:", "bee-audit", "bee-audit.json", "other.json"),
        *(f"{folder}/:", name),
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a mount")
def test_a_history_that_cannot_be_written_is_said_and_the_audit_is_written() -> None:
    said = _audits(f"touch /var/log/bee-audit; $BEE 2>&1 >/dev/null; grep -c started_at {DEFAULT_PATH}")
    assert said == ["bee: not in the history: cannot write /var/log/bee-audit: File exists", "1"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a mount")
def test_an_audit_that_does_not_fit_leaves_none_in_the_history_however_often_it_is_tried() -> None:
    """The newest has no room: the folder's file system is full, the history's is another."""
    said = _audits(
        "mkdir /var/log/bee-audit; mount -t tmpfs tmpfs /var/log/bee-audit; "
        "mount -o remount,size=4k /var/log; echo >/var/log/full; "
        "for try in 1 2 3; do $BEE 2>&1 >/dev/null || echo $?; done; ls -A /var/log /var/log/bee-audit"
    )
    line = f"bee: cannot write {DEFAULT_PATH}: No space left on device"
    assert said == [line, "2"] * 3 + ["/var/log:", "bee-audit", "full", "", "/var/log/bee-audit:"]


def test_an_audit_that_is_in_the_history_alone_is_said_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OutputError, match=r"/audit\.json: Input/output error; the audit is in .*/2026\.json$"):
        write(f"{tmp_path}/audit.json", b"1", before=lambda: f"{tmp_path}/2026.json")
