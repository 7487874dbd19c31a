"""The whole flow: every audit that the collectors can make fits the schema, and its file is whole or not there."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bee import audit as flow
from bee.audit import OutputError, check_writable, serialise, write
from bee.machine import Recorded, Run
from tests.bee.recorded import LINKS, SYS_FILES, audit, runs, server

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA: dict[str, Any] = json.loads((files("bee") / "schemas" / "audit.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
WHOLE = runs()


def errors(content: bytes) -> list[str]:
    return [f"{error.json_path}: {error.message[:200]}" for error in VALIDATOR.iter_errors(json.loads(content))]


def test_the_schema_accepts_a_full_audit() -> None:
    assert errors(serialise(audit(server()))) == []


def test_the_schema_accepts_the_audit_of_a_machine_with_nothing() -> None:
    found = audit(Recorded())
    assert errors(serialise(found)) == []
    assert [c.status for c in found.collectors] == ["skipped"] * 7


@st.composite
def mutilated(draw: st.DrawFn, run: Run) -> Run:
    """A run of the same tool that went wrong, or printed something else than it should."""
    outcome = draw(
        st.sampled_from(["exited"] * 6 + ["timeout", "flooded", "killed", "unasked", "unstartable", "missing"])
    )
    text = run.stdout
    match draw(st.integers(0, 4)):
        case 0:
            text = draw(st.binary(max_size=200))
        case 1:
            text = text[: draw(st.integers(0, len(text)))]
        case 2:
            changed = bytearray(text)
            for _ in range(draw(st.integers(1, 12))):
                at = draw(st.integers(0, max(0, len(changed) - 1)))
                changed[at : at + 1] = draw(st.binary(max_size=3))
            text = bytes(changed)
        case 3:
            # Every number becomes another one: negative, huge, broken.
            text = text.replace(
                draw(st.sampled_from([b"1", b"2", b"0", b"4"])),
                draw(st.sampled_from([b"-1", b"9" * 30, b"1e99", b"0.5"])),
            )
    return Run(
        args=run.args,
        outcome=outcome,
        stdout=text,
        stderr=draw(st.binary(max_size=20)),
        exit_code=draw(st.integers(0, 255)) if outcome == "exited" else None,
        signal=9 if outcome == "killed" else None,
    )


@settings(
    max_examples=max(300, settings().max_examples),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_the_schema_accepts_whatever_the_tools_print(data: st.DataObject) -> None:
    bad = {args: data.draw(mutilated(WHOLE[args])) for args in data.draw(st.sets(st.sampled_from(sorted(WHOLE))))}
    paths = sorted(SYS_FILES)
    garbled = {path: data.draw(st.text(max_size=30)) for path in data.draw(st.sets(st.sampled_from(paths)))}
    found = audit(Recorded({**WHOLE, **bad}, {**SYS_FILES, **garbled}, LINKS))
    assert errors(serialise(found)) == []
    for collector in found.collectors:
        assert not [reason for reason in collector.reasons if "bee itself failed" in reason]
        assert (collector.status in {"skipped", "failed"}) == (getattr(found, collector.name) is None)
        assert (collector.status == "ok") == (collector.reasons == ())


def test_strings_of_firmware_cannot_reach_a_terminal_as_commands() -> None:
    args = ("lsblk", "-J", "-b", "-O")
    text = WHOLE[args].stdout.replace(b"SAMSUNG MZQL23T8HCLS-00A07", b"\\u001b]0;x\\u0007 \\ud800 " + b"A" * 9000)
    hostile = Run(args=args, outcome="exited", exit_code=0, stdout=text)
    found = audit(Recorded({args: hostile}, SYS_FILES, LINKS))
    written = serialise(found)
    assert b"\\u001b" not in written
    assert "\x1b" not in written.decode()
    model = json.loads(written)["storage"]["disks"][0]["model"]
    assert model.startswith("\N{REPLACEMENT CHARACTER}]0;x")
    assert len(model) == 500
    assert errors(written) == []


def test_two_audits_of_one_machine_differ_in_times_only() -> None:
    def timeless(content: bytes) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(content)
        document["started_at"] = document["seconds"] = None
        for collector in document["collectors"]:
            collector["seconds"] = None
        return document

    assert timeless(serialise(audit(server()))) == timeless(serialise(audit(server())))


def test_a_clock_at_1970_is_survived_and_said() -> None:
    found = audit(replace(server(), recorded_at=12.0))
    assert found.started_at == "1970-01-01T00:00:12Z"
    assert found.notes == ("the machine's clock says 1970-01-01T00:00:12Z, which cannot be: its battery may be flat",)
    assert errors(serialise(found)) == []


def test_writing_replaces_the_audit_before_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "audit.json"
    path.write_text("old")
    write(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("broken", ["write", "fsync", "replace"])
def test_a_failure_while_writing_leaves_the_audit_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "audit.json"
    path.write_text("old")
    content = b"new"

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if broken == "write":
        # A real full disk: /dev/full takes nothing.
        opened = os.open("/dev/full", os.O_WRONLY)
        monkeypatch.setattr(flow.os, "open", lambda *_: opened)
    else:
        monkeypatch.setattr(flow.os, broken, fail)
    with pytest.raises(OutputError, match=r"^cannot write .*audit\.json: No space left on device$"):
        write(str(path), content)
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_power_cut_has_left_neither_stops_an_audit_nor_piles_up(tmp_path: Path) -> None:
    # The process that left it may have had this one's number.
    (tmp_path / f".audit.json.{os.getpid()}").touch()
    left, fresh, other = (tmp_path / f".bee-{name}" for name in ("0123456789abcdef", "f" * 16, "notes"))
    for path in (left, fresh, other):
        path.touch()
    for path in (left, other):
        os.utime(path, (0, 0))
    write(str(tmp_path / "audit.json"), b"new")
    assert (tmp_path / "audit.json").read_bytes() == b"new"
    # Another bee may be writing the fresh one at this moment.
    assert [path.exists() for path in (left, fresh, other)] == [False, True, True]


def test_writing_follows_a_symlink_to_the_file_it_names(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "audit.json"
    link.symlink_to(tmp_path / "real" / "audit.json")
    write(str(link), b"new")
    assert link.is_symlink()
    assert (tmp_path / "real" / "audit.json").read_bytes() == b"new"


@pytest.mark.parametrize("path", ["/dev/null", "/dev/full", "/tmp"])
def test_what_is_no_plain_file_is_never_replaced(path: str) -> None:
    with pytest.raises(OutputError, match="not a plain file"):
        check_writable(path)


def test_a_folder_that_is_not_there_is_said_before_any_tool_runs(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no such folder"):
        check_writable(str(tmp_path / "absent" / "audit.json"))
