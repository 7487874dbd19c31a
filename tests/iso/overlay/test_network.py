"""bee-network asks for addresses on physical Ethernet interfaces only, in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.iso.overlay.world import World

ETHERNET, INFINIBAND = "1", "32"


def client(index: int) -> str:
    """A later client's own files."""
    files = f"-pf /run/dhclient-{index}.pid -lf /var/lib/dhcp/dhclient-{index}.leases"
    return f"dhclient -nw -cf /etc/bee/dhclient.conf {files}"


@pytest.fixture
def world(world: World) -> World:
    world.file("proc/cmdline", "boot=live quiet\n")
    (world.root / "run").mkdir()
    return world


def _interface(world: World, name: str, kind: str = ETHERNET, *, physical: bool = True, index: int = 0) -> None:
    """An interface; with an index, one that udev is done with."""
    world.file(f"sys/class/net/{name}/type", kind)
    world.file(f"sys/class/net/{name}/ifindex", f"{index or 99}\n")
    if index:
        world.file(f"run/udev/data/n{index}")
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


def test_dhcp_is_not_asked_where_the_command_line_gave_an_address(world: World) -> None:
    world.tool("dhclient")
    world.tool("ip")
    for name in ("eno1", "eno10", "eno2"):
        _interface(world, name)
        world.file(f"sys/class/net/{name}/address", "52:54:00:be:e0:01\n")
    world.file("proc/cmdline", "boot=live bee.net=eno1:192.0.2.7/24\n")
    done = world.run("network")
    assert world.calls == [
        "ip link set dev eno1 up",
        "ip -4 address replace 192.0.2.7/24 dev eno1",
        "dhclient -nw -cf /etc/bee/dhclient.conf eno10 eno2",
    ]
    assert "eno1 has its address by bee.net" in done.stdout


def test_a_mistake_is_one_line_in_the_journal_and_on_each_console_and_dhcp_is_asked(world: World) -> None:
    world.tool("dhclient")
    _interface(world, "eno1")
    world.file("sys/class/net/eno1/address", "52:54:00:be:e0:01\n")
    world.file("proc/cmdline", "boot=live bee.net=eno1:192.0.2.7\n")
    world.file("sys/class/tty/console/active", "tty0 ttyS0\n")
    consoles = [world.file(f"dev/{name}") for name in ("tty0", "ttyS0")]
    done = world.run("network")
    line = "bee.net=eno1:192.0.2.7 on the kernel's command line is ignored: the address '192.0.2.7' has no /length"
    assert done.stderr == f"{line}\n"
    assert [console.read_text().split("\n") for console in consoles] == [["", f"bee: {line}", ""]] * 2
    assert world.calls == ["dhclient -nw -cf /etc/bee/dhclient.conf eno1"]


def test_what_udev_has_named_need_not_wait_and_the_rest_is_asked_on_later_by_a_client_of_its_own(world: World) -> None:
    world.tool("dhclient")
    _interface(world, "eno1", index=2)
    _interface(world, "eth0")  # not named yet
    _interface(world, "ib0", INFINIBAND, index=3)
    early = world.run("network", "early")
    assert (early.returncode, early.stdout) == (0, "asking for addresses on eno1\n")
    _interface(world, "enp65s0f1", index=4)
    later = world.run("network")
    assert later.stdout == ("ib0 is not Ethernet: left alone\nasking for addresses on enp65s0f1 eth0\n")
    assert world.calls == [
        "dhclient -nw -cf /etc/bee/dhclient.conf eno1",
        f"{client(4)} enp65s0f1 eth0",
    ]


def test_once_all_are_asked_on_nothing_more_is_started(world: World) -> None:
    world.tool("dhclient")
    _interface(world, "eno1", index=2)
    world.run("network", "early")
    later = world.run("network")
    assert (later.returncode, later.stdout, later.stderr) == (0, "", "")
    assert len(world.calls) == 1


def test_where_the_early_client_failed_the_later_one_asks(world: World) -> None:
    world.tool("dhclient", "exit 1")
    _interface(world, "eno1", index=2)
    assert world.run("network", "early").returncode == 1
    world.tool("dhclient")
    assert world.run("network").returncode == 0
    assert world.calls == ["dhclient -nw -cf /etc/bee/dhclient.conf eno1"] * 2


def test_nothing_is_early_where_the_command_line_gives_addresses(world: World) -> None:
    world.tool("dhclient")
    _interface(world, "eno1", index=2)
    world.file("proc/cmdline", "boot=live bee.net=eno2:192.0.2.7/24\n")
    assert world.run("network", "early").returncode == 0
    assert world.calls == []


def test_a_card_that_is_plugged_in_later_is_asked_on_once(world: World) -> None:
    world.tool("dhclient")
    _interface(world, "eno1", index=2)
    world.run("network")
    assert world.run("network", "later").stdout == ""
    _interface(world, "enx52540000", index=3)
    assert world.run("network", "later").stdout == "asking for addresses on enx52540000\n"
    assert world.run("network", "later").stdout == ""
    assert world.calls[1:] == [f"{client(3)} enx52540000"]


def test_one_that_was_pulled_out_and_comes_again_is_asked_on_again(world: World) -> None:
    world.tool("dhclient")
    _interface(world, "enx52540000", index=3)
    world.run("network")
    _interface(world, "enx52540000", index=4)
    world.run("network", "later")
    assert world.calls[1:] == [f"{client(4)} enx52540000"]


def test_one_that_udev_is_not_done_with_is_left_until_it_is(world: World) -> None:
    world.tool("dhclient")
    world.run("network")
    _interface(world, "eth0")
    assert world.run("network", "later").stdout == ""
    assert world.calls == []


def test_a_card_for_which_the_command_line_has_an_address_gets_it_later_too_and_no_console_a_word(world: World) -> None:
    world.tool("dhclient")
    world.tool("ip")
    world.file("proc/cmdline", "boot=live bee.net=enx1:192.0.2.7/24 bee.net=enx2:192.0.2.8\n")
    world.file("sys/class/tty/console/active", "tty0\n")
    world.run("network")
    console = world.file("dev/tty0")
    _interface(world, "enx1", index=3)
    world.file("sys/class/net/enx1/address", "52:54:00:be:e0:01\n")
    world.run("network", "later")
    assert "ip -4 address replace 192.0.2.7/24 dev enx1" in world.calls
    assert not any("dhclient" in call for call in world.calls)
    assert console.read_text() == ""


def test_every_change_of_a_link_is_looked_at(world: World) -> None:
    world.tool("dhclient")
    world.tool("udevadm")
    _interface(world, "enx1", index=3)
    # What ip(8) monitors: a card appears after the first look.
    appears = f"mkdir -p {world.root}/sys/class/net/enx2/device; cd {world.root}/sys/class/net/enx2"
    world.tool("ip", f"echo 3: enx1; {appears}; echo 1 >type; echo 4 >ifindex; touch {world.root}/run/udev/data/n4")
    world.run("network", "watch")
    clients = [call for call in world.calls if call.startswith("dhclient")]
    assert " ".join(clients).count("enx1") == 1
    assert " ".join(clients).count("enx2") == 1
