"""What a build shows: plain lines, a terminal's moving line, JSON events; no tool plays with the terminal."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iso.graph.progress import Lines, places
from iso.graph.terminal import LiveLine, clock, last_line
from tests.iso.test_commands import PLUGINS
from tests.iso.test_graph import DOIT, doit, project, runs, wait_for_stage

__all__ = ["project"]


def test_a_part_of_a_stage_has_the_stage_s_number() -> None:
    found = places(
        {"compile": "1. compile it", "nvidia:d": "6d. build it", "last": "14. the end", "_x": "before", "y": ""}
    )
    assert {name: str(place) for name, place in found.items()} == {
        "compile": "[ 1/14] compile it",
        "nvidia:d": "[ 6/14] 6d build it",
        "last": "[14/14] the end",
    }


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1:00"), (65, "1:05"), (3600, "1:00:00"), (3725, "1:02:05")],
)
def test_a_duration_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert clock(seconds) == said


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (b"", ""),
        (b"one\ntwo\n", "two"),
        (b"one\ntwo\n\n  \n", "two"),
        (b"10%\r50%\r99%", "99%"),
        (b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07done\n", "red done"),
        (b"\xff\xfe\n", "\ufffd\ufffd"),
        (b"x" * 9000 + b"\nlast\n", "last"),
    ],
)
def test_the_last_line_of_a_log(tmp_path: Path, log: bytes, said: str) -> None:
    (tmp_path / "log").write_bytes(log)
    assert last_line(tmp_path / "log") == said
    assert last_line(tmp_path / "none") == ""


@given(st.binary(max_size=200))
def test_nothing_in_a_log_reaches_the_terminal_as_a_control(
    tmp_path_factory: pytest.TempPathFactory, log: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.log"
    file.write_bytes(log)
    assert all(letter.isprintable() or ord(letter) >= 0xA0 for letter in last_line(file))


def test_without_a_terminal_lines_are_plain(project: Path) -> None:
    done = doit(project)
    # On a busy machine it takes its time.
    assert re.fullmatch(r"\[1/2\] copy …\n\[2/2\] check …\nfinished in [0-9]+ s\n", done.stdout)


def group(name: str, doc: str, actions: list[str]) -> SimpleNamespace:
    return SimpleNamespace(name=name, doc=doc, actions=actions, meta=None)


@pytest.mark.parametrize("ran", [[], ["nvidia:b"]])
def test_a_stage_of_parts_is_one_line_when_all_of_them_were_there(ran: list[str]) -> None:
    parts = [group("nvidia:a", "6a. first", ["run"]), group("nvidia:b", "6b. second", ["run"])]
    whole = group("nvidia", "6. the driver", [])
    out = io.StringIO()
    reporter = Lines(out, {})
    reporter.initialize({task.name: task for task in [whole, *parts]}, ["nvidia"])
    for task in parts:
        (reporter.add_success if task.name in ran else reporter.skip_uptodate)(task)
    reporter.add_success(whole)
    assert out.getvalue() == ("" if ran else "[6/6] the driver … cached\n")


def test_programs_get_events_as_json_lines(project: Path) -> None:
    (project / "pyproject.toml").write_text(PLUGINS)
    done = doit(project, "--log-json", "iso")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(event["event"], event.get("stage")) for event in events] == [
        ("started", "copy"),
        ("finished", "copy"),
        ("started", "check"),
        ("finished", "check"),
        ("started", "iso"),
        ("finished", "iso"),
        ("ended", None),
    ]
    assert (events[2]["number"], events[2]["total"], events[-1]["outcome"]) == (2, 2, "succeeded")
    again = [json.loads(line) for line in doit(project, "--log-json", "iso").stdout.splitlines()]
    assert [event["event"] for event in again] == ["cached", "cached", "cached", "ended"]
    (project / "input").write_text("bad")
    failed = [json.loads(line) for line in doit(project, "--log-json", "iso").stdout.splitlines()]
    assert failed[-2]["message"].startswith("the input is bad")
    assert failed[-1]["outcome"] == "failed"


def rest(master: int) -> bytes:
    """All that is still to be read of a pseudo-terminal; Linux says its end with an error."""
    read = b""
    with contextlib.suppress(OSError):
        while more := os.read(master, 65536):
            read += more
    return read


def test_on_a_terminal_the_running_tool_s_last_line_is_shown(project: Path) -> None:
    (project / "input").write_text("slow")
    master, slave = pty.openpty()
    with subprocess.Popen(DOIT, cwd=project, stdin=slave, stdout=slave, stderr=slave) as build:
        os.close(slave)
        shown = b""
        end = time.monotonic() + 30
        while b"[2/2] check \xe2\x80\xa6 1 s  looking" not in shown:
            assert time.monotonic() < end, shown
            shown += os.read(master, 65536)
        build.terminate()
        shown += rest(master)
    os.close(master)
    assert "interrupted: what was finished is remembered" in shown.decode()
    # The last thing drawn was taken away again.
    assert shown.rindex(b"\r\x1b[K") > shown.rindex(b"looking")


def test_what_is_printed_meanwhile_stays_whole_above_the_line() -> None:
    terminal = io.StringIO()
    line = LiveLine(terminal)
    line.show(lambda: "moving")
    printers = [threading.Thread(target=lambda n=n: print(f"printed {n}", file=line)) for n in range(3)]
    for printer in printers:
        printer.start()
        printer.join()
        time.sleep(0.25)
    line.stop()
    visible = [part.rpartition("\x1b[K")[2] for part in terminal.getvalue().split("\n")]
    assert visible == ["printed 0", "printed 1", "printed 2", ""]


def events_of(project: Path, *words: str) -> tuple[int, list[dict[str, object]], str]:
    """Exit status, events and standard error of a build that is told as events."""
    done = doit(project, "--log-json", *words)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_programs_are_told_that_another_build_has_the_checkout(project: Path) -> None:
    (project / "pyproject.toml").write_text(PLUGINS)
    (project / "input").write_text("slow")
    with subprocess.Popen(DOIT, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as build:
        wait_for_stage(project, "check")
        code, (event,), said = events_of(project, "iso")
        build.kill()
    assert (code, event["event"], event["outcome"]) == (1, "ended", "refused")
    assert said == f"{event['message']}\n"
    assert f"another build of this checkout is running, process {build.pid}" in said


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["nvidia=maybe", "colour=blue"], 2, "{said}"),
        (["-n", "2", "iso"], 2, "{said}"),
        (["container=podman", "copy"], 2, "{said}"),
        (["nothing"], 3, 'Invalid parameter: "nothing". Must be a command, task, or a target.'),
    ],
)
def test_programs_are_told_what_was_wrong_with_the_command_line(
    project: Path, words: list[str], code: int, told: str
) -> None:
    (project / "pyproject.toml").write_text(PLUGINS)
    status, (event,), said = events_of(project, *words)
    assert (status, event["event"], event["outcome"], event["seconds"]) == (code, "ended", "refused", 0.0)
    assert str(event["message"]).startswith(told.format(said=said.rstrip("\n")))
    assert runs(project) == []


def test_programs_are_told_of_an_interruption_and_of_no_other_one(project: Path) -> None:
    (project / "pyproject.toml").write_text(PLUGINS)
    (project / "input").write_text("slow")
    told = [*DOIT, "--log-json", "iso"]
    with subprocess.Popen(told, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as build:
        wait_for_stage(project, "check")
        build.terminate()
        assert build.stdout
        events = [json.loads(line) for line in build.stdout]
    assert (events[-1]["event"], events[-1]["outcome"]) == ("ended", "interrupted")
    dodo = (project / "dodo.py").read_text()
    # What is wrong with the graph itself, which no stage could say.
    (project / "dodo.py").write_text(
        dodo.replace("    return build.result()", '    return {"actions": None, "task_dep": ["no-such"]}')
    )
    _, events, _ = events_of(project, "iso")
    assert events[-1]["outcome"] in {"failed", "refused"}
