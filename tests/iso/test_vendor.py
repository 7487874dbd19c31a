"""A vendor's program is an x86-64 executable that SHA256SUMS lists; anything else is refused before work begins."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iso.errors import BadInputError
from iso.image import vendor
from iso.versions import load
from tests.iso.checkout import make_checkout

PROGRAM = Path("/bin/true").read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two programs of vendors, with their sums."""
    for name in ("storcli64", "sas3ircu"):
        (tmp_path / name).write_bytes(PROGRAM)
    write_sums(tmp_path)
    return tmp_path


def write_sums(folder: Path) -> None:
    programs = [path for path in sorted(folder.iterdir()) if path.name in vendor.PROGRAMS]
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in programs]
    (folder / "SHA256SUMS").write_text("".join(lines))


def test_listed_programs_are_fit(folder: Path) -> None:
    assert vendor.problems(folder) == []
    assert [path.name for path in vendor.programs(folder)] == ["storcli64", "sas3ircu"]


@pytest.mark.parametrize("name", ["absent", "."])
def test_without_programs_no_sums_are_asked_for(tmp_path: Path, name: str) -> None:
    assert vendor.problems(tmp_path / name) == []


def test_everything_wrong_is_said_at_once(folder: Path) -> None:
    (folder / "storcli64").write_bytes(PROGRAM + b"x")
    (folder / "sas2ircu").write_bytes(PROGRAM)
    (folder / "mstflint").write_text("#!/bin/sh\n")
    with (folder / "SHA256SUMS").open("a") as stream:
        stream.write("not a line\n")
    said = vendor.problems(folder)
    assert len(said) == 4
    for part in (
        ":3: not a line",
        "storcli64: its sha256 is",
        "sas2ircu: not in SHA256SUMS",
        "mstflint: not an x86-64",
    ):
        assert sum(part in line for line in said) == 1, part


def test_a_folder_without_sums_says_how_to_make_them(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()
    (line,) = vendor.problems(folder)
    assert "SHA256SUMS: No such file" in line
    assert "sha256sum storcli64 sas3ircu >SHA256SUMS" in line


@given(st.text(max_size=200))
def test_any_sums_are_read(text: str) -> None:
    found, strange = vendor.parse_sums(text)
    assert len(found) + len(strange) <= len(text.split("\n"))


def test_settings_file_and_programs_are_refused_together(tmp_path: Path) -> None:
    paths = make_checkout(tmp_path)
    shutil.copy(Path(__file__).parents[2] / "iso/builder/VERSIONS", paths.versions)
    paths.vendor.mkdir(parents=True)
    (paths.vendor / "storcli64").write_text("no program")
    with pytest.raises(BadInputError) as caught:
        load(paths, {"nvida": "none", "suite": "potato"})
    assert len(caught.value.complaints) == 3


def test_a_link_that_leads_nowhere_is_said(tmp_path: Path) -> None:
    (tmp_path / "storcli64").symlink_to("gone")
    (tmp_path / vendor.SUMS).touch()
    assert vendor.problems(tmp_path) == [f"{tmp_path}/storcli64: No such file or directory"]


def test_a_pipe_and_a_device_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "storcli64")
    (tmp_path / "sas2ircu").symlink_to("/dev/zero")
    (tmp_path / "mstflint").mkdir()
    (tmp_path / vendor.SUMS).touch()
    assert vendor.problems(tmp_path) == [
        f"{tmp_path}/storcli64: a pipe or a device, which cannot be read twice: name a file",
        f"{tmp_path}/sas2ircu: a pipe or a device, which cannot be read twice: name a file",
        f"{tmp_path}/mstflint: Is a directory",
    ]
    (tmp_path / vendor.SUMS).unlink()
    os.mkfifo(tmp_path / vendor.SUMS)
    (line,) = vendor.problems(tmp_path)
    assert line.startswith(f"{tmp_path}/SHA256SUMS: a pipe or a device")


def test_a_library_is_no_program(folder: Path) -> None:
    shutil.copy("/usr/lib/x86_64-linux-gnu/libm.so.6", folder / "storcli64")
    write_sums(folder)
    assert vendor.problems(folder) == [f"{folder}/storcli64: not an x86-64 executable"]
