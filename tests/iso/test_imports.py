"""The builder's own code is an input: whatever a stage imports, and each script that it starts, makes it run again."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from iso import build_root
from iso.archive.apt import Archive
from iso.archive.mirror import Mirror
from iso.graph import imports
from iso.graph.inputs import Inputs
from iso.graph.stage import Stage, Step
from iso.graph.stamps import Stamp
from iso.paths import Paths
from iso.stages import compile as compiling
from iso.stages import image_base, live_build, nvidia, nvidia_cache
from tests.iso.checkout import config, make_checkout

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
MODULES = ("compile", "kernel", "live_build", "manifest", "nvidia", "overlay")
# What a driver's stages import and the driver is the same without: how the archive is asked, commands run, files kept.
# What is chosen by them, as versions of packages, is in its key by itself.
NOT_IN_A_DRIVER = {
    *("archive/apt.py", "archive/mirror.py", "archive/sources.py", "cache.py", "download.py", "errors.py", "faults.py"),
    *("graph/imports.py", "graph/inputs.py", "graph/stage.py", "isolation.py", "lock.py", "machine_files.py"),
    *("mounts.py", "packages.py", "paths.py", "remembered.py", "replacement.py", "shell.py", "stages/kernel.py"),
    *("stages/nvidia_toolchain.py", "tree.py", "urls.py"),
}
# What nothing of a build starts: what people start, and what the image's smoke test is.
FRONTS = {"build-in-container.sh", "build-nvidia-module.sh", "setup-builder.sh", "smoketest.sh"}


def closure(module: str, root: Path = ROOT) -> set[str]:
    return {str(file.relative_to(root / "iso")) for file in imports.closure(root / f"iso/{module}", root)}


@pytest.mark.parametrize("module", MODULES)
def test_all_that_a_stage_s_module_loads_is_in_its_closure(module: str) -> None:
    loaded = f"""import json, sys, iso.stages.{module}
print(json.dumps([loaded.__file__ for name, loaded in sys.modules.items() if name.startswith("iso.")]))"""
    done = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, check=True)
    files = json.loads(done.stdout)
    assert {str(Path(file).relative_to(ROOT / "iso")) for file in files} <= closure(f"stages/{module}.py")


def test_what_is_imported_late_counts_and_what_is_imported_for_types_does_not(tmp_path: Path) -> None:
    files = {
        "iso/__init__.py": "",
        "iso/a.py": "if TYPE_CHECKING:\n    from iso import types\nelse:\n    import iso.b\n",
        "iso/b.py": "def late():\n    from iso.folder.c import anything\n",
        "iso/folder/__init__.py": "from iso.d import x\n",
        "iso/folder/c.py": "import os, json.decoder\nfrom iso import a\n",
        "iso/d.py": "x = 1\n",
        "iso/types.py": "",
        "iso/other.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert closure("a.py", tmp_path) == {"__init__.py", "a.py", "b.py", "folder/__init__.py", "folder/c.py", "d.py"}


def test_of_code_outside_the_checkout_nothing_is_listed(tmp_path: Path) -> None:
    assert imports.closure(ROOT / "iso/stages/compile.py", tmp_path) == []


@pytest.mark.parametrize("module", MODULES)
def test_a_stage_depends_on_its_closure(module: str) -> None:
    stages = [
        stage for stage in vars(__import__(f"iso.stages.{module}", fromlist=["x"])).values() if isinstance(stage, Stage)
    ]
    assert stages
    for stage in stages:
        bare = dataclasses.replace(stage, inputs=lambda _job: Inputs(), asks=lambda _job: None)
        paths = Paths.of(ROOT)
        files = Step(bare, bare.job(config(), paths), Stamp(paths.stamps, 0, stage.name)).inputs().files
        assert set(files) == {f"iso/{name}" for name in closure(f"stages/{module}.py")}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return make_checkout(tmp_path)


def compiled(paths: Paths) -> str:
    return compiling.COMPILE.inputs(compiling.COMPILE.job(config(), paths)).key


def assembled(paths: Paths) -> str:
    return live_build.BUILD.inputs(live_build.BUILD.job(config(), paths)).key


def driven(paths: Paths) -> str:
    return nvidia_cache.key(nvidia.BUILD.job(config(nvidia_source="run", nvidia_sha256="ab" * 32), paths))


SCRIPTS: dict[str, set[Callable[[Paths], str]]] = {
    "assemble.sh": {assembled},
    "build-modules.sh": {driven},
    "in-build-root.sh": {compiled, driven},
    "make-base.sh": {assembled},
    "make-build-root.sh": {driven},
    "make-initrd.sh": {assembled},
    "sign-modules.sh": {driven},
    "unpack-run.sh": {driven},
    "work-folder.sh": {assembled},
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_edited_script_makes_what_is_made_with_it_another(paths: Paths, script: str) -> None:
    every = {compiled, assembled, driven}
    before = {of: of(paths) for of in every}
    (paths.builder / script).write_text("#!/bin/sh\necho edited\n")
    assert {of for of in every if of(paths) != before[of]} == SCRIPTS[script]


def test_every_script_of_the_builder_is_known_to_be_started_or_not() -> None:
    assert {file.name for file in (ROOT / "iso/builder").glob("*.sh")} == {*SCRIPTS, *FRONTS}


def test_of_all_that_a_driver_s_stages_import_it_is_settled_whether_it_makes_another_driver() -> None:
    packages = {"__init__.py", "archive/__init__.py", "graph/__init__.py", "image/__init__.py", "stages/__init__.py"}
    assert closure("stages/nvidia.py") - packages == {*nvidia_cache.MAKERS} | NOT_IN_A_DRIVER
    assert not {*nvidia_cache.MAKERS} & NOT_IN_A_DRIVER


@pytest.mark.parametrize("maker", nvidia_cache.MAKERS)
def test_another_maker_makes_another_driver(paths: Paths, maker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = driven(paths)
    real = nvidia_cache.file_digest
    monkeypatch.setattr(nvidia_cache, "file_digest", lambda path: "edited" if str(path).endswith(maker) else real(path))
    assert driven(paths) != before


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    lists = tmp_path / "apt/lists"
    lists.mkdir(parents=True)
    (lists / "mirror.invalid_debian_dists_trixie_InRelease").write_text("Date: Tue, 14 Nov 2023 22:13:20 UTC\n")
    return Archive(
        "trixie", Mirror("http://mirror.invalid/debian", "http://mirror.invalid/s"), tmp_path / "apt", tmp_path / "log"
    )


def test_a_minimal_system_is_another_when_it_is_made_otherwise(
    paths: Paths, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {build_root.bootstrap_tar(archive, paths)}
    monkeypatch.setattr(build_root, "file_digest", lambda _path: "edited")
    found.add(build_root.bootstrap_tar(archive, paths))
    monkeypatch.setattr(build_root.packages, "versions", lambda _names: {"mmdebstrap": "99"})
    found.add(build_root.bootstrap_tar(archive, paths))
    assert len(found) == 3


def test_a_base_is_another_when_what_makes_it_was_edited(
    paths: Paths, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = live_build.BUILD.job(config(), paths)
    before = image_base._place(job, archive, {})
    for module in ("image_base.py", "boot_loaders.py"):
        real = image_base.file_digest
        with monkeypatch.context() as patched:
            patched.setattr(
                image_base,
                "file_digest",
                lambda path, module=module, real=real: module if str(path).endswith(module) else real(path),
            )
            assert image_base._place(job, archive, {}) != before
