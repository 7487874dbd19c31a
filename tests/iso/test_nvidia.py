"""The driver's stages without a compiler: what another driver is, an installer put in place by hand, signatures."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import shutil
import struct
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iso import build_root, cache, shell
from iso.archive.apt import STATUS, Archive
from iso.archive.mirror import Mirror
from iso.errors import BuildError
from iso.stages import nvidia, nvidia_cache, nvidia_debian, nvidia_modules, nvidia_run
from iso.stages.nvidia_driver import Driver, Workshop
from iso.stages.nvidia_toolchain import Toolchain, parse_compiler
from tests.iso.checkout import ABI, config, make_checkout
from tests.iso.test_builder import make_module

if TYPE_CHECKING:
    from iso.graph.stage import Job, Stage
    from iso.paths import Paths

INSTALLER = b"#!/bin/sh\n"
DIGEST = hashlib.sha256(INSTALLER).hexdigest()
MINIMAL = "Package: dpkg\nStatus: install ok installed\n"
NAME = "NVIDIA-Linux-x86_64-550.163.01.run"
TRIXIE = """\
linux-headers-6.12.107+deb13-amd64
  Depends: linux-base
  Depends: linux-headers-6.12.107+deb13-common
 |Depends: linux-image-6.12.107+deb13-amd64
  Depends: linux-kbuild-6.12.107+deb13
  Depends: gcc-14
"""
BOOKWORM = """\
linux-headers-6.1.0-56-amd64
  Depends: linux-headers-6.1.0-56-common
  Depends: linux-kbuild-6.1
  Depends: linux-compiler-gcc-12-x86
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return make_checkout(tmp_path)


def job(paths: Paths, **changes: object) -> Job:
    values: dict[str, object] = {"nvidia_source": "run", "nvidia_sha256": DIGEST, "nvidia_url": "http://127.0.0.1:9/x"}
    return nvidia.DOWNLOAD.job(config(**(values | changes)), paths)


def test_the_same_driver_has_the_same_key(paths: Paths) -> None:
    assert nvidia_cache.key(job(paths)) == nvidia_cache.key(job(paths))


@pytest.mark.parametrize(
    "change",
    [
        {"nvidia_version": "550.1"},
        {"nvidia_flavour": "open"},
        {"nvidia_sha256": "ab" * 32},
        {"nvidia_source": "debian"},
        {"suite": "bookworm"},
    ],
)
def test_another_setting_is_another_driver(paths: Paths, change: dict[str, object]) -> None:
    assert nvidia_cache.key(job(paths)) != nvidia_cache.key(job(paths, **change))


@pytest.mark.parametrize("field", ["headers", "compiler", "driver"])
def test_another_revision_of_a_package_is_another_driver(paths: Paths, field: str) -> None:
    of = job(paths, nvidia_source="debian")
    before = nvidia_cache.key(of)
    toolchain = Toolchain.read(paths.toolchain)
    dataclasses.replace(toolchain, **{field: "9-9"}).write(paths.toolchain)
    assert nvidia_cache.key(of) != before


def test_another_kernel_or_certificate_is_another_driver(paths: Paths, tmp_path: Path) -> None:
    keys = {nvidia_cache.key(job(paths))}
    for content in ("one", "two"):
        certificate = tmp_path / "certificate"
        certificate.write_text(content)
        keys.add(nvidia_cache.key(job(paths, sign_cert=certificate, sign_key=tmp_path / "key")))
    paths.kernel_abi.write_text("6.12.2+deb13-amd64\n")
    assert len({*keys, nvidia_cache.key(job(paths))}) == 4


def test_another_url_of_the_same_installer_is_the_same_driver(paths: Paths) -> None:
    assert nvidia_cache.key(job(paths)) == nvidia_cache.key(job(paths, nvidia_url="http://elsewhere.invalid/x"))


def test_before_the_toolchain_was_chosen_there_is_no_key(paths: Paths) -> None:
    paths.toolchain.unlink()
    with pytest.raises(BuildError, match="was not chosen yet: run doit iso"):
        nvidia_cache.key(job(paths))


@pytest.mark.parametrize(("depends", "compiler"), [(TRIXIE, "gcc-14"), (BOOKWORM, "gcc-12")])
def test_the_compiler_is_the_one_that_the_headers_ask_for(depends: str, compiler: str) -> None:
    assert parse_compiler(depends) == compiler


