"""The built driver in its two places, dist/ and the cache that clones share: its key, and whether it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from iso import build_root, cache, lock
from iso.errors import BuildError
from iso.graph.inputs import Inputs
from iso.mounts import remove_tree
from iso.stages import nvidia_run, nvidia_system
from iso.stages.kernel import kernel_abi
from iso.stages.nvidia_toolchain import Toolchain
from iso.tree import file_digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from iso.graph.stage import Job

# What is in it beside nvidia-smi, lib/ and firmware/.
MODULES = ("nvidia.ko", "nvidia-modeset.ko", "nvidia-uvm.ko", "nvidia-drm.ko")
LOAD_ORDER = "load-order"
CERTIFICATE = "signing-certificate.der"
BUILD_SCRIPT = "build-modules.sh"
SIGN_SCRIPT = "sign-modules.sh"
# What decides how a built driver looks: it takes minutes to build, so that no other edit of the builder does it again.
_SCRIPTS = (BUILD_SCRIPT, SIGN_SCRIPT, nvidia_run.UNPACK, nvidia_system.SCRIPT, build_root.ENTER)
MAKERS = (
    *("build_root.py", "image/load_order.py", "image/module_key.py", "stages/nvidia.py", "stages/nvidia_cache.py"),
    *("stages/nvidia_debian.py", "stages/nvidia_driver.py", "stages/nvidia_modules.py", "stages/nvidia_run.py"),
    "stages/nvidia_system.py",
)
_PACKAGE = Path(__file__).parents[1]


def inputs(job: Job) -> Inputs:
    """What the built driver depends on.

    Raises:
        BuildError: what it is made with was not chosen yet.
    """
    config = job.config
    if not config.with_nvidia:
        return Inputs(settings={"nvidia": "none"})
    toolchain = Toolchain.read(job.paths.toolchain)
    scripts = {f"iso/builder/{script}": file_digest(job.paths.builder / script) for script in _SCRIPTS}
    return Inputs(
        files=scripts | {f"iso/{maker}": file_digest(_PACKAGE / maker) for maker in MAKERS},
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
    """Under what both places have the driver."""
    return inputs(job).key


def entry(job: Job) -> Path:
    """The folder of the built driver in dist/, as the document names it."""
    return job.paths.nvidia(job.config.nvidia_version, kernel_abi(job.paths))


def shared(job: Job) -> Path:
    """The same in the cache that clones share."""
    return job.paths.cache / f"{entry(job).name}-{key(job)[:12]}"


def is_built(job: Job) -> bool:
    """Whether one of the places has the driver, so that nothing needs to be prepared."""
    own_key = key(job)
    # By names and sizes: what is in them is read when it is used (require_whole).
    return any(cache.is_complete(place(job), own_key, content=False) for place in (entry, shared))


def is_here(job: Job) -> bool:
    """Whether dist/ has it, by names and sizes."""
    return cache.is_complete(entry(job), key(job), content=False)


def keep(job: Job, fill: Callable[[Path], None] | None) -> None:
    """Have the driver in both places: from one that has it, byte by byte, else as it was just built.

    Args:
        job: the stage that keeps it.
        fill: writes what was built into a folder; None where nothing was.

    Raises:
        BuildError: nothing was built, and neither place has it whole: both are gone then, and the next build makes it.
    """
    own_key, here, common = key(job), entry(job), shared(job)
    lock.use(common)
    if cache.is_complete(common, own_key):
        cache.store(here, own_key, cache.copy_into(common))
        return
    if not cache.is_complete(here, own_key):
        if fill is None:
            remove_tree(here)
            remove_tree(common)
            raise BuildError(
                f"{common}: damaged since it was kept, or gone: run doit iso again, which makes the driver"
            )
        cache.store(here, own_key, fill)
    cache.store(common, own_key, cache.copy_into(here))


def require_whole(job: Job) -> None:
    """Have the driver in dist/ as it was built; one that was changed or damaged since is taken from the shared cache.

    Raises:
        BuildError: that one is not whole either.
    """
    if not cache.is_complete(entry(job), key(job)):
        print(f"{entry(job)}: changed or damaged since it was built: taken from {shared(job)} again", flush=True)
        keep(job, None)
