"""Asking the BMC: what the steps that use ipmitool share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bee.collectors.step import Step

# A BMC answers each FRU in its own time; a Dell with 20 of them was seen to take half a minute.
IPMITOOL_SECONDS = 60.0
# Where ipmitool itself looks for the BMC (its `open` interface).
_NODES = (("/dev", "ipmi0"), ("/dev/ipmi", "0"), ("/dev/ipmidev", "0"))
# A BMC's completion codes for what it does not have (IPMI 2.0, table 5-2), and ipmitool's own words for the same.
_REFUSALS = (
    "Invalid command",
    "not supported",
    "record not found",
    "subfunction disabled or unavailable",
    "Invalid channel",
    "is not a LAN channel",
    "SEL has no entries",
)


def is_there(step: Step) -> bool:
    """Whether the kernel has a BMC to talk to."""
    return any(name in step.machine.names(folder) for folder, name in _NODES)


def ask_ahead(step: Step, *words: str) -> None:
    """Begin `ipmitool words` now: only one runs at a time, and what is not an ipmitool need not wait for it."""
    step.ahead("ipmitool", *words, limit=IPMITOOL_SECONDS)


def ask(step: Step, *words: str) -> bytes:
    """What ipmitool prints to `words`; empty when it says nothing.

    For what a BMC need not have (a LAN channel, an event log, sensors): its refusal, a bad exit code, is an answer.
    """
    return step.run("ipmitool", *words, limit=IPMITOOL_SECONDS, refusals=_REFUSALS) or b""
