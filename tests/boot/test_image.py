"""The image as it lies in dist/: no secret of its builder is in it, and what lies beside it says what it holds."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from spdx_tools.spdx.model import Document
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from iso.archive import mirror
from iso.image import release_key
from iso.mounts import remove_tree
from iso.versions import configure
from tests.boot.conftest import timed
from tests.boot.leaks import complaints
from tests.house.tree import ROOT
from tests.iso.overlay.medium import is_ordinary

if TYPE_CHECKING:
    from iso.paths import Paths

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
# Words of live-boot's that are nothing to the short way: it asks for no network and no persistence, and knows its
# medium by its label; panic= is initramfs-tools' own, too.
NOTHING_TO_IT = {"BOOTIF=x", "ignore_uuid", "nonetworking", "nopersistence", "panic=x"}


@pytest.fixture(scope="module")
def tree(iso: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The live system's root file system, unpacked."""
    folder = tmp_path_factory.mktemp("unpacked") / "tree"
    with timed("unpack the root file system"):
        unpack(iso, folder)
    yield folder
    remove_tree(folder)


def unpack(iso: Path, folder: Path) -> None:
    """The root file system that lies beside an image, the one that it holds."""
    command = ["unsquashfs", "-no-progress", "-no-xattrs", "-d", str(folder), str(iso.with_suffix(".squashfs"))]
    subprocess.run(command, check=True, capture_output=True)


def hosts(paths: Paths) -> set[str]:
    """Where this machine's apt gets packages from, with its proxy."""
    archives = mirror.find(configure(paths.versions.read_text(), {}))
    urls = [archives.archive, archives.security, *mirror.proxy_environment().values()]
    return {host for url in urls if (host := urlsplit(url).hostname)}


def test_what_lies_beside_the_image_is_what_it_holds(iso: Path, tmp_path: Path) -> None:
    for inside, suffix in (
        ("vmlinuz", ".vmlinuz"),
        ("initrd.img", ".initrd.img"),
        ("filesystem.squashfs", ".squashfs"),
    ):
        held = tmp_path / inside
        command = ["xorriso", "-osirrox", "on", "-indev", str(iso), "-extract", f"/live/{inside}", str(held)]
        subprocess.run(command, check=True, capture_output=True)
        assert _sha256(held) == _sha256(iso.with_suffix(suffix))
        held.unlink()


def test_no_secret_of_the_builder_is_in_the_image(tree: Path, key: Path, paths: Paths) -> None:
    secrets = {
        "the operator's private key": key.read_bytes().splitlines()[3],
        "a path of the builder": os.fsencode(ROOT),
    }
    if paths.fallback_password.exists():
        secrets["the fallback password"] = json.loads(paths.fallback_password.read_text())["password"].encode()
    assert complaints(tree, secrets, hosts(paths)) == []


def test_keys_open_the_account_and_no_password_does(tree: Path, key: Path) -> None:
    assert (tree / "root/.ssh/authorized_keys").read_text() == key.with_suffix(".pub").read_text()
    assert not (tree / "etc/bee/password-fallback").exists()
    fields = (line.split(":") for line in (tree / "etc/shadow").read_text().splitlines())
    assert [name for name, password, *_ in fields if not password.startswith(("!", "*"))] == []


# --- what is said beside it


@pytest.fixture(scope="module")
def materials(iso: Path) -> Document:
    """The bill of materials, read by a library of the SPDX project."""
    document = parse_file(str(iso.with_suffix(".spdx.json")))
    assert isinstance(document, Document)
    return document


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def test_the_bill_of_materials_is_valid(materials: Document) -> None:
    assert [message.validation_message for message in validate_full_spdx_document(materials)] == []


def test_the_bill_of_materials_is_of_this_image(materials: Document, iso: Path) -> None:
    image = materials.packages[0]
    assert (image.name, image.checksums[0].value) == (iso.stem, _sha256(iso))


def test_the_package_list_is_what_dpkg_in_the_image_says(tree: Path, iso: Path) -> None:
    shown = "${Package}\t${Architecture}\t${Version}\n"
    command = ["dpkg-query", f"--admindir={tree / 'var/lib/dpkg'}", "-W", "-f", shown]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    listed = iso.with_suffix(".packages").read_text()
    assert sorted(listed.splitlines()) == sorted(said.splitlines())
    assert len(listed.splitlines()) > 100


