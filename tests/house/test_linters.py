"""The linters are tests: what they say of the tree is a failure with their own words."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.house.tree import BIN, ROOT, shell_scripts


def _passes(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing() -> None:
    _passes(BIN / "ruff", "check", ".")


def test_everything_is_formatted() -> None:
    _passes(BIN / "ruff", "format", "--check", ".")


@pytest.mark.timeout(300)
def test_mypy_strict_finds_nothing() -> None:
    _passes(BIN / "mypy")


def test_shellcheck_finds_nothing() -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed: apt install shellcheck")
    scripts = shell_scripts()
    assert scripts
    _passes("shellcheck", "--norc", *scripts)
