"""bee-network asks for addresses on physical Ethernet interfaces only, in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.iso.overlay.world import World

ETHERNET, INFINIBAND = "1", "32"


def _interface(world: World, name: str, kind: str = ETHERNET, *, physical: bool = True) -> None:
    world.file(f"sys/class/net/{name}/type", kind)
    if physical:
        world.file(f"sys/class/net/{name}/device/vendor")


def test_all_physical_interfaces_are_given_to_one_client_in_the_background(world: World) -> None:
    world.tool("dhclient")
    for name in ("eno1", "enp65s0f1"):
        _interface(world, name)
    for name in ("lo", "br0", "bond0"):
        _interface(world, name, physical=False)
    done = world.run("network")
    assert done.returncode == 0, done.stderr
    assert world.calls == ["dhclient -nw -cf /etc/bee/dhclient.conf eno1 enp65s0f1"]


def test_without_a_physical_interface_nothing_is_started_and_nothing_fails(world: World) -> None:
    world.tool("dhclient")
    _interface(world, "lo", physical=False)
    done = world.run("network")
    assert done.returncode == 0
    assert world.calls == []
    assert "no physical Ethernet interface" in done.stdout


def test_without_any_interface_at_all(world: World) -> None:
    done = world.run("network")
    assert done.returncode == 0


def test_infiniband_is_left_alone_and_said(world: World) -> None:
    world.tool("dhclient")
    _interface(world, "eno1")
    _interface(world, "ib0", INFINIBAND)
    done = world.run("network")
    assert world.calls == ["dhclient -nw -cf /etc/bee/dhclient.conf eno1"]
    assert "ib0 is not Ethernet" in done.stdout


def test_a_client_that_fails_fails_the_unit(world: World) -> None:
    world.tool("dhclient", "exit 1")
    _interface(world, "eno1")
    assert world.run("network").returncode == 1
