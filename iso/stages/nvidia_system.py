"""Stage 6a: the system that the driver is compiled in, made of the minimal one that the CD starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iso import build_root, shell
from iso.archive.apt import STATUS
from iso.isolation import owner
from iso.mounts import remove_tree
from iso.stages.kernel import kernel_abi
from iso.stages.nvidia_driver import Workshop

if TYPE_CHECKING:
    from pathlib import Path

    from iso.archive.apt import Archive
    from iso.graph.stage import Job

# In iso/builder.
SCRIPT = "make-build-root.sh"
# The headers bring the compiler that they were made with; gcc(1) is the name by which NVIDIA's makefiles ask for it.
_PACKAGES = ("gcc", "kmod", "libc6-dev", "make", "xz-utils", "zstd")
# Headers may depend on the kernel, an initrd's tools included: 350 MB that no compiler reads.
_KERNEL = """
Package: linux-image-{abi}
Status: install ok installed
Version: {version}
Architecture: amd64
Maintainer: nobody
Description: not installed
"""


def making(job: Job, archive: Archive) -> list[list[str]]:
    """The commands that make it.

    Args:
        job: the stage that asks.
        archive: a package archive, as it was when it was asked the last time.

    Raises:
        BuildError: the archive was never asked.
    """
    begun = build_root.bootstrapping(archive, job.paths)
    return [*begun, *_commands(job, archive, build_root.bootstrap_tar(archive, job.paths))]


def make(job: Job, archive: Archive) -> None:
    """Make it, a tar file in the workshop.

    Args:
        job: the stage that asks.
        archive: an updated package archive.

    Raises:
        BuildError: a package is not there, or does not install.
    """
    here, minimal = Workshop.of(job), build_root.bootstrap(archive, job.paths)
    _, install = _commands(job, archive, minimal)
    remove_tree(here.compiler_packages)
    here.compiler_packages.mkdir(parents=True)
    job.paths.mount_point.mkdir(parents=True, exist_ok=True)
    abi = kernel_abi(job.paths)
    had = shell.capture(["tar", "-xOf", str(minimal), "./var/lib/dpkg/status"])
    kernel = _KERNEL.format(abi=abi, version=archive.newest(f"linux-image-{abi}"))
    (here.compiler_packages / STATUS).write_text(had + kernel)
    archive.fetch_missing(_wanted(job), here.compiler_packages)
    shell.run_isolated(install, job.log)


def _wanted(job: Job) -> list[str]:
    return [*_PACKAGES, f"linux-headers-{kernel_abi(job.paths)}"]


def _commands(job: Job, archive: Archive, minimal: Path) -> list[list[str]]:
    here = Workshop.of(job)
    places = [minimal, here.compiler_packages, job.paths.mount_point, here.build_root]
    return [
        archive.fetch_missing_command(_wanted(job), here.compiler_packages),
        ["/bin/sh", str(job.paths.builder / SCRIPT), *map(str, places), owner()],
    ]
