"""What the consoles show: the same text on each, and the address that DHCP gave."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.iso.overlay.world import OVERLAY

if TYPE_CHECKING:
    from tests.iso.overlay.world import World

HOOK = OVERLAY / "etc/dhcp/dhclient-exit-hooks.d/bee"
CONSOLE = "/usr/local/lib/bee/console"


def test_every_console_gets_the_text_with_carriage_returns(world: World) -> None:
    world.file("sys/class/tty/console/active", "tty0 ttyS0\n")
    consoles = [world.file(f"dev/{name}") for name in ("tty0", "ttyS0")]
    done = world.run("console", stdin="one\ntwo\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [console.read_bytes() for console in consoles] == [b"\r\none\r\ntwo\r\n"] * 2


@pytest.mark.parametrize(("port", "said"), [("uart:16550A port:000002F8 irq:3", b"\r\none\r\n"), ("uart:unknown", b"")])
def test_the_second_serial_line_gets_the_text_where_there_is_one(world: World, port: str, said: bytes) -> None:
    world.file("sys/class/tty/console/active", "tty0 ttyS0\n")
    world.file("proc/tty/driver/serial", f"serinfo:1.0 driver revision:\n0: uart:16550A port:000003F8\n1: {port}\n")
    lines = [world.file(f"dev/{name}") for name in ("tty0", "ttyS0", "ttyS1")]
    world.run("console", stdin="one\n")
    assert [line.read_bytes() for line in lines] == [b"\r\none\r\n"] * 2 + [said]


def test_a_console_that_cannot_be_opened_keeps_no_other_from_its_text(world: World) -> None:
    world.file("sys/class/tty/console/active", "ttyS9 tty0\n")
    (world.root / "dev/ttyS9").mkdir(parents=True)
    screen = world.file("dev/tty0")
    world.run("console", stdin="one\n")
    assert screen.read_bytes() == b"\r\none\r\n"


def _hook(world: World, reason: str) -> list[str]:
    """What the hook sends to the consoles, sourced as dhclient-script does."""
    world.tool("console", stdin=True)
    script = HOOK.read_text()
    assert CONSOLE in script
    subprocess.run(
        ["dash", "-c", f"{script.replace(CONSOLE, 'console')}\nwait"],
        env={"PATH": world.path, "reason": reason, "interface": "eno1", "new_ip_address": "192.0.2.7"},
        timeout=30,
        check=True,
    )
    return world.calls


def test_an_address_is_told_with_the_command_to_log_in(world: World) -> None:
    assert _hook(world, "BOUND") == ["console  < bee: eno1 has 192.0.2.7: ssh root@192.0.2.7"]


def test_a_renewal_is_no_news(world: World) -> None:
    assert _hook(world, "RENEW") == []
