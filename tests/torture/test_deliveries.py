"""A small part of the proof of deliveries, in every run of make test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.nodes import process
from tests.torture import deliveries, runner
from tests.torture.sources import ROOT

REQUESTS = 60


@pytest.mark.timeout(300)
def test_each_request_is_answered_once_and_applied_once_whatever_is_killed(redis_server: str, tmp_path: Path) -> None:
    command = (sys.executable, "-m", "tests.torture.deliveries", "--requests", str(REQUESTS), "--seed", "20261122")
    options = ("--limit", "240", "--redis", redis_server, "--place", str(tmp_path / "place"))
    program = process.start([*command, *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said = program.communicate(timeout=280)[0].decode()
    finally:
        process.kill(program)
    report = runner.found(said, program.returncode)
    assert (report.findings, report.executions) == ((), REQUESTS), said
    disturbed = ("worker_kills", "runner_kills", "redis_kills", "pauses")
    assert min(report.details.get(name, 0) for name in disturbed) >= 1, said


@pytest.mark.parametrize(
    ("aside", "count", "findings"),
    [
        ([], 60, 0),
        ([("a", False), ("b", False)], 60, 0),
        ([("a", False), ("b", False), ("c", False)], 60, 1),
        ([(f"c-{number}", False) for number in range(10)], 1000, 0),
        ([(f"c-{number}", False) for number in range(11)], 1000, 1),
        ([("a", True), ("b", False)], 60, 1),
    ],
)
def test_what_was_set_aside_is_little_and_not_applied(aside: list[tuple[str, bool]], count: int, findings: int) -> None:
    assert len(deliveries.judge_set_aside(aside, count)) == findings
