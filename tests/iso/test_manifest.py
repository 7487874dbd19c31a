"""What is written beside the ISO: of the image itself, with the vendors' programs, and never with a stale signature."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from iso import checksums
from iso.errors import BuildError
from iso.stages import live_build, manifest
from tests.iso.checkout import config, make_checkout, run
from tests.iso.test_sbom import STATUS, complaints

if TYPE_CHECKING:
    from iso.paths import Paths

PROGRAM = Path("/bin/true").read_bytes()


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A checkout after stage 14, with a program of a vendor's."""
    made = make_checkout(tmp_path / "checkout")
    made.boot_loaders.write_text("shim-signed 1.44+15.8\n")
    made.vendor.mkdir(exist_ok=True)
    (made.vendor / "storcli64").write_bytes(PROGRAM)
    system = tmp_path / "system/var/lib/dpkg"
    system.mkdir(parents=True)
    (system / "status").write_text(STATUS)
    job = manifest.MANIFEST.job(config(), made)
    for file in (live_build.image(job), *live_build.netboot(job)):
        file.write_text(file.name)
    squashfs = live_build.image(job).with_suffix(".squashfs")
    squashfs.unlink()
    subprocess.run(["mksquashfs", tmp_path / "system", squashfs, "-quiet", "-no-progress"], check=True)
    return made


def written(paths: Paths, **changes: object) -> dict[str, Any]:
    """The bill of materials of a run."""
    job = run(manifest.MANIFEST, paths, config(**changes))
    content = manifest.bill_of_materials(job).read_bytes()
    assert complaints(content) == []
    value: dict[str, Any] = json.loads(content)
    return value


def parts(value: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {part["name"]: part for part in value["packages"]}


def test_the_bill_has_packages_loaders_bee_and_the_vendors_programs(paths: Paths) -> None:
    found = parts(written(paths))
    assert found.keys() >= {"bash", "zlib1g", "shim-signed", "bee", "storcli64"}
    assert "nvidia-driver" not in found
    assert found["storcli64"]["checksums"][0]["checksumValue"] == hashlib.sha256(PROGRAM).hexdigest()
    assert found["bee"]["checksums"][0]["checksumValue"] == hashlib.sha256(paths.program.read_bytes()).hexdigest()


def test_the_build_machine_s_boot_loaders_are_told_as_dpkg_has_them(paths: Paths) -> None:
    found = parts(written(paths))
    for name in ("isolinux", "syslinux-common", "grub-efi-amd64-bin"):
        told = "${Version} ${Architecture} ${source:Package} ${source:Version}"
        done = subprocess.run(["dpkg-query", "-W", "-f", told, name], capture_output=True, text=True, check=True)
        version, architecture, *source = done.stdout.split()
        assert found[name]["versionInfo"] == version
        assert found[name]["externalRefs"][0]["referenceLocator"].endswith(f"?arch={architecture}")
        assert found[name]["sourceInfo"] == f"boot loader, of the build machine; source package {' '.join(source)}"


def test_of_a_signed_boot_loader_no_source_is_made_up(paths: Paths) -> None:
    shim = parts(written(paths))["shim-signed"]
    assert shim["sourceInfo"] == "boot loader, signed by Debian"
    assert shim["externalRefs"][0]["referenceLocator"].endswith("?arch=amd64&distro=trixie")


@pytest.mark.parametrize(("source", "said"), [("debian", "revisions 550.163.01-2"), ("run", f"sha256 {'ab' * 32}")])
def test_the_bill_says_what_the_driver_was_made_of(paths: Paths, source: str, said: str) -> None:
    driver = parts(written(paths, nvidia_source=source, nvidia_sha256="ab" * 32))["nvidia-driver"]
    assert driver["versionInfo"] == "550.163.01"
    assert said in driver["sourceInfo"]
    assert "gcc-14=14.2.0-19" in driver["sourceInfo"]


def test_the_checksums_are_of_all_that_lies_there(paths: Paths) -> None:
    written(paths)
    suffixes = {name.partition("-amd64.")[2] for name in checksums.parse(paths.checksums.read_text())}
    assert suffixes == {"iso", "vmlinuz", "initrd.img", "squashfs", "packages", "spdx.json"}
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=paths.dist, check=True)


def test_the_same_image_has_the_same_files(paths: Paths) -> None:
    assert written(paths) == written(paths)


def test_a_signature_goes_with_the_key_that_made_it(paths: Paths, tmp_path: Path) -> None:
    key = tmp_path / "release"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    written(paths, release_key=key)
    signature = paths.dist / "SHA256SUMS.sig"
    assert signature.read_text().startswith("-----BEGIN SSH SIGNATURE-----")
    recorded = manifest.MANIFEST.job(config(release_key=key), paths)
    assert key.read_text().splitlines()[2] not in repr(manifest.MANIFEST.inputs(recorded))
    written(paths)
    assert not signature.exists()


def test_another_release_key_writes_it_again(paths: Paths, tmp_path: Path) -> None:
    keys = []
    for name in ("one", "two"):
        key = tmp_path / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        keys.append(manifest.MANIFEST.inputs(manifest.MANIFEST.job(config(release_key=key), paths)).key)
    assert len({*keys, manifest.MANIFEST.inputs(manifest.MANIFEST.job(config(), paths)).key}) == 3


def test_a_damaged_root_file_system_is_said(paths: Paths) -> None:
    squashfs = live_build.image(manifest.MANIFEST.job(config(), paths)).with_suffix(".squashfs")
    squashfs.write_text("none")
    with pytest.raises(BuildError, match="unsquashfs"):
        written(paths)
    assert not paths.checksums.exists()


def test_no_line_of_another_image_is_signed_unchecked(paths: Paths, tmp_path: Path) -> None:
    key = tmp_path / "release"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (paths.dist / "other.iso").write_text("other")
    paths.checksums.write_text(f"{'ab' * 32}  other.iso\n")
    written(paths)
    assert "other.iso" in checksums.parse(paths.checksums.read_text())
    written(paths, release_key=key)
    assert "other.iso" not in checksums.parse(paths.checksums.read_text())
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=paths.dist, check=True)
