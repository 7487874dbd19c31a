"""dist/build.json is true of the image beside it: valid, written at the end, and left alone when nothing had to run."""

from __future__ import annotations

import hashlib
import json
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from iso.packages import parse_versions
from tests.iso.test_commands import PLUGINS
from tests.iso.test_graph import DOIT, ROOT, doit, project, wait_for_stage

__all__ = ["project"]
SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "schemas/build.schema.json").read_text()))


def report(project: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((project / "dist/build.json").read_text())
    SCHEMA.validate(value)
    return value


def stage(value: dict[str, Any], name: str) -> dict[str, Any]:
    return next(stage for stage in value["stages"] if stage["name"] == name)


def test_it_has_inputs_commands_times_and_outputs_of_every_stage(project: Path) -> None:
    assert doit(project, "suite=bookworm").returncode == 0
    said = report(project)
    assert [stage["name"] for stage in said["stages"]] == ["copy", "check"]
    assert not any(stage["cached"] for stage in said["stages"])
    assert said["settings"]["suite"] == "bookworm"
    digest = hashlib.sha256(b"good").hexdigest()
    assert stage(said, "copy")["inputs"]["files"]["input"].endswith(digest)
    assert stage(said, "copy")["outputs"] == {"copied": {"sha256": digest, "size": 4}}
    assert stage(said, "check")["commands"] == [["echo", "looking"]]
    # The log says the same.
    assert (project / "dist/logs/check.log").read_text().startswith(f"+ {shlex.join(['echo', 'looking'])}\n")


def test_a_run_that_does_nothing_leaves_it_and_one_that_does_something_says_what(project: Path) -> None:
    doit(project)
    file = project / "dist/build.json"
    before, stamp = file.read_bytes(), file.stat().st_mtime_ns
    doit(project)
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (before, stamp)
    (project / "dist/stamps/01-check").unlink()
    doit(project)
    said = report(project)
    assert [stage["cached"] for stage in said["stages"]] == [True, False]
    # A cached stage's facts are those of the run that made it.
    assert stage(said, "copy") == stage(json.loads(before), "copy") | {"cached": True}


def test_it_is_written_again_when_it_is_gone_or_was_changed(project: Path) -> None:
    doit(project)
    file = project / "dist/build.json"
    for spoil in (file.unlink, lambda: file.write_text("{}")):
        spoil()
        doit(project)
        assert all(stage["cached"] for stage in report(project)["stages"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_build_that_did_not_succeed_leaves_the_one_before(project: Path, number: signal.Signals) -> None:
    doit(project)
    before = (project / "dist/build.json").read_bytes()
    (project / "input").write_text("bad")
    doit(project)
    assert (project / "dist/build.json").read_bytes() == before
    (project / "runs").unlink()
    (project / "input").write_text("slow")
    with subprocess.Popen(DOIT, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as build:
        wait_for_stage(project, "check")
        build.send_signal(number)
    assert (project / "dist/build.json").read_bytes() == before


def test_no_password_of_a_url_is_kept_or_shown(project: Path) -> None:
    (project / "pyproject.toml").write_text(PLUGINS)
    urls = [f"nvidia_url=https://me:geheim{number}@vendor.invalid/driver.run" for number in (1, 2)]
    said = doit(project, urls[0])
    assert report(project)["settings"]["nvidia_url"] == "https://vendor.invalid/driver.run"
    # Another password is no other build.
    explained = doit(project, "explain", urls[1])
    assert {line.split()[1] for line in explained.stdout.splitlines()} == {"cached"}
    (project / "input").write_text("bad")
    failed = [doit(project, urls[0]), doit(project, "run", "--log-json", urls[0])]
    assert "nvidia_url=https://vendor.invalid/driver.run" in failed[0].stderr
    kept = [file.read_text() for file in (project / "dist").rglob("*") if file.is_file()]
    assert "geheim" not in "".join([*kept, *(done.stdout + done.stderr for done in (said, explained, *failed))])


def test_versions_are_those_of_installed_packages() -> None:
    listing = "git\t1:2.39\tinstalled\nlive-build\t2023\tconfig-files\nxorriso\t1.5\tinstalled\nodd\n"
    assert parse_versions(listing, ["git", "live-build", "missing"]) == {"git": "1:2.39"}
