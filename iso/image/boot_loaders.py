"""The boot loaders that firmware with Secure Boot starts: Debian's signed shim and GRUB, of the CD's own release."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from iso import cache, lock, shell
from iso.errors import BuildError
from iso.mounts import remove_tree
from iso.replacement import replace_file
from iso.tree import digest

if TYPE_CHECKING:
    from pathlib import Path

    from iso.archive.apt import Archive
    from iso.paths import Paths

# Each package with the file of it that is taken, and where live-build looks for that in the system's tree. It puts what
# lies in grub-efi-temp/EFI/boot beside its own loaders: there shim finds MokManager, which enrols a site's own key.
PARTS = (
    ("shim-signed", "usr/lib/shim/shimx64.efi.signed", "usr/lib/shim/shimx64.efi.signed"),
    (
        "grub-efi-amd64-signed",
        "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed",
        "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed",
    ),
    ("shim-helpers-amd64-signed", "usr/lib/shim/mmx64.efi.signed", "grub-efi-temp/EFI/boot/mmx64.efi"),
)
_TREE = "tree"


def signed(archive: Archive, paths: Paths) -> Path:
    """A tree with the signed loaders, to be laid over the system's while the ISO is put together.

    Args:
        archive: an updated package archive.
        paths: where it is kept.

    Raises:
        BuildError: the archive does not have them.
    """
    chosen = _chosen(archive)
    key, tree = _kept(archive, chosen, paths)
    lock.use(tree.parent)
    if not cache.is_complete(tree.parent, key):
        cache.store(tree.parent, key, lambda folder: _fetch(archive, chosen, folder))
        lock.use(tree.parent)
    return tree


def signed_tree(archive: Archive, paths: Paths) -> Path:
    """Where `signed` has its tree, by what the archive was when it was asked the last time.

    Args:
        archive: a package archive.
        paths: where it is kept.

    Raises:
        BuildError: the archive was never asked, or does not have them.
    """
    return _kept(archive, _chosen(archive), paths)[1]


def versions(archive: Archive) -> dict[str, str]:
    """The packages that the signed loaders come from, each with its version.

    Args:
        archive: a package archive.

    Raises:
        BuildError: the archive was never asked, or does not have them.
    """
    # By their versions: a new shim comes from the security archive, while the release stays as it is.
    return {package: archive.newest(package) for package, _, _ in PARTS}


def write_versions(archive: Archive, file: Path) -> None:
    """Keep the versions (`versions`) beside what is made with them.

    Args:
        archive: a package archive.
        file: where: one `name version` a line.

    Raises:
        BuildError: the archive was never asked, or does not have them.
    """
    replace_file(file, "".join(f"{name} {version}\n" for name, version in versions(archive).items()).encode())


def read_versions(file: Path) -> dict[str, str]:
    """What `write_versions` wrote.

    Args:
        file: where.

    Raises:
        BuildError: it is not there or holds something else.
    """
    try:
        found = [line.split(" ") for line in file.read_text().splitlines()]
        return {name: version for name, version in found}  # noqa: C416  # dict() takes no lists, says mypy
    except (OSError, ValueError):
        raise BuildError(f"{file}: the image's boot loaders are not told there: run doit iso") from None


def _chosen(archive: Archive) -> list[str]:
    return [f"{package}={version}" for package, version in versions(archive).items()]


def _kept(archive: Archive, chosen: list[str], paths: Paths) -> tuple[str, Path]:
    key = digest(archive.suite, chosen, PARTS)
    return key, paths.cache / f"boot-loaders-{archive.suite}-{key[:12]}" / _TREE


def _fetch(archive: Archive, chosen: list[str], folder: Path) -> None:
    packages, unpacked = folder / "packages", folder / "unpacked"
    archive.download(chosen, packages)
    for file in sorted(packages.glob("*.deb")):
        shell.run(["dpkg-deb", "-x", str(file), str(unpacked)], archive.log)
    for package, source, place in PARTS:
        target = folder / _TREE / place
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy2(unpacked / source, target)
        except OSError:
            raise BuildError(f"package {package} of {archive.suite} has no {source}: no Secure Boot") from None
    remove_tree(packages)
    remove_tree(unpacked)