def test_headers_without_a_compiler_are_an_error() -> None:
    with pytest.raises(BuildError, match="name no compiler"):
        parse_compiler("linux-headers\n  Depends: linux-base\n")


words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@given(words, words, st.one_of(st.just(""), words))
def test_a_toolchain_is_read_as_it_was_written(headers: str, compiler: str, driver: str) -> None:
    written: list[str] = []
    file = SimpleNamespace(write_text=written.append, read_text=lambda: written[-1])
    toolchain = Toolchain(headers, compiler, driver)
    toolchain.write(file)  # type: ignore[arg-type]  # as much of a Path as it takes
    assert Toolchain.read(file) == toolchain  # type: ignore[arg-type]


def archive(**packages: list[str]) -> Archive:
    """A mirror that has versions of packages."""
    found = {name.replace("_", "-"): versions for name, versions in packages.items()}
    return SimpleNamespace(suite="trixie", versions=lambda name: found.get(name, []))  # type: ignore[return-value]


def test_a_driver_of_debian_is_taken_with_its_revision() -> None:
    mirror = archive(nvidia_kernel_source=["550.163.01-2"], nvidia_open_kernel_source=["550.163.01-4"])
    assert nvidia_debian.package_version(mirror, config()) == "550.163.01-2"
    assert nvidia_debian.package_version(mirror, config(nvidia_flavour="open")) == "550.163.01-4"


@pytest.mark.parametrize(("present", "said"), [(["535.1-1"], "it has: 535.1"), ([], "has it contrib and non-free")])
def test_a_driver_that_the_mirror_lacks_names_what_it_has(present: list[str], said: str) -> None:
    with pytest.raises(BuildError, match=said):
        nvidia_debian.package_version(archive(nvidia_kernel_source=present), config())


def test_a_mirror_with_the_open_sources_alone_is_one_that_lacks_the_driver(paths: Paths) -> None:
    of = job(paths, nvidia_source="debian", nvidia_flavour="open")
    mirror = archive(nvidia_open_kernel_source=["550.163.01-4"], nvidia_smi=["535.1-1"])
    with pytest.raises(BuildError, match=r"does not have NVIDIA driver 550\.163\.01 \(nvidia-smi\) .* it has: 535\.1"):
        nvidia_debian.download(of, mirror)


@pytest.mark.parametrize("package", ["nvidia_open_kernel_source", "nvidia_smi"])
def test_the_revisions_of_sources_and_programs_are_both_chosen(package: str) -> None:
    packages = {"nvidia_open_kernel_source": ["550.163.01-4"], "nvidia_smi": ["550.163.01-2"]}
    wanted = config(nvidia_source="debian", nvidia_flavour="open")

    def chosen() -> str:
        rest = {"newest": lambda _name: "1", "depends": lambda _name: TRIXIE}
        mirror = SimpleNamespace(**vars(archive(**packages)), **rest)
        return Toolchain.of(mirror, wanted, ABI).driver  # type: ignore[arg-type]  # as much of an archive as it asks

    before = chosen()
    packages[package] = ["550.163.01-9"]
    assert chosen() != before


@pytest.mark.parametrize("place", ["dist", "cache/downloads"])
def test_an_installer_put_in_place_by_hand_needs_no_network(
    paths: Paths, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvidia_run, "fetch", lambda *_a, **_k: pytest.fail("the network was asked"))
    file = paths.root / place / NAME
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_bytes(INSTALLER)
    nvidia_run.download(job(paths), archive())
    assert file.read_bytes() == INSTALLER


def test_another_file_put_there_is_refused_and_kept(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia_run, "fetch", lambda *_a, **_k: pytest.fail("the network was asked"))
    file = paths.dist / NAME
    file.write_bytes(b"something else")
    with pytest.raises(BuildError, match=rf"{NAME}: its sha256 is .* {DIGEST} is wanted: remove it, or correct"):
        nvidia_run.download(job(paths), archive())
    assert file.read_bytes() == b"something else"


