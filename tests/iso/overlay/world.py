"""A small machine for the live system's scripts: a tree for BEE_ROOT, and tools on PATH that write down their calls."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.house.tree import ROOT

OVERLAY = ROOT / "iso/overlay"
SCRIPTS = OVERLAY / "usr/local/lib/bee"
NVIDIA = Path("usr/local/lib/nvidia")


class World:
    """What one script sees. `calls` are the fake tools' command lines, in order, with what came on stdin."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self._bin = folder / "bin"
        self._log = folder / "calls"
        for path in (self.root, self._bin):
            path.mkdir()

    def file(self, path: str | Path, text: str = "") -> Path:
        """A file of the tree, with its folders."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def tool(self, name: str, body: str = "", *, stdin: bool = False) -> None:
        """A fake program: notes its call (and its stdin), then does `body`, a piece of shell."""
        note = "$(cat)" if stdin else ""
        program = self._bin / name
        program.write_text(f'#!/bin/sh\necho "{name} $*{" < " if stdin else ""}{note}" >>"{self._log}"\n{body}\n')
        program.chmod(0o755)

    @property
    def path(self) -> str:
        """PATH, the fake tools first."""
        return f"{self._bin}:/usr/bin:/bin"

    def run(self, script: str, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a script of the overlay under dash, as the live system's /bin/sh is."""
        return subprocess.run(
            ["dash", str(SCRIPTS / script), *words],
            env={"PATH": self.path, "BEE_ROOT": str(self.root), "LC_ALL": "C"},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []
