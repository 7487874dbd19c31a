"""bee-addresses tells on the consoles how to log in, each time the addresses of real interfaces change."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.iso.overlay.world import OVERLAY, SCRIPTS

if TYPE_CHECKING:
    from tests.iso.overlay.world import World

ISSUE = "run/bee-addresses.issue"
LIMIT = 20  # seconds from a change to the consoles; the script takes one
LINK_LOCAL_6 = "fe80::5054:ff:febe:e001"


class Network:
    """A namespace with an interface called lan0, in which the script runs."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._world.file("sys/class/tty/console/active", "ttyS0\n")
        self._console = world.file("dev/ttyS0")
        world.file("journal")
        (world.root / "run").mkdir()
        script = (
            "ip link add lan0 address 52:54:00:be:e0:01 type veth peer name lan1; ip link set lan0 up; echo ready; "
            f'"{SCRIPTS}/addresses" >"{world.root}/journal" & while read -r command; do $command; done; kill $!'
        )
        self._shell = subprocess.Popen(
            ["unshare", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", script],
            env={"PATH": os.environ["PATH"], "BEE_ROOT": str(world.root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._shell.stdout is not None
        assert self._shell.stdout.readline() == "ready\n"

    def do(self, command: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{command}\n")
        self._shell.stdin.flush()

    @property
    def told(self) -> list[str]:
        """All lines that it said, which go to the journal, too."""
        return (self._world.root / "journal").read_text().splitlines()

    @property
    def console(self) -> str:
        """What was said last; a console of the test is a file."""
        return self._console.read_text()

    @property
    def prompt(self) -> str | None:
        """What the log-in prompt shows, None for nothing."""
        issue = self._world.root / ISSUE
        return issue.read_text() if issue.exists() else None

    def await_prompt(self, text: str | None) -> None:
        deadline = time.monotonic() + LIMIT
        while self.prompt != text:
            assert time.monotonic() < deadline, (self.prompt, self.told)
            time.sleep(0.05)

    def close(self) -> None:
        self._shell.kill()
        self._shell.communicate()


@pytest.fixture
def network(world: World) -> Iterator[Network]:
    if os.geteuid() != 0:
        pytest.skip("needs root, for a namespace")
    made = Network(world)
    yield made
    made.close()


def test_each_change_is_told_with_the_command_to_log_in(network: Network) -> None:
    first, second = "bee: lan0 has 192.0.2.7: ssh root@192.0.2.7", "bee: lan0 has 192.0.2.9: ssh root@192.0.2.9"
    network.do("ip address add 192.0.2.7/24 dev lan0")
    network.await_prompt(f"{first}\n\n")
    network.do("ip address add 192.0.2.9/24 dev lan0")
    network.await_prompt(f"{first}\n{second}\n\n")
    network.do("ip address del 192.0.2.9/24 dev lan0")
    network.await_prompt(f"{first}\n\n")
    network.do("ip address del 192.0.2.7/24 dev lan0")
    network.await_prompt(None)
    time.sleep(1.5)  # the last line follows the prompt
    assert network.console.split() == ["bee:", "no", "address", "any", "more"]
    assert network.told == [first, first, second, first, "bee: no address any more"]


def test_an_ipv6_address_of_the_cable_wants_the_other_ends_interface(network: Network) -> None:
    network.do("ip link set lan1 up")
    line = f"bee: lan0 has {LINK_LOCAL_6}: ssh root@{LINK_LOCAL_6}%<your interface>"
    deadline = time.monotonic() + LIMIT
    while line not in network.told:
        assert time.monotonic() < deadline, network.told
        time.sleep(0.05)


# --- link-local addresses, where DHCP gives none


@pytest.mark.parametrize(
    ("reason", "running", "calls"),
    [
        # without a cable
        ("FAIL", None, []),
        ("FAIL", 1, ["avahi-autoipd --check eno1", "avahi-autoipd --daemonize --syslog eno1"]),
        ("TIMEOUT", 1, ["avahi-autoipd --check eno1", "avahi-autoipd --daemonize --syslog eno1"]),
        ("FAIL", 0, ["avahi-autoipd --check eno1"]),
        ("BOUND", 1, []),
        ("RENEW", 1, []),
    ],
)
def test_a_link_local_address_is_looked_for_when_dhcp_failed_and_only_once(
    world: World, reason: str, running: int | None, calls: list[str]
) -> None:
    world.file("sys/class/net/eno1/carrier", "0\n" if running is None else "1\n")
    world.tool("avahi-autoipd", f'[ "$1" != --check ] || exit {running}')
    hook = (OVERLAY / "etc/dhcp/dhclient-exit-hooks.d/zzz_avahi-autoipd").read_text()
    subprocess.run(
        ["dash", "-c", hook.replace("/usr/sbin/avahi-autoipd", "avahi-autoipd")],
        env={"PATH": world.path, "BEE_ROOT": str(world.root), "reason": reason, "interface": "eno1"},
        timeout=30,
        check=False,
    )
    assert world.calls == calls


@pytest.mark.parametrize(
    ("event", "call"),
    [
        ("BIND", "ip address replace 169.254.7.8/16 broadcast 169.254.255.255 scope link dev enp65s0f1np1"),
        ("CONFLICT", "ip address del 169.254.7.8/16 dev enp65s0f1np1"),
        ("UNBIND", "ip address del 169.254.7.8/16 dev enp65s0f1np1"),
        ("STOP", "ip address del 169.254.7.8/16 dev enp65s0f1np1"),
    ],
)
def test_an_interface_with_a_long_name_gets_its_link_local_address(world: World, event: str, call: str) -> None:
    world.tool("ip")
    action = OVERLAY / "etc/avahi/avahi-autoipd.action"
    assert action.stat().st_mode & 0o111 == 0o111
    subprocess.run(
        ["dash", str(action), event, "enp65s0f1np1", "169.254.7.8"], env={"PATH": world.path}, timeout=30, check=True
    )
    assert world.calls == [call]
