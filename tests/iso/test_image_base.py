"""The base that images share: what it depends on, when it is kept, and images on a kept one, which are cold builds'."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iso import shell
from iso.archive.apt import Archive
from iso.archive.mirror import Mirror
from iso.errors import BuildError
from iso.image import boot_loaders
from iso.isolation import owner
from iso.mounts import mounted_below
from iso.stages import image_base, live_build, overlay
from iso.tree import file_digest, listing
from tests.iso.checkout import config, make_checkout, run
from tests.iso.test_overlay_edits import TREES, edit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iso.paths import Paths

BUILDER = Path(__file__).parents[2] / "iso/builder"
DATE = 1_700_000_000
PROGRAMS = ("/usr/bin/busybox", "/usr/bin/flock")
# As much of live-build as assemble.sh uses: a root file system's image, and an ISO that is a tar file.
LB = """#!/bin/sh
set -e
case $1 in
binary_rootfs) mksquashfs chroot binary/live/filesystem.squashfs -no-progress -quiet -comp zstd ;;
binary_iso) tar --sort=name --format=gnu --numeric-owner -cf bee-amd64.hybrid.iso binary ;;
esac
"""
RELEASE = "Origin: Debian\nSuite: stable\nDate: Tue, 14 Nov 2023 22:13:20 UTC\n"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An archive that was asked: with the Release files that it and its security archive had."""
    lists = tmp_path / "apt/lists"
    lists.mkdir(parents=True)
    (lists / "mirror.invalid_debian_dists_trixie_InRelease").write_text(RELEASE)
    later = RELEASE.replace("22:13:20", "22:13:21")
    (lists / "mirror.invalid_debian-security_dists_trixie-security_InRelease").write_text(later)
    (lists / "mirror.invalid_debian_dists_trixie-updates_InRelease").write_text("Date: Wed, 15 Nov 2023 22:13:20 UTC\n")
    mirror = Mirror("http://mirror.invalid/debian", "http://mirror.invalid/debian-security")
    return Archive("trixie", mirror, tmp_path / "apt", tmp_path / "log")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = make_checkout(tmp_path / "checkout")
    run(overlay.STAGE, paths, config())
    prepare(paths)
    return paths


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The bases that were made; nothing else is done for them."""
    found: list[Path] = []

    def make(_job: object, _archive: Archive, file: Path) -> None:
        file.write_text("a base")
        found.append(file)

    monkeypatch.setattr(image_base, "_make", make)
    return found


def place(paths: Paths, archive: Archive) -> Path:
    """The base of the checkout as it is, made where it is not there."""
    job = live_build.BUILD.job(config(), paths)
    return image_base.kept(job, archive)


def prepare(paths: Paths) -> None:
    for stage in (live_build.PREPARE, live_build.SYNC):
        run(stage, paths, config())


def test_the_archive_s_own_date_is_that_of_its_later_half(archive: Archive) -> None:
    assert archive.date == DATE + 1


def test_a_security_update_alone_is_another_state(archive: Archive) -> None:
    before = archive.state
    (file,) = (archive.folder / "lists").glob("*security*")
    file.write_text(RELEASE.replace("22:13:20", "22:13:22"))
    assert archive.state != before


@pytest.mark.parametrize("text", ["", "Date: yesterday\n"])
def test_a_release_without_a_date_is_one_line(archive: Archive, text: str) -> None:
    for file in (archive.folder / "lists").iterdir():
        file.write_text(text)
    with pytest.raises(Exception, match=r"no date of trixie") as raised:
        archive.date  # noqa: B018  # its look-up is what is tested
    assert "\n" not in str(raised.value)


def test_a_base_is_made_once(paths: Paths, archive: Archive, made: list[Path]) -> None:
    first = place(paths, archive)
    assert (place(paths, archive), len(made)) == (first, 1)


def test_a_damaged_base_is_made_again(paths: Paths, archive: Archive, made: list[Path]) -> None:
    place(paths, archive).write_text("a bose")
    assert place(paths, archive).read_text() == "a base"
    assert len(made) == 2


def test_a_base_that_could_not_be_made_is_not_there(
    paths: Paths, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(_job: object, _archive: Archive, file: Path) -> None:
        file.write_text("half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(image_base, "_make", half)
    with pytest.raises(KeyboardInterrupt):
        place(paths, archive)
    assert not list(paths.cache.glob("base-*/*"))


@pytest.mark.parametrize(
    ("changed", "other"),
    [
        ("iso/builder/package-lists/bee.list.chroot", True),
        ("iso/builder/hooks/normal/0500-x.hook.chroot", True),
        ("iso/builder/make-base.sh", True),
        ("iso/builder/make-initrd.sh", True),
        ("iso/builder/includes.chroot_before_packages/usr/local/sbin/depmod", True),
        ("iso/builder/hooks/after-overlay/0100-y", False),
        ("iso/builder/rootfs/excludes", False),
        ("iso/overlay/etc/modprobe.d/site.conf", True),
        ("iso/overlay/usr/lib/firmware/card.bin", True),
        ("iso/overlay/usr/lib/firmware/nvidia/550/gsp.bin", False),
        ("iso/overlay/etc/motd", False),
        ("iso/overlay/usr/local/bin/new", False),
        ("dist/bee", False),
    ],
)
def test_only_what_is_in_a_base_makes_it_another(
    paths: Paths, archive: Archive, made: list[Path], changed: str, other: bool
) -> None:
    before = place(paths, archive)
    (paths.root / changed).parent.mkdir(parents=True, exist_ok=True)
    (paths.root / changed).write_text("changed")
    for stage in (overlay.STAGE, overlay.ADD_PROGRAM, live_build.PREPARE, live_build.SYNC):
        run(stage, paths, config())
    assert (place(paths, archive) != before) == other


def test_a_base_is_known_by_the_work_folder_it_is_made_of(paths: Paths, archive: Archive, made: list[Path]) -> None:
    """`doit -s live_build` after an edit: the folder is the one that was prepared before it."""
    before = place(paths, archive)
    (paths.builder / "package-lists/bee.list.chroot").write_text("another\n")
    assert place(paths, archive) == before
    prepare(paths)
    assert place(paths, archive) != before


@pytest.mark.parametrize("name", ["VERSIONS", "auto/config", "config/includes.initrd/etc/modules"])
def test_all_of_the_work_folder_that_a_base_is_made_of_counts(
    paths: Paths, archive: Archive, made: list[Path], name: str
) -> None:
    before = place(paths, archive)
    (paths.workdir / name).parent.mkdir(parents=True, exist_ok=True)
    (paths.workdir / name).write_text("PROFILE=release\n")
    assert place(paths, archive) != before


def test_a_change_while_a_base_is_made_leaves_none(
    paths: Paths, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(_job: object, _archive: Archive, file: Path) -> None:
        file.write_text("a base")
        (paths.workdir / "VERSIONS").write_text("PROFILE=release\n")

    monkeypatch.setattr(image_base, "_make", make)
    with pytest.raises(BuildError, match="changed while it was made"):
        place(paths, archive)
    assert not list(paths.cache.glob("base-*/MANIFEST"))


def test_a_change_during_the_wait_for_another_build_is_in_the_key(
    paths: Paths, archive: Archive, made: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = live_build.BUILD.job(config(), paths)

    @contextlib.contextmanager
    def waiting(_file: Path) -> Iterator[None]:
        (paths.workdir / "VERSIONS").write_text("PROFILE=release\n")
        yield

    monkeypatch.setattr(image_base, "lock", SimpleNamespace(waiting=waiting, use=image_base.lock.use))
    file = image_base.kept(job, archive)
    monkeypatch.undo()
    assert file == image_base._place(job, archive, image_base.listed(paths.workdir))[1]


def test_a_plan_has_the_base_that_a_build_would_make(paths: Paths, archive: Archive) -> None:
    (paths.builder / "package-lists/bee.list.chroot").write_text("another\n")
    job = live_build.BUILD.job(config(), paths)
    expected = live_build._expected(job)
    assert expected != image_base.listed(paths.workdir)
    prepare(paths)
    assert expected == image_base.listed(paths.workdir)


def test_what_an_older_image_was_made_of_is_removed_after_some_others(
    paths: Paths, archive: Archive, made: list[Path]
) -> None:
    for number in range(6):
        (paths.builder / "package-lists/bee.list.chroot").write_text(str(number))
        prepare(paths)
        place(paths, archive)
    # All of them are in use by this process, which made them.
    assert len(list(paths.cache.glob("base-trixie-*/MANIFEST"))) == 6


def make_base(folder: Path) -> Path:
    """A base in small: a system with a file, a folder and links, a kernel, and the initrd beside it."""
    work = folder / "work-folder"
    for name in ("chroot/etc/old", "chroot/etc/b", "chroot/usr/lib/x", "binary/live/vmlinuz"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(f"the base's {name}")
    (work / "binary/live/initrd.img").touch()
    os.link(work / "binary/live/initrd.img", work / "binary/live/initrd.img-6.1")
    (folder / "initrd.img").write_text("the base's initrd")
    os.link(work / "chroot/etc/old", work / "chroot/etc/second-name")
    (work / "chroot/lib").symlink_to("usr/lib")
    (work / "config/hooks").mkdir(parents=True)
    result = folder / "base.squashfs"
    subprocess.run(["mksquashfs", work, result, "-no-progress", "-quiet", "-all-root"], check=True, capture_output=True)
    return result


def image(folder: Path, on: Path, includes: Path, memory: str = str(64 << 20), path: str = "") -> dict[str, str]:
    """The digests of what assemble.sh makes of a base and an overlay."""
    return {file.name: file_digest(file) for file in assembled(folder, on, includes, memory, path).iterdir()}


def assembled(folder: Path, on: Path, includes: Path, memory: str = str(64 << 20), path: str = "") -> Path:
    """The folder of what assemble.sh makes of a base and an overlay."""
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "lb").write_text(LB)
    (tools / "lb").chmod(0o755)
    workdir, root, results = (Path(tempfile.mkdtemp(dir=folder)) for _ in range(3))
    shutil.copytree(includes, workdir / "config/includes.chroot", symlinks=True)
    hooks = workdir / "config/hooks/after-overlay"
    hooks.mkdir(parents=True)
    (hooks / "seen").write_text('#!/bin/sh\nls "$1/etc" >"$1/usr/lib/seen"\n')
    (hooks / "seen").chmod(0o755)
    (workdir / "config/rootfs").mkdir()
    command = ["/bin/sh", BUILDER / "assemble.sh", workdir, root, on, DATE, results / "image", owner(), memory]
    environment = {"SOURCE_DATE_EPOCH": str(DATE), "PATH": f"{path}{tools}:/usr/sbin:/usr/bin:/sbin:/bin"}
    shell.run_isolated([str(word) for word in command], folder / "log", environment)
    assert not mounted_below(root)
    assert not list(root.iterdir())
    return results


@settings(max_examples=6, deadline=None)
@given(st.lists(TREES, min_size=2, max_size=3))
def test_whatever_is_edited_an_image_on_a_kept_base_is_a_cold_build_s(trees: list[dict[str, object]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkout = make_checkout(folder / "checkout")
        kept = make_base(folder)
        before = file_digest(kept)
        for number, tree in enumerate(trees):
            edit(checkout, {"etc": tree})
            cold = folder / f"cold-{number}"
            cold.mkdir()
            images = [image(folder, on, checkout.source_overlay) for on in (kept, make_base(cold))]
            assert images[0] == images[1]
            assert len(images[0]) == 4
        assert file_digest(kept) == before


def test_without_an_overlay_mount_and_on_a_disk_the_image_is_the_same(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    on = make_base(tmp_path)
    shims = tmp_path / "shims"
    shims.mkdir()
    # A kernel without loop devices, as some containers have it.
    (shims / "mount").write_text('#!/bin/sh\ncase "$*" in *loop*) exit 32 ;; esac\nexec /usr/bin/mount "$@"\n')
    (shims / "mount").chmod(0o755)
    mounted = image(tmp_path, on, checkout.source_overlay)
    assert image(tmp_path, on, checkout.source_overlay, path=f"{shims}:") == mounted
    assert image(tmp_path, on, checkout.source_overlay, memory="0") == mounted


def test_the_initrd_beside_a_base_has_both_its_names_in_the_image_and_lies_beside_it(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    results = assembled(tmp_path, make_base(tmp_path), checkout.source_overlay)
    beside = (results / "image.initrd.img").read_bytes()
    assert beside.endswith(b"the base's initrd")
    with tarfile.open(results / "image.iso") as iso:
        names = [member for member in iso if member.name.startswith("binary/live/initrd")]
        (first,) = (member for member in names if member.isreg())
        assert content(iso, first.name) == beside
    # One file, as live-build's is.
    assert {member.name: member.linkname for member in names} == {
        "binary/live/initrd.img": "",
        "binary/live/initrd.img-6.1": "binary/live/initrd.img",
    }


def content(iso: tarfile.TarFile, name: str) -> bytes:
    """A file of what the stand-in for live-build makes of an image."""
    stream = iso.extractfile(name)
    assert stream
    return stream.read()


def test_an_image_s_initrd_knows_its_medium_from_every_other_image_s(tmp_path: Path) -> None:
    checkout, on = make_checkout(tmp_path / "checkout"), make_base(tmp_path)
    ids = []
    for text in ("one", "another"):
        (checkout.source_overlay / "etc/motd").write_text(text)
        results = assembled(tmp_path, on, checkout.source_overlay)
        with tarfile.open(results / "image.iso") as iso:
            on_medium = content(iso, "binary/.disk/live-uuid")
        unpacked = tmp_path / text
        unpacked.mkdir()
        with (results / "image.initrd.img").open("rb") as initrd:
            subprocess.run(["cpio", "--quiet", "--extract"], stdin=initrd, cwd=unpacked, check=True)
        assert (unpacked / "bee-image-id").read_bytes() == on_medium
        assert on_medium == f"{file_digest(results / 'image.squashfs')}\n".encode()
        ids.append(on_medium)
    assert ids[0] != ids[1]


@pytest.fixture
def small_root(tmp_path: Path) -> Path:
    """A system of busybox's programs, with a kernel."""
    root = tmp_path / "small"
    for name in ("boot", "proc", "run", "sys", "tmp", "var/tmp", "usr/bin", "usr/sbin", "usr/local/sbin"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / "usr" / name).mkdir(exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    needed = subprocess.run(["ldd", *PROGRAMS], capture_output=True, text=True, check=True).stdout
    for name in (*PROGRAMS, *re.findall(r"(/\S+) \(0x", needed)):
        (root / name[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, root / name[1:])
    for name in ("cat", "chroot", "env", "ls", "rm", "sh", "sleep", "touch", "true"):
        (root / "bin" / name).symlink_to("busybox")
    (root / "boot/vmlinuz-6.1").touch()
    return root


def program(root: Path, name: str, script: str) -> None:
    (root / name).write_text(f"#!/bin/sh\n{script}\n")
    (root / name).chmod(0o755)


def make_initrd(root: Path, place: Path) -> subprocess.CompletedProcess[str]:
    """make-initrd.sh, run as make-base.sh runs it."""
    place.mkdir()
    command = ["unshare", "--mount", "/bin/sh", BUILDER / "make-initrd.sh", root, place]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(DATE), "SECRET": "x"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_an_initrd_is_made_in_a_system_that_stays_as_it_is(tmp_path: Path, small_root: Path) -> None:
    seen = 'touch /usr/new && exit 9; touch "$TMPDIR/scratch" /tmp/other; ls /proc/self /sys >/dev/null'
    program(small_root, "usr/sbin/mkinitramfs", f'{seen}; echo "$1 $3 $SOURCE_DATE_EPOCH ${{SECRET-}}" >"$2"')
    before = listing(small_root, "")
    done = make_initrd(small_root, tmp_path / "place")
    assert (done.returncode, (tmp_path / "place/initrd.img").read_text()) == (0, f"-o 6.1 {DATE} \n"), done.stderr
    assert listing(small_root, "") == before
    assert not mounted_below(small_root)


def test_an_initrd_that_cannot_be_made_ends_with_what_was_said(tmp_path: Path, small_root: Path) -> None:
    program(small_root, "usr/sbin/mkinitramfs", "echo no space >&2; exit 3")
    done = make_initrd(small_root, tmp_path / "place")
    assert (done.returncode, done.stderr) == (3, "no space\n")
    assert not mounted_below(small_root)


def depmod(root: Path, real: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """depmod as the kernel's package calls it, and then the hook: with the seconds that the first took."""
    program(root, "usr/sbin/depmod", real)
    shutil.copy(BUILDER / "includes.chroot_before_packages/usr/local/sbin/depmod", root / "usr/local/sbin/depmod")
    shutil.copy(BUILDER / "hooks/normal/9960-depmod.hook.chroot", root / "hook")
    (root / "dev").mkdir()
    (root / "dev/null").touch()
    begin = time.monotonic()
    subprocess.run(["chroot", root, "/usr/local/sbin/depmod", "6.1"], check=True, capture_output=False)
    seconds = time.monotonic() - begin
    return subprocess.run(["chroot", root, "/hook"], capture_output=True, text=True, check=False), seconds


def test_depmod_is_waited_for_by_the_hook_and_not_by_the_kernel_s_package(small_root: Path) -> None:
    done, seconds = depmod(small_root, "sleep 3; echo $1 >/modules.dep")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert (small_root / "modules.dep").read_text() == "6.1\n"
    assert seconds < 3
    assert not list((small_root / "run").iterdir())
    assert not (small_root / "usr/local/sbin/depmod").exists()


def test_a_depmod_that_fails_ends_the_build_with_what_it_said(small_root: Path) -> None:
    done, _seconds = depmod(small_root, "echo no modules; exit 1")
    assert (done.returncode, done.stdout) == (1, "no modules\n")
    assert "depmod: it failed" in done.stderr


def test_a_hook_that_refuses_ends_the_build_without_an_image(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    on = make_base(tmp_path)
    (checkout.source_overlay / "usr/lib").mkdir(parents=True)
    # A folder in place of the file that the hook writes.
    (checkout.source_overlay / "usr/lib/seen").mkdir()
    with pytest.raises(Exception, match="exit"):
        image(tmp_path, on, checkout.source_overlay)
    assert not list(tmp_path.glob("tmp*/image*"))


def test_the_parts_of_the_initrd_are_staged_apart(paths: Paths) -> None:
    for name in (
        "etc/modprobe.d/a.conf",
        "etc/modules",
        "usr/lib/firmware/card.bin",
        "usr/lib/firmware/nvidia/gsp.bin",
    ):
        (paths.overlay / name).parent.mkdir(parents=True, exist_ok=True)
        (paths.overlay / name).write_text(name)
    run(live_build.SYNC, paths, config())
    found = listing(paths.workdir / image_base.INITRD, "")
    assert {name for name, mark in found.items() if " " in mark} == {
        "/etc/modprobe.d/a.conf",
        "/etc/modules",
        "/usr/lib/firmware/card.bin",
    }


def test_its_key_has_the_tools_of_this_machine(paths: Paths, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    job = live_build.BUILD.job(config(), paths)
    keys = []
    for version in ("1", "2"):
        monkeypatch.setattr(image_base.packages, "versions", lambda _names, version=version: {"live-build": version})
        keys.append(image_base._place(job, archive, {})[0])
    assert keys[0] != keys[1]


def test_an_image_keeps_what_its_base_says_of_its_boot_loaders(
    paths: Paths, archive: Archive, made: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    on = place(paths, archive)
    image_base.loaders_of(on).write_text("shim-signed 1\n")
    job = live_build.BUILD.job(config(), paths)
    monkeypatch.setattr(image_base, "kept", lambda _job, _archive: on)
    monkeypatch.setattr(live_build, "archive_of", lambda _job: archive)
    monkeypatch.setattr(live_build, "require_kernel", lambda _job: None)
    monkeypatch.setattr(live_build.shell, "run_isolated", lambda *_arguments: live_build.image(job).touch())
    live_build.BUILD.run(job)
    assert boot_loaders.read_versions(paths.boot_loaders) == {"shim-signed": "1"}
    assert paths.boot_loaders in live_build.BUILD.outputs(job)


EMPTY = '. "$1"; open_folder "$2" 0'
# A folder, and where something is mounted so that nothing of it may be deleted.
MOUNTED = {
    "below": ("place", "place/inside"),
    "at it": ("place", "place"),
    "below, by a link": ("link/place", "place"),
    "at a name with blanks and digits": ("place/a 1", "place/a 1"),
    "below a name with a backslash": ("place/b\\040", "place/b\\040/inside"),
}


@pytest.mark.parametrize("case", MOUNTED)
def test_nothing_mounted_is_emptied_with_the_work_folder(tmp_path: Path, case: str) -> None:
    emptied, point = MOUNTED[case]
    (tmp_path / "link").symlink_to(tmp_path)
    for name in (emptied, point):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    precious = tmp_path / point / "precious"
    script = f'mount -t tmpfs test "$3" && touch "$4"; ({EMPTY}); echo "exit $?"; ls "$3"'
    words = [BUILDER / "work-folder.sh", tmp_path / emptied, tmp_path / point, precious]
    command = ["unshare", "--mount", "sh", "-c", script, "make-base.sh", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "exit 1\nprecious\n"
    assert "is mounted at or below" in done.stderr


def test_a_work_folder_without_mounts_is_emptied_whatever_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "place/old/file").mkdir(parents=True)
    (tmp_path / "place-beside").mkdir()
    script = f'mount -t tmpfs test "$2-beside" && {EMPTY}'
    words = [BUILDER / "work-folder.sh", tmp_path / "place"]
    subprocess.run(["unshare", "--mount", "sh", "-c", script, "make-base.sh", *words], check=True)
    assert list((tmp_path / "place").iterdir()) == []
