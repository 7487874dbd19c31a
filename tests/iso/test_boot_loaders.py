"""The signed boot loaders come out of their packages complete, are kept, and are missed by name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from iso.archive.apt import Archive
from iso.archive.mirror import Mirror
from iso.errors import BuildError
from iso.image import boot_loaders
from iso.paths import Paths

FILES = {
    "shim-signed": "usr/lib/shim/shimx64.efi.signed",
    "grub-efi-amd64-signed": "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed",
    "shim-helpers-amd64-signed": "usr/lib/shim/mmx64.efi.signed",
}
VERSIONS: dict[str, str] = {}


class LocalArchive(Archive):
    """One whose packages are made here, with dpkg-deb."""

    def versions(self, package: str) -> list[str]:
        return [VERSIONS.get(package, "1"), "0"]

    def download(self, packages: list[str], folder: Path) -> None:
        for package, version in (name.split("=") for name in packages):
            tree = self.folder / package
            loader = tree / FILES[package]
            loader.parent.mkdir(parents=True, exist_ok=True)
            loader.write_text(f"signed {package} {version}")
            control = tree / "DEBIAN/control"
            control.parent.mkdir(exist_ok=True)
            control.write_text(
                f"Package: {package}\nVersion: {version}\nArchitecture: amd64\n"
                "Maintainer: a <a@b.invalid>\nDescription: x\n"
            )
            folder.mkdir(parents=True, exist_ok=True)
            subprocess.run(
                ["dpkg-deb", "-b", tree, folder / f"{package}_{version}_amd64.deb"], check=True, capture_output=True
            )


@pytest.fixture
def archive(tmp_path: Path) -> LocalArchive:
    return LocalArchive(
        "trixie", Mirror("http://m.invalid/d", "http://m.invalid/s"), tmp_path / "apt", tmp_path / "log"
    )


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(root=tmp_path, cache=tmp_path / "cache", private=tmp_path / "private")


def test_the_loaders_lie_where_live_build_looks(archive: LocalArchive, paths: Paths) -> None:
    tree = boot_loaders.signed(archive, paths)
    found = {str(path.relative_to(tree)): path.read_text() for path in tree.rglob("*") if path.is_file()}
    assert found == {
        "usr/lib/shim/shimx64.efi.signed": "signed shim-signed 1",
        "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed": "signed grub-efi-amd64-signed 1",
        "grub-efi-temp/EFI/boot/mmx64.efi": "signed shim-helpers-amd64-signed 1",
    }
    excluded = (Path(__file__).parents[2] / "iso/builder/rootfs/excludes").read_text().split()
    assert all(any(name.startswith(f"{folder}/") for folder in excluded) for name in found)


def test_they_are_fetched_once(archive: LocalArchive, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = boot_loaders.signed(archive, paths)
    monkeypatch.setattr(LocalArchive, "download", lambda *_arguments: pytest.fail("fetched again"))
    assert boot_loaders.signed(archive, paths) == tree


@pytest.mark.parametrize("package", FILES)
def test_another_version_of_one_is_another_tree_whichever_archive_has_it(
    archive: LocalArchive, paths: Paths, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    before = boot_loaders.signed(archive, paths)
    monkeypatch.setitem(VERSIONS, package, "1.1")
    after = boot_loaders.signed(archive, paths)
    assert after == boot_loaders.signed_tree(archive, paths) != before
    assert f"signed {package} 1.1" in {path.read_text() for path in after.rglob("*") if path.is_file()}


def test_a_mirror_without_one_of_them_is_an_error(
    archive: LocalArchive, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalArchive, "versions", lambda *_arguments: [])
    with pytest.raises(BuildError, match="the mirror does not have shim-signed for trixie: is it complete"):
        boot_loaders.signed(archive, paths)


def test_a_package_without_its_loader_is_named(
    archive: LocalArchive, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FILES, "shim-signed", "usr/lib/shim/shimaa64.efi.signed")
    with pytest.raises(BuildError, match=r"package shim-signed of trixie has no usr/lib/shim/shimx64\.efi\.signed"):
        boot_loaders.signed(archive, paths)
    assert not [path for path in paths.cache.iterdir() if path.is_dir()]


def test_their_versions_are_kept_beside_what_is_made_of_them(
    archive: LocalArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "boot-loaders"
    boot_loaders.write_versions(archive, told)
    monkeypatch.setitem(VERSIONS, "shim-signed", "2")
    assert boot_loaders.read_versions(told) == dict.fromkeys(FILES, "1")


@pytest.mark.parametrize("content", [None, b"shim-signed\n", b"a b c\n", b"\xff"])
def test_a_damaged_list_of_them_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    told = tmp_path / "boot-loaders"
    if content is not None:
        told.write_bytes(content)
    with pytest.raises(BuildError, match="run doit iso"):
        boot_loaders.read_versions(told)
