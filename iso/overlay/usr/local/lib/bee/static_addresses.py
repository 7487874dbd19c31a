#!/usr/bin/python3 -I
"""Gives interfaces the addresses of `bee.net=<mac|name>:addr/len[,gw]` on the kernel's command line; run by `network`.

Prints the names of the interfaces that got one. A wrong value is one line on stderr; the others hold all the same.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

KEY = "bee.net="
# Six octets and a colon: so no interface can be called 52 and have an IPv6 address 54:00:….
MAC = re.compile(r"((?:[0-9a-f]{2}:){5}[0-9a-f]{2}):(.*)", re.IGNORECASE | re.ASCII)
# The kernel's own rule for names (dev_valid_name), less what no name has.
NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,14}):(.*)", re.ASCII)
# Below DHCP's default route, which has none; interfaces in the order of the command line.
METRIC = 100
TOOL_SECONDS = 10

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Setting:
    """`interface` is a name or a MAC in lower case."""

    interface: str
    address: Interface
    gateway: Address | None = None


def parse(value: str) -> Setting:
    """What stands after `bee.net=`.

    Raises:
        ValueError: it is no such setting; the text says what is wrong with it.
    """
    match = MAC.fullmatch(value) or NAME.fullmatch(value)
    if not match:
        raise ValueError("it is not <mac|name>:address/length[,gateway]")
    interface, rest = match.groups()
    address_text, comma, gateway_text = rest.partition(",")
    if "/" not in address_text:
        raise ValueError(f"the address {address_text!r} has no /length")
    address = _address(address_text)
    gateway = _gateway(gateway_text, address) if comma else None
    return Setting(interface.lower() if MAC.fullmatch(value) else interface, address, gateway)


def _address(text: str) -> Interface:
    host, _, length = text.partition("/")
    if "%" in host or not (length.isascii() and length.isdigit()):
        raise ValueError(f"{text!r} is no IPv4 or IPv6 address with the length of its prefix")
    try:
        address = ipaddress.ip_interface(text)
    except ValueError:
        raise ValueError(f"{text!r} is no IPv4 or IPv6 address with the length of its prefix") from None
    if address.is_multicast or address.is_unspecified or address.is_loopback:
        raise ValueError(f"{host} cannot be an interface's address")
    few = address.network.prefixlen >= address.max_prefixlen - 1  # RFC 3021: two addresses, and both are hosts'
    if not few and address.ip == address.network.network_address:
        raise ValueError(f"{host} is the address of the network {address.network} itself")
    if not few and address.version == 4 and address.ip == address.network.broadcast_address:
        raise ValueError(f"{host} is the broadcast address of {address.network}")
    return address


def _gateway(text: str, address: Interface) -> Address:
    if "%" in text:
        raise ValueError(f"the gateway {text!r} is no address")
    try:
        gateway = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"the gateway {text!r} is no address") from None
    # Of IPv6 every interface has a link-local network beside its own (RFC 4291, 2.1).
    beside = gateway.version == 6 and gateway.is_link_local
    linked = gateway.version == address.version and (gateway in address.network or beside)
    if not linked or gateway == address.ip:
        raise ValueError(f"the gateway {gateway} is not reached from {address}")
    return gateway


def interface_named(wanted: str, macs: Mapping[str, str]) -> str:
    """The interface with that name or MAC.

    Args:
        wanted: from a setting.
        macs: each interface's MAC, by name.

    Raises:
        ValueError: there is none, or the MAC is that of several.
    """
    if wanted in macs:
        return wanted
    found = sorted(name for name, mac in macs.items() if mac.lower() == wanted)
    if not found:
        raise ValueError(f"there is no interface {wanted}; there are {', '.join(sorted(macs)) or 'none'}")
    if len(found) > 1:
        raise ValueError(f"{wanted} is the MAC of {' and '.join(found)}: give one of these names")
    return found[0]


def interfaces(root: str) -> dict[str, str]:
    """The MAC of each interface but the loopback's, by name."""
    found = {}
    for entry in Path(f"{root}/sys/class/net").glob("*/address"):
        if entry.parent.name != "lo":
            # One that goes away meanwhile, or has no such thing (EINVAL), is none of those that are meant.
            with contextlib.suppress(OSError):
                found[entry.parent.name] = entry.read_text(errors="replace").strip()
    return found


def address_commands(setting: Setting, interface: str) -> list[list[str]]:
    """What ip(8) is to do for the address. Each may be done again: a restarted unit changes nothing."""
    return [
        ["ip", "link", "set", "dev", interface, "up"],
        ["ip", f"-{setting.address.version}", "address", "replace", str(setting.address), "dev", interface],
    ]


def route_commands(setting: Setting, interface: str, metric: int) -> list[list[str]]:
    """The same for the gateway; nothing without one."""
    if setting.gateway is None:
        return []
    route = ["via", str(setting.gateway), "dev", interface, "metric", str(metric)]
    return [["ip", f"-{setting.address.version}", "route", "replace", "default", *route]]


def run(commands: list[list[str]]) -> None:
    """Run commands, one after the other.

    Raises:
        ValueError: one failed; the text says which and why.
    """
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_SECONDS, check=False)
        if done.returncode:
            raise ValueError(f"{' '.join(command)}: {done.stderr.strip()}")


def apply(word: str, macs: Mapping[str, str], metric: int) -> None:
    """Do what one word of the command line says, and print the interface as soon as it has its address.

    Raises:
        ValueError: it cannot be done; the text says what of it, and why.
    """
    ignored = "is ignored"
    try:
        setting = parse(word.removeprefix(KEY))
        interface = interface_named(setting.interface, macs)
        run(address_commands(setting, interface))
        print(interface, flush=True)
        ignored = "holds without its gateway"
        run(route_commands(setting, interface, metric))
    except (ValueError, OSError, subprocess.SubprocessError) as error:
        raise ValueError(f"{word} on the kernel's command line {ignored}: {error}") from None


def main() -> int:
    """Do all of it; exit code 1 where a value was wrong."""
    root = os.environ.get("BEE_ROOT", "")  # another tree to look at, for the tests
    # Whatever bytes the boot loader was given: another word's are no reason to lose ours.
    line = Path(f"{root}/proc/cmdline").read_text(encoding="utf-8", errors="replace")
    words = [word for word in line.split() if word.startswith(KEY)]
    macs = interfaces(root)
    code = 0
    for number, word in enumerate(words):
        try:
            apply(word, macs, METRIC + number)
        except ValueError as error:
            print(error, file=sys.stderr, flush=True)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
