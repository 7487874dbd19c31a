"""doit and the stages: what runs again and what does not, in what order, and how a failure and a signal end."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.iso.checkout import make_checkout

ROOT = Path(__file__).parents[2]
DOIT = [sys.executable, "-m", "doit"]
# How a small project's dodo.py begins: with what its stages are made of, and what notes that one ran.
PREFACE = f"""
import sys
from pathlib import Path

sys.path.insert(0, {str(ROOT)!r})
from iso.errors import BuildError
from iso.graph import tasks as graph
from iso.graph.inputs import Inputs
from iso.graph.stage import Stage
from iso.tree import listing

DOIT_CONFIG = graph.DOIT_CONFIG
here = Path(__file__).parent
build = graph.Build.of_command_line(__file__)

def ran(name):
    # Closed here: a signal that comes while an abandoned file is closed would be lost.
    with (here / "runs").open("a") as stream:
        stream.write(name + "\\n")
"""
DODO = f"""{PREFACE}
import time

from iso import shell

def copy(job):
    ran("copy")
    (here / "copied").write_text((here / "input").read_text())

def check(job):
    shell.run(["echo", "looking"], job.log)
    ran("check")
    if (here / "copied").read_text() == "bad":
        raise BuildError("the input is bad: write another")
    if (here / "copied").read_text() == "slow":
        time.sleep(60)

def inputs(job):
    return Inputs(listing(here / "input", "input"), {{"suite": job.config.suite}})

def task_copy():
    "1. copy"
    return build.stage(Stage("copy", copy, inputs, outputs=lambda job: [here / "copied"]))

def task_check():
    "2. check"
    return build.stage(Stage("check", check, inputs, cmdline=lambda job: [["echo", "two words"]]))

def task_iso():
    "all"
    return build.result()