def test_a_download_goes_to_the_cache_that_clones_share(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(url: str, sha256: str, target: Path, **_rest: object) -> None:
        asked.append((url, sha256))
        target.write_bytes(INSTALLER)

    monkeypatch.setattr(nvidia_run, "fetch", fetch)
    monkeypatch.setattr(nvidia_run, "proxy_environment", dict)
    for _ in range(2):
        nvidia_run.download(job(paths), archive())
    assert asked == [("http://127.0.0.1:9/x", DIGEST)]
    assert (paths.cache / "downloads" / NAME).read_bytes() == INSTALLER


@pytest.mark.parametrize(("flavour", "folder"), [("proprietary", "kernel"), ("open", "kernel-open")])
def test_an_unpacked_installer_is_whole_or_says_what_it_lacks(tmp_path: Path, flavour: str, folder: str) -> None:
    wanted = config(nvidia_source="run", nvidia_flavour=flavour)
    parts = [f"{folder}/Makefile", "nvidia-smi", "libnvidia-ml.so.550.163.01", "libcuda.so.550.163.01"]
    for part in parts:
        file = tmp_path / "driver" / part
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    with pytest.raises(BuildError, match=r"no firmware gsp_\*\.bin"):
        nvidia_run.located(tmp_path, wanted).require()
    (tmp_path / "driver/firmware").mkdir()
    (tmp_path / "driver/firmware/gsp_tu10x.bin").touch()
    nvidia_run.located(tmp_path, wanted).require()
    for part in parts:
        shutil.copytree(tmp_path / "driver", tmp_path / part / "driver")
        (tmp_path / part / "driver" / part).unlink()
        with pytest.raises(BuildError, match=f"the driver has no {Path(part).name} where it should be"):
            nvidia_run.located(tmp_path / part, wanted).require()


# As much of NVIDIA's installer as the stage asks of it; it says who runs it, with which rights and which network.
RUN_FILE = """#!/bin/sh
[ "$*" = "--extract-only --target $3" ] || exit 9
mkdir "$3"
id -u >"$3/user"
awk '/^CapEff|^CapBnd|^NoNewPrivs/ { print $2 }' /proc/self/status >"$3/rights"
tail -n +3 /proc/net/dev | cut -d : -f 1 >"$3/interfaces"
"""


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="bee-unpack-"))
    folder.chmod(0o755)
    yield folder
    subprocess.run(["sudo", "-n", "rm", "-rf", folder] if os.geteuid() else ["rm", "-rf", folder], check=True)


def unpack(folder: Path, content: str, mode: int = 0o644) -> Path:
    installer, result = folder / "installer.run", folder / "result"
    installer.write_text(content)
    installer.chmod(mode)
    result.mkdir()
    script = Path(__file__).parents[2] / "iso/builder/unpack-run.sh"
    shell.run_isolated(["/bin/sh", str(script), str(installer), str(result / "driver")], folder / "log")
    return result / "driver"


@pytest.mark.parametrize("mode", [0o644, 0o600])
def test_an_installer_is_unpacked_by_nobody_without_rights_or_network(reachable: Path, mode: int) -> None:
    driver = unpack(reachable, RUN_FILE, mode)
    assert list(driver.parent.iterdir()) == [driver]
    assert (driver / "user").read_text() == "65534\n"
    nothing = "0" * 16
    assert (driver / "rights").read_text().split() == [nothing, nothing, "1"]
    assert (driver / "interfaces").read_text().split() == ["lo"]


@pytest.mark.parametrize(("content", "said"), [("#!/bin/sh\n", "is it NVIDIA's installer"), ("exit 3\n", "exit 3")])
def test_a_file_that_does_not_unpack_fails(reachable: Path, content: str, said: str) -> None:
    with pytest.raises(BuildError, match=said):
        unpack(reachable, content)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two keys with their certificates."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        make = ["openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"]
        files = ["-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem"]
        subprocess.run([*make, *files], check=True, capture_output=True)
    return folder


def sign(module: Path, keys: Path, name: str, hashed: str = "sha512") -> None:
    """As the kernel's scripts/sign-file does it: a CMS message, what describes it, a mark."""
    pair = ["-signer", f"{keys}/{name}.pem", "-inkey", f"{keys}/{name}.key"]
    command = ["openssl", "cms", "-sign", "-nocerts", "-noattr", "-binary", "-md", hashed, "-outform", "DER", *pair]
    message = subprocess.run([*command, "-in", module], check=True, capture_output=True).stdout
    # struct module_signature of linux/module_signature.h: PKCS#7, and how long it is.
    described = struct.pack(">BBBBB3xI", 0, 0, 2, 0, 0, len(message))
    with module.open("ab") as stream:
        stream.write(message + described + b"~Module signature appended~\n")


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    folder = tmp_path / "modules"
    folder.mkdir()
    for name in nvidia_cache.MODULES:
        make_module(folder / name, f"{ABI} SMP preempt mod_unload modversions ")
    return folder


