"""Under Secure Boot the kernel takes the driver's modules when they are signed by a key that the machine knows.

The image has NVIDIA's modules of the open flavour, from an installer of NVIDIA's kind, signed by `sign_key=`; its
certificate is enrolled in the machine as MokManager does it, in shim's variable MokList.
"""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from iso.tree import file_digest
from iso.versions import configure
from tests.boot import nvidia_installer
from tests.boot.conftest import Builder, timed
from tests.boot.secure_modules import MODULE, NVIDIA, REFUSED, STRIP, checked, forced, make_pairs, that_knows, tried
from tests.boot.smoke import SMOKE_LIMIT, SMOKETEST, verdicts
from tests.iso.test_nvidia import sign

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from iso.paths import Paths
    from tests.boot.qemu import Guest
    from tests.boot.start import Firmware

pytestmark = [pytest.mark.acceptance_full, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def signing(paths: Paths) -> Path:
    """A folder with two pairs of key and certificate, `ours` and `theirs`.

    It is kept in the product's cache: another certificate is another driver, which takes minutes to build.
    """
    return make_pairs(paths.cache / "acceptance")


@pytest.fixture(scope="module")
def image(
    build_another: Builder, paths: Paths, key: Path, signing: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The image, of an installer that was put into dist/ by hand."""
    config = configure(paths.versions.read_text(), {})
    with timed("make an installer of NVIDIA's kind"):
        installer = nvidia_installer.make(config, paths, tmp_path_factory.mktemp("installer"))
    settings = {
        "nvidia": "run",
        "nvidia_flavour": "open",
        "nvidia_sha256": file_digest(installer),
        "nvidia_url": f"http://127.0.0.1:9/{installer.name}",
        "sign_key": f"{signing}/ours.key",
        "sign_cert": f"{signing}/ours.pem",
        "authorized_keys": f"{key}.pub",
        "abi": "pin-or-newest",
    }
    return build_another("signed", settings, by_hand=installer)


@pytest.fixture(scope="module")
def firmware(signing: Path, tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    """A machine's with Secure Boot, in which the certificate was enrolled."""
    return that_knows(signing / "ours.pem", tmp_path_factory.mktemp("firmware") / "variables.fd")


@pytest.fixture(scope="module")
def guest(image: Path, key: Path, kept: Path, firmware: Firmware) -> Iterator[Guest]:
    """The image on that machine, its modules tried though there is no GPU."""
    with forced("signed", image, key, firmware, kept) as machine:
        yield machine


def test_the_kernel_is_locked_down_and_knows_the_certificate(guest: Guest) -> None:
    assert "[integrity]" in guest.run("cat /sys/kernel/security/lockdown").stdout
    said = guest.run(f"mokutil --test-key {NVIDIA}/signing-certificate.der", check=False).stdout
    assert "is already enrolled" in said


def test_the_kernel_takes_the_signed_modules(guest: Guest) -> None:
    log = guest.run("journalctl -b -u bee-nvidia -o cat --no-pager").stdout
    # It came to nvidia.ko's own code, which finds no GPU.
    assert re.search(rf"^{MODULE}: .*No such device", log, re.MULTILINE), log
    assert not REFUSED.search(log)
    assert guest.run("systemctl is-active bee-nvidia").stdout == "active\n"
    assert "NVRM" in guest.run("dmesg").stdout


def test_the_smoke_test_passes_and_says_who_signed(guest: Guest) -> None:
    answer = guest.run("sh -s", stdin=SMOKETEST.read_text(), limit=SMOKE_LIMIT, check=False)
    assert answer.code == 0, answer
    assert "signed by bee acceptance, ours" in verdicts(answer.stdout)["nvidia-files"].reason


def test_the_driver_is_the_open_one_with_its_firmware_where_the_kernel_looks(guest: Guest) -> None:
    assert "Dual MIT/GPL" in guest.run(f"modinfo -F license {MODULE}").stdout
    assert guest.run(". /etc/bee-release; echo $NVIDIA_SOURCE $NVIDIA_FLAVOUR").stdout == "run open\n"
    wanted = guest.run(f"modinfo -F firmware {MODULE}").stdout.split()
    assert wanted
    assert guest.run("cat /sys/module/firmware_class/parameters/path").stdout.strip() == ""
    for name in wanted:
        assert guest.run(f"test -s /lib/firmware/{name}", check=False).code == 0, name


@pytest.fixture
def unsigned(guest: Guest) -> Iterator[None]:
    """nvidia.ko without its signature, in the place of the signed one."""
    guest.run(f"python3 -I - {MODULE} /run/unsigned.ko", stdin=STRIP)
    guest.run(f"mount --bind /run/unsigned.ko {MODULE}")
    yield
    guest.run(f"umount {MODULE} && systemctl restart bee-nvidia")


def test_an_unsigned_module_is_refused_and_what_to_do_is_said(guest: Guest, unsigned: None) -> None:
    log = tried(guest)
    [line] = [line for line in log.splitlines() if line.startswith(f"{MODULE} is not signed")]
    assert "sign_key= and sign_cert=" in line
    assert "mokutil --import" in line
    assert guest.run("systemctl is-active bee-nvidia", check=False).stdout == "failed\n"
    word, reason = checked(guest, "nvidia-modules")
    assert word == "FAIL"
    assert "NOT SIGNED" in reason
    assert "sign_key= and sign_cert=" in reason


@pytest.fixture
def foreign(guest: Guest, image: Path, signing: Path, tmp_path: Path) -> Iterator[None]:
    """nvidia.ko signed by a key that the machine does not know."""
    [module] = image.parent.glob("nvidia-*/nvidia.ko")
    copy = tmp_path / "nvidia.ko"
    subprocess.run([sys.executable, "-c", STRIP, str(module), str(copy)], check=True)
    sign(copy, signing, "theirs")
    encoded = base64.b64encode(copy.read_bytes()).decode()
    guest.run("base64 -d >/run/foreign.ko", stdin=encoded, limit=600)
    guest.run(f"mount --bind /run/foreign.ko {MODULE}")
    yield
    guest.run(f"umount {MODULE} && systemctl restart bee-nvidia")


def test_a_key_that_the_machine_does_not_know_is_refused_and_what_to_enrol_is_said(guest: Guest, foreign: None) -> None:
    log = tried(guest)
    assert REFUSED.search(log)
    [line] = [line for line in log.splitlines() if "is signed by a key that this machine does not know" in line]
    assert f"mokutil --import {NVIDIA}/signing-certificate.der" in line
    word, reason = checked(guest, "nvidia-modules")
    assert word == "FAIL"
    assert "signed by bee acceptance, theirs" in reason


def test_the_signing_key_is_nowhere_in_what_was_built(image: Path, signing: Path) -> None:
    secret = (signing / "ours.key").read_bytes().splitlines()[5]
    written = [path for path in image.parent.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [str(path) for path in written if secret in path.read_bytes()] == []
