"""Stages 12 to 14: live-build's disposable work folder, and `lb config && lb build` in it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from iso import build_root, lock, packages, shell
from iso.archive import mirror
from iso.graph.inputs import Inputs
from iso.graph.stage import Job, Stage
from iso.image import boot_loaders, release
from iso.isolation import owner
from iso.mounts import remove_tree
from iso.stages.kernel import archive_of, kernel_abi, known_archive, require_kernel
from iso.tree import listing

# What of iso/builder is live-build's, and where it looks for it.
_CONFIGURATION = {
    "auto": "auto",
    "package-lists": "config/package-lists",
    "hooks": "config/hooks",
    "bootloaders": "config/bootloaders",
    "rootfs": "config/rootfs",
    "environment.chroot": "config/environment.chroot",
}
_ASSEMBLE = "assemble.sh"
# What of this machine gets into the image, or decides how it is laid out.
_TOOLS = (
    *("dosfstools", "grub-efi-amd64-bin", "grub-efi-ia32-bin", "grub-pc-bin", "isolinux", "librsvg2-bin", "live-build"),
    *("mmdebstrap", "mtools", "squashfs-tools", "syslinux-common", "xorriso", "zstd"),
)
_INCLUDES = "config/includes.chroot"
# Larger blocks than 256 KiB were slower to make, smaller ones to read; auto/config has the compressor.
_SQUASHFS_OPTIONS = {"dev": "-b 256K", "release": "-b 256K -Xbcj x86"}
# The build needs about 3 GB; in memory it is faster, leaves nothing behind, and does not care how the disk is mounted.
_MEMORY_NEEDED = 6 << 30


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
            "kernel": kernel_abi(job.paths),
            "mirror": archives.archive,
            "security_mirror": archives.security,
        },
    )


def _prepare(job: Job) -> None:
    remove_tree(job.paths.workdir)
    for name, place in _CONFIGURATION.items():
        source, target = job.paths.builder / name, job.paths.workdir / place
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
    (job.paths.workdir / "VERSIONS").write_text(release.shell_lines(values))


def _sync(job: Job) -> None:
    includes = job.paths.workdir / _INCLUDES
    remove_tree(includes)
    shutil.copytree(job.paths.overlay, includes, symlinks=True)


def _packages(job: Job) -> Path:
    return job.paths.cache / f"packages-{job.config.suite}"


def _command(job: Job, system: Path, loaders: Path) -> list[str]:
    stem = image(job).with_suffix("")
    places = [job.paths.workdir, job.paths.chroot, system, loaders, _packages(job), stem]
    return ["/bin/sh", str(job.paths.builder / _ASSEMBLE), *map(str, places), owner(), _memory()]


def _cmdline(job: Job) -> list[list[str]]:
    archive = known_archive(job)
    system, loaders = build_root.bootstrap_tar(archive, job.paths), boot_loaders.signed_tree(archive, job.paths)
    return [_command(job, system, loaders)]


def _build(job: Job) -> None:
    require_kernel(job)
    archive = archive_of(job)
    system = build_root.bootstrap(archive, job.paths)
    loaders = boot_loaders.signed(archive, job.paths)
    kept = _packages(job)
    for folder in (kept, job.paths.chroot):
        folder.mkdir(parents=True, exist_ok=True)
    environment = {
        "SOURCE_DATE_EPOCH": str(release.source_date(job.paths)),
        "MKSQUASHFS_OPTIONS": _SQUASHFS_OPTIONS[job.config.profile],
        **mirror.proxy_environment(),
    }
    # Other clones of this user keep their packages there, too.
    with lock.waiting(kept.with_suffix(".lock")):
        shell.run_isolated(_command(job, system, loaders), job.log, environment)
    iso = image(job)
    print(f"{iso.relative_to(job.paths.root)}: {iso.stat().st_size / 1e6:.0f} MB")


def _memory() -> str:
    """Size in bytes of the memory file system to build in; 0 where there is too little memory for one."""
    match = re.search(r"^MemAvailable:\s+([0-9]+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    available = int(match[1]) * 1024 if match else 0
    return str(available * 3 // 4) if available * 3 // 4 >= _MEMORY_NEEDED else "0"


def _outputs(job: Job) -> list[Path]:
    return [image(job), *netboot(job)]


def _assembly(job: Job) -> Inputs:
    return Inputs(
        files=listing(job.paths.builder / _ASSEMBLE, f"iso/builder/{_ASSEMBLE}"),
        settings={"date": str(release.source_date(job.paths))},
        tools=packages.versions(_TOOLS),
    )


PREPARE = Stage(
    name="workdir", run=_prepare, inputs=_configuration, outputs=lambda job: [job.paths.workdir / "VERSIONS"]
)
SYNC = Stage(
    name="sync",
    run=_sync,
    inputs=lambda _job: Inputs(),
    outputs=lambda job: [job.paths.workdir / _INCLUDES],
)
BUILD = Stage(name="live_build", run=_build, inputs=_assembly, cmdline=_cmdline, outputs=_outputs)
