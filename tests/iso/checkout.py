"""A checkout in small, on which stages run without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iso.paths import Paths
from iso.versions import Config

if TYPE_CHECKING:
    from pathlib import Path

    from iso.graph.stage import Job, Stage

ABI = "6.12.1+deb13-amd64"
MOTD = "bee @BEE_VERSION@ on @SUITE@, Linux @KERNEL_ABI@, NVIDIA @NVIDIA_VERSION@\n"


def make_checkout(root: Path) -> Paths:
    """A tree with what stages 2 to 13 read, with a kernel chosen and a program compiled."""
    files = {
        "bee/__init__.py": '"""A package."""\n\n__version__ = "9.8.7"\n',
        "bee/cli.py": 'def main() -> int:\n    print("audited")\n    return 0\n',
        "schemas/audit.schema.json": "{}",
        "iso/overlay/etc/motd": MOTD,
        "iso/overlay/etc/old": "to be removed\n",
        "iso/builder/VERSIONS": "SUITE=trixie\n",
        "iso/builder/in-build-root.sh": "#!/bin/sh\n",
        "iso/builder/build-modules.sh": "#!/bin/sh\n",
        "iso/builder/sign-modules.sh": "#!/bin/sh\n",
        "iso/builder/unpack-run.sh": "#!/bin/sh\n",
        "iso/builder/assemble.sh": "#!/bin/sh\n",
        "iso/builder/make-base.sh": "#!/bin/sh\n",
        "iso/builder/make-build-root.sh": "#!/bin/sh\n",
        "iso/builder/make-initrd.sh": "#!/bin/sh\n",
        "iso/builder/work-folder.sh": "",
        "iso/builder/environment.chroot": "INITRD=No\n",
        "iso/builder/auto/config": "#!/bin/sh\n",
        "iso/builder/package-lists/bee.list.chroot": "python3\n",
        "iso/builder/hooks/normal/0500-x.hook.chroot": "#!/bin/sh\n",
        "iso/builder/includes.chroot_before_packages/usr/local/sbin/depmod": "#!/bin/sh\n",
        "iso/builder/bootloaders/isolinux/isolinux.cfg": "",
        "iso/builder/rootfs/excludes": "",
        "dist/kernel-abi": f"{ABI}\n",
        "dist/toolchain": "headers 6.12.1-1\ncompiler gcc-14=14.2.0-19\ndriver 550.163.01-2\n",
        "dist/bee": "#!/usr/bin/python3 -I\n",
    }
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (root / "iso/overlay/etc/link").symlink_to("motd")
    script = root / "iso/overlay/usr/local/lib/bee/network"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    return Paths(root=root, cache=root / "cache", private=root / "private")


def config(**changes: object) -> Config:
    """A build without a driver, unless changes say otherwise."""
    values: dict[str, object] = {
        "suite": "trixie",
        "kernel_abi": ABI,
        "newest_allowed": False,
        "nvidia_source": "none",
        "nvidia_version": "550.163.01",
        "mirror": "http://mirror.invalid/debian",
        "security_mirror": "http://mirror.invalid/debian-security",
    }
    return Config(**(values | changes))  # type: ignore[arg-type]  # the test says what it means


def run(stage: Stage, paths: Paths, of: Config) -> Job:
    """Run one stage, as doit would."""
    job = stage.job(of, paths)
    job.log.parent.mkdir(parents=True, exist_ok=True)
    stage.run(job)
    return job
