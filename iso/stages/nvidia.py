"""Stage 6, a to f: NVIDIA's driver for the CD's one kernel, built in a system of its release, kept in two places."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from iso import build_root, shell
from iso.build_root import Bind
from iso.errors import BuildError
from iso.graph.stage import Job, Stage
from iso.image import module_key
from iso.mounts import remove_tree
from iso.stages import nvidia_cache, nvidia_debian, nvidia_run, nvidia_system
from iso.stages.kernel import archive_of, choose_toolchain, kernel_abi, known_archive, require_kernel
from iso.stages.nvidia_cache import CERTIFICATE, LOAD_ORDER, MODULES
from iso.stages.nvidia_driver import Driver, Source, Workshop
from iso.stages.nvidia_modules import order, require_modules, require_signatures
from iso.stages.nvidia_toolchain import Toolchain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SOURCES: dict[str, Source] = {"debian": nvidia_debian, "run": nvidia_run}


def _spared(job: Job) -> str | None:
    if not job.config.with_nvidia:
        return "no driver is wanted"
    return "a cache has the driver" if nvidia_cache.is_built(job) else None


def _kept(job: Job) -> str | None:
    if not job.config.with_nvidia:
        return "no driver is wanted"
    return f"{nvidia_cache.entry(job).name} is complete" if nvidia_cache.is_here(job) else None


def _install_headers(job: Job) -> None:
    require_kernel(job)
    # The mirror may have gone on since they were chosen; what is installed now is what the driver is kept under.
    choose_toolchain(job)
    nvidia_system.make(job, archive_of(job))


def _kernel_package(job: Job) -> str:
    return f"linux-image-{kernel_abi(job.paths)}"


def _downloads(job: Job) -> list[list[str]]:
    here, archive = Workshop.of(job), known_archive(job)
    driver = _SOURCES[job.config.nvidia_source].wanted(job.config, Toolchain.read(job.paths.toolchain).driver)
    wanted = ((driver, here.packages), ([_kernel_package(job)], here.kernel_package))
    return [archive.download_command(packages, folder) for packages, folder in wanted if packages]


def _download(job: Job) -> None:
    here = Workshop.of(job)
    archive = archive_of(job)
    for folder in (here.packages, here.kernel_package):
        remove_tree(folder)
        folder.mkdir(parents=True)
    _SOURCES[job.config.nvidia_source].download(job, archive)
    # The kernel itself, for what its modules depend on.
    archive.download([_kernel_package(job)], here.kernel_package)


def _unpacking(job: Job) -> list[str]:
    here = Workshop.of(job)
    return ["dpkg-deb", "-x", str(here.kernel_package / f"{_kernel_package(job)}.deb"), str(here.kernel)]


def _extract(job: Job) -> None:
    here = Workshop.of(job)
    for folder in (here.extracted, here.kernel):
        remove_tree(folder)
    _SOURCES[job.config.nvidia_source].extract(job)
    _driver(job).require()
    shell.run(_unpacking(job), job.log)


def _driver(job: Job) -> Driver:
    return _SOURCES[job.config.nvidia_source].located(Workshop.of(job).extracted, job.config)


def _compilation(job: Job) -> tuple[list[Bind], list[str]]:
    shown = [
        Bind(_driver(job).kernel_source, "/source"),
        Bind(job.paths.builder, "/builder"),
        Bind(Workshop.of(job).modules, "/result", writable=True),
    ]
    return shown, ["/bin/sh", f"/builder/{nvidia_cache.BUILD_SCRIPT}", kernel_abi(job.paths), "/source", "/result"]


def _signing(job: Job, key: Path, certificate: Path) -> tuple[list[Bind], list[str]]:
    """In a system of its own: what the driver's makefiles run never sees the key."""
    shown = [
        Bind(key, "/signing/key"),
        Bind(certificate, "/signing/certificate"),
        Bind(job.paths.builder, "/builder"),
        Bind(Workshop.of(job).modules, "/result", writable=True),
    ]
    script, abi = f"/builder/{nvidia_cache.SIGN_SCRIPT}", kernel_abi(job.paths)
    return shown, ["/bin/sh", script, abi, module_key.HASH, "/signing/key", "/signing/certificate", "/result"]