def test_every_part_of_the_image_is_among_the_materials(materials: Document, tree: Path, iso: Path) -> None:
    parts: dict[str, Any] = {part.name: part for part in materials.packages}
    for line in iso.with_suffix(".packages").read_text().splitlines():
        name, _, version = line.split("\t")
        assert parts[name].version == version
    assert parts["bee"].checksums[0].value == _sha256(tree / "usr/local/bin/bee")
    assert {"shim-signed", "grub-efi-amd64-signed", "isolinux"} <= parts.keys()
    said = dict(line.split("=", 1) for line in (tree / "etc/bee-release").read_text().splitlines())
    driver = parts.get("nvidia-driver")
    assert (driver.version if driver else "none") == said["NVIDIA_VERSION"]
    if driver:
        assert said["NVIDIA_FLAVOUR"] in driver.source_info
        assert said["KERNEL_ABI"] in driver.source_info


def test_the_driver_s_firmware_is_where_the_driver_asks_the_kernel_for_it(tree: Path) -> None:
    module = tree / "usr/local/lib/nvidia/nvidia.ko"
    if not module.exists():
        pytest.skip("an image without the driver")
    said = subprocess.run(["modinfo", "-F", "firmware", str(module)], capture_output=True, text=True, check=True).stdout
    wanted = said.split()
    assert wanted
    assert [name for name in wanted if not (tree / "usr/lib/firmware" / name).is_file()] == []


def test_the_driver_s_modules_are_where_only_bee_nvidia_looks_and_have_no_debug_symbols(tree: Path) -> None:
    modules = sorted((tree / "usr/local/lib/nvidia").glob("*.ko"))
    if not modules:
        pytest.skip("an image without the driver")
    assert {module.stem for module in modules} >= {"nvidia", "nvidia-modeset", "nvidia-drm", "nvidia-uvm"}
    # modprobe and udev look below lib/modules.
    kernels = {file.name.partition(".")[0] for file in (tree / "usr/lib/modules").rglob("*.ko*")}
    assert kernels.isdisjoint(module.stem for module in modules)
    for module in modules:
        sections = subprocess.run(["readelf", "--section-headers", "--wide", module], check=True, capture_output=True)
        assert b".debug_" not in sections.stdout
        assert b".modinfo" in sections.stdout


def test_the_checksums_are_signed(iso: Path, key: Path, tmp_path: Path) -> None:
    signature = iso.with_name("SHA256SUMS.sig")
    if os.environ.get("BEE_ACCEPTANCE_ISO") and not signature.exists():
        pytest.skip("the image that is ready was built without release_key=")
    signers = tmp_path / "allowed_signers"
    signers.write_text(f"release {release_key.public_key(key)}\n")
    command = ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", "release", "-n", "file", "-s", str(signature)]
    with iso.with_name("SHA256SUMS").open("rb") as sums:
        checked = subprocess.run(command, stdin=sums, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    listed = iso.with_name("SHA256SUMS").read_text()
    for suffix in (".iso", ".vmlinuz", ".initrd.img", ".squashfs", ".packages", ".spdx.json"):
        assert f"  {iso.stem}{suffix}\n" in listed


def test_every_word_that_live_boot_knows_takes_the_boot_to_it(tree: Path, tmp_path: Path) -> None:
    scripts = "".join(file.read_text() for file in (tree / "usr/lib/live/boot").iterdir())
    branches = [
        branch
        for case in re.findall(r'case "\$\{_PARAMETER\}" in(.*?)\besac\b', scripts, re.DOTALL)
        for branch in re.findall(r"^\s*([^\s()#]+)\)$", case, re.MULTILINE)  # live-boot.swap|swap) toram=*)
    ]
    words = {word.replace("*", "x") for branch in branches for word in branch.split("|")}
    assert words >= {"toram", "persistence", "fetch=x", "findiso=x", "live-boot.swap"}
    assert {word for word in words if is_ordinary(tmp_path, f"boot=live {word}")} <= NOTHING_TO_IT
