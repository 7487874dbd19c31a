"""Whether the same inputs give the same bytes: two cold builds elsewhere, or two images, compared to the last file."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from iso import shell
from iso.errors import BadInputError, BuildError
from iso.mounts import remove_tree
from iso.tree import listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SQUASHFS = "live/filesystem.squashfs"
# Whose values are paths: relative ones would mean something else in another folder.
_PATHS = ("authorized_keys", "release_key", "sign_cert", "sign_key")
# So much of a difference is shown, and diffoscope is given so long for a file.
LINES = 40
_SECONDS = 60
# The primary volume descriptor (ECMA-119, 8.4): of it type and identifier, number of blocks and their size are read.
_DESCRIPTOR_AT = 32768
_DESCRIPTOR = struct.Struct("<6s74xI44xH")


def require_images(files: Iterable[Path]) -> None:
    """See that files are ISO images, each as long as it says of itself.

    Args:
        files: to be compared.

    Raises:
        BadInputError: some are not; with a line each.
    """
    if said := [complaint for file in files if (complaint := _problem(file))]:
        raise BadInputError(said)


def _problem(file: Path) -> str | None:
    try:
        with file.open("rb") as stream:
            stream.seek(_DESCRIPTOR_AT)
            descriptor = stream.read(_DESCRIPTOR.size)
            size = stream.seek(0, os.SEEK_END)
    except OSError as error:
        return f"{file}: {error.strerror}"
    if len(descriptor) < _DESCRIPTOR.size or not descriptor.startswith(b"\x01CD001"):
        return f"{file}: not an ISO 9660 image"
    _, blocks, block = _DESCRIPTOR.unpack(descriptor)
    return f"{file}: cut short: it has {size} bytes of {blocks * block}" if size < blocks * block else None


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
    with subprocess.Popen(command, cwd=copy, env=os.environ | {"XDG_CACHE_HOME": str(place / "cache")}) as build:
        try:
            code = build.wait()
        except BaseException:
            # Its own way to end leaves nothing at work in the folder.
            build.terminate()
            raise
    if code:
        raise BuildError(f"the build in {copy} ended with exit status {code}")
    (image,) = (copy / "dist").glob("*.iso")
    return image


def unpacked(image: Path, tree: Path) -> Path:
    """All files of an image, those of its live system below `filesystem`.

    Args:
        image: an ISO.
        tree: an absent folder to unpack it in.

    Raises:
        BuildError: it cannot be unpacked.
    """
    tree.parent.mkdir(exist_ok=True)
    log = tree.with_suffix(".log")
    shell.run(["xorriso", "-osirrox", "on", "-indev", str(image), "-extract", "/", str(tree)], log)
    if (tree / _SQUASHFS).exists():
        shell.run(["unsquashfs", "-no-progress", "-d", str(tree / "filesystem"), str(tree / _SQUASHFS)], log)
    return tree


@dataclass(frozen=True, slots=True)
class Difference:
    """A file that two trees do not have alike.

    Args:
        name: the file.
        first: what it is in one of them: mode, digest or target, owner, time.
        second: what it is in the other.
    """

    name: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.name}: {self.first} | {self.second}"


def differences(one: Path, other: Path) -> list[Difference]:
    """What is different in two unpacked images.

    Args:
        one: a tree.
        other: another.
    """
    first, second = _described(one), _described(other)
    # The file of the live system differs when anything in it does, which is said of that.
    inside = any(name.startswith("filesystem/") for name in first)
    return [
        Difference(name, first.get(name, "absent"), second.get(name, "absent"))
        for name in sorted(first.keys() | second.keys())
        if first.get(name) != second.get(name) and not (name == _SQUASHFS and inside)
    ]


def _described(tree: Path) -> dict[str, str]:
    found = {}
    for name, what in listing(tree, "").items():
        status = (tree / name[1:]).lstat()
        found[name[1:] or "."] = f"{what} {status.st_uid}:{status.st_gid} {int(status.st_mtime)}"
    return found


def diffoscope(one: Path, other: Path, found: Iterable[Difference]) -> list[str]:
    """What diffoscope(1) says of files that differ, as much as fits, where it is installed.

    Of whole images it would compare hexadecimal digits.

    Args:
        one: an unpacked image.
        other: another.
        found: what differs in them.
    """
    program = shutil.which("diffoscope")
    if not program:
        return ["apt install diffoscope-minimal: then this says what differs within the files"]
    said: list[str] = []
    for difference in found:
        pair = [tree / difference.name for tree in (one, other)]
        if all(path.is_file() and not path.is_symlink() for path in pair) and len(said) < LINES:
            said += _of_files(program, pair)
    return said[:LINES]


def _of_files(program: str, pair: list[Path]) -> list[str]:
    options = ["--text", "-", "--text-color", "never", "--exclude-directory-metadata", "yes"]
    command = [program, *options, "--timeout", str(_SECONDS), *map(str, pair)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()


def discard(place: Path) -> None:
    """Delete what was built to be compared."""
    remove_tree(place)
