"""doit repro: two cold builds of this tree elsewhere, compared byte for byte; a difference is named by its file."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from iso.graph import repro
from tests.iso.test_commands import PLUGINS, state
from tests.iso.test_graph import doit, project

__all__ = ["project"]


def image(place: Path, name: str, content: str, inside: str) -> Path:
    """A real ISO with a real squashfs in it."""
    tree, live = place / f"{name}.tree", place / f"{name}.system"
    (tree / "live").mkdir(parents=True)
    live.mkdir()
    (tree / "menu.cfg").write_text(content)
    (live / "motd").write_text(inside)
    squashfs = tree / "live/filesystem.squashfs"
    subprocess.run(["mksquashfs", live, squashfs, "-quiet", "-no-progress", "-all-time", "0"], check=True)
    iso = place / f"{name}.iso"
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", iso, tree], check=True, capture_output=True)
    return iso


def test_the_file_that_differs_is_named_in_the_iso_and_in_the_system(tmp_path: Path) -> None:
    pair = image(tmp_path, "one", "a", "x"), image(tmp_path, "other", "b", "y")
    trees = [repro.unpacked(iso, tmp_path / iso.stem) for iso in pair]
    found = repro.differences(*trees)
    assert {"filesystem/motd", "menu.cfg"} <= {difference.name for difference in found}
    assert "live/filesystem.squashfs" not in {difference.name for difference in found}
    assert repro.differences(trees[0], trees[0]) == []


def test_a_time_an_owner_and_a_mode_are_differences_too(tmp_path: Path) -> None:
    trees = [tmp_path / "one", tmp_path / "other"]
    for tree in trees:
        (tree / "folder").mkdir(parents=True)
        for name in ("same", "time", "mode"):
            (tree / "folder" / name).touch()
        for path in (*tree.rglob("*"), tree):
            os.utime(path, (1, 1))
    os.utime(trees[1] / "folder/time", (2, 2))
    (trees[1] / "folder/mode").chmod(0o600)
    assert [difference.name for difference in repro.differences(*trees)] == ["folder/mode", "folder/time"]
    assert str(repro.differences(*trees)[1]).endswith(" 1 | " + repro.differences(*trees)[1].second)


def test_two_images_are_compared_to_the_line_that_differs(tree: Path, tmp_path: Path) -> None:
    one, other = (
        image(tmp_path, "one", "timeout 1\n", "welcome\n"),
        image(tmp_path, "other", "timeout 2\n", "go away\n"),
    )
    done = doit(tree, "repro", str(one), str(other))
    lines = done.stdout.splitlines()
    assert done.returncode == 1, done.stderr
    assert lines[0].endswith(" differences:")
    # What diffoscope says of the files themselves.
    assert {"-welcome", "+go away", "-timeout 1", "+timeout 2"} <= set(lines)
    assert lines[-1].startswith("kept in /var/tmp/bee-repro-")
    shutil.rmtree(lines[-1].removeprefix("kept in "))


@pytest.fixture
def tree(project: Path) -> Path:
    """A git checkout whose last stage makes an image."""
    (project / "pyproject.toml").write_text(PLUGINS)
    dodo = (project / "dodo.py").read_text()
    made = '    (here / "dist/a.iso").write_text((here / "input").read_text() + EXTRA)\n'
    (project / "dodo.py").write_text(f'EXTRA = ""\n{dodo}'.replace("def check(job):\n", f"def check(job):\n{made}"))
    (project / ".gitignore").write_text("/dist/\n__pycache__/\n")
    (project / "iso/vendor").mkdir(parents=True)
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=project, check=True)
    return project


def test_the_same_tree_gives_the_same_image_and_nothing_of_it_is_changed(tree: Path) -> None:
    before = state(tree)
    done = doit(tree, "repro", "suite=bookworm")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("identical: sha256 ")
    assert state(tree) == before


def test_a_wrong_question_is_one_line(tree: Path) -> None:
    done = doit(tree, "repro", "one.iso")
    assert (done.returncode, done.stderr) == (
        2,
        "doit repro takes two images, or none to build two of this checkout\n",
    )
    done = doit(tree, "repro", "one.iso", "two.iso")
    assert (done.returncode, done.stderr) == (
        2,
        "one.iso: No such file or directory\ntwo.iso: No such file or directory\n",
    )


def test_what_is_no_image_or_half_of_one_is_not_compared(tree: Path, tmp_path: Path) -> None:
    whole = image(tmp_path, "one", "a", "x")
    half, text, short = (tmp_path / name for name in ("half.iso", "text.iso", "short.iso"))
    half.write_bytes(whole.read_bytes()[:-4096])
    text.write_bytes(b"#" * 40000)
    # The same bytes twice are no images either.
    short.write_bytes(b"a")
    before = set(Path("/var/tmp").glob("bee-repro-*"))
    size = whole.stat().st_size
    for one, other, said in (
        (whole, half, f"{half}: cut short: it has {size - 4096} bytes of {size}\n"),
        (short, short, f"{short}: not an ISO 9660 image\n" * 2),
        (text, whole, f"{text}: not an ISO 9660 image\n"),
        (whole, tmp_path, f"{tmp_path}: Is a directory\n"),
    ):
        done = doit(tree, "repro", str(one), str(other))
        assert (done.returncode, done.stdout, done.stderr) == (2, "", said)
    assert set(Path("/var/tmp").glob("bee-repro-*")) <= before


def test_a_file_that_is_missing_is_one_line(tree: Path) -> None:
    (tree / "iso/vendor").rmdir()
    before = set(Path("/var/tmp").glob("bee-repro-*"))
    done = doit(tree, "repro")
    assert (done.returncode, done.stderr) == (1, f"{tree}/iso/vendor: No such file or directory\n")
    assert set(Path("/var/tmp").glob("bee-repro-*")) <= before


def test_a_copy_is_of_the_same_commit_and_has_what_is_not_committed(tree: Path, tmp_path: Path) -> None:
    (tree / "new").write_text("not committed")
    (tree / "iso/vendor/storcli64").write_text("program")
    (tree / "dist/kernel-abi").touch()
    (place := tmp_path / "place").mkdir()
    copy = repro.copy_of(tree, place)
    assert (copy / "new").read_text() == "not committed"
    assert (copy / "iso/vendor/storcli64").exists()
    assert not (copy / "dist").exists()
    commits = [
        subprocess.run(["git", "describe", "--always", "--dirty"], cwd=where, capture_output=True, check=True).stdout
        for where in (tree, copy)
    ]
    assert commits[0] == commits[1]