def test_modules_that_are_signed_with_our_key_pass(modules: Path, keys: Path) -> None:
    for name in nvidia_cache.MODULES:
        sign(modules / name, keys, "ours")
    nvidia_modules.require_signatures(modules, keys / "ours.pem")
    nvidia_modules.require_modules(modules, ABI)


@pytest.mark.parametrize("name", nvidia_cache.MODULES)
def test_one_module_without_a_signature_or_with_another_is_refused(modules: Path, keys: Path, name: str) -> None:
    for module in nvidia_cache.MODULES:
        if module != name:
            sign(modules / module, keys, "ours")
    with pytest.raises(BuildError, match=f"{name} has no sha512 signature"):
        nvidia_modules.require_signatures(modules, keys / "ours.pem")
    sign(modules / name, keys, "theirs")
    with pytest.raises(BuildError, match=f"{name} is signed by certificate"):
        nvidia_modules.require_signatures(modules, keys / "ours.pem")


def test_a_signature_with_a_weaker_hash_is_refused(modules: Path, keys: Path) -> None:
    for name in nvidia_cache.MODULES:
        sign(modules / name, keys, "ours", "sha256")
    with pytest.raises(BuildError, match="has no sha512 signature: PKCS#7 sha256"):
        nvidia_modules.require_signatures(modules, keys / "ours.pem")


def test_a_module_of_another_kernel_is_refused(modules: Path) -> None:
    make_module(modules / "nvidia-drm.ko", "6.99.0-amd64 SMP")
    with pytest.raises(BuildError, match=r"nvidia-drm\.ko was built for kernel 6\.99\.0-amd64"):
        nvidia_modules.require_modules(modules, ABI)


def package(folder: Path, abi: str, needs: dict[str, str], place: str = "usr/lib/modules") -> None:
    """A kernel's package, unpacked: modules in folders of their own, each with what it says that it depends on."""
    known = folder / place / abi
    for name, depends in needs.items():
        (known / "kernel" / name).mkdir(parents=True)
        make_module(known / "kernel" / name / f"{name}.ko", f"{abi} SMP", depends=depends)
    (known / "modules.builtin").write_text("kernel/video/backlight.ko\n")


@pytest.mark.parametrize("place", ["usr/lib/modules", "lib/modules"])
def test_modules_are_loaded_after_all_that_they_and_the_kernel_s_say_that_they_need(
    modules: Path, tmp_path: Path, place: str
) -> None:
    make_module(modules / "nvidia-drm.ko", f"{ABI} SMP", depends="drm,nvidia-modeset,backlight")
    make_module(modules / "nvidia-modeset.ko", f"{ABI} SMP", depends="nvidia,video")
    needs = {"drm": "panel-quirks,i2c_core", "panel-quirks": "", "i2c-core": "", "video": "drm", "unrelated": "drm"}
    package(tmp_path / "kernel", ABI, needs, place)
    subprocess.run(["xz", *(tmp_path / "kernel").glob("**/drm.ko")], check=True)
    found = [Path(path).name for path in nvidia_modules.order(modules, tmp_path / "kernel", ABI)]
    assert sorted(found) == sorted([*nvidia_cache.MODULES, "drm.ko.xz", "panel-quirks.ko", "i2c-core.ko", "video.ko"])
    place_of = found.index
    assert place_of("panel-quirks.ko") < place_of("drm.ko.xz") < place_of("video.ko") < place_of("nvidia-modeset.ko")
    assert place_of("i2c-core.ko") < place_of("drm.ko.xz")
    assert place_of("nvidia.ko") < place_of("nvidia-modeset.ko") < place_of("nvidia-drm.ko")


