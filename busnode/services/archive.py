"""The services as one file: this package as a zip archive that Python runs, the same bytes from the same files."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import busnode

# The earliest time that a zip archive can say.
_EPOCH = (1980, 1, 1, 0, 0, 0)
# Whoever installs a newer one puts it in this file's place: what runs goes on to read the one that it was started from.
_MAIN = b"""import os, sys

held = f"/proc/self/fd/{os.open(sys.path[0], os.O_RDONLY)}"
if os.path.exists(held):
    sys.path[0] = held

from busnode.services.programs import run_named

run_named()
"""


@cache
def programs() -> bytes:
    """`python3 busnode.pyz PROGRAM …`: sources, and code compiled for the Python that runs now."""
    package = Path(busnode.__file__).parent
    if not package.is_dir():
        # Already in such an archive.
        return package.parent.read_bytes()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "__main__.py").write_bytes(_MAIN)
        for file, content in _files(package).items():
            place = folder / "busnode" / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        _compile(folder)
        return _packed(folder)


def _files(package: Path) -> dict[str, bytes]:
    found = {}
    for folder, folders, names in os.walk(package):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = Path(folder, name)
            found[str(path.relative_to(package))] = path.read_bytes()
    return found


def _compile(folder: Path) -> None:
    """In a process that has nothing but this to do: what else there is in memory would show in the bytes."""
    python = [sys.executable, "-s", "-S", "-m", "compileall", "-q", "-b", "-s", str(folder)]
    mode = ["--invalidation-mode", "unchecked-hash"]
    subprocess.run([*python, *mode, str(folder)], cwd=folder, env={"PYTHONHASHSEED": "0"}, check=True)


def _packed(folder: Path) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(str(path.relative_to(folder)), _EPOCH)
                entry.external_attr = 0o100644 << 16
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return stream.getvalue()
