"""A small part of the lockout proof, in every run of make acceptance: each kind of fault, both releases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.nodes import process
from tests.torture import runner
from tests.torture.faults import FAULTS
from tests.torture.sources import ROOT

_NAMES = list(FAULTS)
# Ten runs, each fault once at least.
_CHOSEN = {"bookworm": _NAMES[:5], "trixie": _NAMES[3:]}


@pytest.mark.acceptance
@pytest.mark.timeout(900)
def test_ten_hardened_nodes_with_a_fault_each_lock_nobody_out(tmp_path: Path) -> None:
    started = {}
    try:
        for suite, faults in _CHOSEN.items():
            command = (sys.executable, "-m", "tests.torture.lockout", suite, *faults)
            options = ("--runs", "1", "--seed", "20261122", "--place", str(tmp_path / suite))
            started[suite] = process.start(
                [*command, *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        for suite, program in started.items():
            said = program.communicate(timeout=800)[0].decode()
            report = runner.found(said, program.returncode)
            assert (report.findings, report.executions) == ((), len(_CHOSEN[suite])), said
    finally:
        for program in started.values():
            process.kill(program)
