"""Under Secure Boot the driver's unsigned modules are refused, and it is said why; a machine's own key opens the way.

Whether the kernel takes a module that is signed by an enrolled key is tried with a small one of its own, signed anew.
"""

from __future__ import annotations

import base64
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.boot.secure_modules import MODULE, REFUSED, STRIP, checked, forced, make_pairs, that_knows, tried
from tests.iso.test_nvidia import sign

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.boot.qemu import Guest

pytestmark = [pytest.mark.acceptance_full, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pairs(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def guest(iso: Path, key: Path, keys: Path, kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A machine that knows one of the keys; the driver's modules are tried though there is no GPU."""
    firmware = that_knows(keys / "ours.pem", tmp_path_factory.mktemp("firmware") / "variables.fd")
    with forced("unsigned", iso, key, firmware, kept) as machine:
        yield machine


def test_bee_nvidia_says_that_they_are_not_signed_and_what_to_do(guest: Guest) -> None:
    log = tried(guest)
    [line] = [line for line in log.splitlines() if line.startswith(f"{MODULE} is not signed")]
    assert "sign_key= and sign_cert=" in line
    assert "mokutil --import" in line
    assert guest.run("systemctl is-active bee-nvidia", check=False).stdout == "failed\n"


def test_the_smoke_test_says_it_too(guest: Guest) -> None:
    for name, wanted in (("nvidia-files", "PASS"), ("nvidia-modules", "FAIL")):
        word, reason = checked(guest, name)
        assert (word, "NOT SIGNED" in reason, "sign_key= and sign_cert=" in reason) == (wanted, True, True), reason


@pytest.fixture(scope="module")
def unsigned(guest: Guest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernel's module `dummy`, its signature taken away."""
    folder = tmp_path_factory.mktemp("modules")
    packed = guest.run("base64 <$(modinfo -n dummy)").stdout
    (folder / "dummy.ko.xz").write_bytes(base64.b64decode(packed))
    subprocess.run(["xz", "--decompress", str(folder / "dummy.ko.xz")], check=True)
    subprocess.run([sys.executable, "-c", STRIP, str(folder / "dummy.ko"), str(folder / "unsigned.ko")], check=True)
    return folder / "unsigned.ko"


@pytest.mark.parametrize(("signer", "is_taken"), [("", False), ("theirs", False), ("ours", True)])
def test_the_kernel_takes_a_module_that_an_enrolled_key_signed_and_no_other(
    guest: Guest, unsigned: Path, keys: Path, signer: str, is_taken: bool, tmp_path: Path
) -> None:
    module = tmp_path / "dummy.ko"
    module.write_bytes(unsigned.read_bytes())
    if signer:
        sign(module, keys, signer)
    guest.run("base64 -d >/run/dummy.ko", stdin=base64.b64encode(module.read_bytes()).decode())
    answer = guest.run("insmod /run/dummy.ko", check=False)
    assert (answer.code == 0, REFUSED.search(answer.stderr) is None) == (is_taken, is_taken), answer
    assert (guest.run("grep -c '^dummy ' /proc/modules", check=False).stdout == "1\n") == is_taken
