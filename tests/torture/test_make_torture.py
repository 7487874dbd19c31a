"""`make torture` as it is typed: it sets itself up and fuzzes with coverage as guide."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.torture import summary
from tests.torture.sources import ROOT


@pytest.mark.acceptance
@pytest.mark.timeout(600)
def test_make_torture_fuzzes_a_parser(tmp_path: Path) -> None:
    words = f"--only 'fuzz: lspci' --seconds 5 --seed 3 --state {tmp_path}"
    done = subprocess.run(["make", "torture", f"ARGS={words}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = summary.kept(tmp_path)
    assert (result.name, result.seed, result.outcome) == ("lspci", 3, "passed")
    assert result.executions > 500
    # Coverage beyond what the very first input reaches: the instrumentation is at work.
    assert result.details["coverage"] > 20
    assert result.details["inputs"] > 1
