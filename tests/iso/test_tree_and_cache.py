"""Digests change with content and nothing else; cache entries are complete or not believed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iso import cache, lock
from iso.tree import digest, tree_digest

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "folder").mkdir(parents=True)
    (top / "folder/file").write_text("content")
    (top / "link").symlink_to("folder/file")
    return top


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda top: (top / "folder/file").write_text("Content"),
    "mode": lambda top: (top / "folder/file").chmod(0o600),
    "name": lambda top: (top / "folder/file").rename(top / "folder/elif"),
    "new file": lambda top: (top / "new").touch(),
    "new empty folder": lambda top: (top / "new").mkdir(),
    "removed": lambda top: (top / "folder/file").unlink(),
    "link": lambda top: ((top / "link").unlink(), (top / "link").symlink_to("folder")),
    "link made a file": lambda top: ((top / "link").unlink(), (top / "link").write_text("content")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_shows(tree: Path, change: str) -> None:
    before = tree_digest(tree)
    CHANGES[change](tree)
    assert tree_digest(tree) != before


def test_a_new_time_or_compiled_python_does_not_show(tree: Path) -> None:
    before = tree_digest(tree)
    os.utime(tree / "folder/file", (1, 1))
    (tree / "__pycache__").mkdir()
    (tree / "__pycache__/x.pyc").touch()
    assert tree_digest(tree) == before


def test_an_absent_tree_has_a_digest_of_its_own(tmp_path: Path, tree: Path) -> None:
    assert tree_digest(tmp_path / "none") == tree_digest(tmp_path / "neither") != tree_digest(tree)


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_keys_of_different_values_differ(one: list[str], other: list[str]) -> None:
    assert (digest(*one) == digest(*other)) == (one == other)


def fill(folder: Path) -> None:
    (folder / "lib").mkdir()
    (folder / "lib/libx.so.1.2").write_bytes(b"x" * 1000)
    (folder / "lib/libx.so.1").symlink_to("libx.so.1.2")
    (folder / "a file").write_text("with blanks in its name")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda entry: os.truncate(entry / "lib/libx.so.1.2", 10),
    "changed": lambda entry: (entry / "lib/libx.so.1.2").write_bytes(b"y" * 1000),
    "missing file": lambda entry: (entry / "a file").unlink(),
    "missing link": lambda entry: (entry / "lib/libx.so.1").unlink(),
    "more than stored": lambda entry: (entry / "stray").touch(),
    "no manifest": lambda entry: (entry / cache.MANIFEST).unlink(),
    "half a manifest": lambda entry: os.truncate(entry / cache.MANIFEST, 90),
    "manifest of nothing": lambda entry: (entry / cache.MANIFEST).write_bytes(b"\xff"),
}


def test_what_was_stored_is_complete_under_its_key_alone(tmp_path: Path) -> None:
    entry = tmp_path / "entry"
    cache.store(entry, "key", fill)
    assert cache.is_complete(entry, "key")
    assert cache.is_complete(entry, "key", content=False)
    assert not cache.is_complete(entry, "another")
    assert not cache.is_complete(tmp_path / "none", "key")


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_not_believed_and_made_again(tmp_path: Path, damage: str) -> None:
    entry = tmp_path / "entry"
    cache.store(entry, "key", fill)
    DAMAGE[damage](entry)
    assert not cache.is_complete(entry, "key")
    cache.store(entry, "key", fill)
    assert cache.is_complete(entry, "key")


def test_an_entry_that_could_not_be_filled_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    entry = tmp_path / "entry"
    cache.store(entry, "old", fill)

    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        cache.store(entry, "new", fail)
    assert cache.is_complete(entry, "old")
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [entry]


def test_what_killed_builds_began_goes_with_the_next_and_what_others_are_filling_stays(tmp_path: Path) -> None:
    left, filling, new, other = (tmp_path / f".{name}" for name in ("entry.a", "entry.b", "entry.c", "entry2.a"))
    for folder in (left, filling, new, other):
        folder.mkdir()
        (folder / "half").touch()
    for folder in (left, filling, other):
        os.utime(folder, (0, 0))
    with lock.alone(filling):
        cache.store(tmp_path / "entry", "key", fill)
    assert {path for path in tmp_path.iterdir() if path.name.startswith(".")} == {filling, new, other}


def test_of_two_clones_that_fill_one_entry_the_first_is_kept(tmp_path: Path) -> None:
    entry = tmp_path / "entry"

    def slow(folder: Path) -> None:
        fill(folder)
        cache.store(entry, "key", fill)
        assert cache.is_complete(entry, "key")
        (folder / "slow").touch()

    cache.store(entry, "key", slow)
    assert cache.is_complete(entry, "key")
    # What another build may be using already stays where it is.
    assert not (entry / "slow").exists()


def test_the_swap_is_under_a_lock_that_others_wait_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = tmp_path / "entry"
    held = []
    rename = Path.rename

    def seen(source: Path, target: Path) -> Path:
        held.append(lock.is_held(tmp_path / "entry.lock"))
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", seen)
    cache.store(entry, "key", fill)
    assert held == [True]
    assert not lock.is_held(tmp_path / "entry.lock")


def test_an_entry_copied_is_as_complete_as_the_first(tmp_path: Path) -> None:
    cache.store(tmp_path / "one", "key", fill)
    cache.store(tmp_path / "two", "key", cache.copy_into(tmp_path / "one"))
    assert cache.is_complete(tmp_path / "two", "key")
    assert (tmp_path / "two/lib/libx.so.1").readlink() == Path("libx.so.1.2")
