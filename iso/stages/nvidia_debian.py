"""NVIDIA's driver from Debian's own packages of it: for sites that reach a Debian mirror and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iso import shell
from iso.errors import BuildError
from iso.stages.nvidia_driver import Driver

if TYPE_CHECKING:
    from pathlib import Path

    from iso.apt import Archive

SOURCE_PACKAGE = "nvidia-kernel-source"
PACKAGES = (SOURCE_PACKAGE, "nvidia-smi", "libnvidia-ml1", "libcuda1", "firmware-nvidia-gsp")


def download(archive: Archive, version: str, folder: Path) -> None:
    """Fetch the packages of one driver version, verified by apt.

    Args:
        archive: an updated package archive.
        version: the driver's upstream version.
        folder: where the .deb files go.

    Raises:
        BuildError: the mirror has another version; with that one.
    """
    present = archive.versions(SOURCE_PACKAGE)
    matching = [candidate for candidate in present if upstream(candidate) == version]
    if not matching:
        others = ", ".join(sorted({upstream(candidate) for candidate in present})) or "none: has it non-free?"
        raise BuildError(
            f"the mirror does not have NVIDIA driver {version} for {archive.suite}; it has: {others}\n"
            f"  for one build: doit iso nvidia_version=…; from now on: NVIDIA_VERSION in iso/builder/VERSIONS"
        )
    archive.download([f"{package}={matching[0]}" for package in PACKAGES], folder)


def upstream(version: str) -> str:
    """A package version without epoch and Debian revision (deb-version(7))."""
    return version.partition(":")[2].rpartition("-")[0] if ":" in version else version.rpartition("-")[0]


def extract(packages: Path, folder: Path, version: str, log: Path) -> Driver:
    """Unpack the packages.

    Args:
        packages: folder of .deb files.
        folder: where to unpack them.
        version: the driver's version, as in its files' names.
        log: where dpkg-deb's output goes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for package in sorted(packages.glob("*.deb")):
        shell.run(["dpkg-deb", "-x", str(package), str(folder)], log)
    shell.run(["tar", "-C", str(folder), "-xf", str(folder / "usr/src/nvidia-kernel.tar.xz")], log)
    return located(folder, version)


def located(folder: Path, version: str) -> Driver:
    """Where the unpacked packages have what.

    Args:
        folder: where they were unpacked.
        version: the driver's version.
    """
    libraries = folder / "usr/lib/x86_64-linux-gnu/nvidia/current"
    return Driver(
        kernel_source=folder / "modules/nvidia-kernel",
        smi=folder / "usr/lib/nvidia/current/nvidia-smi",
        libraries=tuple(libraries / f"{name}.so.{version}" for name in ("libnvidia-ml", "libcuda")),
        firmware=tuple(sorted((folder / "usr/lib/firmware/nvidia" / version).glob("gsp_*.bin"))),
    )
