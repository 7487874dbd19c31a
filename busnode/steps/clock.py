"""The clock: kept by whichever NTP service the node has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from busnode.script import Step

if TYPE_CHECKING:
    from busnode.inventory import Target

SYNCHRONISED_SECONDS = 90
# Debian's packages that provide time-daemon; each keeps the others out.
TIME_DAEMONS = ("chrony", "ntpsec", "openntpd", "systemd-timesyncd")


def steps(target: Target) -> list[Step]:
    """One step, before any other uses the network: apt refuses archives that seem to come from the future.

    Where the node has no NTP service, the inventory's own package of one is installed, else systemd's.
    """
    if not target.time_synchronised:
        return []
    package = next((name for name in target.packages if name in TIME_DAEMONS), TIME_DAEMONS[-1])
    call = ("clock_synchronised", str(SYNCHRONISED_SECONDS), package)
    return [Step("synchronise-time", "time", "clock", call)]
