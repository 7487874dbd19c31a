"""The cache that clones share: what was unused longest goes first, and what a build has in use stays."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iso import cache, cache_entries, lock
from iso.cache_entries import entries, parse_size, prune, show_age, show_size
from iso.errors import BadInputError

KIB = 1 << 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four entries of 100 KiB, the oldest first, with what only locks beside them."""
    (tmp_path / "downloads").mkdir()
    for age, name in enumerate(("old", "downloads/old.run", "new", "downloads/new.run.partial")):
        path = tmp_path / name
        content = path
        if not name.startswith("downloads"):
            path.mkdir()
            content = path / "content"
        content.write_bytes(b"x" * 100 * KIB)
        os.utime(path, (10**9 + age, 10**9 + age))
    (tmp_path / "old.lock").touch()
    return tmp_path


@pytest.fixture
def locked() -> Iterator[list[int]]:
    descriptors: list[int] = []
    yield descriptors
    for descriptor in descriptors:
        os.close(descriptor)


def take(path: Path, locked: list[int], how: int = fcntl.LOCK_SH) -> None:
    locked.append(os.open(path, os.O_RDONLY))
    fcntl.flock(locked[-1], how)


def names(found: list[cache_entries.Entry]) -> list[str]:
    return [entry.path.name for entry in found]


def test_entries_are_listed_with_their_sizes_the_longest_unused_first(folder: Path) -> None:
    found = entries(folder)
    assert names(found) == ["old", "old.run", "new", "new.run.partial"]
    assert all(100 * KIB <= entry.size <= 110 * KIB for entry in found)
    assert not any(entry.in_use for entry in found)


def test_a_cache_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert entries(tmp_path / "absent") == []


def test_the_oldest_go_until_little_enough_is_left(folder: Path) -> None:
    pruned = prune(folder, 250 * KIB)
    assert names(pruned.removed) == ["old", "old.run"]
    assert names(entries(folder)) == ["new", "new.run.partial"]
    assert pruned.left <= 250 * KIB
    assert (folder / "old.lock").exists()


def test_nothing_goes_where_little_enough_is_there(folder: Path) -> None:
    assert prune(folder, 1 << 30).removed == []


def test_what_is_in_use_stays_and_the_next_goes(folder: Path, locked: list[int]) -> None:
    take(folder / "old", locked)
    assert [entry.in_use for entry in entries(folder)] == [True, False, False, False]
    pruned = prune(folder, 250 * KIB)
    assert names(pruned.spared) == ["old"]
    assert names(pruned.removed) == ["old.run", "new"]


@pytest.mark.parametrize(("lockfile", "entry"), [("old.lock", "old"), ("downloads/new.run.lock", "new.run.partial")])
def test_a_lock_file_beside_an_entry_counts(folder: Path, locked: list[int], lockfile: str, entry: str) -> None:
    (folder / lockfile).touch()
    take(folder / lockfile, locked, fcntl.LOCK_EX)
    assert entry in names(prune(folder, 0).spared)


def test_what_a_build_uses_counts_as_new_and_is_kept(folder: Path) -> None:
    lock.use(folder / "old")
    assert names(entries(folder))[-1] == "old"
    pruned = prune(folder, 0)
    assert names(pruned.spared) == ["old"]
    assert pruned.left > 0


def test_an_entry_that_is_being_made_is_kept(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def fill(beside: Path) -> None:
        (beside / "half").write_text("x")
        seen.append(names(prune(tmp_path, 0).removed))

    cache.store(tmp_path / "entry", "key", fill)
    assert seen == [[]]
    assert cache.is_complete(tmp_path / "entry", "key")


def test_what_a_killed_build_left_goes_like_the_rest(folder: Path) -> None:
    left = folder / ".entry.abcd"
    left.mkdir()
    (left / "half").write_bytes(b"x" * KIB)
    assert ".entry.abcd" in names(prune(folder, 0).removed)
    assert not left.exists()


@pytest.fixture
def killed(folder: Path) -> list[Path]:
    """What prunes left that were killed while they deleted the oldest entries, a folder and a file."""
    left = [folder / ".old.pruned", folder / ".new.0a1b2c3d.pruned", folder / "downloads/.old.run.pruned"]
    for path in left[:2]:
        path.mkdir()
        (path / "content").write_bytes(b"x" * KIB)
    left[2].write_bytes(b"x" * KIB)
    return left


def test_what_a_killed_prune_left_stops_no_other_prune(folder: Path, killed: list[Path]) -> None:
    pruned = prune(folder, 250 * KIB)
    assert {path.name for path in killed} | {"old", "old.run"} == set(names(pruned.removed))
    assert not [path for path in killed if path.exists()]
    assert names(entries(folder)) == ["new", "new.run.partial"]


def test_what_killed_prunes_left_goes_even_where_little_enough_is_there(folder: Path, killed: list[Path]) -> None:
    assert sorted(names(prune(folder, 1 << 30).removed)) == sorted(path.name for path in killed)
    assert names(entries(folder)) == ["old", "old.run", "new", "new.run.partial"]


def test_a_build_that_keeps_the_latest_clears_what_killed_prunes_left(folder: Path, killed: list[Path]) -> None:
    cache_entries.keep_latest(folder, "old", 0)
    assert names(entries(folder)) == ["new", "new.run.partial"]
    assert not [path for path in killed if path.exists()]


def test_what_another_prune_is_deleting_now_is_left_to_it(folder: Path, killed: list[Path], locked: list[int]) -> None:
    take(killed[0], locked, fcntl.LOCK_EX)
    assert names(prune(folder, 1 << 30).spared) == [killed[0].name]
    assert killed[0].exists()


@given(
    number=st.integers(0, 10**6), unit=st.sampled_from(["", "K", "M", "G", "T"]), tail=st.sampled_from(["", "B", "iB"])
)
def test_sizes_are_read_in_powers_of_1024(number: int, unit: str, tail: str) -> None:
    expected = number * 1024 ** ["", "K", "M", "G", "T"].index(unit)
    assert parse_size(f"{number}{unit}{tail}") == parse_size(f"{number}{unit.lower()}") == expected


@pytest.mark.parametrize("text", ["", "x", "20 G G", "-1", "1e3", "20X", "G", "1.2.3G", "٣G"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="not a size such as 20G"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0B"), (1023, "1023B"), (1536, "1.5K"), (20 << 20, "20M"), (3 << 40, "3.0T"), (5 << 50, "5120.0T")],
)
def test_sizes_are_shown_short(size: int, shown: str) -> None:
    assert show_size(size) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(5, "5 s"), (125, "2 min"), (7300, "2 h"), (200_000, "2 d")])
def test_ages_are_shown_short(seconds: float, shown: str) -> None:
    assert show_age(seconds) == shown
