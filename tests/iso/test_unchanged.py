"""A build in which nothing was touched ends before the graph is loaded; any touch at all brings the stages back."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iso.graph import unchanged
from tests.iso.test_broken_pipe import unread
from tests.iso.test_commands import PLUGINS
from tests.iso.test_graph import doit, project, runs

__all__ = ["project"]
CACHED = "[1/2] copy … cached\n[2/2] check … cached\n"


@pytest.fixture
def built(project: Path) -> Path:
    """A checkout in which all is done, and one build has found it so."""
    (project / "pyproject.toml").write_text(PLUGINS)
    doit(project, "iso")
    settle()
    assert doit(project, "iso").stdout == CACHED
    runs(project)
    settle()
    assert doit(project, "iso").stdout == CACHED
    return project


def settle() -> None:
    """Let the clock of file times go on by a tick."""
    time.sleep(0.1)


def at_once(project: Path, *words: str) -> bool:
    """Whether a build ends without the graph, which a syntax error in it then shows."""
    dodo = project / "dodo.py"
    status, text = dodo.stat(), dodo.read_bytes()
    code = doit(project, *words)
    assert (dodo.stat(), dodo.read_bytes()) == (status, text)
    log = (project / "dist/.lock").stat().st_mtime_ns
    again = doit(project, *words)
    assert (again.returncode, again.stdout) == (code.returncode, code.stdout)
    # A build that judges stages takes the checkout for itself, and says so in its lock.
    return (project / "dist/.lock").stat().st_mtime_ns == log


def test_a_third_build_ends_at_once_with_the_same_words(built: Path) -> None:
    assert at_once(built, "iso")
    assert at_once(built)
    assert runs(built) == []


def same_size(project: Path) -> None:
    status = (project / "input").stat()
    (project / "input").write_text("GOOD")
    # As cp -p and an editor that keeps times would leave it.
    os.utime(project / "input", ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda project: (project / "input").write_text("other"),
    "content, its time kept": same_size,
    "mode": lambda project: (project / "input").chmod(0o700),
    "result gone": lambda project: (project / "copied").unlink(),
    "result changed": lambda project: (project / "copied").write_text("GOOD"),
    "stamp gone": lambda project: shutil.rmtree(project / "dist/stamps"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_touched_the_stages_judge(built: Path, change: str) -> None:
    CHANGES[change](built)
    doit(built, "iso")
    assert runs(built) == ["copy", "check"]


def test_another_setting_or_environment_is_another_build(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doit(built, "iso", "suite=bookworm")
    assert runs(built) == ["copy", "check"]
    settle()
    doit(built, "iso")
    assert runs(built) == ["copy", "check"]


def test_other_command_lines_ask_the_graph(built: Path) -> None:
    assert doit(built, "-a", "iso").returncode == 0
    assert runs(built) == ["copy", "check"]
    assert unchanged.asked(["list"]) is None
    assert unchanged.asked(["-a", "iso"]) is None


@pytest.mark.parametrize("content", ["", "{}", "[]", "\udcff", '{"state": 1, "lines": null}'])
def test_a_damaged_record_is_none(built: Path, content: str) -> None:
    (built / "dist/unchanged.json").write_bytes(content.encode(errors="surrogateescape"))
    assert doit(built, "iso").stdout == CACHED


@pytest.mark.parametrize("word", ["abi=pin-or-newest", "container=podman"])
def test_what_only_a_whole_build_can_tell_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dodo.py").touch()
    assert unchanged.asked(["iso", word]) is None
    assert unchanged.asked(["iso", "profile=dev"]) == ("profile=dev",)


NAMES = st.sampled_from(["a", "b", "c"])
EDITS = st.lists(st.tuples(st.sampled_from(["write", "chmod", "link", "remove", "folder"]), NAMES, NAMES), max_size=4)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(EDITS, EDITS)
def test_the_same_state_is_the_same_tree(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    first: list[tuple[str, str, str]],
    then: list[tuple[str, str, str]],
) -> None:
    place = tmp_path_factory.mktemp("checkout")
    monkeypatch.chdir(place)
    make(place, first)
    settle()
    before, seen = unchanged.state(()), picture(place)
    make(place, then)
    settle()
    if picture(place) != seen:
        # Nothing is said of what cannot be looked at, such as a link to itself: the content is judged then.
        now = unchanged.state(())
        assert now == "" or now != before
    elif not then:
        assert unchanged.state(()) == before


def make(place: Path, edits: list[tuple[str, str, str]]) -> None:
    for what, folder, name in edits:
        path = place / folder / name
        path.parent.mkdir(exist_ok=True)
        if what == "chmod" and path.is_file() and not path.is_symlink():
            path.chmod(path.stat().st_mode ^ 0o100)
        if what in {"write", "link", "remove"} and not path.is_dir():
            path.unlink(missing_ok=True)
        if what == "write" and not path.exists():
            path.write_text(name)
        if what == "link" and not path.exists():
            path.symlink_to(folder)
        if what == "folder" and not path.exists() and not path.is_symlink():
            path.mkdir()


def picture(place: Path) -> list[object]:
    return sorted(
        [str(path), path.lstat().st_mode, path.read_bytes() if path.is_file() else b""] for path in place.rglob("*")
    )


def test_a_file_touched_a_moment_ago_may_be_touched_again_unseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(unchanged.time, "time_ns", lambda: (tmp_path / "a").stat().st_ctime_ns + 10)
    (tmp_path / "a").touch()
    assert unchanged.state(()) == ""


def test_a_linked_worktree_is_judged_by_its_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").write_text("gitdir: elsewhere\n")
    settle()
    assert unchanged.state(()) == ""


@pytest.mark.parametrize(
    "name", [".git", ".venv", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", "dist/logs"]
)
def test_a_folder_of_the_overlay_counts_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What tools leave at the top of a checkout is left out there alone."""
    monkeypatch.chdir(tmp_path)
    files = [tmp_path / place / name / "lib/file" for place in (".", "iso/overlay/opt/tool")]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text("before")
    settle()
    before = unchanged.state(())
    for file, counts in zip(files, (False, True), strict=True):
        file.write_text("after")
        settle()
        assert (unchanged.state(()) != before) == counts


