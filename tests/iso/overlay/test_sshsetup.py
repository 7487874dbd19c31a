"""bee-sshsetup decides who may log in before sshd starts, and fails closed."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from tests.iso.overlay.world import World

MARKER = "etc/bee/password-fallback"
FALLBACK = "etc/ssh/sshd_config.d/00-bee-password-fallback.conf"
HASH = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7"
NO_PASSWORD = "chpasswd -e < root:!*"


@pytest.fixture
def world(world: World) -> World:
    (world.root / "etc/ssh/sshd_config.d").mkdir(parents=True)
    world.tool("chpasswd", stdin=True)
    world.tool("chown")
    world.tool("sshd")
    # ssh-keygen itself, so that the keys are real; only that it was called is noted
    world.tool("ssh-keygen", 'exec /usr/bin/ssh-keygen "$@"')
    return world


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_without_the_marker_only_keys_log_in(world: World) -> None:
    done = world.run("sshsetup")
    assert done.returncode == 0, done.stderr
    assert NO_PASSWORD in world.calls
    assert not (world.root / FALLBACK).exists()
    assert "log-in with a key only" in done.stdout


def test_a_fallback_from_an_earlier_run_does_not_outlive_its_marker(world: World) -> None:
    world.file(FALLBACK, "PasswordAuthentication yes\n")
    assert world.run("sshsetup").returncode == 0
    assert not (world.root / FALLBACK).exists()


def test_the_marker_sets_its_hash_on_stdin_and_opens_password_log_in(world: World) -> None:
    world.file(MARKER, HASH + "\n")
    done = world.run("sshsetup")
    assert done.returncode == 0, done.stderr
    assert f"chpasswd -e < root:{HASH}" in world.calls
    assert NO_PASSWORD not in world.calls
    assert _mode(world.root / MARKER) == 0o600
    settings_of_sshd = (world.root / FALLBACK).read_text().splitlines()
    assert {"PermitRootLogin yes", "PasswordAuthentication yes"} <= set(settings_of_sshd)
    assert HASH not in done.stdout + done.stderr


@pytest.mark.parametrize("content", ["", "\n", "secret\n", f"{HASH}\n{HASH}\n", "$6$a:b$c\n", "$6$a b$c", "!\n", "*"])
def test_a_marker_that_is_no_hash_opens_nothing_and_says_so(world: World, content: str) -> None:
    world.file(MARKER, content)
    done = world.run("sshsetup")
    assert done.returncode == 1
    assert "is not one line with a crypt(3) hash" in done.stderr
    assert NO_PASSWORD in world.calls
    assert not (world.root / FALLBACK).exists()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_no_marker_ever_puts_a_second_line_or_a_field_into_chpasswd(world: World, content: str) -> None:
    (world.root.parent / "calls").unlink(missing_ok=True)
    world.file(MARKER, content)
    world.run("sshsetup")
    [entry] = [call for call in world.calls if call.startswith("chpasswd")]
    assert entry.count(":") == 1
    assert "".join(world.calls).count("root:") == 1


def test_host_keys_are_made_once_and_private(world: World) -> None:
    world.run("sshsetup")
    keys = [world.root / f"etc/ssh/ssh_host_{kind}_key" for kind in ("ed25519", "ecdsa")]
    first = [key.read_text() for key in keys]
    assert [_mode(key) for key in keys] == [0o600, 0o600]
    world.run("sshsetup")
    assert [key.read_text() for key in keys] == first


def test_a_host_key_cut_short_is_made_again(world: World) -> None:
    key = world.file("etc/ssh/ssh_host_ed25519_key")
    assert world.run("sshsetup").returncode == 0
    assert "PRIVATE KEY" in key.read_text()


def test_authorized_keys_get_the_modes_that_sshd_asks_for(world: World) -> None:
    keys = world.file("root/.ssh/authorized_keys", "ssh-ed25519 AAAA operator\n")
    for path in (keys, keys.parent, keys.parent.parent):
        path.chmod(0o777)
    world.run("sshsetup")
    assert [_mode(path) for path in (keys, keys.parent, keys.parent.parent)] == [0o600, 0o700, 0o700]


def test_a_configuration_that_sshd_refuses_fails_the_unit(world: World) -> None:
    world.tool("sshd", "echo 'line 3: Bad configuration option' >&2; exit 255")
    done = world.run("sshsetup")
    assert done.returncode == 1
    assert "Bad configuration option" in done.stderr
    assert "sshd refuses its configuration" in done.stderr


def test_sshd_takes_its_configuration_last(world: World) -> None:
    world.run("sshsetup")
    assert world.calls[-1] == "sshd -t"
