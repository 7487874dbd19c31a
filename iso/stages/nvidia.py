"""Stage 6, a to f: NVIDIA's driver for the CD's one kernel, built in a system of its release, kept in two caches."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from iso import build_root, cache, lock, shell
from iso.build_root import Bind
from iso.errors import BuildError
from iso.graph.inputs import Inputs
from iso.graph.stage import Job, Stage
from iso.image import load_order as ordering
from iso.image import signing
from iso.image.load_order import load_order, parse_modules_dep
from iso.mounts import remove_tree
from iso.stages import nvidia_debian, nvidia_driver, nvidia_run
from iso.stages.kernel import archive_of, choose_toolchain, kernel_abi, require_kernel
from iso.stages.nvidia_driver import Driver, Source, Workshop
from iso.stages.nvidia_toolchain import Toolchain
from iso.tree import file_digest

if TYPE_CHECKING:
    from collections.abc import Callable

LOAD_ORDER = "load-order"
CERTIFICATE = "signing-certificate.der"
MODULES = ("nvidia.ko", "nvidia-modeset.ko", "nvidia-uvm.ko", "nvidia-drm.ko")
_SOURCES: dict[str, Source] = {"debian": nvidia_debian, "run": nvidia_run}
_BUILD_SCRIPT = "build-modules.sh"
_SIGN_SCRIPT = "sign-modules.sh"
# What decides how a built driver looks.
_SCRIPTS = (_BUILD_SCRIPT, _SIGN_SCRIPT, nvidia_run.UNPACK)
_MAKERS = (__file__, nvidia_debian.__file__, nvidia_run.__file__, nvidia_driver.__file__, ordering.__file__)


def inputs(job: Job) -> Inputs:
    """What the built driver depends on.

    Raises:
        BuildError: what it is made with was not chosen yet.
    """
    config = job.config
    if not config.with_nvidia:
        return Inputs(settings={"nvidia": "none"})
    toolchain = Toolchain.read(job.paths.toolchain)
    makers = (*(job.paths.builder / script for script in _SCRIPTS), *map(Path, _MAKERS))
    return Inputs(
        files={maker.name: file_digest(maker) for maker in makers},
        settings={
            "nvidia": config.nvidia_source,
            "nvidia_version": config.nvidia_version,
            "nvidia_flavour": config.nvidia_flavour,
            "nvidia_source": config.nvidia_sha256 if config.nvidia_source == "run" else toolchain.driver,
            "suite": config.suite,
            "kernel": kernel_abi(job.paths),
            "headers": toolchain.headers,
            "compiler": toolchain.compiler,
            # Modules are kept as they are in the image, signed: another certificate is another driver.
            "sign_cert": file_digest(config.sign_cert) if config.sign_cert else "",
        },
    )


def key(job: Job) -> str:
    """Under what the caches have the driver."""
    return inputs(job).key


def entry(job: Job) -> Path:
    """The folder of the built driver, as the document names it."""
    return job.paths.nvidia(job.config.nvidia_version, kernel_abi(job.paths))


def _shared(job: Job) -> Path:
    return job.paths.cache / f"{entry(job).name}-{key(job)[:12]}"


def _is_built(job: Job) -> bool:
    """Whether one of the caches has the driver, so that nothing needs to be prepared."""
    own_key = key(job)
    # By names and sizes: what is in them is read when it is used (require_whole).
    return any(cache.is_complete(place(job), own_key, content=False) for place in (entry, _shared))


def _spared(job: Job) -> str | None:
    if not job.config.with_nvidia:
        return "no driver is wanted"
    return "a cache has the driver" if _is_built(job) else None


def _kept(job: Job) -> str | None:
    if not job.config.with_nvidia:
        return "no driver is wanted"
    return f"{entry(job).name} is complete" if cache.is_complete(entry(job), key(job), content=False) else None


def require_whole(job: Job) -> None:
    """See that the built driver is what was built, byte by byte.

    Raises:
        BuildError: a part of it was changed or damaged since.
    """
    if not cache.is_complete(entry(job), key(job)):
        raise BuildError(f"{entry(job)}: changed or damaged since it was built: remove that folder and build again")


def _install_headers(job: Job) -> None:
    abi = require_kernel(job)
    # The mirror may have gone on since they were chosen; what is installed now is what the driver is kept under.
    choose_toolchain(job)
    here = Workshop.of(job)
    here.folder.mkdir(parents=True, exist_ok=True)
    packages = ["build-essential", f"linux-headers-{abi}", "kmod", "xz-utils", "zstd"]
    build_root.make(archive_of(job), here.build_root, job.paths.chroot, "apt", packages)


def _download(job: Job) -> None:
    here = Workshop.of(job)
    archive = archive_of(job)
    for folder in (here.packages, here.kernel_package):
        remove_tree(folder)
        folder.mkdir(parents=True)
    _SOURCES[job.config.nvidia_source].download(job, archive)
    # The kernel itself, for what its modules depend on.
    archive.download([f"linux-image-{kernel_abi(job.paths)}"], here.kernel_package)


def _extract(job: Job) -> None:
    here = Workshop.of(job)
    for folder in (here.extracted, here.kernel):
        remove_tree(folder)
    _SOURCES[job.config.nvidia_source].extract(job)
    _driver(job).require()
    (package,) = here.kernel_package.glob("*.deb")
    shell.run(["dpkg-deb", "-x", str(package), str(here.kernel)], job.log)
    # Debian moved /lib into /usr/lib; depmod asks for the old place.
    if not (here.kernel / "lib").exists():
        (here.kernel / "lib").symlink_to("usr/lib")
    shell.run(["/usr/sbin/depmod", "-b", str(here.kernel), kernel_abi(job.paths)], job.log)


def _driver(job: Job) -> Driver:
    return _SOURCES[job.config.nvidia_source].located(Workshop.of(job).extracted, job.config)


def _build(job: Job) -> None:
    here = Workshop.of(job)
    abi = kernel_abi(job.paths)
    remove_tree(here.modules)
    here.modules.mkdir()
    builder = Bind(job.paths.builder, "/builder")
    result = Bind(here.modules, "/result", writable=True)
    source = Bind(_driver(job).kernel_source, "/source")
    command = ["/bin/sh", f"/builder/{_BUILD_SCRIPT}", abi, "/source", "/result"]
    build_root.run(here.build_root, job.paths.chroot, [source, builder, result], command, job.log)
    require_modules(here.modules, abi)
    config = job.config
    if config.sign_key and config.sign_cert:
        # In a system of its own: what the driver's makefiles run never sees the key.
        pair = [Bind(config.sign_key, "/signing/key"), Bind(config.sign_cert, "/signing/certificate")]
        command = ["/bin/sh", f"/builder/{_SIGN_SCRIPT}", abi, signing.HASH, "/signing/key", "/signing/certificate"]
        build_root.run(here.build_root, job.paths.chroot, [*pair, builder, result], [*command, "/result"], job.log)
        require_signatures(here.modules, config.sign_cert)


def require_modules(folder: Path, abi: str) -> None:
    """See that all modules are there and were built for one kernel.

    Args:
        folder: where they are.
        abi: the kernel's release.

    Raises:
        BuildError: one is missing or is for another kernel.
    """
    missing = [name for name in MODULES if not (folder / name).is_file()]
    if missing:
        raise BuildError(f"the driver's build left no {', '.join(missing)}")
    for name in MODULES:
        vermagic = _modinfo(folder / name, "vermagic")
        if vermagic.split(" ")[0] != abi:
            raise BuildError(f"{name} was built for kernel {vermagic.split(' ')[0]}, the image has {abi}")


def require_signatures(folder: Path, certificate: Path) -> None:
    """See that every module is signed with one certificate.

    Args:
        folder: where the modules are.
        certificate: X.509, PEM or DER.

    Raises:
        BuildError: one is not, or by another.
    """
    wanted = signing.serial(certificate)
    for name in MODULES:
        kind, hashed, signer = (_modinfo(folder / name, field) for field in ("sig_id", "sig_hashalgo", "sig_key"))
        if (kind, hashed) != ("PKCS#7", signing.HASH):
            raise BuildError(f"{name} has no {signing.HASH} signature: {kind or 'none'} {hashed}".rstrip())
        if signing.normal_serial(signer) != wanted:
            raise BuildError(f"{name} is signed by certificate {signer}, not by {certificate} ({wanted})")


def _modinfo(module: Path, field: str) -> str:
    return shell.capture(["/usr/sbin/modinfo", "-F", field, str(module)]).strip()


def _link_libraries(job: Job) -> None:
    here = Workshop.of(job)
    driver = _driver(job)
    remove_tree(here.product)
    (here.product / "lib").mkdir(parents=True)
    for library in driver.libraries:
        _copy(library, here.product / "lib", 0o644)
        # libcuda.so.550.163.01 → libcuda.so.1, the name that programs ask the loader for.
        (here.product / "lib" / f"{library.name.partition('.so.')[0]}.so.1").symlink_to(library.name)
    _copy(driver.smi, here.product, 0o755)
    # Where the driver's firmware loader looks, below /lib/firmware.
    firmware = here.product / "firmware/nvidia" / job.config.nvidia_version
    firmware.mkdir(parents=True)
    for blob in driver.firmware:
        _copy(blob, firmware, 0o644)
    if job.config.sign_cert:
        signing.write_der(job.config.sign_cert, here.product / CERTIFICATE)


def _copy(file: Path, folder: Path, mode: int) -> None:
    # An installer has modes of its own, and the sources must not differ by them.
    shutil.copy(file, folder)
    (folder / file.name).chmod(mode)


def _keep(job: Job) -> None:
    own_key = key(job)
    place, shared = entry(job), _shared(job)
    lock.use(shared)
    if cache.is_complete(shared, own_key):
        cache.store(place, own_key, cache.copy_into(shared))
    elif not Workshop.of(job).product.is_dir():
        # By its sizes it was whole, so that nothing was built.
        remove_tree(shared)
        raise BuildError(f"{shared}: damaged since it was kept, and removed: build again")
    else:
        cache.store(place, own_key, lambda folder: _fill(job, folder))
        cache.store(shared, own_key, cache.copy_into(place))
    remove_tree(Workshop.of(job).folder)


def _fill(job: Job, folder: Path) -> None:
    here = Workshop.of(job)
    shutil.copytree(here.product, folder, symlinks=True, dirs_exist_ok=True)
    for name in MODULES:
        shutil.copy(here.modules / name, folder)
    (folder / LOAD_ORDER).write_text("".join(f"{path}\n" for path in _order(here, kernel_abi(job.paths))))


def _order(here: Workshop, abi: str) -> list[str]:
    depends = {name: _modinfo(here.modules / name, "depends") for name in MODULES}
    known = here.kernel / "lib/modules" / abi
    return load_order(
        {name: names.split(",") if names else [] for name, names in depends.items()},
        parse_modules_dep((known / "modules.dep").read_text()),
        (known / "modules.builtin").read_text().split(),
        abi,
    )


def _substage(name: str, summary: str, run: Callable[[Job], None], products: Callable[[Workshop], list[Path]]) -> Stage:
    """A step that prepares the driver: nothing to do without a driver, or when a cache has it."""
    return Stage(
        name=f"nvidia:{name}",
        summary=summary,
        run=run,
        inputs=inputs,
        outputs=lambda job: products(Workshop.of(job)),
        spared=_spared,
    )


HEADERS = _substage(
    "a_headers",
    "6a. a system of the CD's release with the kernel's headers",
    _install_headers,
    lambda here: [here.build_root],
)
DOWNLOAD = _substage(
    "b_download", "6b. download the driver", _download, lambda here: [here.packages, here.kernel_package]
)
EXTRACT = _substage("c_extract", "6c. extract it", _extract, lambda here: [here.extracted, here.kernel])
BUILD = _substage("d_build", "6d. build its kernel modules", _build, lambda here: [here.modules])
LINK_LIBRARIES = _substage(
    "e_symlinks",
    "6e. its libraries, with the names that programs ask for",
    _link_libraries,
    lambda here: [here.product],
)
KEEP = Stage(
    name="nvidia:f_cache",
    summary="6f. keep all of it in dist/ and in the shared cache",
    run=_keep,
    inputs=inputs,
    spared=_kept,
)
SUBSTAGES = (HEADERS, DOWNLOAD, EXTRACT, BUILD, LINK_LIBRARIES, KEEP)
