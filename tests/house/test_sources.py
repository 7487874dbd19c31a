"""What a build would change of the sources is seen: content, a time alone, a mode, what is new and what is gone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house.sources import changes, git_status, states


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("iso/a", "iso/b", "bee/c", "dodo.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return tmp_path


@pytest.mark.parametrize(
    ("deed", "name"),
    [
        (lambda file: file.write_text("y"), "iso/a"),
        (lambda file: os.utime(file, (1, 1)), "iso/a"),
        (lambda file: file.chmod(0o600), "iso/a"),
        (lambda file: file.unlink(), "iso/a"),
        (lambda file: file.with_name("new").touch(), "iso/new"),
        (
            lambda file: (file.read_text(), file.replace(file.with_name("x")), file.with_name("x").replace(file)),
            "iso/a",
        ),
    ],
    ids=["content", "time", "mode", "gone", "new", "away and back"],
)
def test_every_change_is_seen(checkout: Path, deed: Callable[[Path], object], name: str) -> None:
    before = states(checkout)
    assert changes(before, checkout) == []
    deed(checkout / "iso/a")
    assert name in changes(before, checkout)
    assert "bee/c" not in changes(before, checkout)


def test_compiled_python_is_no_change_and_git_is_asked_without_a_trace(checkout: Path) -> None:
    before = states(checkout)
    (checkout / "dist").mkdir()
    said = git_status(checkout)
    assert "?? iso/a" in said
    assert changes(before, checkout) == []
    (checkout / "iso/__pycache__").mkdir()
    # The folder's own time is another then: compiling is kept out of a build that is judged (-B).
    assert changes(before, checkout) == ["iso"]
