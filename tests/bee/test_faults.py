"""Each tool in turn misbehaves in each way, as a real program: the audit has what the others saw, and says the rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bee.audit import collect, serialise
from bee.machine import Recorded
from tests.bee.rack import Rack
from tests.bee.recorded import LINKS, SYS_FILES, exited, runs, server
from tests.bee.test_audit import errors
from tests.bee.test_cli import ROOT

TOOLS = tuple(sorted({args[0] for args in runs()}))
# Of these most machines have none: nothing is amiss without them.
OPTIONAL = ("ethtool", "mstflint", "sas2ircu", "sas3ircu", "storcli64")
FAULTS = {
    "hangs": "echo half; exec sleep 1000",
    "is killed": "echo half; kill -SEGV $$",
    "prints garbage": "head -c 5000 /dev/urandom",
    "prints nothing": ":",
    "prints 100 MB": "head -c 100000000 /dev/zero",
    "prints 100 MB of errors": "head -c 100000000 /dev/zero >&2",
    "leaves a child with its output": "sleep 1000 & exit 0",
    "cannot be started": "",
}


def audited(machine: Rack) -> dict[str, Any]:
    content = serialise(collect(machine, lambda level, text: None))
    assert errors(content) == []
    document: dict[str, Any] = json.loads(content)
    said = [reason for collector in document["collectors"] for reason in collector["reasons"]]
    assert not [reason for reason in said if "bee itself failed" in reason]
    return document


def others_are_whole(document: dict[str, Any], tool: str, whole: dict[str, Any]) -> None:
    """Every step that does not run `tool` says what it says where all is well."""
    for collector, before in zip(document["collectors"], whole["collectors"], strict=True):
        name = collector["name"]
        if tool in {run["args"][0] for run in before["tools"]}:
            continue
        # What one step sees is joined to another's in two places: GPUs to their PCI functions, health to all.
        if {tool, name} not in ({"nvidia-smi", "pcie"}, {"lspci", "nvidia"}):
            assert document[name] == whole[name], name
            assert collector["status"] == before["status"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with Rack(tmp_path_factory.mktemp("whole")) as machine:
        return audited(machine)


def test_with_all_tools_well_the_rack_is_the_recorded_server(whole: dict[str, Any]) -> None:
    recorded = json.loads(serialise(collect(server(), lambda level, text: None)))
    assert {name: whole[name] for name in ("board", "cpu", "memory", "storage", "pcie", "psu", "nvidia")} == {
        name: recorded[name] for name in ("board", "cpu", "memory", "storage", "pcie", "psu", "nvidia")
    }


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_tool_that_misbehaves_costs_what_it_sees_alone(
    tmp_path: Path, whole: dict[str, Any], tool: str, fault: str
) -> None:
    begin = time.monotonic()
    with Rack(tmp_path, faults={tool: FAULTS[fault]}, limit=0.4 if fault == "hangs" else 20) as machine:
        if fault == "cannot be started":
            (tmp_path / tool).write_bytes(b"\x7fELF garbage")
        document = audited(machine)
    assert time.monotonic() - begin < 30
    others_are_whole(document, tool, whole)
    outcomes = {
        (run["outcome"], run["signal"])
        for collector in document["collectors"]
        for run in collector["tools"]
        if run["args"][0] == tool
    }
    expected = {
        "hangs": ("timeout", None),
        "is killed": ("killed", 11),
        "prints 100 MB": ("flooded", None),
        "prints 100 MB of errors": ("flooded", None),
        "cannot be started": ("unstartable", None),
    }
    assert outcomes == {expected.get(fault, ("exited", None))}


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_that_is_missing_costs_what_it_sees_alone(tmp_path: Path, whole: dict[str, Any], tool: str) -> None:
    without = Recorded({args: run for args, run in runs().items() if args[0] != tool}, SYS_FILES, LINKS)
    with Rack(tmp_path, without) as machine:
        document = audited(machine)
    others_are_whole(document, tool, whole)
    said = [c["name"] for c in document["collectors"] if f"{tool} is not installed" in c["reasons"]]
    assert bool(said) == (tool not in OPTIONAL)


def exiting(code: int, *tools: str) -> dict[str, Any]:
    ended = {args: exited(args, run.stdout, code=code if args[0] in tools else 0) for args, run in runs().items()}
    content = serialise(collect(Recorded(ended, SYS_FILES, LINKS), lambda level, text: None))
    # Each is as valid as the next; what a validator costs is time.
    assert code % 16 or errors(content) == []
    document: dict[str, Any] = json.loads(content)
    ran = [run for c in document["collectors"] for run in c["tools"] if run["args"][0] in tools]
    assert {run["exit_code"] for run in ran if run["outcome"] != "missing"} == {code}
    return document


@pytest.mark.parametrize("tool", TOOLS)
def test_a_bad_exit_code_costs_what_the_tool_sees_alone(whole: dict[str, Any], tool: str) -> None:
    for code in (1, 2, 4, 64, 127, 240):
        others_are_whole(exiting(code, tool), tool, whole)


def test_every_exit_code_of_all_tools_at_once_is_survived_and_kept() -> None:
    for code in range(1, 256):
        exiting(code, *TOOLS)


def test_a_full_disk_costs_the_new_audit_and_not_the_one_before(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a small file system, in a mount namespace of its own")
    script = f"""
        mount -t tmpfs -o size=64k tmpfs {tmp_path} && echo before > {tmp_path}/audit.json &&
        head -c 55000 /dev/zero > {tmp_path}/filler
        {sys.executable} -m bee audit --output {tmp_path}/audit.json >/dev/null 2>{tmp_path.parent}/said
        echo $?; cat {tmp_path}/audit.json; ls -A {tmp_path}
    """
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, cwd=ROOT, check=True)
    assert done.stdout.decode().split() == ["2", "before", "audit.json", "filler"]
    said = (tmp_path.parent / "said").read_text().splitlines()
    assert said[-1] == f"bee: cannot write {tmp_path}/audit.json: No space left on device"


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_kill_at_any_moment_of_writing_leaves_the_audit_before(tmp_path: Path, call: str) -> None:
    """The power goes, as far as a process can have it: nothing of bee runs any more, not even its cleaning up."""
    (tmp_path / "audit.json").write_text("before")
    place = {"write": "os.fdopen", "fsync": "os.fsync", "rename": "os.replace"}[call]
    code = (
        "import os, signal, sys; from bee import audit\n"
        f"{place} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"audit.write({str(tmp_path / 'audit.json')!r}, b'x' * 100000)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == -9
    assert (tmp_path / "audit.json").read_text() == "before"
