"""What all images of the same packages have in common, kept from one build to the next (iso/builder/make-base.sh).

It is live-build's whole folder after every step but the root file system's image and the ISO: packages installed, hooks
run, boot loaders made. The initrd lies beside it. Of the staged overlay they have seen only what goes into the initrd,
so that any other change needs none of this again. Both are complete or absent, and never mounted but read-only.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from iso import build_root, cache, cache_entries, lock, packages, shell
from iso.archive import mirror
from iso.errors import BuildError
from iso.graph.inputs import Inputs
from iso.image import boot_loaders, release
from iso.isolation import owner
from iso.mounts import remove_tree
from iso.tree import digest, file_digest, listing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iso.archive.apt import Archive
    from iso.graph.stage import Job

# Where the work folder has what of the overlay goes into the initrd, and what that is: all that initramfs-tools(7) and
# udev's hook of it read. The driver's own firmware is loaded long after.
INITRD = "config/includes.initrd"
INITRD_PARTS = (
    *("etc/initramfs-tools", "etc/modprobe.d", "etc/modules", "etc/modules-load.d", "etc/systemd/network", "etc/udev"),
    *("usr/lib/firmware", "usr/lib/modprobe.d", "usr/lib/systemd/network", "usr/lib/udev", "usr/share/initramfs-tools"),
)
INITRD_NOT = "usr/lib/firmware/nvidia"
# What of the work folder only assemble.sh uses.
_LATER = ("config/includes.chroot/", "config/hooks/after-overlay/", "config/rootfs/")
# Made for what is in them, with whatever mode the caller's umask gives.
_FOLDERS = (".", "config")
# What decides how a base looks.
SCRIPTS = ("make-base.sh", "make-initrd.sh", "work-folder.sh")
# What of this machine gets into the image, or decides how it is laid out.
TOOLS = (
    *("dosfstools", "grub-efi-amd64-bin", "grub-efi-ia32-bin", "grub-pc-bin", "isolinux", "librsvg2-bin", "live-build"),
    *("mmdebstrap", "mtools", "squashfs-tools", "syslinux-common", "xorriso", "zstd"),
)
_FILE = "work-folder.squashfs"
_LOADERS = "boot-loaders"
# Of apt, while the base is made.
_LISTS = "lists"
# So many of a release stay, the latest used: those of a few branches and of both profiles.
_KEPT = 4
# The build needs about 3 GB; in memory it is faster, leaves nothing behind, and does not care how the disk is mounted.
_MEMORY_NEEDED = 6 << 30


def kept(job: Job, archive: Archive) -> Path:
    """The base of an image, made of the work folder where it is not there.

    Args:
        job: the stage that wants it.
        archive: an updated package archive.

    Raises:
        BuildError: it cannot be made, or what it is made of changed meanwhile.
    """
    key, file = _place(job, archive, listed(job.paths.workdir))
    lock.use(file.parent)
    if not cache.is_complete(file.parent, key):
        # Other clones of this user keep their packages there, too, and may be making the same.
        with lock.waiting(_packages(job).with_suffix(".lock")):
            # What is there now, after the wait, is what it is made of.
            key, file = _place(job, archive, listed(job.paths.workdir))
            lock.use(file.parent)
            if not cache.is_complete(file.parent, key):
                cache.store(file.parent, key, lambda folder: _fill(job, archive, key, folder))
                lock.use(file.parent)
        cache_entries.keep_latest(job.paths.cache, _name(job), _KEPT)
    return file


def loaders_of(file: Path) -> Path:
    """Where the packages of a base's boot loaders are told (`boot_loaders.read_versions`).

    Args:
        file: the base.
    """
    return file.with_name(_LOADERS)


def planned(job: Job, archive: Archive, folder: Mapping[str, str]) -> tuple[Path, list[list[str]]]:
    """Where `kept` has the base, and the commands that would make it; none where it is there.

    Args:
        job: the stage that wants it.
        archive: a package archive, as it was when it was asked the last time.
        folder: the work folder as it would be, in `listed`'s terms.

    Raises:
        BuildError: the archive was never asked.
    """
    key, file = _place(job, archive, folder)
    if cache.is_complete(file.parent, key, content=False):
        return file, []
    system, loaders = build_root.bootstrap_tar(archive, job.paths), boot_loaders.signed_tree(archive, job.paths)
    return file, [_command(job, system, loaders, file)]


def listed(workdir: Path) -> dict[str, str]:
    """What of a work folder is in a base: the names of its files, links and folders, to their modes and digests.

    Args:
        workdir: the folder, as prepared.
    """
    found = {name.removeprefix("./"): mark for name, mark in listing(workdir, ".").items()}
    return {name: mark for name, mark in found.items() if name not in _FOLDERS and not f"{name}/".startswith(_LATER)}


def date(archive: Archive) -> int:
    """Seconds since 1970 that no file of a base is younger than.

    The archive's own date: whatever is made of the same packages is the same, today and after the next commit.

    Args:
        archive: a package archive.

    Raises:
        BuildError: the archive was never asked.
    """
    return min(archive.date, release.given_date() or archive.date)


def room() -> str:
    """Size in bytes of the memory file system to build in; 0 where there is too little memory for one."""
    match = re.search(r"^MemAvailable:\s+([0-9]+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    available = int(match[1]) * 1024 if match else 0
    return str(available * 3 // 4) if available * 3 // 4 >= _MEMORY_NEEDED else "0"


def _name(job: Job) -> str:
    return f"base-{job.config.suite}-"


def _place(job: Job, archive: Archive, folder: Mapping[str, str]) -> tuple[str, Path]:
    """Key and file of a base; the archive's state stands for all that comes from there."""
    files = dict(folder)
    for script in SCRIPTS:
        files |= listing(job.paths.builder / script, f"iso/builder/{script}")
    inputs = Inputs(files, tools=packages.versions(TOOLS))
    system = build_root.bootstrap_tar(archive, job.paths).parent.name
    # What is told to live-build beside its folder, and which boot loaders are taken.
    makers = [file_digest(module) for module in (__file__, boot_loaders.__file__)]
    key = digest(inputs.key, archive.state, date(archive), system, makers)
    return key, job.paths.cache / f"{_name(job)}{key[:12]}" / _FILE


