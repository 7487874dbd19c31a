"""What a node waits for: a restart, and packages that could be upgraded."""

from __future__ import annotations

import re
from typing import Any

from busnode.script import Step

# A line of `apt-get -s dist-upgrade`: Inst NAME [OLD] (NEW ORIGIN:RELEASE/SUITE, … [ARCHITECTURE])
_UPGRADE = re.compile(r"Inst (\S+) (?:\[(\S+)\] )?\((\S+) ?(.*?)(?: \[\w+\])?\)")


def reboot() -> Step:
    """Whether the node should be restarted, and why."""
    return Step("read-reboot", "pending reboot", "upkeep", ("read_reboot", "/boot", "/run"))


def updates() -> Step:
    """What apt would upgrade by the package lists that the node has."""
    return Step("read-updates", "pending updates", "upkeep", ("read_updates", "/var/lib/apt/lists"))


def packages(text: str) -> list[dict[str, Any]]:
    """What apt would upgrade or add; `security` where an archive of security updates has it.

    >>> packages("Inst less [590-2] (590-2+deb12u1 Debian-Security:12/stable-security [amd64])")
    [{'name': 'less', 'installed': '590-2', 'available': '590-2+deb12u1', 'security': True}]
    """
    return [
        {"name": name, "installed": old or None, "available": new, "security": "-security" in origin.lower()}
        for name, old, new, origin in (match.groups() for match in _UPGRADE.finditer(text))
    ]
