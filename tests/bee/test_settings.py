"""What may be turned off or pointed elsewhere: wrong as a flag it is refused, on the kernel's line said and ignored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee import settings
from bee.settings import STEPS, Settings, combine
from tests.bee.recorded import audit, server
from tests.bee.test_audit import errors
from tests.bee.test_cli import ROOT, run


def test_the_steps_that_may_be_skipped_are_the_audits_own() -> None:
    assert tuple(collector.name for collector in audit(server()).collectors) == STEPS


def test_both_sources_are_joined_and_a_flag_wins() -> None:
    kernel = "BOOT_IMAGE=/vmlinuz bee.skip=psu,nvidia bee.tool=lspci=/bin/true bee.deadline=90 quiet bee.nvidia=force\n"
    assert combine(kernel, [("psu",)], [("lspci", "/bin/false")], 30.0) == Settings(
        skip={
            "psu": "skipped by --skip psu",
            "nvidia": "skipped by bee.skip=psu,nvidia on the kernel's command line",
        },
        tools={"lspci": "/bin/false"},
        deadline_seconds=30.0,
        notes=("lspci is /bin/false, by --tool",),
    )
    assert combine(kernel).deadline_seconds == 90
    assert combine(kernel).notes == ("lspci is /bin/true, by bee.tool on the kernel's command line",)
    assert combine(None) == Settings()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("bee.skip=fan", "there is no step 'fan'; the steps are board, cpu, memory, storage, pcie, psu, nvidia"),
        ("bee.skip=", "there is no step ''; the steps are board, cpu, memory, storage, pcie, psu, nvidia"),
        ("bee.tool=lspci=bin/true", "'lspci=bin/true' is not NAME=PATH with a path from / on"),
        ("bee.tool=/bin/true", "'/bin/true' is not NAME=PATH with a path from / on"),
        ("bee.tool=lspci=/absent", "there is no program at /absent"),
        ("bee.tool=lspci=/tmp", "there is no program at /tmp"),
        ("bee.deadline=nan", "'nan' is no number of seconds greater than 0"),
        ("bee.deadline=0", "'0' is no number of seconds greater than 0"),
    ],
)
def test_what_is_wrong_on_the_kernels_line_is_said_and_costs_nothing_else(word: str, said: str) -> None:
    chosen = combine(f"{word} bee.skip=psu")
    assert chosen.notes == (f"ignored {word} on the kernel's command line: {said}",)
    assert (set(chosen.skip), chosen.tools, chosen.deadline_seconds) == ({"psu"}, {}, None)


@pytest.mark.parametrize("flag", [None, 30.0])
def test_a_wrong_deadline_on_the_kernels_line_is_said_whatever_the_flag_says(flag: float | None) -> None:
    chosen = combine("bee.deadline=soon", deadline_seconds=flag)
    assert chosen.deadline_seconds == flag
    assert chosen.notes == (
        "ignored bee.deadline=soon on the kernel's command line: 'soon' is no number of seconds greater than 0",
    )


def test_what_the_kernels_line_says_last_counts() -> None:
    chosen = combine("bee.deadline=60 bee.tool=lspci=/bin/true bee.deadline=300 bee.tool=lspci=/bin/false")
    assert (chosen.deadline_seconds, chosen.tools) == (300, {"lspci": "/bin/false"})


@given(
    st.text() | st.lists(st.sampled_from(["bee.skip", "bee.tool", "bee.deadline", "=", ",", "psu", " "])).map("".join)
)
def test_no_kernel_line_costs_the_audit(line: str) -> None:
    assert set(combine(line).skip) <= set(STEPS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--skip", "psu,fan"), "--skip: there is no step 'fan'; the steps are board, cpu, memory, storage, "),
        (("--tool", "lspci"), "--tool: 'lspci' is not NAME=PATH with a path from / on"),
        (("--tool", "lspci=/absent"), "--tool: there is no program at /absent"),
        (("--deadline", "soon"), "--deadline: 'soon' is no number of seconds greater than 0"),
        (("--deadline", "-1"), "--deadline: '-1' is no number of seconds greater than 0"),
    ],
)
def test_a_wrong_flag_is_one_line_and_exit_2(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run("audit", "--output", str(tmp_path / "audit.json"), *arguments)
    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"bee: {said}")
    assert done.stderr.count(b"\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_skipped_step_runs_nothing_and_says_who_said_so() -> None:
    done = run("audit", "--output", "-", "--skip", "psu,board", "--skip", "nvidia")
    document: dict[str, Any] = json.loads(done.stdout)
    assert errors(done.stdout) == []
    skipped = {c["name"]: c for c in document["collectors"] if c["reasons"] and c["reasons"][0].startswith("skipped")}
    assert {name: c["reasons"] for name, c in skipped.items()} == {
        "psu": ["skipped by --skip psu,board"],
        "board": ["skipped by --skip psu,board"],
        "nvidia": ["skipped by --skip nvidia"],
    }
    assert {(c["status"], *c["tools"]) for c in skipped.values()} == {("skipped",)}
    assert [document[name] for name in skipped] == [None] * 3


def test_an_overridden_tool_runs_and_the_audit_says_so(tmp_path: Path) -> None:
    (tmp_path / "lspci").write_text("#!/bin/sh\necho 'Slot:\t0000:00:1f.0'; echo 'Class:\tISA bridge [0601]'\n")
    (tmp_path / "lspci").chmod(0o755)
    done = run("audit", "--output", "-", "--tool", f"lspci={tmp_path}/lspci", "--tool", "lspcy=/bin/true")
    document = json.loads(done.stdout)
    isa = next(device for device in document["pcie"]["devices"] if device["address"] == "0000:00:1f.0")
    assert isa["class_name"] == "ISA bridge"
    assert f"lspci is {tmp_path}/lspci, by --tool" in document["notes"]
    assert b"bee: no step asked for the tool lspcy, which was pointed to /bin/true\n" in done.stderr


def test_the_kernels_command_line_is_heeded(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a file over /proc/cmdline, in a mount namespace of its own")
    (tmp_path / "cmdline").write_text("root=/dev/vda bee.skip=psu bee.skip=fan\n")
    script = f"mount --bind {tmp_path}/cmdline /proc/cmdline && exec {sys.executable} -m bee audit --output -"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, cwd=ROOT, check=True)
    document = json.loads(done.stdout)
    psu = next(collector for collector in document["collectors"] if collector["name"] == "psu")
    assert psu["reasons"] == ["skipped by bee.skip=psu on the kernel's command line"]
    assert [note for note in document["notes"] if note.startswith("ignored bee.skip=fan")]
    assert b"bee: ignored bee.skip=fan on the kernel's command line: there is no step 'fan'" in done.stderr


def test_seconds_may_have_decimals() -> None:
    assert settings.seconds("1.5") == 1.5
