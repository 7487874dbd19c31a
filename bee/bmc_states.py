"""What a BMC's words mean, for a sensor's state and for an event of its log: ipmitool has the same for both.

Of a discrete sensor ipmitool says `ok` whatever state it is in: the state alone tells.
"""

from __future__ import annotations

import re

# In the words of ipmitool for IPMI 2.0, tables 42-2 and 42-3, and of makers.
_DEFECT = re.compile(
    r"(?<!non-)critical (?:going|from)|to critical|non-recoverable|uncorrectable|failure detected|predictive failure"
    r"|power supply ac lost|AC lost|out-of-range|drive fault|fault status|rebuild aborted|in critical array"
    r"|in failed array|IERR|thermal trip|FRB[0-9]|(?<!\bcorrectable )machine check|CATERR|bus fatal|fatal error"
    r"|fatal NMI|PCI [PS]ERR|parity\b(?! check)|critical overtemperature|CPU.*error|processor.*disabled"
    r"|memory device disabled|memory scrub failed|logging limit reached|no (?:usable )?system memory"
    r"|config(?:uration)? error|power unit failure|soft[- ]power control failure|(?:sensor|FRU) failure"
    r"|unrecoverable (?!PS/2|USB|diskette)",
    re.IGNORECASE,
)
_REDUNDANCY_GONE = re.compile(
    r"redundancy lost|redundancy degraded(?! from non-)|non-redundant: insufficient", re.IGNORECASE
)
_NOT_REDUNDANT = re.compile(r"redundancy (?:lost|degraded)|non-redundant", re.IGNORECASE)
_SUPPLY_FAULT = re.compile(
    r"failure detected|predictive failure|AC lost|input lost|out-of-range|config(?:uration)? error", re.IGNORECASE
)


def is_defect(words: str) -> bool:
    """Whether this state or event means a defect; a group that is no longer redundant is `is_not_redundant`'s."""
    return _DEFECT.search(words) is not None


def is_redundancy_gone(words: str) -> bool:
    """Whether this event means that a group has less redundancy than before it."""
    return _REDUNDANCY_GONE.search(words) is not None


def is_not_redundant(words: str) -> bool:
    """Whether a group of supplies or fans in this state would not survive the loss of one more member."""
    return _NOT_REDUNDANT.search(words) is not None


def is_supply_fault(words: str) -> bool:
    """Whether a power supply in this state has failed, is about to, or has no input."""
    return _SUPPLY_FAULT.search(words) is not None
