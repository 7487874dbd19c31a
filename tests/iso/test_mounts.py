"""Nothing is deleted under which something is mounted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iso.errors import BuildError
from iso.mounts import mount_of, mount_points, mounted_below, remove_tree

LINE = "36 35 98:0 / {point} rw,noatime shared:1 - ext4 /dev/root rw"


def escaped(path: str) -> str:
    return "".join(f"\\{ord(letter):03o}" if letter in " \t\n\\" else letter for letter in path)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), max_size=5))
def test_mount_points_are_read_as_the_kernel_escapes_them(points: list[str]) -> None:
    text = "".join(LINE.format(point=escaped(point)) + "\n" for point in points)
    assert mount_points(text) == points


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert isinstance(mount_points(text), list)


@given(st.text())
def test_any_mountinfo_is_read(text: str) -> None:
    assert mount_of(Path("/a/b"), text)[0].startswith("/") or text


def test_the_nearest_mount_counts() -> None:
    lines = "".join(
        f"1 0 0:1 / {point} {options} - ext4 x rw\n"
        for point, options in (("/", "rw"), ("/srv", "rw,noexec"), ("/srv/build", "ro"), ("/srv/buildings", "nodev"))
    )
    assert mount_of(Path("/srv/build/tree"), lines) == ("/srv/build", {"ro"})
    assert mount_of(Path("/srv/else"), lines) == ("/srv", {"rw", "noexec"})


def test_a_mount_with_a_blank_in_its_name_is_found() -> None:
    lines = LINE.format(point="/") + "\n" + LINE.format(point=escaped("/srv/my disk")) + "\n"
    assert mount_of(Path("/srv/my disk/tree"), lines)[0] == "/srv/my disk"


def test_the_machine_s_own_mounts_are_seen() -> None:
    assert "/" in mounted_below(Path("/"))
    assert mounted_below(Path("/proc"))[0] == "/proc"


def test_a_folder_is_deleted_and_links_are_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    (kept / "inside").mkdir(parents=True)
    gone = tmp_path / "gone"
    gone.mkdir()
    (gone / "link").symlink_to(kept)
    remove_tree(gone)
    assert not gone.exists()
    assert (kept / "inside").exists()
    (tmp_path / "link").symlink_to(kept)
    remove_tree(tmp_path / "link")
    assert (kept / "inside").exists()
    remove_tree(tmp_path / "never was")


PROGRAM = """
import subprocess, sys
from pathlib import Path
from iso.errors import BuildError
from iso.mounts import remove_tree
tree = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "test", tree / "a b/point"], check=True)
(tree / "a b/point/precious").touch()
try:
    remove_tree(tree)
except BuildError as error:
    print(error)
assert (tree / "a b/point/precious").exists()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_folder_with_something_mounted_in_it_is_refused(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a b/point").mkdir(parents=True)
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", PROGRAM, str(tree)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"{tree}/a b/point is mounted there: umount it first" in done.stdout


def test_what_cannot_be_deleted_is_named() -> None:
    with pytest.raises(BuildError, match="is mounted there"):
        remove_tree(Path("/proc"))
