"""Which packages of the archive make the driver: a new revision of any of them makes another driver."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from iso.errors import BuildError
from iso.stages import nvidia_debian

if TYPE_CHECKING:
    from pathlib import Path

    from iso.archive.apt import Archive
    from iso.versions import Config


@dataclasses.dataclass(frozen=True, slots=True)
class Toolchain:
    """Package versions, with Debian's revisions.

    Args:
        headers: of linux-headers-<ABI>.
        compiler: name and version of the compiler that those headers ask for.
        driver: of the packages with the modules' sources and with the rest; empty where it does not come from Debian.
    """

    headers: str
    compiler: str
    driver: str

    @classmethod
    def of(cls, archive: Archive, config: Config, abi: str) -> Toolchain:
        """What an archive has now.

        Args:
            archive: an updated package archive.
            config: the build as asked for.
            abi: the kernel.

        Raises:
            BuildError: it lacks one of them; with what it has.
        """
        headers = f"linux-headers-{abi}"
        compiler = parse_compiler(archive.depends(headers))
        driver = (nvidia_debian.package_version, nvidia_debian.common_version)
        return cls(
            headers=archive.newest(headers),
            compiler=f"{compiler}={archive.newest(compiler)}",
            driver=" ".join(of(archive, config) for of in driver) if config.nvidia_source == "debian" else "",
        )

    @classmethod
    def read(cls, file: Path) -> Toolchain:
        """What write() wrote.

        Raises:
            BuildError: it is not there.
        """
        try:
            found = dict(line.split(" ", 1) for line in file.read_text().splitlines())
            return cls(**found)
        except (OSError, ValueError, TypeError):
            raise BuildError(f"{file}: what the driver is made with was not chosen yet: run doit iso") from None

    def write(self, file: Path) -> None:
        """Keep it for the stages that follow.

        Args:
            file: where.
        """
        lines = [f"{name} {value}\n" for name, value in dataclasses.asdict(self).items()]
        file.write_text("".join(lines))


def parse_compiler(depends: str) -> str:
    """The compiler that a kernel's headers ask for, such as gcc-14.

    Args:
        depends: what `apt-cache depends` prints of the headers' package.

    Raises:
        BuildError: it names none.
    """
    match = re.search(r"^\s*\|?Depends: (?:linux-compiler-)?(gcc-[0-9]+)\b", depends, re.MULTILINE)
    if not match:
        raise BuildError("the kernel's headers name no compiler that they were made with: is the mirror complete?")
    return match[1]
