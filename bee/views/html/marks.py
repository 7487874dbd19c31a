"""Which findings are about which part, by the names that the rules give components (bee/defects.py)."""

from __future__ import annotations

import re
from collections import defaultdict

from bee.views.document import rows, text

SEVERITIES = ("critical", "warning")
_ADDRESSED = re.compile(r"(PCI|RAID controller) (\S+)(?: .*)?", re.DOTALL)
_CHANNEL = "memory channel "


class Marks:
    """The findings of an audit by component.

    Args:
        document: the audit.
    """

    def __init__(self, document: dict[str, object]) -> None:
        self._of: defaultdict[str, set[str]] = defaultdict(set)
        self._channels: list[tuple[re.Pattern[str], str]] = []
        for finding in rows(document, "findings"):
            severity = severity_of(finding)
            component = text(finding, "component", "")
            self._of[_key(component)].add(severity)
            if component.startswith(_CHANNEL):
                # The channel's name begins those of its slots; what follows is no other channel's number.
                name = re.escape(component.removeprefix(_CHANNEL))
                self._channels.append(
                    (re.compile(rf"{name}(?:(?<=[a-z])[0-9]$|(?![a-z0-9]))", re.IGNORECASE), severity)
                )

    def of(self, *components: str) -> str:
        """The worst severity that was found of any of `components`; empty for none."""
        found = set().union(*(self._of.get(component, ()) for component in components))
        return next((severity for severity in SEVERITIES if severity in found), "")

    def of_slot(self, locator: str, bank: str) -> str:
        """The same for a memory slot, by what is found of its channel."""
        found = {severity for name, severity in self._channels if name.match(locator) or name.match(bank)}
        return next((severity for severity in SEVERITIES if severity in found), "")


def severity_of(finding: dict[str, object]) -> str:
    """`critical` or `warning`: a word that this page does not know is no less than a warning."""
    return "critical" if text(finding, "severity") == "critical" else "warning"


def _key(component: str) -> str:
    """A PCI device's name stands behind its address, a RAID controller's too: the address is enough."""
    match = _ADDRESSED.fullmatch(component)
    return f"{match[1]} {match[2]}" if match else component
