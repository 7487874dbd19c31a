"""An image built without keys: its generated password alone opens the account, and the image does not hold it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from iso.mounts import remove_tree
from tests.boot.conftest import Builder, timed
from tests.boot.hardware import SERVER
from tests.boot.leaks import complaints
from tests.boot.qemu import Guest, boot
from tests.boot.smoke import SMOKE_LIMIT, SMOKETEST, verdicts
from tests.boot.test_image import unpack

pytestmark = [pytest.mark.acceptance_full, pytest.mark.timeout(900)]

CONSOLE_LIMIT = 120  # seconds from typing on a serial line to the shell's answer


@dataclass(frozen=True, slots=True)
class Built:
    """An image, and the password that its build kept for the user who built it."""

    iso: Path
    password: str


@pytest.fixture(scope="module")
def built(build_another: Builder, tmp_path_factory: pytest.TempPathFactory) -> Built:
    home = tmp_path_factory.mktemp("home")
    settings = {"nvidia": "none", "abi": "pin-or-newest"}
    image = build_another("password", settings, {"XDG_CONFIG_HOME": str(home)})
    [kept] = home.rglob("fallback-password.json")
    return Built(image, json.loads(kept.read_text())["password"])


@pytest.fixture(scope="module")
def guest(built: Built, key: Path, kept: Path) -> Iterator[Guest]:
    """That image, booted; `key` is one that it does not know."""
    with boot(built.iso, SERVER, key) as machine:
        try:
            with timed("boot the image without keys: to a log-in"):
                machine.wait_for_login(password=built.password)
            machine.run_by_password(built.password, "systemctl is-system-running --wait", limit=300)
            yield machine
        finally:
            (kept / "serial-password.log").write_text(machine.serial)


def test_its_password_opens_the_account(guest: Guest, built: Built) -> None:
    assert guest.run_by_password(built.password, "id -un").stdout == "root\n"


@pytest.mark.parametrize("wrong", ["{}x", "x{}", "", "root", "bee"])
def test_another_password_does_not(guest: Guest, built: Built, wrong: str) -> None:
    tried = guest.run_by_password(wrong.format(built.password), "id -un")
    assert (tried.code, tried.stdout) == (255, "")
    assert "Permission denied" in tried.stderr


def test_a_key_that_it_was_not_built_with_does_not(guest: Guest) -> None:
    tried = guest.run("id -un", check=False)
    assert tried.code == 255
    assert "Permission denied" in tried.stderr


@pytest.fixture
def let_in_again(guest: Guest, built: Built) -> None:
    """sshd hears nobody for a while who has just tried wrong passwords (sshd_config(5), PerSourcePenalties)."""
    guest.wait_for(lambda: guest.answers(built.password), "the end of sshd's penalty", CONSOLE_LIMIT)


@pytest.mark.usefixtures("let_in_again")
def test_nobody_else_has_a_password(guest: Guest, built: Built) -> None:
    shadow = guest.run_by_password(built.password, "cat /etc/shadow").stdout
    fields = (line.split(":") for line in shadow.splitlines())
    assert [name for name, password, *_ in fields if not password.startswith(("!", "*"))] == ["root"]


def test_the_password_opens_the_account_on_the_serial_line(guest: Guest, built: Built) -> None:
    guest.wait_for_serial("bee login: ", CONSOLE_LIMIT)
    guest.type_on_serial("root\r")
    guest.wait_for_serial("Password: ", CONSOLE_LIMIT)
    guest.type_on_serial(f"{built.password}\r")
    guest.wait_for(lambda: re.search(r"root@bee:~# ", guest.serial) is not None, "root's shell", CONSOLE_LIMIT)
    assert built.password not in guest.serial


@pytest.mark.usefixtures("let_in_again")
def test_the_smoke_test_passes_and_says_who_has_a_password(guest: Guest, built: Built) -> None:
    answer = guest.run_by_password(built.password, "sh -s", stdin=SMOKETEST.read_text(), limit=SMOKE_LIMIT)
    assert answer.code == 0, answer
    assert "root has the build's password" in verdicts(answer.stdout)["passwords"].reason


def test_the_image_and_what_lies_beside_it_hold_its_hash_alone(built: Built, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    unpack(built.iso, tree)
    try:
        assert complaints(tree, {"the password": built.password.encode()}, set()) == []
        marker = tree / "etc/bee/password-fallback"
        assert marker.stat().st_mode & 0o777 == 0o600
        assert marker.read_text().startswith("$6$rounds=200000$")
        assert not (tree / "root/.ssh/authorized_keys").exists()
    finally:
        remove_tree(tree)
    written = [path for path in built.iso.parent.rglob("*") if path.is_file() and path.stat().st_size < 10_000_000]
    assert [str(path) for path in written if built.password.encode() in path.read_bytes()] == []
