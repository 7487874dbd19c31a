"""The one-file program: same bytes from the same files, and it runs from anywhere with nothing around it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from iso.image import zipapp
from tests.iso.compiling import OTHER_VERSION, WATCHED, compiled

ROOT = Path(__file__).parents[2]
PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = tmp_path_factory.mktemp("program") / "bee"
    subprocess.run([PYTHON, "-I", zipapp.__file__, ROOT / "bee", result], check=True)
    return result


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments], cwd="/", env={}, capture_output=True, text=True, check=False, timeout=100
    )


def test_it_audits_from_the_root_folder_in_an_empty_environment(program: Path) -> None:
    done = run(program, "audit", "--output", "-")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema_version"]


def test_its_schemas_travel_with_it(program: Path) -> None:
    with zipfile.ZipFile(program) as archive:
        assert archive.read("bee/schemas/audit.schema.json") == (ROOT / "schemas/audit.schema.json").read_bytes()


def test_its_compiled_code_is_what_runs(program: Path, tmp_path: Path) -> None:
    """With all sources taken out it runs the same: Python never falls back to compiling them."""
    compiled = tmp_path / "compiled"
    with zipfile.ZipFile(program) as archive, zipfile.ZipFile(compiled, "w") as without_sources:
        for name in archive.namelist():
            assert "__pycache__" not in name
            if not name.endswith(".py"):
                without_sources.writestr(name, archive.read(name))
    done = subprocess.run([PYTHON, "-I", compiled, "--version"], cwd="/", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, run(program, "--version").stdout)


def watched(program: Path) -> list[str]:
    command = [PYTHON, "-I", "-c", WATCHED, program, "audit", "--output", "-"]
    return compiled(subprocess.run(command, cwd="/", capture_output=True, text=True, check=True).stderr)


def test_an_audit_compiles_no_module(program: Path) -> None:
    assert watched(program) == []


def test_a_module_without_compiled_code_would_be_noticed(program: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(program) as archive, zipfile.ZipFile(tmp_path / "bee", "w") as sources:
        for name in archive.namelist():
            if name != "bee/audit.pyc":
                sources.writestr(name, archive.read(name))
    assert watched(tmp_path / "bee") == [f"{tmp_path}/bee/bee/audit.py"]


def test_code_compiled_by_another_version_would_be_noticed(program: Path, tmp_path: Path) -> None:
    subprocess.run([PYTHON, "-I", "-c", OTHER_VERSION, program, tmp_path / "bee"], check=True)
    assert f"{tmp_path}/bee/bee/audit.py" in watched(tmp_path / "bee")


def package(folder: Path) -> Path:
    top = folder / "demo"
    (top / "inner").mkdir(parents=True)
    (top / "__init__.py").write_text("")
    (top / "cli.py").write_text("from demo.inner import words\n\n\ndef main():\n    print(words.SAID)\n    return 7\n")
    (top / "inner/__init__.py").write_text("")
    (top / "inner/words.py").write_text("SAID = 'hello'\n")
    return top


def test_its_exit_status_is_main_s(tmp_path: Path) -> None:
    result = tmp_path / "demo.pyz"
    assert zipapp.main([str(package(tmp_path)), str(result)]) == 0
    result.write_bytes(result.read_bytes())
    done = subprocess.run([PYTHON, "-I", result], cwd="/", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "hello\n")
    assert os.access(result, os.X_OK)


def test_times_modes_and_the_order_of_the_folder_do_not_show(tmp_path: Path) -> None:
    one = package(tmp_path / "one")
    other = tmp_path / "other/demo"
    other.mkdir(parents=True)
    for name in ("inner", "cli.py", "__init__.py"):
        source = one / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, other / name)
    (other / "__pycache__").mkdir()
    (other / "__pycache__/x.pyc").write_bytes(b"stale")
    os.utime(other / "cli.py", (1, 1))
    (other / "cli.py").chmod(0o600)
    assert zipapp.build(one) == zipapp.build(other)
    (other / "cli.py").write_text("changed = True\n")
    assert zipapp.build(one) != zipapp.build(other)
