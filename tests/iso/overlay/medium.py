"""The initrd's script bee-medium, a function at a time, on a tree in place of the machine's."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.iso.overlay.world import OVERLAY

if TYPE_CHECKING:
    from pathlib import Path

_SCRIPT = OVERLAY / "etc/initramfs-tools/scripts/bee-medium"


def run(root: Path, command: str) -> int:
    """What one of its functions returns, under dash.

    Args:
        root: stands for the machine's own.
        command: shell.
    """
    return subprocess.run(
        ["dash", "-c", f'. "{_SCRIPT}"; {command}'], env={"PATH": "/usr/bin:/bin", "BEE_ROOT": str(root)}, check=False
    ).returncode


def is_ordinary(root: Path, cmdline: str) -> bool:
    """Whether it would keep to the short way.

    Args:
        root: stands for the machine's own; gets this command line.
        cmdline: the kernel's.
    """
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/cmdline").write_text(f"{cmdline}\n")
    return run(root, "is_ordinary") == 0
