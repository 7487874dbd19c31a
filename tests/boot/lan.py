"""A network without DHCP, between one guest and the namespace at the other end of its cable."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.boot.hardware import Nic

TAP = "tap0"
_PREFIX = "bee-lan-"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Lan:
    """`namespace` has the other end, at `addresses` (with the length of their prefix)."""

    namespace: str
    addresses: tuple[str, ...]

    def inside(self, *command: str) -> list[str]:
        """A command line that runs in the namespace."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def nic_arguments(self, nic: Nic) -> list[str]:
        """QEMU's arguments for the guest's network card, once QEMU runs in the namespace."""
        slot = nic.slot.split(":")[-1]
        return [
            *("-netdev", f"tap,id=lan,ifname={TAP},script=no,downscript=no"),
            *("-device", f"e1000e,netdev=lan,id=nic0,mac={nic.mac},addr={slot}"),
        ]

    @contextlib.contextmanager
    def dhcp(self, folder: Path, address: str) -> Iterator[None]:
        """From now on a server leases `address` alone, for an hour."""
        settings = folder / "udhcpd.conf"
        settings.write_text(
            f"start {address}\nend {address}\ninterface {TAP}\nlease_file {folder}/leases\npidfile {folder}/pid\n"
            "option subnet 255.255.255.0\noption lease 3600\n"
        )
        (folder / "leases").touch()
        command = ["setpriv", "--pdeathsig", "KILL", *self.inside("busybox", "udhcpd", "-f", str(settings))]
        with (folder / "udhcpd.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
            try:
                yield
            finally:
                server.kill()


@contextlib.contextmanager
def lan(*addresses: str) -> Iterator[Lan]:
    """A network whose other end has these addresses; at the end it is gone."""
    _sweep()
    made = Lan(f"{_PREFIX}{os.getpid()}-{next(_numbers)}", addresses)
    _ip("netns", "add", made.namespace)
    try:
        inside = ("-n", made.namespace)
        _ip(*inside, "tuntap", "add", TAP, "mode", "tap")
        for address in addresses:
            _ip(*inside, "address", "add", address, "dev", TAP)
        _ip(*inside, "link", "set", TAP, "up")
        yield made
    finally:
        _ip("netns", "delete", made.namespace)


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout


def _sweep() -> None:
    """Remove what runs left that were killed."""
    for line in _ip("netns", "list").splitlines():
        name = line.split()[0]
        if name.startswith(_PREFIX) and not Path(f"/proc/{name.removeprefix(_PREFIX).split('-')[0]}").exists():
            _ip("netns", "delete", name)
