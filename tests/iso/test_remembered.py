"""A slow question is asked again when what its answer comes from changed in any way, and only then."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from iso import remembered
from iso.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(remembered, "user_cache", lambda: tmp_path / "cache")
    source = tmp_path / "sources.list.d"
    source.mkdir()
    (source / "a").write_text("one")
    return source


def ask(folder: Path) -> str:
    """The content of the sources, and how often they were read."""
    count = folder.parent / "count"
    script = f"echo x >>{count}; cat {folder}/* 2>/dev/null || true"
    answer = remembered.capture(["sh", "-c", script], [folder])
    return f"{answer} {len(count.read_text().split())}"


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "content": (lambda folder: (folder / "a").write_text("two"), "two 2"),
    "replaced, with the old time and size": (
        lambda folder: (
            (folder.parent / "new").write_text("two"),
            os.utime(folder.parent / "new", ns=((folder / "a").stat().st_atime_ns, (folder / "a").stat().st_mtime_ns)),
            (folder.parent / "new").rename(folder / "a"),
        ),
        "two 2",
    ),
    "new file": (lambda folder: (folder / "b").write_text("two"), "onetwo 2"),
    "removed": (lambda folder: (folder / "a").unlink(), " 2"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(folder: Path, change: str) -> None:
    assert ask(folder) == "one 1"
    assert ask(folder) == "one 1"
    deed, expected = CHANGES[change]
    deed(folder)
    assert ask(folder) == expected
    assert ask(folder) == expected


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"state": 1}'])
def test_a_damaged_memory_is_no_memory(folder: Path, content: bytes) -> None:
    ask(folder)
    (kept,) = (folder.parent / "cache/this-machine").iterdir()
    kept.write_bytes(content)
    assert ask(folder) == "one 2"
    assert ask(folder) == "one 2"


def test_a_memory_that_cannot_be_kept_is_no_failure(folder: Path) -> None:
    (folder.parent / "cache").write_text("in the way")
    assert ask(folder) == "one 1"
    assert ask(folder) == "one 2"


def test_a_failure_is_not_remembered(folder: Path) -> None:
    for _ in range(2):
        with pytest.raises(BuildError, match="exit 3"):
            remembered.capture(["sh", "-c", "exit 3"], [folder])
    assert not (folder.parent / "cache").exists()
