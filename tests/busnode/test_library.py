"""The library's face: what `import busnode` gives, its examples, and text for people."""

from __future__ import annotations

import doctest
import importlib
import itertools
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import busnode
from busnode import view
from busnode.contract import ERRORS, BusnodeError, Check, Operation, Response, StepResult, StepStatus
from busnode.report import Listener
from tests.busnode.examples import blocks

MODULES = ["busnode", *(found.name for found in pkgutil.walk_packages(busnode.__path__, "busnode."))]


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_the_examples_in_the_docs_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_examples_of_the_library_page_are_true() -> None:
    text = "\n".join(blocks("docs/library.md", "pycon"))
    examples = doctest.DocTestParser().get_doctest(text, {}, "docs/library.md", None, None)
    assert examples.examples
    assert doctest.DocTestRunner().run(examples).failed == 0


@pytest.mark.timeout(300)
def test_the_program_of_the_library_page_is_typed_as_a_user_sees_it(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(blocks("docs/library.md", "python")[0])
    (tmp_path / "own.py").write_text(
        blocks("docs/steps.md", "python")[0]
        + """

from busnode import Inventory, StepRecord
from busnode.plugins import StepKinds

step: StepRecord = Motd("hello")
inventory: Inventory = Inventory.load("nodes.json", StepKinds.of([Motd]))
wrong: int = inventory["proxy"].host
"""
    )
    options = ("--strict", "--config-file=", f"--cache-dir={tmp_path}")
    command = [sys.executable, "-m", "mypy", *options, "program.py", "own.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    # The one mistake is found, so the types are there.
    *found, _ = done.stdout.splitlines()
    assert len(found) == 1, done
    assert found[0].endswith('(expression has type "str", variable has type "int")  [assignment]')


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


@given(cuts=st.lists(st.integers(0, 400), max_size=12))
def test_steps_are_told_of_once_however_a_report_is_cut(cuts: list[int]) -> None:
    line = '{{"name":"{0}","status":"ok","detail":"","seconds":0}}\n'
    report = ("noise\n" + "".join(line.format(name) for name in "abcdef") + '{"end":"ok"}\n').encode()
    heard: list[StepResult] = []
    listener = Listener(heard.append)
    places = [0, *sorted(min(cut, len(report)) for cut in cuts), len(report)]
    for start, end in itertools.pairwise(places):
        listener(report[start:end])
    assert [step.name for step in heard] == list("abcdef")
