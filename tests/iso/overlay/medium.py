"""The initrd's script bee-medium, a function at a time, on a tree in place of the machine's."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.iso.overlay.world import OVERLAY

if TYPE_CHECKING:
    from pathlib import Path

_SCRIPT = OVERLAY / "etc/initramfs-tools/scripts/bee-medium"


def _done(root: Path, command: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "BEE_ROOT": str(root)}
    words = ["dash", "-c", f'. "{_SCRIPT}"; {command}']
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


def run(root: Path, command: str) -> int:
    """What one of its functions returns, under dash.

    Args:
        root: stands for the machine's own.
        command: shell.
    """
    return _done(root, command).returncode


def says(root: Path, command: str) -> str:
    """What one of its functions prints.

    Args:
        root: stands for the machine's own.
        command: shell.
    """
    return _done(root, command).stdout


def is_ordinary(root: Path, cmdline: str) -> bool:
    """Whether it would keep to the short way.

    Args:
        root: stands for the machine's own; gets this command line.
        cmdline: the kernel's.
    """
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/cmdline").write_text(f"{cmdline}\n")
    return run(root, "is_ordinary") == 0