def test_a_module_that_needs_what_the_kernel_has_not_is_refused(modules: Path, tmp_path: Path) -> None:
    make_module(modules / "nvidia.ko", f"{ABI} SMP", depends="vanished")
    package(tmp_path / "kernel", ABI, {"drm": ""})
    with pytest.raises(BuildError, match=r"nvidia\.ko depends on the module vanished"):
        nvidia_modules.order(modules, tmp_path / "kernel", ABI)


def minimal_system(folder: Path) -> None:
    """As much of a minimal system as stage 6a asks of it."""
    with tarfile.open(folder / "system.tar", "w") as system:
        status = tarfile.TarInfo("./var/lib/dpkg/status")
        status.size = len(MINIMAL)
        system.addfile(status, io.BytesIO(MINIMAL.encode()))


@pytest.fixture
def recorded(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """The mirror's archive, of which all is there; tools are asked for and not run."""
    archive = Archive(
        "trixie", Mirror("http://mirror.invalid/d", "http://mirror.invalid/s"), paths.cache / "apt", paths.logs
    )
    (archive.folder / "lists").mkdir(parents=True)
    (archive.folder / "apt.conf").touch()
    (archive.folder / "lists/mirror.invalid_dists_trixie_InRelease").write_text("Date: Tue, 14 Nov 2023 22:13:20 UTC\n")
    cache.store(
        build_root.bootstrap_tar(archive, paths).parent, build_root._bootstrap(archive, paths)[0], minimal_system
    )
    monkeypatch.setattr(Archive, "versions", lambda *_arguments: ["1"])
    for name in ("archive_of", "known_archive"):
        monkeypatch.setattr(nvidia, name, lambda _job: archive)
    for name in ("require_kernel", "choose_toolchain"):
        monkeypatch.setattr(nvidia, name, lambda _job: None)
    monkeypatch.setattr(nvidia_debian, "package_version", lambda *_arguments: "550.163.01-2")
    monkeypatch.setattr(nvidia_debian, "common_version", lambda *_arguments: "550.163.01-4")
    monkeypatch.setattr(nvidia_run, "fetch", lambda *_arguments, **_more: None)
    monkeypatch.setattr(nvidia_run, "proxy_environment", dict)
    monkeypatch.setattr(Driver, "require", lambda _driver: None)
    for name in ("require_modules", "require_signatures"):
        monkeypatch.setattr(nvidia, name, lambda *_arguments: None)

    def only_recorded(command: list[str], *_rest: object) -> None:
        shell._recorded.append(list(command))
        if command[0] == "dpkg-deb":
            Path(command[-1]).mkdir(exist_ok=True)

    monkeypatch.setattr(shell, "_logged", only_recorded)
    return archive


@pytest.mark.parametrize("source", ["debian", "run"])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("stage", nvidia.SUBSTAGES[:4], ids=lambda stage: stage.name)
def test_a_plan_of_the_driver_has_the_commands_that_its_build_runs(
    paths: Paths, recorded: Archive, stage: Stage, source: str, signed: bool
) -> None:
    paths.toolchain.write_text("headers 1\ncompiler gcc-14=1\ndriver 550.163.01-2 550.163.01-4\n")
    (paths.dist / NAME).write_bytes(INSTALLER)
    here = Workshop.of(job(paths))
    here.kernel.mkdir(parents=True)
    pair = {"sign_key": paths.root / "key", "sign_cert": paths.root / "certificate"} if signed else {}
    for file in pair.values():
        file.touch()
    asked = job(paths, nvidia_source=source, **pair)
    told = stage.cmdline(asked)
    assert told
    with shell.recording() as commands:
        stage.run(asked)
    assert commands == told


@pytest.mark.usefixtures("recorded")
def test_to_the_system_that_compiles_the_kernel_counts_as_installed(paths: Paths) -> None:
    asked = job(paths)
    nvidia.HEADERS.run(asked)
    status = (Workshop.of(asked).compiler_packages / STATUS).read_text()
    assert status.startswith(f"{MINIMAL}\nPackage: linux-image-{ABI}\nStatus: install ok installed\nVersion: 1\n")


@pytest.mark.parametrize("stage", nvidia.SUBSTAGES, ids=lambda stage: stage.name)
def test_a_stage_of_the_driver_that_is_forced_without_a_driver_says_so(paths: Paths, stage: Stage) -> None:
    with pytest.raises(BuildError, match="nvidia=none: there is no driver to make"):
        stage.run(job(paths, nvidia_source="none"))