"""


def small_project(folder: Path, dodo: str, packages: str = "git\n") -> Path:
    """A checkout with a graph of its own, whose stages have one input; `packages` is its list of what a build needs."""
    make_checkout(folder)
    (folder / "iso/builder/VERSIONS").write_text((ROOT / "iso/builder/VERSIONS").read_text())
    (folder / "iso/builder/host-packages").mkdir()
    (folder / "iso/builder/host-packages/iso").write_text(packages)
    (folder / "dodo.py").write_text(dodo)
    (folder / "input").write_text("good")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return small_project(tmp_path, DODO, "# what a build needs\nlive-build\ngit # for the commit\n")


def doit(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # What is compiled on the way would be a change of the project's folder.
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*DOIT, *arguments], cwd=project, capture_output=True, text=True, check=False, env=environment
    )


def runs(project: Path) -> list[str]:
    file = project / "runs"
    found = file.read_text().split() if file.exists() else []
    file.unlink(missing_ok=True)
    return found


def test_a_second_run_does_nothing_and_a_change_does_it_again(project: Path) -> None:
    assert doit(project).returncode == 0
    assert runs(project) == ["copy", "check"]
    again = doit(project)
    assert again.returncode == 0
    assert runs(project) == []
    assert again.stdout == "[1/2] copy … cached\n[2/2] check … cached\n"
    (project / "input").write_text("other")
    assert doit(project).returncode == 0
    assert runs(project) == ["copy", "check"]


def test_an_output_that_is_gone_is_made_again(project: Path) -> None:
    doit(project)
    runs(project)
    (project / "copied").unlink()
    doit(project)
    # What comes after it was made of the old one.
    assert runs(project) == ["copy", "check"]


def test_a_failure_is_said_once_in_its_own_words(project: Path) -> None:
    (project / "input").write_text("bad")
    done = doit(project, "suite=trixie")
    assert done.returncode == 1
    assert done.stderr == (
        "check: the input is bad: write another\n  this stage alone: .venv/bin/doit -s check suite=trixie\n"
    )
    assert "Traceback" not in done.stdout
    # What succeeded is remembered, what failed is tried again; alone by the command that is named.
    runs(project)
    doit(project)
    assert runs(project) == ["check"]
    named = done.stderr.splitlines()[-1].partition(": ")[2]
    assert doit(project, *shlex.split(named)[1:]).stderr == done.stderr
    assert runs(project) == ["check"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_an_interrupted_build_remembers_what_it_finished(project: Path, number: signal.Signals) -> None:
    (project / "input").write_text("slow")
    with subprocess.Popen(DOIT, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as build:
        wait_for_stage(project, "check")
        build.send_signal(number)
        assert build.wait(timeout=30) != 0
    assert [stamp.name for stamp in (project / "dist/stamps").iterdir()] == ["00-copy"]
    assert not (project / ".doit.db").exists()


def wait_for_stage(project: Path, name: str) -> None:
    end = time.monotonic() + 30
    while not (project / "runs").exists() or name not in (project / "runs").read_text():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_killed_build_leaves_nothing_that_passes_for_the_old_one(project: Path) -> None:
    """Alice's image, a build with mallory's key killed on its way, alice again: nothing of mallory's may stay."""
    assert doit(project).returncode == 0
    runs(project)
    (project / "input").write_text("slow")
    with subprocess.Popen(DOIT, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as build:
        wait_for_stage(project, "check")
        build.kill()
    runs(project)
    (project / "input").write_text("good")
    assert doit(project).returncode == 0
    assert runs(project) == ["copy", "check"]
    assert (project / "copied").read_text() == "good"


def test_a_stage_killed_while_it_ran_again_is_not_done(project: Path) -> None:
    """Its output is there, half-written, and its key is that of its last success."""
    assert doit(project).returncode == 0
    (project / "copied").write_text("slow")
    runs(project)
    again = [*DOIT, "run", "--always", "--single", "check"]
    with subprocess.Popen(again, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as build:
        wait_for_stage(project, "check")
        build.kill()
    (project / "copied").write_text("good")
    runs(project)
    doit(project)
    assert runs(project) == ["check"]


def test_two_builds_of_one_checkout_do_not_mix(project: Path) -> None:
    (project / "input").write_text("slow")
    with subprocess.Popen(DOIT, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as build:
        wait_for_stage(project, "check")
        second = doit(project)
        listed = doit(project, "list")
        build.kill()
    assert second.returncode != 0
    assert second.stderr == f"{project}/dist/.lock: another build of this checkout is running, process {build.pid}\n"
    assert listed.returncode == 0
    # A lock does not outlive its process.
    (project / "input").write_text("good")
    assert doit(project).returncode == 0


@pytest.mark.parametrize(
    ("settings", "complaints"),
    [
        (["nvidia=maybe"], ["nvidia=maybe: must be one of debian, run, none"]),
        (["colour=blue", "abi=x"], ["colour=blue: no such setting", "abi=x: not a kernel ABI"]),
        (["authorized_keys=/nonexistent"], ["authorized_keys=/nonexistent: No such file or directory"]),
    ],
)
def test_bad_settings_are_refused_at_once_and_together(
    project: Path, settings: list[str], complaints: list[str]
) -> None:
    done = doit(project, "iso", *settings)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == len(complaints)
    assert all(line.startswith(said) for line, said in zip(lines, complaints, strict=True))
    assert runs(project) == []


def test_versions_that_are_no_text_are_refused(project: Path) -> None:
    file = project / "iso/builder/VERSIONS"
    file.write_bytes(b"SUITE=\xff\n")
    done = doit(project)
    assert (done.returncode, done.stderr) == (2, f"{file}: not a text file (UTF-8)\n")


def test_a_private_key_is_refused_before_the_build(project: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", project / "key"], check=True)
    done = doit(project, "iso", f"authorized_keys={project / 'key'}")
    assert done.returncode == 2
    assert "this is a private key" in done.stderr
    assert runs(project) == []


DOCUMENT = (
    *("compile", "overlay", "authorize", "bee", "vendor", "nvidia"),
    *("nvidia:a_headers", "nvidia:b_download", "nvidia:c_extract"),
    *("nvidia:d_build", "nvidia:e_symlinks", "nvidia:f_cache"),
    *("modules", "nvidia_smi", "libraries", "release", "motd", "workdir", "sync", "live_build", "iso"),
)


def test_the_list_of_tasks_reads_like_the_document() -> None:
    done = subprocess.run([*DOIT, "list"], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert tuple(line[0] for line in lines) == DOCUMENT
    numbers = [line[1].rstrip(".") for line in lines[:-1]]
    assert numbers == [*map(str, range(1, 7)), "6a", "6b", "6c", "6d", "6e", "6f", *map(str, range(7, 15))]


def test_listing_runs_nothing_and_writes_nothing(project: Path) -> None:
    before = sorted(path for path in project.rglob("*") if "__pycache__" not in path.parts)
    assert doit(project, "list").returncode == 0
    assert runs(project) == []
    assert sorted(path for path in project.rglob("*") if "__pycache__" not in path.parts) == before
