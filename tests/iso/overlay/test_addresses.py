"""bee-addresses tells on the consoles how to log in, each time the addresses of real interfaces change."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from bee.machine import Live
from bee.views import qr
from tests.bee import console, test_qr
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
        return self._console.read_bytes().decode()

    @property
    def prompt(self) -> str | None:
        """What the log-in prompt shows, None for nothing."""
        issue = self._world.root / ISSUE
        return issue.read_text() if issue.exists() else None

    def summary(self, text: str) -> None:
        """From now on there is one of an audit."""
        self._world.file("run/bee-audit.summary", text)

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
    network.await_prompt("ssh root@192.0.2.7 (lan0)\n")
    network.do("ip address add 192.0.2.9/24 dev lan0")
    network.await_prompt("ssh root@192.0.2.7 (lan0), root@192.0.2.9 (lan0)\n")
    network.do("ip address del 192.0.2.9/24 dev lan0")
    network.await_prompt("ssh root@192.0.2.7 (lan0)\n")
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


def test_the_prompt_has_one_line_and_in_it_what_leads_further_than_the_cable_first(network: Network) -> None:
    network.do("ip link set lan1 addrgenmode none")
    network.do("ip link set lan1 up")
    zoned = f"root@{LINK_LOCAL_6}%<your interface> (lan0)"
    network.await_prompt(f"ssh {zoned}\n")
    network.do("ip address add 2001:db8:1234:5678:9abc:def0:1234:5678/64 dev lan0 nodad")
    network.await_prompt("ssh root@2001:db8:1234:5678:9abc:def0:1234:5678 (lan0), and 1 more\n")
    network.do("ip address add 192.0.2.7/24 dev lan0")
    network.await_prompt("ssh root@192.0.2.7 (lan0), and 2 more\n")


# --- the screen, whichever of audit, addresses and prompt comes last

STICK = "saved on /dev/sdb1: bee-audits/S411795X0A12345_2026-11-22T031746Z\n"
ISSUE_TEXT = (OVERLAY / "etc/issue").read_text().replace("\\n", "bee").replace("\\l", "tty1")
# A server of a common maker: as much text as the code has room for.
SERVER = test_qr.document(
    system={"serial": "S411795X0A12345", "product": "SYS-6029P-TRT", "manufacturer": "Supermicro"},
    baseboards=[{"serial": "WM19AS012345"}],
    chassis=[{"serial": "C8150LK12A01234"}],
)


def _login(network: Network) -> str:
    """What agetty(8) writes: a line's end, the issue with those of /etc/issue.d, the prompt."""
    assert network.prompt is not None
    return f"\n{ISSUE_TEXT}{network.prompt}bee login: ".replace("\n", "\r\n")


@test_qr.drawing
def test_the_code_is_read_off_the_screen_whatever_came_when(network: Network) -> None:
    drawn = qr.screen(SERVER, test_qr.CONTENT, Live(), colour=False)
    assert drawn is not None
    assert drawn.count("\n") + 1 == qr.ROWS
    network.summary(STICK + drawn + "\n")
    for number in range(3):
        network.do(f"ip address add 192.0.2.{number}/24 dev lan0")
    network.await_prompt("ssh root@192.0.2.0 (lan0), root@192.0.2.1 (lan0), root@192.0.2.2 (lan0)\n")
    time.sleep(1)  # the consoles follow the prompt
    boot = "".join(f"[  {second}.0] a line of the boot\r\n" for second in range(30))
    said, login = network.console, _login(network)
    assert said.count("ssh root@192.0.2.") == 3
    # Told again, in any order with the prompt; what bee-audit.service writes is the same text.
    for written in (boot + said, boot + said + login, boot + login + said, boot + said + login + said):
        screen = console.Screen()
        screen.write(written)
        assert test_qr.shown(screen).startswith("BEE1\nS S411795X0A12345\nA ")
        assert ("bee login:" in screen.text) == written.endswith(login)
    assert "ssh root@192.0.2.2" in "".join(screen.text)


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
