"""A small Debian archive of our own on loopback, asked by real apt: of the past, gone, cut off, of another signer."""

from __future__ import annotations

import contextlib
import dataclasses
import email.utils
import http.server
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iso import faults, lock, shell
from iso.archive.apt import STATUS, Archive
from iso.archive.mirror import Mirror
from iso.errors import BuildError

TIME = "20260131T000000Z"
ABI = "6.12.1+deb13-amd64"
SIGNED = "trixie", "trixie-security"


def run(*command: str, cwd: Path, **environment: str) -> bytes:
    return subprocess.run(
        command, cwd=cwd, env=os.environ | environment, check=True, capture_output=True, stdin=subprocess.DEVNULL
    ).stdout


def write_release(folder: Path, suite: str, valid_until: float, home: str, made: float) -> None:
    """The Release file of a suite, signed, made at a time and good until another."""
    options = {
        "Suite": suite,
        "Codename": suite,
        "Origin": "Debian",
        "Label": "Debian",
        "Components": "main contrib non-free non-free-firmware",
        "Architectures": "amd64",
    }
    dist = folder / "dists" / suite
    arguments = [word for key, value in options.items() for word in ("-o", f"APT::FTPArchive::Release::{key}={value}")]
    release = run("apt-ftparchive", *arguments, "release", f"dists/{suite}", cwd=folder)
    dates = {"Date": made, "Valid-Until": valid_until}
    head = "".join(f"{name}: {email.utils.formatdate(when, usegmt=True)}\n" for name, when in dates.items())
    (dist / "Release").write_bytes(head.encode() + re.sub(rb"^Date: .*\n", b"", release, flags=re.MULTILINE))
    signing = ("gpg", "--batch", "--yes", "--clearsign", "-o", "InRelease", "Release")
    run(*signing, cwd=dist, GNUPGHOME=home)


