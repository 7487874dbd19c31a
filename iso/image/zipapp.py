"""Make the one-file program: a zip archive that Python runs as it is, the same bytes from the same files.

Run by the Python that will run the program, in the build root: compiled code is good for one version only.
    python3 -I zipapp.py PACKAGE RESULT
"""

from __future__ import annotations

import importlib.util
import io
import marshal
import os
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import types

SHEBANG = b"#!/usr/bin/python3 -I\n"
# The earliest time that a zip archive can say.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LEFT_OUT = {"__pycache__"}


def build(package: Path) -> bytes:
    """The program's bytes: sources and compiled code, so that starting it compiles nothing.

    Args:
        package: folder of a package with cli.main; links in it are followed.
    """
    files = {f"{package.name}/{name}": content for name, content in _files(package).items()}
    files["__main__.py"] = f"from {package.name}.cli import main\n\nraise SystemExit(main())\n".encode()
    for name in [name for name in files if name.endswith(".py")]:
        files[f"{name}c"] = _compiled(files[name], name)
    stream = io.BytesIO()
    stream.write(SHEBANG)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, files[name])
    return stream.getvalue()


def _files(top: Path) -> dict[str, bytes]:
    found = {}
    for folder, folders, names in os.walk(top, followlinks=True):
        folders[:] = sorted(set(folders) - _LEFT_OUT)
        for name in names:
            path = Path(folder, name)
            found[str(path.relative_to(top))] = path.read_bytes()
    return found


def _compiled(source: bytes, name: str) -> bytes:
    """A .pyc file that never asks for its source's time (PEP 552, unchecked hash)."""
    code = compile(source, name, "exec", dont_inherit=True)
    flags = (0b01).to_bytes(4, "little")
    digest = importlib.util.source_hash(source)
    return importlib.util.MAGIC_NUMBER + flags + digest + _marshalled(code)


def _marshalled(code: types.CodeType) -> bytes:
    # Dumped, loaded and dumped again: how often a constant is referred to in memory no longer shows in the bytes.
    return marshal.dumps(marshal.loads(marshal.dumps(code)))  # noqa: S302 (its own output)


def main(arguments: list[str]) -> int:
    """Write the program; the folder must be there."""
    package, result = (Path(argument) for argument in arguments)
    result.write_bytes(build(package))
    result.chmod(0o755)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
