"""The network is the operator's convenience: whatever the card is plugged into, log-in and audit come just as soon."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.boot import traffic
from tests.boot.conftest import timed
from tests.boot.hardware import SERVER
from tests.boot.qemu import BOOT_LIMIT, boot
from tests.boot.start import CUT_OFF, NO_NIC, SILENT, Start

pytestmark = [pytest.mark.acceptance_full, pytest.mark.timeout(900)]

UNPLUGGED = "no cable"
NETWORKS = (CUT_OFF, SILENT, UNPLUGGED, NO_NIC)
# Seconds of an emulated boot that other work on the machine may cost; what waits for a network waits longer: dhclient
# a minute, network-online.target two.
TOLERANCE = 25
# A machine that is busy with something else boots slowly once, a boot that waits for a network every time.
BOOTS = 3


@dataclass(frozen=True, slots=True)
class Reached:
    """Seconds from power-on until sshd ran and until the audit's summary was shown, and what was sent by then."""

    ssh: float
    audit: float
    sent: set[str]

    def fastest(self, other: Reached) -> Reached:
        """The shorter times of two boots, and all that either sent."""
        return Reached(min(self.ssh, other.ssh), min(self.audit, other.audit), self.sent | other.sent)


@pytest.fixture(scope="module")
def reached(iso: Path, key: Path, kept: Path) -> dict[str, Reached]:
    """A boot in each network; again where it took longer than in another one."""
    found = {network: _boot(iso, key, kept, network) for network in NETWORKS}
    for _ in range(BOOTS - 1):
        for network in _late(found):
            found[network] = found[network].fastest(_boot(iso, key, kept, network))
    return found


def _late(found: dict[str, Reached]) -> list[str]:
    """The networks in which sshd or the audit was there later than in another one."""
    ssh, audit = (min(getattr(one, what) for one in found.values()) + TOLERANCE for what in ("ssh", "audit"))
    return [network for network, one in found.items() if one.ssh > ssh or one.audit > audit]


def _boot(iso: Path, key: Path, kept: Path, network: str) -> Reached:
    start = Start(network=CUT_OFF if network == UNPLUGGED else network)
    with timed(f"boot, {network}: to the audit"), boot(iso, SERVER, key, start, cable=network != UNPLUGGED) as guest:
        try:
            ssh = guest.wait_for_serial("Started ssh.service", BOOT_LIMIT)
            audit = guest.wait_for_serial(SERVER.system.serial, BOOT_LIMIT)
            guest.wait_for_serial("bee login: ", BOOT_LIMIT)
            recorded = b"" if network == NO_NIC else guest.wire.read_bytes()
            assert "FAILED" not in guest.serial
        finally:
            (kept / f"serial-{network.replace(' ', '-')}.log").write_text(guest.serial)
    return Reached(ssh, audit, traffic.sent(recorded, SERVER.nic.mac) if recorded else set())


@pytest.mark.parametrize("network", NETWORKS)
def test_sshd_and_the_audit_are_there_as_soon_as_in_any_network(reached: dict[str, Reached], network: str) -> None:
    assert network not in _late(reached), reached


@pytest.mark.parametrize(
    ("network", "permitted"),
    [
        (CUT_OFF, {"ARP", "DHCP", "ICMPv6"}),
        (SILENT, {"DHCP", "ICMPv6"}),
        (UNPLUGGED, set()),
        (NO_NIC, set()),
    ],
)
def test_only_an_address_was_asked_for(reached: dict[str, Reached], network: str, permitted: set[str]) -> None:
    assert reached[network].sent <= permitted
    assert ("DHCP" in reached[network].sent) == ("DHCP" in permitted)
