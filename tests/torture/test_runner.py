"""What the harness promises: a unit has its limit, a kept result spares it, other code or another budget do not."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.torture import runner, summary, units
from tests.torture.proofs import OUTCOMES, Result, Unit
from tests.torture.sources import ROOT, closure

COUNT = "print('executions: 3'); print('coverage: 5'); open({path!r}, 'a').write('ran ')"


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    (tmp_path / "source").write_text("code")
    return Unit(
        proof="proof",
        name="a part [with] 'marks'",
        budget="1 s",
        seed=1,
        command=(sys.executable, "-c", COUNT.format(path=str(tmp_path / "ran"))),
        read=runner.found,
        limit=60,
        sources=(tmp_path / "source",),
    )


def times(tmp_path: Path) -> int:
    return (tmp_path / "ran").read_text().count("ran")


def test_a_result_is_kept_and_spares_the_unit(unit: Unit, tmp_path: Path) -> None:
    said: list[str] = []
    first, second = (runner.run([unit], tmp_path / "state", said.append) for _ in range(2))
    assert first == second
    assert [(r.outcome, r.executions, r.details) for r in first] == [("passed", 3, {"coverage": 5})]
    assert times(tmp_path) == 1
    assert said[1].startswith("kept ")


AUTOGROUP = Path("/proc/self/autogroup")


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel has no autogroups")
def test_a_unit_gives_way_to_other_sessions(unit: Unit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wait = f"import time\nwhile 'nice 7' not in open('{AUTOGROUP}').read(): time.sleep(0.01)\nprint('executions: 1')"
    monkeypatch.setattr(os, "nice", lambda _: 7)
    (result,) = runner.run([dataclasses.replace(unit, command=(sys.executable, "-c", wait), limit=20)], tmp_path, str)
    assert result.outcome == "passed"


@pytest.mark.parametrize("other", [{"seed": 2}, {"budget": "2 s"}, {"name": "another"}])
def test_another_seed_budget_or_unit_runs(unit: Unit, tmp_path: Path, other: dict[str, object]) -> None:
    runner.run([unit], tmp_path / "state", str)
    runner.run([dataclasses.replace(unit, **other)], tmp_path / "state", str)
    assert times(tmp_path) == 2


def test_other_code_runs_and_a_damaged_result_too(unit: Unit, tmp_path: Path) -> None:
    runner.run([unit], tmp_path / "state", str)
    (tmp_path / "source").write_text("other code")
    runner.run([unit], tmp_path / "state", str)
    (tmp_path / "state/results" / unit.file_name).write_text('{"proof"')
    runner.run([unit], tmp_path / "state", str)
    assert times(tmp_path) == 3


@pytest.mark.parametrize(
    ("program", "finding"),
    [
        ("print('FINDING here')", "here"),
        ("print('last words'); raise SystemExit(3)", "it ended with 3, saying: last words"),
        ("import os; os.kill(os.getpid(), 9)", "it ended with -9, saying: nothing"),
    ],
)
def test_what_a_unit_finds_fails_it_and_it_runs_again(unit: Unit, tmp_path: Path, program: str, finding: str) -> None:
    bad = dataclasses.replace(unit, command=(sys.executable, "-c", program))
    for _ in range(2):
        (result,) = runner.run([bad], tmp_path / "state", str)
        assert (result.outcome, result.findings) == ("failed", (finding,))


def alive(group: str) -> list[str]:
    """The processes of a group, without those that only wait to be reaped."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, of, *_ = path.read_text().rpartition(")")[2].split()
            found += [str(path)] if of == group and state != "Z" else []
    return found


def test_a_unit_that_does_not_end_is_killed_with_its_children_and_runs_again(unit: Unit, tmp_path: Path) -> None:
    command = ("sh", "-c", f"echo $$ >{tmp_path}/pid; sleep 300 & sleep 300")
    stuck = dataclasses.replace(unit, command=command, limit=0.5)
    (result,) = runner.run([stuck], tmp_path / "state", str)
    assert (result.outcome, result.findings) == ("stopped", ("killed after 0.5 s",))
    group = (tmp_path / "pid").read_text().strip()
    end = time.monotonic() + 10
    while alive(group) and time.monotonic() < end:
        time.sleep(0.05)
    assert alive(group) == []
    runner.run([dataclasses.replace(stuck, command=unit.command)], tmp_path / "state", str)
    assert times(tmp_path) == 1


def torture(*words: str, state: Path) -> list[str]:
    return [sys.executable, "-m", "tests.torture", "--state", str(state), *words]


