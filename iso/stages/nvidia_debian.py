"""NVIDIA's driver from Debian's own packages of it: for sites that reach a Debian mirror and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iso import shell
from iso.errors import BuildError
from iso.stages.nvidia_driver import Driver, Workshop

if TYPE_CHECKING:
    from pathlib import Path

    from iso.archive.apt import Archive
    from iso.graph.stage import Job
    from iso.versions import Config

# The sources of the kernel modules, by flavour; each is a package with a tar file of the same name.
_SOURCES = {"proprietary": "nvidia-kernel", "open": "nvidia-open-kernel"}
# What both flavours share.
_COMMON = ("nvidia-smi", "libnvidia-ml1", "libcuda1", "firmware-nvidia-gsp")


def source_package(config: Config) -> str:
    """The package with the sources of a flavour's modules."""
    return f"{_SOURCES[config.nvidia_flavour]}-source"


def package_version(archive: Archive, config: Config) -> str:
    """The package version, with Debian's revision, of the sources of the pinned driver's modules.

    Args:
        archive: an updated package archive.
        config: the build as asked for.

    Raises:
        BuildError: the mirror has another version; with that one.
    """
    return _pinned(archive, config, source_package(config))


def common_version(archive: Archive, config: Config) -> str:
    """The same of what both flavours share: they are built from two source packages, whose revisions may differ.

    Args:
        archive: an updated package archive.
        config: the build as asked for.

    Raises:
        BuildError: the mirror has another version; with that one.
    """
    return _pinned(archive, config, _COMMON[0])


def _pinned(archive: Archive, config: Config, package: str) -> str:
    present = archive.versions(package)
    matching = [candidate for candidate in present if upstream(candidate) == config.nvidia_version]
    if not matching:
        others = (
            ", ".join(sorted({upstream(candidate) for candidate in present})) or "none: has it contrib and non-free?"
        )
        raise BuildError(
            f"the mirror does not have NVIDIA driver {config.nvidia_version} ({package}) for {archive.suite}; "
            f"it has: {others}\n"
            f"  for one build: doit iso nvidia_version=…; from now on: NVIDIA_VERSION in iso/builder/VERSIONS"
        )
    return matching[0]


def upstream(version: str) -> str:
    """A package version without epoch and Debian revision (deb-version(7))."""
    return version.partition(":")[2].rpartition("-")[0] if ":" in version else version.rpartition("-")[0]


def download(job: Job, archive: Archive) -> None:
    """Fetch the packages of the pinned driver, verified by apt.

    Args:
        job: the stage that asks.
        archive: an updated package archive.

    Raises:
        BuildError: the mirror has another version.
    """
    revisions = f"{package_version(archive, job.config)} {common_version(archive, job.config)}"
    archive.download(wanted(job.config, revisions), Workshop.of(job).packages)


def wanted(config: Config, revisions: str) -> list[str]:
    """The packages of a driver, with their versions.

    Args:
        config: the build as asked for.
        revisions: those of the modules' sources and of the rest, with a blank between.
    """
    version, common = revisions.split()
    return [f"{source_package(config)}={version}", *(f"{package}={common}" for package in _COMMON)]


def unpacking(job: Job) -> list[list[str]]:
    """The commands that unpack the packages, and the sources that one of them holds."""
    here = Workshop.of(job)
    packages = sorted([source_package(job.config), *_COMMON])
    sources = here.extracted / f"usr/src/{_SOURCES[job.config.nvidia_flavour]}.tar.xz"
    return [
        *(["dpkg-deb", "-x", str(here.packages / f"{package}.deb"), str(here.extracted)] for package in packages),
        ["tar", "-C", str(here.extracted), "-xf", str(sources)],
    ]


def extract(job: Job) -> None:
    """Unpack the driver into the workshop.

    Raises:
        BuildError: a package is damaged.
    """
    Workshop.of(job).extracted.mkdir(parents=True, exist_ok=True)
    for command in unpacking(job):
        shell.run(command, job.log)


def located(folder: Path, config: Config) -> Driver:
    """Where the unpacked packages have what.

    Args:
        folder: where they were unpacked.
        config: the build as asked for.
    """
    version = config.nvidia_version
    libraries = folder / "usr/lib/x86_64-linux-gnu/nvidia/current"
    return Driver(
        kernel_source=folder / "modules" / _SOURCES[config.nvidia_flavour],
        smi=folder / "usr/lib/nvidia/current/nvidia-smi",
        libraries=tuple(libraries / f"{name}.so.{version}" for name in ("libnvidia-ml", "libcuda")),
        # Before trixie firmware was packaged in /lib.
        firmware=tuple(sorted(folder.glob(f"**/lib/firmware/nvidia/{version}/gsp_*.bin"))),
    )
