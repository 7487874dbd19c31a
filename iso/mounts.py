"""What is mounted where (proc_pid_mountinfo(5)): read before anything is deleted, and before a build."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from iso.errors import BuildError

MOUNTINFO = Path("/proc/self/mountinfo")
_ESCAPE = re.compile(r"\\([0-7]{3})")


def mount_points(mountinfo: str) -> list[str]:
    """The mount points of a mountinfo file, unescaped, in its order.

    Args:
        mountinfo: the file's text.
    """
    lines = (line.split(" ") for line in mountinfo.split("\n"))
    return [_unescape(fields[4]) for fields in lines if len(fields) > 4]


def mount_of(path: Path, mountinfo: str) -> tuple[str, set[str]]:
    """Mount point and mount options of the file system that a path is on.

    Args:
        path: an absolute path.
        mountinfo: the file's text; of several mounts on one point the last counts.
    """
    best, options = "/", set[str]()
    for line in mountinfo.split("\n"):
        fields = line.split(" ")
        if len(fields) > 5:
            point = _unescape(fields[4])
            if path.is_relative_to(point) and len(point) >= len(best):
                best, options = point, set(fields[5].split(","))
    return best, options


def _unescape(field: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)


def mounted_below(tree: Path) -> list[str]:
    """Mount points at or below a folder of this machine.

    Args:
        tree: the folder; links in its path are followed.
    """
    place = str(tree.resolve())
    points = mount_points(MOUNTINFO.read_text(errors="surrogateescape"))
    return [point for point in points if point == place or point.startswith(f"{place.rstrip('/')}/")]


def remove_tree(tree: Path) -> None:
    """Delete a folder with all that is in it, unless something is mounted there.

    Args:
        tree: the folder; nothing happens when it is not there.

    Raises:
        BuildError: something is mounted at or below it, or a part cannot be deleted.
    """
    if tree.is_symlink() or not tree.exists():
        tree.unlink(missing_ok=True)
        return
    mounted = mounted_below(tree)
    if mounted:
        raise BuildError(f"{tree}: not deleted, {mounted[0]} is mounted there: umount it first")
    try:
        shutil.rmtree(tree)
    except OSError as error:
        raise BuildError(f"{error.filename}: cannot be deleted: {error.strerror}") from None
