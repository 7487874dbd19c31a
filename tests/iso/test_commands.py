"""The questions of doit's command line: what they say, and that none of them runs a stage or changes a file."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from iso import lock
from tests.house.tree import files
from tests.iso.test_graph import DOIT, ROOT, doit, project, runs, wait_for_stage

__all__ = ["project"]
PLUGINS = "[tool.doit.plugins.command]\n" + "".join(
    line
    for line in (ROOT / "pyproject.toml").read_text().partition("[tool.doit.plugins.command]\n")[2].splitlines(True)
)


@pytest.fixture
def asked(project: Path) -> Path:
    (project / "pyproject.toml").write_text(PLUGINS)
    return project


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of clones of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    folder = tmp_path / "caches/bee-busnode/iso"
    folder.mkdir(parents=True)
    return folder


def explain(project: Path, *words: str) -> dict[str, str]:
    done = doit(project, "explain", *words)
    assert done.returncode == 0, done.stderr
    return {line.split()[0]: " ".join(line.split()[1:]) for line in done.stdout.splitlines()}


def state(tree: Path) -> dict[str, tuple[int, int]]:
    """Names, sizes and times of all files and folders; compiled Python is Python's own business."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in [tree, *tree.rglob("*")]
        if "__pycache__" not in path.parts
    }


def test_a_first_build_follows_from_its_first_stage(asked: Path) -> None:
    assert explain(asked, "iso") == {
        "copy": "run not done yet",
        "check": "run follows from copy",
        "iso": "run follows from copy",
    }


def test_what_is_done_need_not_run(asked: Path) -> None:
    doit(asked)
    assert explain(asked) == {"copy": "cached", "check": "cached", "iso": "cached"}


def test_a_changed_file_and_a_changed_setting_are_named(asked: Path) -> None:
    doit(asked)
    (asked / "input").write_text("other")
    assert explain(asked, "iso")["copy"] == "run input changed"
    doit(asked)
    said = explain(asked, "suite=bookworm", "iso")
    assert set(said.values()) == {"run suite: trixie → bookworm"}


def test_what_a_stage_left_is_missed_when_it_is_gone_or_another(asked: Path) -> None:
    doit(asked)
    (asked / "copied").write_text("tampered with")
    follows = {"check": "run follows from copy", "iso": "run follows from copy"}
    assert explain(asked) == {"copy": "run copied is not what the stage left"} | follows
    (asked / "copied").unlink()
    assert explain(asked) == {"copy": "run copied is missing"} | follows


def test_a_copy_of_the_checkout_with_other_times_is_not_built_again(asked: Path) -> None:
    doit(asked)
    (asked / "copied").touch()
    assert set(explain(asked).values()) == {"cached"}


def test_only_what_a_task_needs_is_explained(asked: Path) -> None:
    assert explain(asked, "copy") == {"copy": "run not done yet"}


def test_an_explanation_is_what_the_next_run_does(asked: Path) -> None:
    doit(asked)
    for change in (lambda: None, lambda: (asked / "input").write_text("new"), (asked / "copied").unlink):
        runs(asked)
        change()
        announced = [name for name, verdict in explain(asked).items() if verdict.startswith("run")]
        doit(asked)
        assert [*runs(asked), "iso"] == announced or announced == []


def test_an_unknown_task_and_a_bad_setting_are_one_line_each(asked: Path) -> None:
    unknown = doit(asked, "explain", "nothing")
    assert (unknown.returncode, unknown.stderr) == (3, "ERROR: 'nothing' is not a task: doit list names them\n")
    bad = doit(asked, "explain", "nvidia=maybe")
    assert (bad.returncode, len(bad.stderr.splitlines())) == (2, 1)


@pytest.mark.parametrize("options", [["-n", "2"], ["-n", "1", "-P", "thread"]])
def test_stages_side_by_side_are_refused_in_one_line(asked: Path, options: list[str]) -> None:
    done = doit(asked, *options, "iso")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"-n {options[1]}: each stage waits for the one before it: leave it out\n"
    assert runs(asked) == []