LINKS = {
    "to the checkout itself": (".", "checkout/self"),
    "to its parent": ("..", "checkout/parent"),
    "to a folder whose links go round": ("../outside", "checkout/outside"),
    "to itself": ("loop", "checkout/loop"),
}


@pytest.mark.parametrize("case", LINKS)
def test_links_that_go_round_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    target, link = LINKS[case]
    (tmp_path / "outside/folder").mkdir(parents=True)
    (tmp_path / "outside/folder/again").symlink_to("..")
    (tmp_path / "checkout/dist").mkdir(parents=True)
    (tmp_path / link).symlink_to(target)
    monkeypatch.chdir(tmp_path / "checkout")
    settle()
    before = unchanged.state(())
    # What a build itself writes, seen from outside, is no change.
    (tmp_path / "checkout/dist/.lock").touch()
    settle()
    assert unchanged.state(()) == before
    assert (before == "") == (case == "to itself")
    (tmp_path / "outside/folder/file").touch()
    settle()
    assert (unchanged.state(()) != before) == (case in {"to its parent", "to a folder whose links go round"})


def test_more_than_the_stages_would_look_at_is_left_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(unchanged, "_MOST", 30)
    for number in range(40):
        (tmp_path / f"{number}").touch()
    settle()
    assert unchanged.state(()) == ""


def test_of_a_repeated_setting_the_last_one_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dodo.py").touch()
    settle()
    states = [
        unchanged.state(unchanged.asked(words) or ()) for words in (["suite=a", "suite=b"], ["suite=b", "suite=a"])
    ]
    assert states[0] != states[1]


@pytest.mark.parametrize("name", [".git/reftable/tables.list", ".git/config.worktree", "../home/git/config"])
def test_wherever_git_has_its_answers_from_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # The home is beyond the checkout.
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    settle()
    before = unchanged.state(())
    (checkout / name).parent.mkdir(parents=True)
    (checkout / name).touch()
    settle()
    assert unchanged.state(()) != before


def test_what_apt_downloads_is_nobody_s_to_look_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    scanned = []
    scandir = os.scandir
    monkeypatch.setattr(unchanged.os, "scandir", lambda path: (scanned.append(str(path)), scandir(path))[1])
    settle()
    unchanged.state(())
    assert "/var/lib/apt/lists" in scanned
    assert "/var/lib/apt/lists/partial" not in scanned


def test_a_reader_that_has_left_is_no_failure_of_an_untouched_build(built: Path) -> None:
    _, said = unread(built, "iso")
    assert said == ""
    assert runs(built) == []
