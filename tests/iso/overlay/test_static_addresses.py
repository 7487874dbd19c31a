"""bee.net= on the kernel's command line: every form, every mistake, and real interfaces in a namespace."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.iso.overlay.world import SCRIPTS

if TYPE_CHECKING:
    from tests.iso.overlay.world import World

SCRIPT = SCRIPTS / "static_addresses.py"


def _module() -> ModuleType:
    """The script as a module; it is no part of a package, and no compiled copy may lie among the image's sources."""
    module = ModuleType("static_addresses")
    sys.modules[module.__name__] = module
    exec(compile(SCRIPT.read_text(), SCRIPT, "exec"), module.__dict__)
    return module


static = _module()

OCTET = st.integers(0, 255).map(lambda octet: f"{octet:02x}")
MACS = st.lists(OCTET, min_size=6, max_size=6).map(":".join)
NAMES = st.from_regex(r"[a-z][a-z0-9._-]{0,14}", fullmatch=True)


@st.composite
def settings_of(draw: st.DrawFn) -> tuple[str, ipaddress.IPv4Interface | ipaddress.IPv6Interface, str | None]:
    """An interface, a host's address in a network that has others, and one of these as gateway or none."""
    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    if draw(st.booleans()):
        length = draw(st.integers(8, 30))
        base = draw(st.integers(0x0B000000, 0x7E000000))
        network = ipaddress.ip_network((base, length), strict=False)
    else:
        length = draw(st.integers(16, 126))
        base = draw(st.integers(0x20 << 120, (0x40 << 120) - 1))
        network = ipaddress.ip_network((base, length), strict=False)
    host = draw(st.integers(1, network.num_addresses - 2))
    address = ipaddress.ip_interface(f"{network[host]}/{length}")
    other = draw(st.none() | st.integers(1, network.num_addresses - 2).filter(lambda number: number != host))
    return draw(MACS | NAMES), address, None if other is None else str(network[other])


@given(setting=settings_of(), upper=st.booleans())
def test_what_is_written_down_is_what_is_read(
    setting: tuple[str, ipaddress.IPv4Interface | ipaddress.IPv6Interface, str | None], upper: bool
) -> None:
    interface, address, gateway = setting
    is_mac = ":" in interface
    written = interface.upper() if upper and is_mac else interface
    for shown in {str(address), f"{address.ip.exploded}/{address.network.prefixlen}"}:
        found = static.parse(f"{written}:{shown}" + (f",{gateway}" if gateway else ""))
        assert (found.interface, found.address) == (interface, address)
        assert (None if found.gateway is None else str(found.gateway)) == gateway