def test_a_build_holds_the_python_environment_that_it_runs_in(asked: Path) -> None:
    (asked / "input").write_text("slow")
    with subprocess.Popen(DOIT, cwd=asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as build:
        wait_for_stage(asked, "check")
        held = Path(f"/proc/{build.pid}/fd")
        assert Path(sys.prefix) in [descriptor.resolve() for descriptor in held.iterdir()]
        assert lock.is_held(Path(sys.prefix))
        build.terminate()


@pytest.mark.parametrize("command", ["explain", "plan"])
def test_a_file_that_cannot_be_read_is_one_line(asked: Path, command: str) -> None:
    doit(asked)
    (asked / "copied").unlink()
    (asked / "copied").symlink_to("nowhere")
    done = doit(asked, command)
    assert (done.returncode, done.stderr) == (1, f"{asked}/copied: No such file or directory\n")


def test_a_plan_has_the_stages_that_would_run_with_their_commands_and_times(asked: Path) -> None:
    first = doit(asked, "plan", "iso").stdout.splitlines()
    assert first[:3] == ["[1/2] copy", "[2/2] check", "    echo 'two words'"]
    assert first[-1] == "2 to run; no earlier build says how long that takes"
    doit(asked)
    assert doit(asked, "plan").stdout == "nothing to do\n"
    (asked / "input").write_text("other")
    again = doit(asked, "plan").stdout.splitlines()
    assert again[0] == "[1/2] copy … about 0 s"
    assert again[-1] == "2 to run, about 0 s"


@pytest.mark.parametrize("command", ["explain iso", "plan iso", "cache"])
@pytest.mark.parametrize("built", [False, True])
def test_a_question_runs_nothing_and_changes_no_file(asked: Path, command: str, built: bool) -> None:
    if built:
        doit(asked)
        (asked / "input").write_text("other")
    runs(asked)
    before = state(asked)
    done = doit(asked, *command.split())
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert runs(asked) == []
    assert state(asked) == before


def test_the_real_graph_is_explained_without_a_change(tmp_path: Path) -> None:
    """In a clone of this checkout, so that nothing that works here at the same time is counted."""
    tree = tmp_path / "checkout"
    for source in files():
        target = tree / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
        else:
            target.write_bytes(source.read_bytes())
    before = state(tree)
    done = subprocess.run(
        [sys.executable, "-B", "-m", "doit", "explain", "iso"], cwd=tree, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["run"] * len(done.stdout.splitlines())
    assert state(tree) == before


@pytest.mark.parametrize("words", [("abi", "bump"), ("cache", "prune", "20G")])
def test_a_word_that_means_nothing_is_not_passed_over(asked: Path, words: tuple[str, ...]) -> None:
    before = state(asked)
    done = doit(asked, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{words[1]}: doit {words[0]} takes no such word: doit help {words[0]}\n"
    assert state(asked) == before


@pytest.mark.parametrize("command", ["clean", "dumpdb", "forget", "ignore", "info", "reset-dep"])
def test_a_command_about_doit_s_own_database_says_where_to_turn(asked: Path, command: str) -> None:
    assert doit(asked).returncode == 0
    before = state(asked)
    done = doit(asked, command, "iso")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"doit {command}: ")
    assert state(asked) == before
    assert doit(asked, "help", command).returncode == 0


def test_the_help_says_of_each_command_what_it_is_for(asked: Path) -> None:
    done = doit(asked, "help")
    assert done.returncode == 0, done.stderr
    assert " object at 0x" not in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if " clean " in line]
    assert line.endswith(" not here: rm -rf dist removes all results")


def test_a_cache_is_pruned_to_a_size_and_what_a_build_uses_stays(asked: Path, shared: Path) -> None:
    for age, name in enumerate(("old", "used", "new")):
        (shared / name).write_bytes(b"x" * 100_000)
        os.utime(shared / name, (10**9 + age, 10**9 + age))
    with (shared / "used").open() as used:
        fcntl.flock(used, fcntl.LOCK_SH)
        listed = doit(asked, "cache").stdout.splitlines()
        assert [line.split()[3:] for line in listed[:-1]] == [["old"], ["used", "in", "use"], ["new"]]
        assert listed[-1].endswith(f"  in {shared}")
        done = doit(asked, "cache", "--prune", "50K")
    assert (done.returncode, done.stderr) == (1, "")
    remarks = [line.split(maxsplit=3)[3] for line in done.stdout.splitlines()[:-1]]
    assert remarks == ["old  removed", "new  removed", "used  kept: a running build uses it"]
    assert done.stdout.splitlines()[-1].endswith(f"  left in {shared}")
    assert [path.name for path in shared.iterdir()] == ["used"]
    done = doit(asked, "cache", "--prune=50K")
    assert (done.returncode, list(shared.iterdir())) == (0, [])


@pytest.mark.parametrize("size", ["", " ", "20X", "all"])
def test_a_prune_to_no_size_is_refused(asked: Path, shared: Path, size: str) -> None:
    (shared / "old").write_bytes(b"x")
    done = doit(asked, "cache", f"--prune={size}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"--prune {size}: not a size such as 20G (K, M, G and T are powers of 1024)\n"
    assert (shared / "old").exists()
