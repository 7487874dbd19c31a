"""Systems of the CD's own release to compile in: made by mmdebstrap(1), kept as tar files, entered as fresh copies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from iso import cache, lock, packages, shell
from iso.archive.mirror import proxy_environment
from iso.graph.inputs import Inputs
from iso.isolation import owner
from iso.tree import digest, file_digest, listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iso.archive.apt import Archive
    from iso.paths import Paths

# In iso/builder: what enters a copy of a system.
ENTER = "in-build-root.sh"
_MMDEBSTRAP = "mmdebstrap"
_TAR = "system.tar"


def inputs(paths: Paths) -> Inputs:
    """How a system is made and entered, for whoever runs something in one.

    Args:
        paths: the checkout.
    """
    return Inputs(listing(paths.builder / ENTER, f"iso/builder/{ENTER}"), tools=packages.versions([_MMDEBSTRAP]))


def bootstrap(archive: Archive, paths: Paths) -> Path:
    """The tar file of a minimal system of the CD's release with its Python: what the CD starts from, and compiles bee.

    Args:
        archive: an updated package archive.
        paths: where it is kept.
    """
    key, tar = _bootstrap(archive, paths)
    lock.use(tar.parent)
    if not cache.is_complete(tar.parent, key):
        cache.store(tar.parent, key, lambda folder: _make_bootstrap(archive, folder / _TAR, paths.mount_point))
        lock.use(tar.parent)
    return tar


def bootstrap_tar(archive: Archive, paths: Paths) -> Path:
    """Where `bootstrap` has its tar file, by what the archive was when it was asked the last time.

    Args:
        archive: a package archive.
        paths: where it is kept.

    Raises:
        BuildError: the archive was never asked.
    """
    return _bootstrap(archive, paths)[1]


def bootstrapping(archive: Archive, paths: Paths) -> list[list[str]]:
    """The command that `bootstrap` would run; none where its tar file is there.

    Args:
        archive: a package archive, as it was when it was asked the last time.
        paths: where it is kept.

    Raises:
        BuildError: the archive was never asked.
    """
    key, tar = _bootstrap(archive, paths)
    return [] if cache.is_complete(tar.parent, key, content=False) else [_minimal(archive, tar)]


def _minimal(archive: Archive, tar: Path) -> list[str]:
    return recipe(archive, tar, "minbase", ["python3"])


def _make_bootstrap(archive: Archive, tar: Path, mountpoint: Path) -> None:
    make(archive, tar, mountpoint, _minimal(archive, tar))


def _bootstrap(archive: Archive, paths: Paths) -> tuple[str, Path]:
    # This file has the options that it is made with.
    key = digest(archive.state, file_digest(__file__), packages.versions([_MMDEBSTRAP]))
    return key, paths.cache / f"bootstrap-{archive.suite}-{key[:12]}" / _TAR


def recipe(archive: Archive, tar: Path, variant: str, include: Sequence[str]) -> list[str]:
    """The command that makes a system with mmdebstrap(1), in memory.

    Args:
        archive: where packages come from.
        tar: the file to write.
        variant: mmdebstrap's.
        include: packages to install beside the variant's own.
    """
    script = 'mount -t tmpfs -o mode=0755,size=90% bee-mmdebstrap "$TMPDIR" && "$@" && chown "$OWNER" "$TAR"'
    return [
        *("/bin/sh", "-c", script, _MMDEBSTRAP),
        _MMDEBSTRAP,
        f"--variant={variant}",
        f"--include={','.join(include)}",
        "--architectures=amd64",
        "--skip=check/empty",
        *(f"--aptopt={option}" for option in archive.options),
        archive.suite,
        str(tar),
        f"deb {archive.mirror.archive} {archive.suite} main",
        f"deb {archive.mirror.security} {archive.suite}-security main",
    ]


def make(archive: Archive, tar: Path, mountpoint: Path, command: Sequence[str]) -> None:
    """Make a system; a killed run leaves nothing but the folder it was mounted at.

    Args:
        archive: where packages come from.
        tar: the file that is written.
        mountpoint: a folder to work at.
        command: what makes it (`recipe`).

    Raises:
        BuildError: mmdebstrap failed.
    """
    mountpoint.mkdir(parents=True, exist_ok=True)
    # Dated by the archive, whose packages are older: the same system tomorrow, /etc/shadow's days included.
    places = {"OWNER": owner(), "TAR": str(tar), "TMPDIR": str(mountpoint), "SOURCE_DATE_EPOCH": str(archive.date)}
    environment = {**places, **proxy_environment()}
    shell.run_isolated(command, archive.log, environment)


@dataclass(frozen=True, slots=True)
class Bind:
    """A folder or file that a command in a build root sees.

    Args:
        source: folder or file of this machine.
        target: where it is seen.
        writable: whether the command may write there.
    """

    source: Path
    target: str
    writable: bool = False


def command_line(tar: Path, mountpoint: Path, binds: Sequence[Bind], command: Sequence[str]) -> list[str]:
    """What runs a command as root in a fresh copy of a system, which is gone afterwards.

    Args:
        tar: the system.
        mountpoint: a folder to mount it at.
        binds: folders of this machine to show to it; what is written there belongs to the caller in the end.
        command: program and arguments.
    """
    script = Path(__file__).with_name("builder") / ENTER
    shown = [f"{'rw' if bind.writable else 'ro'}:{bind.source}:{bind.target}" for bind in binds]
    return ["/bin/sh", str(script), owner(), str(tar), str(mountpoint), *shown, "--", *command]


def run(tar: Path, mountpoint: Path, binds: Sequence[Bind], command: Sequence[str], log: Path) -> None:
    """Run a command in a fresh copy of a system (`command_line`).

    Args:
        tar: the system.
        mountpoint: a folder to mount it at.
        binds: folders of this machine to show to it.
        command: program and arguments.
        log: where its output goes.

    Raises:
        BuildError: the command failed.
    """
    mountpoint.mkdir(parents=True, exist_ok=True)
    shell.run_isolated(command_line(tar, mountpoint, binds, command), log)
