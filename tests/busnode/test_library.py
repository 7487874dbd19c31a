"""The library's face: what `import busnode` gives, its examples, and text for people."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import busnode
from busnode import view
from busnode.contract import ERRORS, BusnodeError, Check, Operation, Response, StepResult, StepStatus

MODULES = ["busnode", *(found.name for found in pkgutil.walk_packages(busnode.__path__, "busnode."))]


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_the_examples_in_the_docs_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_face_is_what_it_names() -> None:
    assert all(hasattr(busnode, name) for name in busnode.__all__)
    assert list(busnode.__all__) == sorted(busnode.__all__)


def test_one_class_an_error_class_in_one_tree() -> None:
    assert all(issubclass(error, BusnodeError) and error.error_class == name for name, error in ERRORS.items())
    assert {error.__name__ for error in ERRORS.values()} <= set(busnode.__all__)
    assert {error.exit_code for error in ERRORS.values()} == {1, 2, 3, 4}


def test_importing_costs_little() -> None:
    code = "import sys; before = set(sys.modules); import busnode; print(len(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(loaded) < 130


@given(st.text(), st.sampled_from(StepStatus), st.booleans())
def test_what_a_node_says_never_commands_the_terminal(text: str, status: StepStatus, color: bool) -> None:
    steps = (StepResult(text, status, text, 0.1),)
    response = Response(
        True, "proxy", Operation.STATUS, checks=(Check(text, ok=True),), steps=steps, facts={"kernel": text}
    )
    shown = view.response(response, color).replace("\x1b[0m", "")
    for code in ("32", "33", "36", "2", "31"):
        shown = shown.replace(f"\x1b[{code}m", "") if color else shown
    assert all(line.isprintable() for line in shown.split("\n"))


def test_a_long_detail_stands_below_its_step() -> None:
    steps = (StepResult("sshd drop-in", StepStatus.WOULD_CHANGE, "--- a\n+++ b", 0.0),)
    response = Response(True, "proxy", Operation.HARDEN, dry_run=True, steps=steps)
    assert view.response(response, color=False) == (
        "proxy: harden ok (dry run)\n  would-change   0.00 s  sshd drop-in\n      --- a\n      +++ b"
    )
