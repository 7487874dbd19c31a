"""Before the first stage: which kernel the mirror lets the build have, and what to make its driver with."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

from iso import lock
from iso.archive import apt, mirror
from iso.archive.apt import Archive, choose_kernel
from iso.errors import BuildError
from iso.graph.inputs import Inputs
from iso.graph.stage import Job, Stage
from iso.stages.nvidia_toolchain import Toolchain

if TYPE_CHECKING:
    from pathlib import Path

    from iso.paths import Paths
    from iso.versions import Config


def _archive(config: Config, paths: Paths) -> Archive:
    return Archive.of(config.suite, mirror.find(config), paths.cache, paths.logs / "apt.log")


@functools.cache
def _updated(config: Config, paths: Paths) -> Archive:
    archive = _archive(config, paths)
    # Other clones of this user ask with the same folder.
    with lock.waiting(archive.lock):
        archive.folder.mkdir(parents=True, exist_ok=True)
        lock.use(archive.folder)
        archive.update()
    return archive


def archive_of(job: Job) -> Archive:
    """The CD release's package archive, updated once in a build.

    Args:
        job: the stage that asks; what it asks is in its log.
    """
    return dataclasses.replace(_updated(job.config, job.paths), log=job.log)


def known_archive(job: Job) -> Archive:
    """The same, as it was when it was asked the last time: what a stage would do is told without a network.

    Args:
        job: the stage that asks.
    """
    return _archive(job.config, job.paths)


def kernel_abi(paths: Paths) -> str:
    """The kernel that this build settled on.

    Raises:
        BuildError: none was chosen yet.
    """
    try:
        return paths.kernel_abi.read_text().strip()
    except OSError:
        raise BuildError(f"{paths.kernel_abi}: no kernel was chosen yet: run doit iso") from None


def _choice(job: Job) -> tuple[str, str | None]:
    return choose_kernel(job.config.kernel_abi, archive_of(job).kernels(), newest_allowed=job.config.newest_allowed)


def _choose(job: Job) -> None:
    chosen, remark = _choice(job)
    if remark:
        print(remark)
    job.paths.kernel_abi.write_text(f"{chosen}\n")
    if job.config.with_nvidia:
        choose_toolchain(job)


def choose_toolchain(job: Job) -> None:
    """Take what the mirror has now to make the driver with.

    Raises:
        BuildError: it lacks a part.
    """
    Toolchain.of(archive_of(job), job.config, kernel_abi(job.paths)).write(job.paths.toolchain)


def _remark(job: Job) -> str | None:
    """What is still to be said of a kernel chosen in an earlier run; only with leave to take another is it asked."""
    return _choice(job)[1] if job.config.newest_allowed else None


def require_kernel(job: Job) -> str:
    """The chosen kernel, which the mirror still has.

    Raises:
        BuildError: it has gone since it was chosen.
    """
    abi = kernel_abi(job.paths)
    choose_kernel(abi, archive_of(job).kernels(), newest_allowed=False)
    return abi


def _inputs(job: Job) -> Inputs:
    config = job.config
    driver = (config.nvidia_source, config.nvidia_version, config.nvidia_flavour) if config.with_nvidia else ("none",)
    return Inputs(
        settings={
            "suite": config.suite,
            "abi": f"{config.kernel_abi}{' or newest' if config.newest_allowed else ''}",
            "mirror": config.mirror or "",
            "security_mirror": config.security_mirror or "",
            "snapshot": config.snapshot or "",
            "nvidia": " ".join(driver),
        }
    )


def _asks(job: Job) -> str | None:
    # With leave to take another, the mirror is asked each time: what it had may be gone, which must show at the start.
    return _choice(job)[0] if job.config.newest_allowed else None


def _outputs(job: Job) -> list[Path]:
    return [job.paths.kernel_abi, *([job.paths.toolchain] if job.config.with_nvidia else [])]


KERNEL = Stage(
    name="_kernel",
    run=_choose,
    inputs=_inputs,
    asks=_asks,
    cmdline=lambda _job: [apt.UPDATE],
    outputs=_outputs,
    remark=_remark,
    chooses=("KERNEL_ABI", "compiler", "headers", "kernel", "nvidia_source"),
)