@given(value=st.text(max_size=60) | st.from_regex(r"([0-9a-f:]{0,20}|eno1):[0-9a-f.:]{1,20}/[0-9]{1,3}(,[0-9a-f.:]*)?"))
def test_any_other_value_is_refused_in_one_line_or_names_a_host_that_can_be(value: str) -> None:
    try:
        found = static.parse(value)
    except ValueError:
        return
    assert not found.address.is_multicast
    assert not found.address.is_loopback
    assert found.interface


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "it is not <mac|name>:address/length[,gateway]"),
        ("192.0.2.7/24", "it is not <mac|name>"),
        (":192.0.2.7/24", "it is not <mac|name>"),
        ("../eno1:192.0.2.7/24", "it is not <mac|name>"),
        ("eno1:192.0.2.7", "the address '192.0.2.7' has no /length"),
        ("eno1:192.0.2.7/33", "is no IPv4 or IPv6 address"),
        ("eno1:192.0.2.7/255.255.255.0", "is no IPv4 or IPv6 address"),
        ("eno1:192.0.2.007/24", "is no IPv4 or IPv6 address"),
        ("eno1:fe80::1%eno1/64", "is no IPv4 or IPv6 address"),
        ("52:54:00:be:e0:192.0.2.7/24", "is no IPv4 or IPv6 address"),
        ("eno1:192.0.2.0/24", "is the address of the network 192.0.2.0/24 itself"),
        ("eno1:192.0.2.255/24", "is the broadcast address of 192.0.2.0/24"),
        ("eno1:127.0.0.2/8", "cannot be an interface's address"),
        ("eno1:ff02::1/16", "cannot be an interface's address"),
        ("eno1:192.0.2.7/24,", "the gateway '' is no address"),
        ("eno1:192.0.2.7/24,192.0.3.1", "is not reached from 192.0.2.7/24"),
        ("eno1:192.0.2.7/24,169.254.1.1", "is not reached from 192.0.2.7/24"),
        ("eno1:192.0.2.7/24,192.0.2.7", "is not reached from 192.0.2.7/24"),
        ("eno1:192.0.2.7/24,2001:db8::1", "is not reached from 192.0.2.7/24"),
        ("eno1:192.0.2.7/24,192.0.2.1,192.0.2.2", "the gateway '192.0.2.1,192.0.2.2' is no address"),
    ],
)
def test_what_is_wrong_with_a_value_is_said(value: str, said: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the text is compared below
        static.parse(value)
    assert said in str(refused.value)


def test_the_last_hosts_of_small_networks_are_taken() -> None:
    for value in ("eno1:192.0.2.0/31,192.0.2.1", "eno1:192.0.2.7/32", "eno1:2001:db8::/127"):
        assert static.parse(value).interface == "eno1"


def test_a_mac_that_two_interfaces_have_names_both() -> None:
    macs = {"eno1": "52:54:00:be:e0:01", "eno1.7": "52:54:00:be:e0:01", "eno2": "52:54:00:be:e0:02"}
    assert static.interface_named("52:54:00:be:e0:02", macs) == "eno2"
    with pytest.raises(ValueError, match=r"is the MAC of eno1 and eno1\.7: give one of these names"):
        static.interface_named("52:54:00:be:e0:01", macs)
    with pytest.raises(ValueError, match=r"there is no interface eth0; there are eno1, eno1\.7, eno2"):
        static.interface_named("eth0", macs)


def test_an_interface_that_vanishes_while_they_are_listed_is_none(world: World) -> None:
    world.file("sys/class/net/eno1/address", "52:54:00:be:e0:01\n")
    # What cannot be read, as the address of one that was there when the names were read.
    (world.root / "sys/class/net/eno2/address").mkdir(parents=True)
    assert static.interfaces(str(world.root)) == {"eno1": "52:54:00:be:e0:01"}


def test_bytes_that_are_no_text_spoil_their_own_word_alone(world: World) -> None:
    world.tool("ip")
    world.file("sys/class/net/eno1/address", "52:54:00:be:e0:01\n")
    line = b"note=caf\xe9 bee.net=eno\xe9:192.0.2.8/24 bee.net=eno1:192.0.2.7/24\n"
    world.file("proc/cmdline").write_bytes(line)
    for locale in ("C", "C.UTF-8"):
        done = subprocess.run(
            [SCRIPT],
            env={"PATH": world.path, "BEE_ROOT": str(world.root), "LC_ALL": locale},
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, b"eno1\n")
        (said,) = done.stderr.splitlines()
        assert said.startswith(b"bee.net=eno")
        assert said.endswith(
            b":192.0.2.8/24 on the kernel's command line is ignored: it is not <mac|name>:address/length[,gateway]"
        )


def test_an_interface_whose_gateway_is_refused_has_its_address_and_is_named(world: World) -> None:
    """So that nobody asks for another one there by DHCP."""
    world.tool("ip", 'case " $* " in *" route "*) echo "Error: Nexthop has invalid gateway." >&2; exit 2 ;; esac')
    world.file("sys/class/net/eno1/address", "52:54:00:be:e0:01\n")
    word = "bee.net=eno1:192.0.2.7/24,192.0.2.1"
    world.file("proc/cmdline", f"{word}\n")
    environment = {"PATH": world.path, "BEE_ROOT": str(world.root)}
    done = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, "eno1\n")
    assert done.stderr == (
        f"{word} on the kernel's command line holds without its gateway: ip -4 route replace default via 192.0.2.1 "
        "dev eno1 metric 100: Error: Nexthop has invalid gateway.\n"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a namespace")
def test_real_interfaces_get_their_addresses_whatever_else_is_wrong(world: World) -> None:
    words = [
        "bee.net=lan0:192.0.2.7/24,192.0.2.1",
        "bee.net=nosuch:192.0.2.9/24",
        "bee.net=52:54:00:BE:E0:02:2001:db8::7/64,fe80::1",
        "bee.net=lan1:192.0.2.300/24",
        "bee.net=lan0:198.51.100.7/31",
    ]
    world.file("proc/cmdline", f"boot=live quiet {' '.join(words)} xbee.net=lan0:203.0.113.1/24\n")
    (world.root / "sys").symlink_to("/sys")
    script = f"""set -e
        mount -t sysfs sysfs /sys
        ip link add lan0 address 52:54:00:be:e0:01 type veth peer name lan1 address 52:54:00:be:e0:02
        {SCRIPT} || echo "exit $?"
        {SCRIPT} >/dev/null 2>&1 || : # again: nothing changes
        ip -o address show scope global; ip route; ip -6 route show default"""
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", script],
        env={"PATH": os.environ["PATH"], "BEE_ROOT": str(world.root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[:4] == ["lan0", "lan1", "lan0", "exit 1"]
    told = " ".join(done.stdout.split())
    for fact in (
        "inet 192.0.2.7/24",
        "inet 198.51.100.7/31",
        "inet6 2001:db8::7/64",
        "default via 192.0.2.1 dev lan0 metric 100",
        "default via fe80::1 dev lan1 metric 102",
    ):
        assert told.count(fact) == 1, told
    ignored = "on the kernel's command line is ignored:"
    assert done.stderr.splitlines() == [
        f"bee.net=nosuch:192.0.2.9/24 {ignored} there is no interface nosuch; there are lan0, lan1",
        f"{words[3]} {ignored} '192.0.2.300/24' is no IPv4 or IPv6 address with the length of its prefix",
    ]
