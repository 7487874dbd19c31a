"""Whoever reads a command's output may go away, as head(1) does: questions end without a word, builds in one line."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.iso.test_commands import asked
from tests.iso.test_graph import DOIT, doit, project, runs

__all__ = ["asked", "project"]


def unread(folder: Path, *words: str) -> tuple[int, str]:
    """Exit status and standard error of a command whose output nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*DOIT, *words], cwd=folder, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writing)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "question",
    [["explain", "iso"], ["plan", "iso"], ["cache"], ["list"], ["help"], ["help", "task"], ["help", "plan"]],
    ids=" ".join,
)
def test_a_question_nobody_hears_the_answer_of_says_nothing(asked: Path, question: list[str]) -> None:
    _, said = unread(asked, *question)
    assert said == ""


@pytest.mark.parametrize("options", [[], ["--log-json"]])
def test_a_build_nobody_watches_any_more_ends_in_one_line_and_what_is_done_is_kept(
    asked: Path, options: list[str]
) -> None:
    code, said = unread(asked, *options)
    assert code != 0
    assert said.strip() == "interrupted: what was finished is remembered"
    assert doit(asked).returncode == 0
    runs(asked)
    # Nothing had to run, and each stage says so.
    code, said = unread(asked, *options)
    assert said.strip() == "interrupted: what was finished is remembered"
    assert runs(asked) == []


def test_what_a_stage_prints_is_no_failure_of_the_stage(asked: Path) -> None:
    dodo = (asked / "dodo.py").read_text()
    (asked / "dodo.py").write_text(
        # Nothing is said of a task without a number, so that the stage is the first to print.
        dodo.replace("1. copy", "copy").replace("def copy(job):\n", 'def copy(job):\n    print("hello", flush=True)\n')
    )
    _, said = unread(asked)
    assert said.strip() == "interrupted: what was finished is remembered"
    assert [stamp.name for stamp in (asked / "dist").glob("stamps/*")] == []
