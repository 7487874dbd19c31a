"""What the consoles show: the same text on each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.iso.overlay.world import World


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
