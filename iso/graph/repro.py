"""Whether the same inputs give the same bytes: two cold builds elsewhere, or two images, compared to the last file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from iso import shell
from iso.errors import BuildError
from iso.mounts import remove_tree
from iso.tree import file_digest, listing

if TYPE_CHECKING:
    from collections.abc import Mapping

_SQUASHFS = "live/filesystem.squashfs"
# Whose values are paths: relative ones would mean something else in another folder.
_PATHS = ("authorized_keys", "sign_cert", "sign_key")
# So much of a difference is shown.
LINES = 40


def copy_of(root: Path, place: Path) -> Path:
    """The checkout as it is now, in another folder: what git tracks or would track, and the vendors' programs.

    Args:
        root: the checkout.
        place: an empty folder.
    """
    copy = place / "checkout"
    git = ["git", "-c", f"safe.directory={root}", "-C", str(root)]
    names = shell.capture([*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]).split("\0")
    vendor = [str(path.relative_to(root)) for path in (root / "iso/vendor").iterdir()]
    for name in sorted({*filter(None, names), *vendor}):
        if os.path.lexists(root / name):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, copy / name, follow_symlinks=False)
    _same_commit(copy, Path(shell.capture([*git, "rev-parse", "--absolute-git-dir"]).strip()))
    return copy


def _same_commit(copy: Path, directory: Path) -> None:
    """Have git say of a copy what it says of the checkout, and write nothing there (gitrepository-layout(5))."""
    own = copy / ".git"
    own.mkdir()
    for name in ("HEAD", "index"):
        shutil.copy2(directory / name, own / name)
    common = directory / "commondir"
    shared = directory / common.read_text().strip() if common.exists() else directory
    (own / "commondir").write_text(f"{shared.resolve()}\n")


def cold_build(root: Path, place: Path, settings: Mapping[str, str]) -> Path:
    """The image of a checkout, built in an empty folder with empty caches.

    Args:
        root: the checkout.
        place: the empty folder.
        settings: of the build.

    Raises:
        BuildError: the build failed.
    """
    copy = copy_of(root, place)
    absolute = {key: str(Path(value).absolute()) if key in _PATHS else value for key, value in settings.items()}
    words = [f"{key}={value}" for key, value in absolute.items()]
    command = [sys.executable, "-B", "-m", "doit", "iso", *words]
    code = subprocess.call(command, cwd=copy, env=os.environ | {"XDG_CACHE_HOME": str(place / "cache")})
    if code:
        raise BuildError(f"the build in {copy} ended with exit status {code}")
    (image,) = (copy / "dist").glob("*.iso")
    return image


def differences(one: Path, other: Path, place: Path) -> list[str]:
    """What is different in two images, a line each; nothing where they are the same, byte for byte.

    Args:
        one: an ISO.
        other: another.
        place: an empty folder to unpack them in.

    Raises:
        BuildError: one of them cannot be unpacked.
    """
    if file_digest(one) == file_digest(other):
        return []
    unpacked = [_unpacked(image, place / str(number)) for number, image in enumerate((one, other))]
    first, second = (listing(tree, "") for tree in unpacked)
    names = sorted(first.keys() | second.keys())
    found = [
        f"{name[1:]}: {first.get(name, 'absent')} | {second.get(name, 'absent')}"
        for name in names
        # The file of the live system differs when anything in it does, which is said of that.
        if first.get(name) != second.get(name) and not (name == f"/{_SQUASHFS}" and len(names) > 1)
    ]
    return found or [f"every file is the same, the images are not: compare them with cmp {one} {other}"]


def _unpacked(image: Path, tree: Path) -> Path:
    log = tree.with_suffix(".log")
    shell.run(["xorriso", "-osirrox", "on", "-indev", str(image), "-extract", "/", str(tree)], log)
    if (tree / _SQUASHFS).exists():
        shell.run(["unsquashfs", "-no-progress", "-d", str(tree / "filesystem"), str(tree / _SQUASHFS)], log)
    return tree


def diffoscope(one: Path, other: Path) -> list[str]:
    """The beginning of what diffoscope(1) says, where it is installed."""
    program = shutil.which("diffoscope")
    if not program:
        return ["apt install diffoscope-minimal: then this says what differs within the files"]
    said = subprocess.run([program, "--text", "-", str(one), str(other)], capture_output=True, text=True, check=False)
    return said.stdout.splitlines()[:LINES]


def discard(place: Path) -> None:
    """Delete what was built to be compared."""
    remove_tree(place)
