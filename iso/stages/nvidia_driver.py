"""What a source of NVIDIA's driver hands over: everything after the extraction is the same for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from iso.errors import BuildError

if TYPE_CHECKING:
    from pathlib import Path

    from iso.archive.apt import Archive
    from iso.graph.stage import Job
    from iso.versions import Config


@dataclass(frozen=True, slots=True)
class Driver:
    """An unpacked driver.

    Args:
        kernel_source: folder with the Makefile of the flavour's modules.
        smi: the program nvidia-smi.
        libraries: libnvidia-ml and libcuda, each named .so.VERSION.
        firmware: what runs on the GPU's own processor (gsp_*.bin), which the open modules need and the others use.
    """

    kernel_source: Path
    smi: Path
    libraries: tuple[Path, ...]
    firmware: tuple[Path, ...]

    def require(self) -> None:
        """See that all of it is there.

        Raises:
            BuildError: a part is missing; with the place where it was looked for.
        """
        wanted = [self.kernel_source / "Makefile", self.smi, *self.libraries]
        missing = [path for path in wanted if not path.is_file()]
        if missing:
            raise BuildError(f"the driver has no {missing[0].name} where it should be: {missing[0]}")
        if not self.firmware:
            raise BuildError("the driver has no firmware gsp_*.bin: drivers before 525 are not supported")


class Source(Protocol):
    """Where a driver comes from; the modules nvidia_debian and nvidia_run are the two there are."""

    def download(self, job: Job, archive: Archive, /) -> None:
        """Have it here, verified."""

    def wanted(self, config: Config, revisions: str, /) -> list[str]:
        """The packages of the archive that `download` fetches, with their versions (`Toolchain.driver`)."""

    def extract(self, job: Job, /) -> None:
        """Unpack it into the workshop."""

    def unpacking(self, job: Job, /) -> list[list[str]]:
        """The commands with which `extract` does that."""

    def located(self, folder: Path, config: Config, /) -> Driver:
        """Where the unpacked parts are."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """The folders in which the driver is made; gone when it is in the caches.

    Args:
        folder: holds all of them.
    """

    folder: Path

    @classmethod
    def of(cls, job: Job) -> Workshop:
        """The workshop of a checkout."""
        return cls(job.paths.dist / "nvidia.partial")

    @property
    def build_root(self) -> Path:
        """A system of the CD's release, with a compiler and the kernel's headers; a tar file."""
        return self.folder / "build-root.tar"

    @property
    def compiler_packages(self) -> Path:
        """What that system has beside a minimal one; with the file `status`, what was there before them."""
        return self.folder / "compiler-packages"

    @property
    def packages(self) -> Path:
        """What was downloaded."""
        return self.folder / "packages"

    @property
    def kernel_package(self) -> Path:
        return self.folder / "kernel-package"

    @property
    def extracted(self) -> Path:
        return self.folder / "extracted"

    @property
    def kernel(self) -> Path:
        """The kernel's own package, unpacked."""
        return self.folder / "kernel"

    @property
    def modules(self) -> Path:
        """What was built."""
        return self.folder / "modules"

    @property
    def product(self) -> Path:
        """All but the modules, as the cache will have it."""
        return self.folder / "product"
