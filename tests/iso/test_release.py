"""The commit that an image says it was built from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from iso.image.release import git_commit

NAMES = ("bee/audit.py", "iso/overlay/etc/motd", "docs/iso.md")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clean one."""
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as committed\n")
    (tmp_path / ".gitignore").write_text("/dist\n__pycache__/\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qm", "all")
    return tmp_path


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def test_a_clean_checkout_is_its_commit(checkout: Path) -> None:
    assert git_commit(checkout) == git(checkout, "rev-parse", "HEAD")


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_file_makes_it_dirty(checkout: Path, name: str) -> None:
    (checkout / name).write_text("changed\n")
    assert git_commit(checkout).endswith("-dirty")


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("iso/overlay/etc/new", True),
        ("iso/overlay/etc/new folder/caf\u00e9", True),
        ("bee/new.py", True),
        ("schemas/new.json", True),
        ("bee/__pycache__/audit.pyc", False),
        ("dist/bee.iso", False),
        ("notes/mine.txt", False),
    ],
)
def test_a_file_that_is_in_no_commit_counts_where_it_gets_into_the_image(
    checkout: Path, name: str, counts: bool
) -> None:
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout / name).write_text("new\n")
    assert git_commit(checkout).endswith("-dirty") == counts


def test_outside_git_nothing_is_known(tmp_path: Path) -> None:
    assert git_commit(tmp_path) == "unknown"
