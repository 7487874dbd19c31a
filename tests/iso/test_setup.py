"""setup-builder.sh: the .venv is made when it is missing or was made for something else, and else left alone."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = """#!/bin/sh
# As much of Python as the set-up uses; what it is called with is written down.
case "$1 $2" in
'-c import'*) echo "${TAG:-cpython-311} " ;;
'-m venv') mkdir -p "$4/bin" && cp "$0" "$4/bin/python" && echo venv >>"$CALLS" ;;
'-m pip') for word; do last=$word; done; echo "pip ${last##*/}" >>"$CALLS" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    builder = root / "iso/builder"
    (builder / "host-packages").mkdir(parents=True)
    for task in ("python", "iso"):
        (builder / "host-packages" / task).touch()
    (root / "requirements.lock").write_text("doit==1\n")
    (root / "pyproject.toml").write_text("[project]\n")
    (root / "python3").write_text(PYTHON)
    (root / "python3").chmod(0o755)
    shutil.copy(ROOT / "iso/builder/setup-builder.sh", builder)
    script = builder / "setup-builder.sh"
    script.write_text(script.read_text().replace("python=/usr/bin/python3", 'python="$root/python3"'))
    return root


def start(root: Path, tag: str = "cpython-311") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [root / "iso/builder/setup-builder.sh", "iso"],
        env=os.environ | {"CALLS": str(root.parent / "calls"), "TAG": tag},
        stdout=subprocess.PIPE,
        text=True,
    )


def set_up(root: Path, tag: str = "cpython-311") -> list[str]:
    calls = root.parent / "calls"
    calls.unlink(missing_ok=True)
    with start(root, tag) as running:
        running.communicate()
    assert running.returncode == 0
    return calls.read_text().splitlines() if calls.exists() else []


def test_it_is_made_once(checkout: Path) -> None:
    everything = ["venv", "pip requirements.lock", "pip checkout"]
    assert set_up(checkout) == everything
    assert set_up(checkout) == []


def test_other_dependencies_or_another_project_are_installed(checkout: Path) -> None:
    set_up(checkout)
    (checkout / "pyproject.toml").write_text("[project]\nname='other'\n")
    assert set_up(checkout) == ["pip checkout"]
    (checkout / "requirements.lock").write_text("doit==2\n")
    assert set_up(checkout) == ["venv", "pip requirements.lock", "pip checkout"]


def test_an_upgraded_python_gets_another(checkout: Path) -> None:
    set_up(checkout)
    assert set_up(checkout, tag="cpython-313") == ["venv", "pip requirements.lock", "pip checkout"]


def test_a_moved_checkout_gets_another(checkout: Path) -> None:
    set_up(checkout)
    moved = checkout.rename(checkout.with_name("moved"))
    assert set_up(moved) == ["venv", "pip requirements.lock", "pip moved"]


@pytest.mark.parametrize("change", ["requirements.lock", "pyproject.toml"])
def test_a_venv_that_a_build_uses_is_changed_after_it(checkout: Path, change: str) -> None:
    set_up(checkout)
    (checkout.parent / "calls").unlink()
    build = os.open(checkout / ".venv", os.O_RDONLY)
    try:
        fcntl.flock(build, fcntl.LOCK_SH)
        # Nothing to do is nothing to wait for.
        assert set_up(checkout) == []
        (checkout / change).write_text("other\n")
        with start(checkout) as running:
            assert running.stdout
            assert running.stdout.readline() == f"waiting for a build or another set-up, which has {checkout}/.venv\n"
            assert not (checkout.parent / "calls").exists()
            fcntl.flock(build, fcntl.LOCK_UN)
            running.communicate()
        assert running.returncode == 0
        assert (checkout.parent / "calls").read_text().splitlines()[-1] == "pip checkout"
    finally:
        os.close(build)