@dataclasses.dataclass
class Site:
    """A site with the archive.

    Args:
        tree: what it serves.
        home: GnuPG's folder with the key that signs.
        keyring: its public part.
        url: where it is.
        cut: bytes after which the transfer of a package breaks off; 0 for none.
    """

    tree: Path
    home: Path
    keyring: Path
    url: str = ""
    cut: int = 0

    def archive(self, folder: Path, *, of_the_past: bool) -> Archive:
        mirror = Mirror(f"{self.url}/debian/{TIME}", f"{self.url}/debian-security/{TIME}", of_the_past=of_the_past)
        return Archive("trixie", mirror, folder / "apt", folder / "apt.log", keyring=str(self.keyring))

    def sign(self, valid_until: float, made: float = 0.0) -> None:
        for name, suite in zip(("debian", "debian-security"), SIGNED, strict=True):
            write_release(self.tree / name / TIME, suite, valid_until, str(self.home), made or time.time())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Two archives with one package each, signed with a key of their own."""
    top = tmp_path_factory.mktemp("archive")
    # GnuPG's agent has its socket there, whose path must be short.
    home = Path(f"/tmp/gpg-{os.getpid()}")
    home.mkdir(mode=0o700)
    package = top / "package/DEBIAN"
    package.mkdir(parents=True)
    (package / "control").write_text(
        f"Package: linux-image-{ABI}\nVersion: 6.12.1-1\nArchitecture: amd64\n"
        "Maintainer: x <x@x.invalid>\nDescription: x\n"
    )
    (package.parent / "content").write_bytes(os.urandom(200_000))
    for name, suite in zip(("debian", "debian-security"), SIGNED, strict=True):
        folder = top / "site" / name / TIME
        (folder / "pool").mkdir(parents=True)
        run("dpkg-deb", "--root-owner-group", "-Znone", "-b", str(package.parent), str(folder / "pool/x.deb"), cwd=top)
        for component in ("main", "contrib", "non-free", "non-free-firmware"):
            binary = folder / f"dists/{suite}/{component}/binary-amd64"
            binary.mkdir(parents=True)
            index = run("apt-ftparchive", "packages", "pool", cwd=folder) if component == "main" else b""
            (binary / "Packages").write_bytes(index)
    try:
        generate = (
            "gpg",
            "--batch",
            "--passphrase",
            "",
            "--quick-generate-key",
            "site@archive.invalid",
            "ed25519",
            "sign",
        )
        run(*generate, cwd=top, GNUPGHOME=str(home))
        run("gpg", "--batch", "--export", "-o", str(top / "keyring.gpg"), cwd=top, GNUPGHOME=str(home))
        yield Site(top / "site", home, top / "keyring.gpg")
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=os.environ | {"GNUPGHOME": str(home)}, check=False)
        subprocess.run(["rm", "-rf", str(home)], check=True)


@contextlib.contextmanager
def serving(built: Site) -> Iterator[Site]:
    site = dataclasses.replace(built)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(site.tree))  # type: ignore[arg-type]  # socketserver's own

        def copyfile(self, source: object, outputfile: object) -> None:
            if site.cut and self.path.endswith(".deb"):
                outputfile.write(source.read(site.cut))  # type: ignore[attr-defined]  # both are files
                self.close_connection = True
                return
            super().copyfile(source, outputfile)  # type: ignore[arg-type]  # both are files

        def log_message(self, *_arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            site.url = f"http://127.0.0.1:{server.server_address[1]}"
            yield site
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def site(built: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for variable in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("iso.archive.apt._CARRIED", ())
    options = Archive.options.fget
    assert options
    # Without the patience that a real mirror deserves.
    monkeypatch.setattr(Archive, "options", property(lambda archive: [*options(archive), 'Acquire::Retries "0"']))
    with serving(built) as found:
        found.sign(time.time() + 86400)
        yield found


def test_an_archive_is_read_and_a_package_fetched(site: Site, tmp_path: Path) -> None:
    archive = site.archive(tmp_path, of_the_past=False)
    archive.update()
    assert archive.kernels() == [ABI]
    assert archive.versions(f"linux-image-{ABI}")[0] == "6.12.1-1"
    archive.download([f"linux-image-{ABI}"], tmp_path / "packages")
    assert [path.name for path in (tmp_path / "packages").iterdir()] == [f"linux-image-{ABI}.deb"]


def test_lists_kept_aside_stay_what_they_were(site: Site, tmp_path: Path) -> None:
    archive = site.archive(tmp_path, of_the_past=False)
    archive.update()
    lists, aside = archive.folder / "lists", tmp_path / "aside"
    before = {file.name: file.read_bytes() for file in lists.iterdir() if file.is_file() and file.name != "lock"}
    archive.link_lists(aside)
    site.sign(time.time() + 2 * 86400)
    for release in site.tree.rglob("InRelease"):
        # Seen as newer, within the same second.
        os.utime(release, (time.time() + 60,) * 2)
    archive.update()
    assert {file.name: file.read_bytes() for file in aside.iterdir()} == before
    assert any((lists / name).read_bytes() != content for name, content in before.items())


def test_of_what_a_system_is_to_have_only_that_is_fetched_which_it_lacks(site: Site, tmp_path: Path) -> None:
    archive = site.archive(tmp_path, of_the_past=True)
    archive.update()
    package = f"linux-image-{ABI}"
    here = f"Package: {package}\nStatus: install ok installed\nVersion: 6.12.1-1\nArchitecture: amd64\n"
    for name, status, count in (("bare", "", 1), ("installed", here, 0)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / STATUS).write_text(status)
        archive.fetch_missing([package], folder)
        assert len(list(folder.glob("*.deb"))) == count
    with pytest.raises(BuildError, match="Unable to locate package absent"):
        archive.fetch_missing(["absent"], tmp_path / "bare")


def test_a_question_waits_while_another_clone_updates_what_both_read(site: Site, tmp_path: Path) -> None:
    archive = site.archive(tmp_path, of_the_past=True)
    archive.update()
    with ThreadPoolExecutor() as others:
        with lock.waiting(archive.lock):
            asked = [others.submit(archive.kernels) for _ in range(2)]
            assert not wait(asked, timeout=1).done
        assert [answer.result(timeout=60) for answer in asked] == [[ABI]] * 2


def test_settings_that_another_build_reads_are_written_whole_and_when_they_change(site: Site, tmp_path: Path) -> None:
    archive = site.archive(tmp_path, of_the_past=False)
    archive.update()
    files = [archive.folder / "apt.conf", archive.folder / "etc/sources.list"]
    before = [(file.stat().st_ino, file.stat().st_mtime_ns) for file in files]
    assert files[0].stat().st_mode & 0o777 == 0o600
    archive.update()
    assert [(file.stat().st_ino, file.stat().st_mtime_ns) for file in files] == before
    with files[0].open() as reader:
        site.archive(tmp_path, of_the_past=True).update()
        # Who had it open still reads all of what it was.
        assert 'APT::Architecture "amd64"' in (kept := reader.read())
        assert "Check-Valid-Until" not in kept
    assert "Check-Valid-Until" in files[0].read_text()
    assert files[0].stat().st_mode & 0o777 == 0o600


def test_an_archive_that_was_never_updated_is_not_taken_for_this_machine_s(tmp_path: Path) -> None:
    archive = Archive("trixie", Mirror("http://m.invalid/d", "http://m.invalid/s"), tmp_path / "apt", tmp_path / "log")
    for question in (archive.kernels, lambda: archive.versions("bash"), lambda: archive.depends("bash")):
        with pytest.raises(BuildError, match=r"apt\.conf: the mirror was not asked yet: run doit iso"):
            question()


def test_an_archive_of_the_past_is_read_when_it_is_known_to_be(site: Site, tmp_path: Path) -> None:
    site.sign(time.time() - 40 * 86400)
    with pytest.raises(BuildError) as caught:
        site.archive(tmp_path, of_the_past=False).update()
    first, second = str(caught.value).splitlines()
    assert "expired" in first
    assert "mirror=URL/{snapshot} snapshot=TIME" in first
    assert second == f"  all of it: {tmp_path / 'apt.log'}"
    archive = site.archive(tmp_path, of_the_past=True)
    archive.update()
    assert archive.kernels() == [ABI]


def test_a_clock_that_is_behind_is_one_line(site: Site, tmp_path: Path) -> None:
    """To a machine whose clock is two days slow, an archive of today comes from the future."""
    site.sign(time.time() + 9 * 86400, made=time.time() + 2 * 86400)
    with pytest.raises(BuildError) as caught:
        site.archive(tmp_path, of_the_past=False).update()
    assert "this machine's clock is behind: set it, see timedatectl(1)" in str(caught.value).splitlines()[0]


def test_an_archive_of_another_signer_is_refused(site: Site, tmp_path: Path) -> None:
    archive = dataclasses.replace(
        site.archive(tmp_path, of_the_past=False), keyring="/usr/share/keyrings/debian-archive-keyring.gpg"
    )
    with pytest.raises(BuildError, match="only Debian's own archives are believed"):
        archive.update()


def test_a_mirror_that_is_gone_is_one_line_and_what_was_known_is_kept(site: Site, tmp_path: Path) -> None:
    archive = site.archive(tmp_path, of_the_past=False)
    archive.update()
    gone = dataclasses.replace(archive, mirror=dataclasses.replace(archive.mirror, archive="http://127.0.0.1:9/debian"))
    with pytest.raises(
        BuildError, match=r"http://127\.0\.0\.1:9/debian.*see whether the network and apt's proxy are up"
    ):
        gone.update()
    archive.update()
    assert archive.kernels() == [ABI]


def test_a_proxy_that_is_down_is_one_line(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://me:geheim@127.0.0.1:9/")
    with pytest.raises(BuildError) as caught:
        site.archive(tmp_path, of_the_past=False).update()
    assert "see whether the network and apt's proxy are up" in str(caught.value).splitlines()[0]
    assert "geheim" not in str(caught.value)


def test_a_mirror_that_breaks_off_half_way_leaves_no_half_package(site: Site, tmp_path: Path) -> None:
    archive = site.archive(tmp_path, of_the_past=False)
    archive.update()
    site.cut = 1000
    with pytest.raises(BuildError, match="run the same again; what came whole is kept"):
        archive.download([f"linux-image-{ABI}"], tmp_path / "packages")
    assert list((tmp_path / "packages").glob("*.deb")) == []
    site.cut = 0
    archive.download([f"linux-image-{ABI}"], tmp_path / "packages")
    assert len(list((tmp_path / "packages").glob("*.deb"))) == 1


def test_a_release_that_is_not_there_is_one_line(site: Site, tmp_path: Path) -> None:
    archive = dataclasses.replace(site.archive(tmp_path, of_the_past=False), suite="bookworm")
    with pytest.raises(BuildError, match="it lacks this release, or lies elsewhere: doit iso mirror=URL"):
        archive.update()


# What live-build's log has when its own apt or dpkg meets trouble half way.
HALF_WAY = """Get:7 http://127.0.0.1/debian trixie/main amd64 udev amd64 257.7-1 [2,123 kB]
E: Failed to fetch http://127.0.0.1/debian/pool/u/udev.deb  Connection failed [IP: 127.0.0.1 80]
E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?
E: An unexpected failure occurred, exiting...
"""
FULL = """Unpacking perl-base (5.40.1-6) ...
dpkg: error processing archive x.deb (--unpack):
 cannot copy extracted data for './usr/bin/perl' to '/usr/bin/perl.dpkg-new': failed to write (No space left on device)
E: Sub-process /usr/bin/dpkg returned an error code (1)
E: An unexpected failure occurred, exiting...
"""


def test_trouble_in_the_middle_of_live_build_is_one_line_too(tmp_path: Path) -> None:
    for output, begin, remedy in (
        (HALF_WAY, "Failed to fetch http://127.0.0.1/", "run the same again; what came whole is kept"),
        (FULL, "cannot copy extracted data", "free some space there"),
        ("sudo: a password is required\n", "sudo: a password is required: ", "run as root, or `sudo -v` first"),
    ):
        with pytest.raises(BuildError) as caught:
            shell.run(["sh", "-c", 'printf %s "$1"; exit 1', "lb", output], tmp_path / "log")
        first, second = str(caught.value).splitlines()
        assert first.startswith(begin)
        assert remedy in first
        assert second == f"  all of it: {tmp_path}/log"


def test_a_full_disk_under_a_real_tool_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"^dd: error writing '/dev/full': No space left on device: free some space"):
        shell.run(["dd", "if=/dev/zero", "of=/dev/full", "bs=1M", "count=1"], tmp_path / "log")


@given(st.text(max_size=200))
def test_any_output_is_read(text: str) -> None:
    said = faults.fault(text)
    assert said is None or "\n" not in said
