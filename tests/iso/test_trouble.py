"""A full disk, a folder of somebody else, a wrong clock: one line each, and nothing that was done is lost."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from iso.errors import BuildError, explained
from tests.iso.test_graph import DOIT, doit, project, runs

__all__ = ["project"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting and other users need root")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BuildError("what, where, what to do"), "what, where, what to do"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/a"), "/a: No such file or directory"),
        (OSError(errno.ENOSPC, "No space left on device", "/a"), "/a: No space left on device: what is done is kept"),
        (PermissionError(errno.EACCES, "Permission denied", "/a"), "/a: Permission denied: it belongs to another user"),
        (OSError("said by a library"), "said by a library"),
        (shutil.Error([("/from", "/to", "[Errno 28] No space left on device")]), "/to: [Errno 28] No space left"),
    ],
)
def test_trouble_is_one_line_that_names_the_file(error: BuildError | OSError, said: str) -> None:
    assert explained(error).startswith(said)
    assert "\n" not in explained(error)


def in_namespace(project: Path, script: str) -> subprocess.CompletedProcess[str]:
    """A shell script in a mount namespace of its own, in the project."""
    return subprocess.run(
        ["unshare", "--mount", "sh", "-euc", script],
        cwd=project,
        env=os.environ | {"DOIT": " ".join(DOIT)},
        capture_output=True,
        text=True,
        check=False,
    )


@needs_root
def test_a_full_disk_is_said_and_the_build_goes_on_when_there_is_room(project: Path) -> None:
    (project / "input").write_text("x" * 300_000)
    dodo = (project / "dodo.py").read_text()
    (project / "dodo.py").write_text(dodo.replace('here / "copied"', 'here / "dist/copied"'))
    (project / "dist").mkdir(exist_ok=True)
    script = """
    mount -t tmpfs -o size=200k test dist
    echo before >dist/keep
    $DOIT 2>&1 || true
    cat dist/keep
    mount -o remount,size=2m dist
    $DOIT
    """
    done = in_namespace(project, script)
    lines = done.stdout.splitlines()
    full = next(line for line in lines if "No space left" in line)
    assert full.startswith("copy: ")
    assert "what is done is kept, free some and build again" in full
    assert "Traceback" not in done.stdout + done.stderr
    assert "before" in lines
    assert done.returncode == 0, done.stderr


@needs_root
def test_a_result_folder_that_cannot_be_written_is_one_line(project: Path) -> None:
    (project / "dist").mkdir(exist_ok=True)
    done = in_namespace(project, "mount -t tmpfs test dist; mount -o remount,ro dist; exec $DOIT")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{project}/dist/.lock: Read-only file system: it belongs to another user")
    assert runs(project) == []


@pytest.mark.parametrize("year", [1980, 2100])
def test_a_clock_in_the_past_or_the_future_decides_nothing(project: Path, year: int) -> None:
    """What is done is told by content: neither a file from the future nor a stamp from long ago changes that."""
    doit(project)
    runs(project)
    then = (year - 1970) * 365 * 86400
    for path in [project / "input", project / "copied", *(project / "dist/stamps").iterdir()]:
        os.utime(path, (then, then))
    assert doit(project).returncode == 0
    assert runs(project) == []
    (project / "input").write_text("new")
    os.utime(project / "input", (then, then))
    doit(project)
    assert runs(project) == ["copy", "check"]