def _work(job: Job) -> list[tuple[list[Bind], list[str]]]:
    """What is run in the build root, each command with what it sees."""
    key, certificate = job.config.sign_key, job.config.sign_cert
    return [_compilation(job), *([_signing(job, key, certificate)] if key and certificate else [])]


def _build(job: Job) -> None:
    here = Workshop.of(job)
    remove_tree(here.modules)
    here.modules.mkdir()
    for shown, command in _work(job):
        build_root.run(here.build_root, job.paths.mount_point, shown, command, job.log)
    require_modules(here.modules, kernel_abi(job.paths))
    if job.config.sign_cert:
        require_signatures(here.modules, job.config.sign_cert)


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
        module_key.write_der(job.config.sign_cert, here.product / CERTIFICATE)


def _copy(file: Path, folder: Path, mode: int) -> None:
    # An installer has modes of its own, and the sources must not differ by them.
    shutil.copy(file, folder)
    (folder / file.name).chmod(mode)


def _keep(job: Job) -> None:
    # Where a cache seemed to have it nothing was built, and what lies in the workshop is another's.
    nvidia_cache.keep(job, None if nvidia_cache.is_built(job) else lambda folder: _fill(job, folder))
    remove_tree(Workshop.of(job).folder)


def _fill(job: Job, folder: Path) -> None:
    here = Workshop.of(job)
    shutil.copytree(here.product, folder, symlinks=True, dirs_exist_ok=True)
    for name in MODULES:
        shutil.copy(here.modules / name, folder)
    (folder / LOAD_ORDER).write_text(
        "".join(f"{path}\n" for path in order(here.modules, here.kernel, kernel_abi(job.paths)))
    )


def _wanting_it(run: Callable[[Job], None]) -> Callable[[Job], None]:
    def checked(job: Job) -> None:
        if not job.config.with_nvidia:
            # Only who forces a stage comes here.
            raise BuildError("nvidia=none: there is no driver to make: leave out -a")
        run(job)

    return checked


def _substage(
    name: str,
    summary: str,
    run: Callable[[Job], None],
    products: Callable[[Workshop], list[Path]],
    cmdline: Callable[[Job], list[list[str]]] = lambda _job: [],
) -> Stage:
    """A step that prepares the driver: nothing to do without a driver, or when a cache has it."""
    return Stage(
        name=f"nvidia:{name}",
        summary=summary,
        run=_wanting_it(run),
        inputs=nvidia_cache.inputs,
        cmdline=cmdline,
        outputs=lambda job: products(Workshop.of(job)),
        spared=_spared,
    )


HEADERS = _substage(
    "a_headers",
    "6a. a system of the CD's release with the kernel's headers",
    _install_headers,
    lambda here: [here.build_root],
    lambda job: nvidia_system.making(job, known_archive(job)),
)
DOWNLOAD = _substage(
    "b_download",
    "6b. download the driver",
    _download,
    lambda here: [here.packages, here.kernel_package],
    _downloads,
)
EXTRACT = _substage(
    "c_extract",
    "6c. extract it",
    _extract,
    lambda here: [here.extracted, here.kernel],
    lambda job: [*_SOURCES[job.config.nvidia_source].unpacking(job), _unpacking(job)],
)
BUILD = _substage(
    "d_build",
    "6d. build its kernel modules",
    _build,
    lambda here: [here.modules],
    lambda job: [
        build_root.command_line(Workshop.of(job).build_root, job.paths.mount_point, *each) for each in _work(job)
    ],
)
LINK_LIBRARIES = _substage(
    "e_symlinks",
    "6e. its libraries, with the names that programs ask for",
    _link_libraries,
    lambda here: [here.product],
)
KEEP = Stage(
    name="nvidia:f_cache",
    summary="6f. keep all of it in dist/ and in the shared cache",
    run=_wanting_it(_keep),
    inputs=nvidia_cache.inputs,
    outputs=lambda job: [nvidia_cache.entry(job)] if job.config.with_nvidia else [],
    spared=_kept,
)
SUBSTAGES = (HEADERS, DOWNLOAD, EXTRACT, BUILD, LINK_LIBRARIES, KEEP)
