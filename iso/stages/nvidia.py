"""Stage 6, a to f: NVIDIA's driver for the CD's one kernel, built in a system of its release, kept in two caches."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from iso import build_root, cache, shell
from iso import load_order as ordering
from iso.build_root import Bind
from iso.errors import BuildError
from iso.inputs import Inputs
from iso.load_order import load_order, parse_modules_dep
from iso.mounts import remove_tree
from iso.stage import Job, Stage
from iso.stages import nvidia_debian
from iso.stages.kernel import archive_of, kernel_abi, require_kernel
from iso.tree import file_digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from iso.paths import Paths

LOAD_ORDER = "load-order"
MODULES = ("nvidia.ko", "nvidia-modeset.ko", "nvidia-uvm.ko", "nvidia-drm.ko")
_BUILD_SCRIPT = "build-modules.sh"
# What decides, beside it, how a built driver looks.
_MAKERS = (__file__, nvidia_debian.__file__, ordering.__file__)


def inputs(job: Job) -> Inputs:
    """What the built driver depends on."""
    config = job.config
    if not config.with_nvidia:
        return Inputs(settings={"nvidia": "none"})
    makers = (job.paths.builder / _BUILD_SCRIPT, *(Path(str(module)) for module in _MAKERS))
    return Inputs(
        files={maker.name: file_digest(maker) for maker in makers},
        settings={
            "nvidia": config.nvidia_source,
            "nvidia_version": config.nvidia_version,
            "suite": config.suite,
            "kernel": kernel_abi(job.paths),
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
    return any(cache.is_complete(place(job), own_key) for place in (entry, _shared))


def _spared(job: Job) -> str | None:
    if not job.config.with_nvidia:
        return "no driver is wanted"
    return "a cache has the driver" if _is_built(job) else None


def _kept(job: Job) -> str | None:
    if not job.config.with_nvidia:
        return "no driver is wanted"
    return f"{entry(job).name} is complete" if cache.is_complete(entry(job), key(job)) else None


class _Workshop:
    """The folders in which the driver is made; gone when it is in the caches."""

    def __init__(self, paths: Paths) -> None:
        self.folder = paths.dist / "nvidia.partial"
        self.build_root = self.folder / "build-root.tar"
        self.packages = self.folder / "packages"
        self.kernel_package = self.folder / "kernel-package"
        self.extracted = self.folder / "extracted"
        self.kernel = self.folder / "kernel"
        self.modules = self.folder / "modules"
        self.product = self.folder / "product"


def _install_headers(job: Job) -> None:
    abi = require_kernel(job)
    here = _Workshop(job.paths)
    here.folder.mkdir(parents=True, exist_ok=True)
    packages = ["build-essential", f"linux-headers-{abi}", "kmod", "xz-utils"]
    build_root.make(archive_of(job), here.build_root, job.paths.chroot, "apt", packages)


def _download(job: Job) -> None:
    here = _Workshop(job.paths)
    archive = archive_of(job)
    for folder in (here.packages, here.kernel_package):
        remove_tree(folder)
    nvidia_debian.download(archive, job.config.nvidia_version, here.packages)
    # The kernel itself, for what its modules depend on.
    archive.download([f"linux-image-{kernel_abi(job.paths)}"], here.kernel_package)


def _extract(job: Job) -> None:
    here = _Workshop(job.paths)
    for folder in (here.extracted, here.kernel):
        remove_tree(folder)
    nvidia_debian.extract(here.packages, here.extracted, job.config.nvidia_version, job.log)
    (package,) = here.kernel_package.glob("*.deb")
    shell.run(["dpkg-deb", "-x", str(package), str(here.kernel)], job.log)
    # Debian moved /lib into /usr/lib; depmod asks for the old place.
    if not (here.kernel / "lib").exists():
        (here.kernel / "lib").symlink_to("usr/lib")
    shell.run(["/usr/sbin/depmod", "-b", str(here.kernel), kernel_abi(job.paths)], job.log)


def _build(job: Job) -> None:
    here = _Workshop(job.paths)
    driver = nvidia_debian.located(here.extracted, job.config.nvidia_version)
    remove_tree(here.modules)
    here.modules.mkdir()
    build_root.run(
        here.build_root,
        job.paths.chroot,
        [
            Bind(driver.kernel_source, "/source"),
            Bind(job.paths.builder, "/builder"),
            Bind(here.modules, "/result", writable=True),
        ],
        [
            "/bin/sh",
            f"/builder/{_BUILD_SCRIPT}",
            kernel_abi(job.paths),
            "/source",
            "/result",
        ],
        job.log,
    )
    require_modules(here.modules, kernel_abi(job.paths))


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


def _modinfo(module: Path, field: str) -> str:
    return shell.capture(["/usr/sbin/modinfo", "-F", field, str(module)]).strip()


def _link_libraries(job: Job) -> None:
    here = _Workshop(job.paths)
    driver = nvidia_debian.located(here.extracted, job.config.nvidia_version)
    remove_tree(here.product)
    (here.product / "lib").mkdir(parents=True)
    for library in driver.libraries:
        shutil.copy(library, here.product / "lib")
        # libcuda.so.550.163.01 → libcuda.so.1, the name that programs ask the loader for.
        (here.product / "lib" / f"{library.name.partition('.so.')[0]}.so.1").symlink_to(library.name)
    shutil.copy(driver.smi, here.product / "nvidia-smi")
    firmware = here.product / "firmware/nvidia" / job.config.nvidia_version
    firmware.mkdir(parents=True)
    for blob in driver.firmware:
        shutil.copy(blob, firmware)


def _keep(job: Job) -> None:
    own_key = key(job)
    place, shared = entry(job), _shared(job)
    if cache.is_complete(shared, own_key):
        cache.store(place, own_key, cache.copy_into(shared))
    else:
        cache.store(place, own_key, lambda folder: _fill(job, folder))
        cache.store(shared, own_key, cache.copy_into(place))
    remove_tree(_Workshop(job.paths).folder)


def _fill(job: Job, folder: Path) -> None:
    here = _Workshop(job.paths)
    shutil.copytree(here.product, folder, symlinks=True, dirs_exist_ok=True)
    for name in MODULES:
        shutil.copy(here.modules / name, folder)
    (folder / LOAD_ORDER).write_text("".join(f"{path}\n" for path in _order(here, kernel_abi(job.paths))))


def _order(here: _Workshop, abi: str) -> list[str]:
    depends = {name: _modinfo(here.modules / name, "depends") for name in MODULES}
    known = here.kernel / "lib/modules" / abi
    return load_order(
        {name: names.split(",") if names else [] for name, names in depends.items()},
        parse_modules_dep((known / "modules.dep").read_text()),
        (known / "modules.builtin").read_text().split(),
        abi,
    )


def _substage(
    name: str, summary: str, run: Callable[[Job], None], products: Callable[[_Workshop], list[Path]]
) -> Stage:
    """A step that prepares the driver: nothing to do without a driver, or when a cache has it."""
    return Stage(
        name=f"nvidia:{name}",
        summary=summary,
        run=run,
        inputs=inputs,
        outputs=lambda job: products(_Workshop(job.paths)),
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