def test_interrupted_it_ends_at_once_and_goes_on_from_there(tmp_path: Path) -> None:
    words = ("--only", "growth: ethtool", "--only", "growth: mstflint", "--seconds", "2")
    command = torture(*words[:4], "--seconds", "600", state=tmp_path)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        logs = tmp_path / "logs"
        while not logs.is_dir() or not any(logs.iterdir()):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (130, b"interrupted: the same command goes on from here\n")
    assert not list((tmp_path / "results").glob("*")) if (tmp_path / "results").exists() else True
    for verdict in ("passed", "kept"):
        done = subprocess.run(torture(*words, state=tmp_path), cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count(f"{verdict} ") >= 2
    assert summary.table(summary.kept(tmp_path)).count("| passed |") == 2


def test_a_property_test_runs_as_a_unit_with_its_examples_and_its_seed(tmp_path: Path) -> None:
    words = ("--only", "property: bee/test_quantities.py::test_sizes_come_back_exactly", "--examples", "1500")
    done = subprocess.run(torture(*words, state=tmp_path), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = summary.kept(tmp_path)
    assert (result.proof, result.outcome, result.executions) == ("property", "passed", 150)


def test_a_title_that_no_unit_has_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        torture("--only", "growth: lspsi", state=tmp_path), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "no unit has 'growth: lspsi' in its title; --list names them\n")


def test_libfuzzers_last_words_are_read() -> None:
    said = (
        "#2\tINITED cov: 15 ft: 16 corp: 1/1b\n#9\tDONE   cov: 68 ft: 79 corp: 12/40Kb lim: 9\n"
        "stat::number_of_executed_units: 12682\n"
    )
    report = units.fuzzed(said, 0)
    assert (report.executions, report.findings, report.details) == (12682, (), {"coverage": 68, "inputs": 12})
    assert units.fuzzed(said + "FINDING x in lspci.py:1: y\n", 0).findings == ("x in lspci.py:1: y",)
    assert units.fuzzed(said, 0, fewest=12_682).findings == ()
    assert units.fuzzed(said, 0, fewest=12_683).findings == ("the machine had time for 12682 executions alone",)
    assert units.fuzzed("Segmentation fault\n", -11).findings == ("it ended with -11, saying: Segmentation fault",)


def test_a_failed_property_is_a_finding() -> None:
    said = (
        "  - during generate phase (1.00 seconds):\n    - 41 passing, 1 failing, and 2 invalid test cases\n"
        "FAILED tests/x.py::y - ValueError\n"
    )
    report = units.tested(said, 1)
    assert (report.executions, report.findings) == (42, ("FAILED tests/x.py::y - ValueError",))


def test_a_units_sources_are_what_its_parser_is_made_of() -> None:
    names = {str(path.relative_to(ROOT)) for path in closure(ROOT / "bee/parsers/nvme.py")}
    assert {"bee/parsers/nvme.py", "bee/parsers/json_text.py", "bee/quantities.py"} <= names
    assert "bee/parsers/lspci.py" not in names


def test_a_property_of_one_parser_runs_again_for_that_parser_alone() -> None:
    planted = "tests/bee/test_parser_properties.py::test_records_planted_in_noise_come_back"
    names = {str(path.relative_to(ROOT)) for path in units.sources_of(f"{planted}[nvme id-ctrl]")}
    assert {"bee/parsers/nvme.py", "bee/parsers/json_text.py", "tests/bee/parser_cases.py"} <= names
    assert names.isdisjoint({"bee/parsers/lspci.py", "bee/audit.py", "bee/machine.py"})
    elsewhere = {str(path.relative_to(ROOT)) for path in units.sources_of("tests/bee/test_qr.py::test_any_text[lspci]")}
    assert "bee/views/qr.py" in elsewhere


def test_a_result_says_in_json_what_was_run(unit: Unit, tmp_path: Path) -> None:
    runner.run([unit], tmp_path / "state", str)
    kept = json.loads((tmp_path / "state/results" / unit.file_name).read_text())
    assert (kept["seed"], kept["budget"], kept["code"]) == (1, "1 s", unit.code())


_names = st.text("abc|[]' :-", min_size=1, max_size=12).map(lambda text: f"x{text}y")
_results = st.builds(
    Result,
    proof=st.sampled_from(["fuzz", "signals"]),
    name=_names,
    budget=st.sampled_from(["600 s", "100000 examples"]),
    seed=st.integers(0, 2**32),
    code=st.text("0123456789abcdef", min_size=12, max_size=12),
    outcome=st.sampled_from(OUTCOMES),
    seconds=st.integers(0, 9999).map(float),
    cpu_seconds=st.integers(0, 9999).map(float),
    executions=st.integers(0, 10**7),
    findings=st.lists(_names, max_size=2).map(tuple),
    details=st.dictionaries(st.sampled_from(["coverage", "rolled_back"]), st.integers(0, 99)),
)


@given(results=st.lists(_results, max_size=4, unique_by=lambda result: (result.proof, result.name)))
def test_a_summary_is_read_back_whole(results: list[Result]) -> None:
    results.sort(key=lambda result: (result.proof, result.name))
    assert summary.results_in(summary.table(results)) == results


def test_an_earlier_summary_fills_what_the_folders_lack(unit: Unit, tmp_path: Path) -> None:
    runner.run([unit], tmp_path / "there", str)
    earlier = summary.table(summary.kept(tmp_path / "there"))
    other = dataclasses.replace(unit, name="another part", seed=7)
    runner.run([other, dataclasses.replace(unit, seed=2)], tmp_path / "here", str)
    assert [(r.name, r.seed) for r in summary.kept(tmp_path / "here", earlier=earlier)] == [
        (unit.name, 2),
        (other.name, 7),
    ]
    (tmp_path / "here/results" / unit.file_name).unlink()
    assert [(r.name, r.seed) for r in summary.kept(tmp_path / "here", earlier=earlier)] == [
        (unit.name, 1),
        (other.name, 7),
    ]


def test_an_earlier_summary_that_is_not_there_is_said(tmp_path: Path) -> None:
    command = torture("--summary", "--earlier", str(tmp_path / "none.md"), state=tmp_path)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, f"--earlier {tmp_path}/none.md: No such file or directory\n")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"| unit |\n| `x` | y |\n", b"## fuzz\n| `x` | 1 s | one | 2 | 3 | 4 | `c` | passed |\n"]
)
def test_an_earlier_summary_that_is_none_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other.md").write_bytes(content)
    command = torture("--summary", "--earlier", str(tmp_path / "other.md"), state=tmp_path)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, f"--earlier {tmp_path}/other.md: no table that --summary wrote\n")
