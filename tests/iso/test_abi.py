"""`doit abi`: the pin beside what the mirror has, and a bump that changes one value of VERSIONS and nothing else."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from iso.commands.abi import Abi
from iso.errors import BadInputError, BuildError
from iso.stages import kernel
from iso.versions import load
from tests.iso.checkout import make_checkout

if TYPE_CHECKING:
    from iso.paths import Paths

VERSIONS = Path(__file__).parents[2] / "iso/builder/VERSIONS"
KERNELS = ["6.12.94+deb13-amd64", "6.12.107+deb13-amd64", "6.12.117+deb13-amd64", "6.19.1+deb13-amd64"]
PINNED = "DEBIAN_KERNEL_ABI=6.12.94+deb13-amd64"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = make_checkout(tmp_path)
    shutil.copy(VERSIONS, found.versions)
    text = found.versions.read_text()
    before = next(line for line in text.splitlines() if line.startswith("DEBIAN_KERNEL_ABI="))
    found.versions.write_text(text.replace(before, PINNED))
    return found


def ask(
    paths: Paths,
    monkeypatch: pytest.MonkeyPatch,
    kernels: list[str],
    bump: bool = False,
    settings: dict[str, str] | None = None,
    **changes: str,
) -> int:
    """The command, with a mirror that has these kernels."""
    monkeypatch.setattr(kernel, "archive_of", lambda _job: SimpleNamespace(kernels=lambda: kernels))
    config = dataclasses.replace(load(paths, settings or {}), **changes)
    command = Abi.__new__(Abi)
    build = SimpleNamespace(config=config, paths=paths, settings=settings or {})
    command.loader = SimpleNamespace(namespace={"build": build})
    command.options = {"bump": bump}
    return command.answer()


def test_the_pin_and_the_newest_of_its_series_are_marked(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(paths, monkeypatch, KERNELS) == 0
    assert capsys.readouterr().out.splitlines() == [
        "pinned: 6.12.94+deb13-amd64",
        "  6.12.94+deb13-amd64  pinned",
        "  6.12.107+deb13-amd64",
        "  6.12.117+deb13-amd64  newest",
        "  6.19.1+deb13-amd64",
        "doit abi --bump pins 6.12.117+deb13-amd64",
    ]


def test_a_pin_that_is_gone_is_said_and_is_a_status(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(paths, monkeypatch, KERNELS[1:]) == 1
    assert capsys.readouterr().out.startswith("pinned: 6.12.94+deb13-amd64, which the mirror no longer has\n")


def test_a_bump_changes_one_value_and_keeps_the_rest(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    before = paths.versions.read_text()
    paths.versions.chmod(0o664)
    for _ in range(2):
        assert ask(paths, monkeypatch, KERNELS[1:], bump=True) == 0
    assert paths.versions.read_text() == before.replace(PINNED, "DEBIAN_KERNEL_ABI=6.12.117+deb13-amd64")
    assert paths.versions.stat().st_mode & 0o777 == 0o664
    assert load(paths, {}).kernel_abi == "6.12.117+deb13-amd64"
    assert [path.name for path in paths.versions.parent.iterdir() if "partial" in path.name] == []


def test_a_bump_for_another_release_is_refused(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    before = paths.versions.read_bytes()
    with pytest.raises(BuildError, match="is for trixie, suite=bookworm is not"):
        ask(paths, monkeypatch, KERNELS, bump=True, suite="bookworm")
    assert paths.versions.read_bytes() == before


def test_a_mirror_without_kernels_changes_nothing(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    before = paths.versions.read_bytes()
    with pytest.raises(BuildError, match="no kernel"):
        ask(paths, monkeypatch, [], bump=True)
    assert paths.versions.read_bytes() == before


def test_a_bump_keeps_line_ends_and_writes_through_a_link(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    before = paths.versions.read_bytes().replace(b"\n", b"\r\n")
    elsewhere = paths.root / "elsewhere"
    elsewhere.write_bytes(before)
    paths.versions.unlink()
    paths.versions.symlink_to(elsewhere)
    assert ask(paths, monkeypatch, KERNELS, bump=True) == 0
    assert paths.versions.readlink() == elsewhere
    wanted = before.replace(PINNED.encode(), b"DEBIAN_KERNEL_ABI=6.12.117+deb13-amd64")
    assert elsewhere.read_bytes() == wanted


@pytest.mark.skipif(os.getuid() != 0, reason="owners are changed by root only")
def test_a_bump_as_root_leaves_the_file_to_its_owner(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(paths.versions, 1234, 4321)
    paths.versions.chmod(0o640)
    assert ask(paths, monkeypatch, KERNELS, bump=True) == 0
    status = paths.versions.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1234, 4321, 0o640)


@pytest.mark.parametrize("abi", ["6.19.0+deb13-amd64", "pin-or-newest"])
def test_a_bump_of_another_kernel_than_the_pin_is_refused(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, abi: str
) -> None:
    before = paths.versions.read_bytes()
    with pytest.raises(BadInputError, match=f"^abi={re.escape(abi)}: --bump goes by the pin in .*: leave it out$"):
        ask(paths, monkeypatch, KERNELS, bump=True, settings={"abi": abi})
    assert paths.versions.read_bytes() == before


def test_a_bump_into_another_series_is_left_to_whoever_builds(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = paths.versions.read_bytes()
    said = "--bump: the mirror has no kernel of the series of 6.12.94.*write the kernel that you want"
    with pytest.raises(BuildError, match=said):
        ask(paths, monkeypatch, KERNELS[3:], bump=True)
    assert paths.versions.read_bytes() == before
    assert ask(paths, monkeypatch, KERNELS[3:]) == 1
    assert "--bump" not in capsys.readouterr().out
