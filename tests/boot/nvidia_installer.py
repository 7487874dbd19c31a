"""An installer of NVIDIA's kind, made of Debian's packages of the same driver where NVIDIA's own cannot be had."""

from __future__ import annotations

import gzip
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from iso.stages import nvidia, nvidia_debian, nvidia_run
from iso.stages.kernel import archive_of
from iso.stages.nvidia_driver import Driver, Workshop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iso.paths import Paths
    from iso.versions import Config

MARK = b"__DRIVER__\n"
# As much of it as unpacking needs: a shell script with an archive behind a line.
HEADER = b"""#!/bin/sh
# An installer of NVIDIA's kind.
set -eu
[ "${1-}" = --extract-only ] && [ "${2-}" = --target ] || { echo "--extract-only --target DIRECTORY" >&2; exit 1; }
mkdir "$3"
sed '1,/^__DRIVER__$/d' "$0" | tar -xz -C "$3"
exit 0
"""
FLAVOURS = {"proprietary": "kernel", "open": "kernel-open"}


def make(config: Config, paths: Paths, folder: Path) -> Path:
    """The installer of a configuration's driver, both flavours, the same bytes from the same packages.

    Args:
        config: a build's, of which suite and driver count.
        paths: of whose cache packages are taken.
        folder: where it is written.
    """
    drivers = {flavour: _driver(config, flavour, paths, folder / flavour) for flavour in FLAVOURS}
    shared = drivers["proprietary"]
    files = {FLAVOURS[flavour]: driver.kernel_source for flavour, driver in drivers.items()}
    files |= {file.name: file for file in (shared.smi, *shared.libraries)}
    files |= {f"firmware/{file.name}": file for file in shared.firmware}
    installer = folder / nvidia_run.name(config.nvidia_version)
    pack(files, installer)
    return installer


def pack(files: Mapping[str, Path], installer: Path) -> None:
    """An installer of some files and folders, the same bytes from the same ones.

    Args:
        files: each by its name in the archive.
        installer: what is written.
    """
    with installer.open("wb") as stream:
        stream.write(HEADER + MARK)
        with gzip.GzipFile("", "wb", 1, stream, mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
            for name, file in files.items():
                archive.add(file, name, filter=_plain)


def _driver(config: Config, flavour: str, paths: Paths, folder: Path) -> Driver:
    """One flavour, of Debian's packages, unpacked in an empty folder."""
    job = nvidia.DOWNLOAD.job(replace(config, nvidia_flavour=flavour), replace(paths, root=folder))
    for place in (job.log.parent, Workshop.of(job).packages):
        place.mkdir(parents=True)
    nvidia_debian.download(job, archive_of(job))
    nvidia_debian.extract(job)
    driver = nvidia_debian.located(Workshop.of(job).extracted, job.config)
    driver.require()
    return driver


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member
