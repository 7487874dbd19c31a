"""The wheel in an environment that has nothing else, run from /: programs start and find their schemas."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.house.tree import ROOT, files


def _closure(name: str) -> set[str]:
    """A distribution's name with those of all it requires here."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        try:
            requires = importlib.metadata.requires(current) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        if current not in found:
            found.add(current)
            waiting += [
                re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in requires if "extra ==" not in line
            ]
    return found


def _lend(distribution: str, site: Path) -> None:
    """Copy an installed distribution into another environment: no index is asked."""
    for file in importlib.metadata.files(distribution) or []:
        if ".." not in file.parts:
            target = site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(str(file.locate())), target)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    links = [path for package in ("bee", "busnode") for path in (ROOT / package).rglob("*") if path.is_symlink()]
    for path in [*files(), *links]:
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=False)
    wheels = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", wheels, source], check=True)
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=False)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*pip, "--python", place / "bin/python", "install", "--no-deps", "--no-index", wheel], check=True)
    return place


def _run(environment: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(environment / "bin" / command[0]), *command[1:]],
        cwd="/",
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_bee_audits_with_nothing_but_the_standard_library(environment: Path, tmp_path: Path) -> None:
    audit = tmp_path / "audit.json"
    assert _run(environment, "bee", "audit", "--output", str(audit)).returncode == 0
    assert json.loads(audit.read_text())["schema_version"]
    page = _run(environment, "bee", "report", str(audit), "--html", "-")
    assert "</html>" in page.stdout, page.stderr
    without = _run(environment, "bee", "validate", str(audit))
    assert without.returncode == 2
    assert "jsonschema" in without.stderr
    assert len(without.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def with_jsonschema(environment: Path) -> Path:
    (site,) = environment.glob("lib/python3*/site-packages")
    for name in _closure("jsonschema"):
        _lend(name, site)
    return environment


def test_bee_validates_from_anywhere(with_jsonschema: Path, tmp_path: Path) -> None:
    audit = tmp_path / "audit.json"
    _run(with_jsonschema, "bee", "audit", "--output", str(audit))
    assert _run(with_jsonschema, "bee", "validate", str(audit)).returncode == 0


@pytest.mark.parametrize(
    "program", [("bus", "operator", "node"), ("bus-operator", "node"), ("bus-operator-node",)], ids=" ".join
)
def test_the_operator_programs_read_targets_from_anywhere(
    with_jsonschema: Path, tmp_path: Path, program: tuple[str, ...]
) -> None:
    targets = tmp_path / "nodes.json"
    targets.write_text('{"proxy": {"host": "10.0.0.10", "user": "bus", "port": 70000}}')
    done = subprocess.run(
        [with_jsonschema / "bin" / program[0], *program[1:], "status", "--id", "proxy"],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "BUS_NODE_TARGETS_FILE": str(targets)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 2
    assert "port" in done.stderr
    assert "Traceback" not in done.stderr
