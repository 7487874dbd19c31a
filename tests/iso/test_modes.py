"""Who builds makes no difference: an image has the same modes under any umask, and from a clone of any umask."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iso.tree import listing, plain_modes, walk
from tests.iso.checkout import make_checkout
from tests.iso.test_graph import ROOT
from tests.iso.test_image_base import image, make_base
from tests.iso.test_versions import PUBLIC_KEY

# Stages 2 to 13 as doit runs them, in a process with a umask of its own.
STAGES = """
import os, sys
from pathlib import Path
from iso.graph.tasks import Build
from iso.stages import live_build, overlay

root, umask, *settings = sys.argv[1:]
os.umask(int(umask))
build = Build(Path(root), dict(word.split("=", 1) for word in settings))
for stage in (
    overlay.STAGE, overlay.AUTHORIZE, overlay.ADD_PROGRAM, overlay.ADD_VENDOR_PROGRAMS, overlay.WRITE_RELEASE,
    overlay.PATCH_MOTD, live_build.PREPARE, live_build.SYNC,
):
    build.stage(stage)
for step in build.steps:
    failed = build._run(step)
    assert failed is None, failed.get_msg()
"""


def clone(root: Path, umask: int) -> Path:
    """A checkout with the modes that git gives its files under a umask."""
    make_checkout(root)
    (root / "iso/builder/VERSIONS").write_text((ROOT / "iso/builder/VERSIONS").read_text())
    rules = root / "iso/overlay/usr/lib/udev/rules.d/70-x.rules"
    rules.parent.mkdir(parents=True)
    rules.touch()
    for program in (root / "iso/builder/auto/config", root / "iso/builder/hooks/normal/0500-x.hook.chroot"):
        program.chmod(0o755)
    for top in (root / "iso/overlay", root / "iso/builder"):
        for path in [top, *walk(top)]:
            if not path.is_symlink():
                runs = path.is_dir() or path.stat().st_mode & 0o100
                path.chmod((0o777 if runs else 0o666) & ~umask)
    return root


def staged(root: Path, umask: int, *settings: str) -> dict[str, str]:
    """Modes and content of live-build's work folder, with the staged overlay in it, as a build leaves it."""
    words = ["nvidia=none", "mirror=http://m.invalid/debian", *settings]
    own = {"XDG_CONFIG_HOME": str(root.parent / "config"), "XDG_CACHE_HOME": str(root.parent / "cache")}
    subprocess.run(
        [sys.executable, "-c", STAGES, str(root), str(umask), *words],
        cwd=ROOT,
        env=os.environ | own,
        check=True,
        capture_output=True,
    )
    return listing(root / "dist/live-build", "")


@pytest.mark.parametrize(("cloned", "built"), [(0o002, 0o022), (0o022, 0o077), (0o077, 0o002), (0o027, 0o027)])
def test_neither_the_clone_s_umask_nor_the_builder_s_is_in_what_is_staged(
    tmp_path: Path, cloned: int, built: int
) -> None:
    plain, other = clone(tmp_path / "plain", 0o022), clone(tmp_path / "other", cloned)
    keys = tmp_path / "keys"
    keys.write_text(PUBLIC_KEY)
    for settings, secret in (
        ([f"authorized_keys={keys}"], "root/.ssh/authorized_keys"),
        ([], "etc/bee/password-fallback"),
    ):
        expected = staged(plain, 0o022, *settings)
        assert staged(other, built, *settings) == expected
        assert expected[f"/config/includes.chroot/{secret}"].startswith("100600 ")
        assert expected["/config/includes.initrd/usr/lib/udev/rules.d/70-x.rules"].startswith("100644 ")
        assert expected["/config/hooks/normal/0500-x.hook.chroot"].startswith("100755 ")


@pytest.mark.parametrize("umask", [0o002, 0o077])
def test_an_image_has_the_same_bytes_under_any_umask(tmp_path: Path, umask: int) -> None:
    on = make_base(tmp_path)
    overlay = clone(tmp_path / "checkout", 0o022) / "iso/overlay"
    expected = image(tmp_path, on, overlay)
    before = os.umask(umask)
    try:
        assert image(tmp_path, on, overlay) == expected
    finally:
        os.umask(before)


def test_a_program_in_place_of_a_text_of_the_system_can_be_run_and_the_other_way_round(tmp_path: Path) -> None:
    on = make_base(tmp_path)
    overlay = clone(tmp_path / "checkout", 0o022) / "iso/overlay"
    (overlay / "etc/b").write_text("#!/bin/sh\n")
    (overlay / "etc/b").chmod(0o755)
    image(tmp_path, on, overlay)
    (squashfs,) = tmp_path.glob("*/image.squashfs")
    system = tmp_path / "system"
    subprocess.run(["unsquashfs", "-no-progress", "-quiet", "-d", system, squashfs], check=True)
    assert stat.S_IMODE((system / "etc/b").stat().st_mode) == 0o755
    assert stat.S_IMODE((system / "etc/old").stat().st_mode) == 0o644


@given(st.integers(0, 0o777), st.sampled_from(["file", "folder"]))
def test_of_any_mode_the_owner_s_right_to_run_is_what_stays(mode: int, kind: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "x"
        if kind == "folder":
            path.mkdir()
        else:
            path.touch()
        path.chmod(mode)
        (Path(name) / "link").symlink_to("/nonexistent")
        plain_modes(Path(name))
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if kind == "folder" or mode & 0o100 else 0o644)
        assert stat.S_IMODE(Path(name).stat().st_mode) == 0o755