def _packages(job: Job) -> Path:
    return job.paths.cache / f"packages-{job.config.suite}"


def _command(job: Job, system: Path, loaders: Path, file: Path) -> list[str]:
    lists = file.with_name(_LISTS)
    places = [job.paths.workdir, job.paths.mount_point, system, loaders, lists, _packages(job), file]
    return ["/bin/sh", str(job.paths.builder / SCRIPTS[0]), *map(str, places), owner(), room()]


def _fill(job: Job, archive: Archive, key: str, folder: Path) -> None:
    _make(job, archive, folder / _FILE)
    if _place(job, archive, listed(job.paths.workdir))[0] != key:
        raise BuildError(
            "what the image's base is made of changed while it was made: it is not kept; run doit iso again"
        )


def _make(job: Job, archive: Archive, file: Path) -> None:
    system = build_root.bootstrap(archive, job.paths)
    loaders = boot_loaders.signed(archive, job.paths)
    for folder in (_packages(job), job.paths.mount_point):
        folder.mkdir(parents=True, exist_ok=True)
    environment = {"SOURCE_DATE_EPOCH": str(date(archive)), **mirror.proxy_environment()}
    archive.link_lists(file.with_name(_LISTS))
    shell.run_isolated(_command(job, system, loaders, file), job.log, environment)
    remove_tree(file.with_name(_LISTS))
    # As the archive is now; if that is another state of it than before, the base is not kept.
    boot_loaders.write_versions(archive, loaders_of(file))
