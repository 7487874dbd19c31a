"""The front door: it lists what it has, and an ID stays a word whatever it spells."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.house.tree import ROOT

NODE_TARGETS = ("node-bootstrap", "node-status", "node-harden", "node-verify")
HOSTILE = (
    "a;touch x",
    "$(shell touch x)",
    "$(touch x)",
    "`touch x`",
    "a' ; touch x ; '",
    '"; touch x; "',
    "$$(touch x)",
    "-h",
)


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)


def test_help_names_every_public_target() -> None:
    listed = set(re.findall(r"^  make ([a-z-]+)", _make("help").stdout, re.MULTILINE))
    phony = set(" ".join(re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)).split())
    assert listed == phony


@pytest.mark.parametrize("target", NODE_TARGETS)
@pytest.mark.parametrize("identity", HOSTILE)
def test_an_id_runs_nothing(target: str, identity: str) -> None:
    trap = ROOT / "x"
    assert not trap.exists()
    done = _make(target, f"ID={identity}", "BUS_NODE_TARGETS_FILE=/nonexistent")
    try:
        assert done.returncode == 2
        assert not trap.exists()
    finally:
        trap.unlink(missing_ok=True)


def test_a_node_target_without_an_id_says_what_to_type() -> None:
    done = _make("node-status")
    assert done.returncode == 2
    assert "make node-status ID=proxy" in done.stderr


def test_the_readme_names_only_targets_that_exist() -> None:
    phony = set(" ".join(re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)).split())
    named = set(re.findall(r"\bmake ([a-z][a-z-]*[a-z])\b", Path(ROOT / "README.md").read_text()))
    assert named <= phony
