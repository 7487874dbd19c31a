"""Stages 12 to 14: live-build's disposable work folder, and `lb config && lb build` in it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from iso import packages, shell
from iso.archive import mirror
from iso.graph.inputs import Inputs
from iso.graph.stage import Job, Stage
from iso.image import release
from iso.isolation import owner
from iso.mounts import remove_tree
from iso.replacement import replace_file
from iso.stages import image_base
from iso.stages.kernel import archive_of, kernel_abi, known_archive, require_kernel
from iso.tree import listing, plain_modes, walk

if TYPE_CHECKING:
    from iso.archive.apt import Archive

# What of iso/builder is live-build's, and where it looks for it.
_CONFIGURATION = {
    "auto": "auto",
    "package-lists": "config/package-lists",
    "hooks": "config/hooks",
    "bootloaders": "config/bootloaders",
    "includes.chroot_before_packages": "config/includes.chroot_before_packages",
    "rootfs": "config/rootfs",
    "environment.chroot": "config/environment.chroot",
}
_VERSIONS = "VERSIONS"
_ASSEMBLE = "assemble.sh"
_INCLUDES = "config/includes.chroot"
# Larger blocks than 256 KiB were slower to make, smaller ones to read; auto/config has the compressor. With xz's filter
# for x86 (-Xbcj) each block is packed twice, which a release has no time for.
_SQUASHFS_OPTIONS = "-b 256K"


def image(job: Job) -> Path:
    """The ISO that a build makes."""
    return job.paths.image(release.bee_version(job.paths), job.config.suite)


def netboot(job: Job) -> list[Path]:
    """What lies beside it for booting over the network: kernel, initrd and root file system."""
    return [image(job).with_suffix(suffix) for suffix in (".vmlinuz", ".initrd.img", ".squashfs")]


def _configuration(job: Job) -> Inputs:
    archives = mirror.find(job.config)
    files: dict[str, str] = {}
    for name in _CONFIGURATION:
        files |= listing(job.paths.builder / name, f"iso/builder/{name}")
    return Inputs(
        files=files,
        settings={
            "suite": job.config.suite,
            "profile": job.config.profile,
            "bee_version": release.bee_version(job.paths),
            "kernel": kernel_abi(job.paths),
            "mirror": archives.archive,
            "security_mirror": archives.security,
        },
    )


def _prepare(job: Job) -> None:
    remove_tree(job.paths.workdir)
    _configure(job, job.paths.workdir)


def _configure(job: Job, workdir: Path) -> None:
    for name, place in _CONFIGURATION.items():
        source, target = job.paths.builder / name, workdir / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    archives = mirror.find(job.config)
    values = {
        "SUITE": job.config.suite,
        "PROFILE": job.config.profile,
        "DEBIAN_KERNEL_ABI": kernel_abi(job.paths),
        "BEE_VERSION": release.bee_version(job.paths),
        "MIRROR": archives.archive,
        "SECURITY_MIRROR": archives.security,
    }
    (workdir / _VERSIONS).write_text(release.shell_lines(values))
    plain_modes(workdir)


def _expected(job: Job) -> dict[str, str]:
    """What `image_base.listed` would say of a work folder prepared now, its initrd's part as it is staged."""
    with tempfile.TemporaryDirectory() as place:
        _configure(job, Path(place))
        return image_base.listed(Path(place)) | listing(job.paths.workdir / image_base.INITRD, image_base.INITRD)


def _sync(job: Job) -> None:
    includes, initrd = job.paths.workdir / _INCLUDES, job.paths.workdir / image_base.INITRD
    for folder in (includes, initrd):
        remove_tree(folder)
    shutil.copytree(job.paths.overlay, includes, symlinks=True)
    initrd.mkdir()
    for part in image_base.INITRD_PARTS:
        source, target = includes / part, initrd / part
        if not os.path.lexists(source):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy(source, target, follow_symlinks=False)
    remove_tree(initrd / image_base.INITRD_NOT)
    for path in reversed(list(walk(initrd))):
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()


def _command(job: Job, on: Path, date: int) -> list[str]:
    stem = image(job).with_suffix("")
    words = [job.paths.workdir, job.paths.mount_point, on, date, stem]
    return ["/bin/sh", str(job.paths.builder / _ASSEMBLE), *map(str, words), owner(), image_base.room()]


def _date(job: Job, archive: Archive) -> int:
    """Of the image's files: none is younger than the archive it is made of, or than the image."""
    return min(image_base.date(archive), release.source_date(job.paths))


def _cmdline(job: Job) -> list[list[str]]:
    archive = known_archive(job)
    on, making = image_base.planned(job, archive, _expected(job))
    return [*making, _command(job, on, _date(job, archive))]


def _build(job: Job) -> None:
    require_kernel(job)
    archive = archive_of(job)
    on = image_base.kept(job, archive)
    replace_file(job.paths.boot_loaders, image_base.loaders_of(on).read_bytes())
    job.paths.mount_point.mkdir(parents=True, exist_ok=True)
    environment = {
        "SOURCE_DATE_EPOCH": str(release.source_date(job.paths)),
        "MKSQUASHFS_OPTIONS": _SQUASHFS_OPTIONS,
    }
    shell.run_isolated(_command(job, on, _date(job, archive)), job.log, environment)
    iso = image(job)
    print(f"{iso.relative_to(job.paths.root)}: {iso.stat().st_size / 1e6:.0f} MB")


def _outputs(job: Job) -> list[Path]:
    return [image(job), *netboot(job), job.paths.boot_loaders]


def _assembly(job: Job) -> Inputs:
    files: dict[str, str] = {}
    for script in (_ASSEMBLE, *image_base.SCRIPTS):
        files |= listing(job.paths.builder / script, f"iso/builder/{script}")
    facts = {
        "date": str(release.source_date(job.paths)),
        "mksquashfs": _SQUASHFS_OPTIONS,
    }
    return Inputs(files=files, settings=facts, tools=packages.versions(image_base.TOOLS))


PREPARE = Stage(
    name="workdir", run=_prepare, inputs=_configuration, outputs=lambda job: [job.paths.workdir / _VERSIONS]
)
SYNC = Stage(
    name="sync",
    run=_sync,
    inputs=lambda _job: Inputs(),
    outputs=lambda job: [job.paths.workdir / _INCLUDES],
)
BUILD = Stage(name="live_build", run=_build, inputs=_assembly, cmdline=_cmdline, outputs=_outputs)
