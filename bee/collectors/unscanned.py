"""The drives behind HPE's and Areca's controllers: `smartctl --scan` does not list them on Linux, so numbers are tried.

smartctl(8), `-d cciss,N` and `-d areca,N`; the device is the controller's own node of the SCSI generic driver.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bee.collectors import drive_health
from bee.records import dataclass

if TYPE_CHECKING:
    from bee.collectors.step import Step
    from bee.parsers.smartctl import Smart

_DRIVERS = "/sys/bus/pci/drivers"
_GENERIC = "/sys/class/scsi_generic"
_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", re.ASCII)
_NODE = re.compile(r"sg[0-9]{1,5}", re.ASCII)
# Smart Array controllers list what they have from 0 on: the numbers are asked by so many, until none of them answers.
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class _Family:
    """How one driver's drives are asked: smartctl's type, the numbers to try, the controller's own SCSI device type.

    `gaps`: a number is a slot, which may be empty, so that every one is tried.
    """

    kind: str
    numbers: range
    own_type: str
    gaps: bool


_FAMILIES = {
    "arcmsr": _Family("areca", range(1, 25), "3", True),
    "hpsa": _Family("cciss", range(128), "12", False),
    "smartpqi": _Family("cciss", range(128), "12", False),
}

Answer = tuple[str, str, "Smart", list[str]]


def ask_ahead(step: Step) -> None:
    """Begin the first questions to each controller."""
    for _, family, node in _controllers(step):
        if node is not None:
            _begin(step, family, node, family.numbers if family.gaps else family.numbers[:_AT_ONCE])


def answers(step: Step, notes: list[str]) -> list[Answer]:
    """Each drive that answers: its device, its type, what smartctl says of it and what it warned of.

    A controller that cannot be asked is trouble; one behind which nothing answers is a note.
    """
    found: list[Answer] = []
    for name, family, node in _controllers(step):
        if node is None:
            step.trouble(f"the drives behind {name} were not asked: it has no node of the SCSI generic driver (sg)")
            continue
        behind = _behind(step, family, node)
        if not behind:
            tried = f"{family.kind},{family.numbers[0]} to {family.numbers[-1] if family.gaps else _AT_ONCE - 1}"
            notes.append(f"no drive behind {name} answers smartctl -d {tried} on {node}")
        found += behind
    return found


def _behind(step: Step, family: _Family, node: str) -> list[Answer]:
    found: list[Answer] = []
    size = len(family.numbers) if family.gaps else _AT_ONCE
    for begin in range(0, len(family.numbers), size):
        numbers = family.numbers[begin : begin + size]
        _begin(step, family, node, numbers)
        # All of them, so that what was begun is on record; a drive that has died leaves a gap.
        batch = [answer for number in numbers if (answer := _ask(step, node, f"{family.kind},{number}")) is not None]
        found += batch
        if not batch:
            break
    return found


def _begin(step: Step, family: _Family, node: str, numbers: range) -> None:
    for number in numbers:
        step.ahead(*drive_health.command(node, f"{family.kind},{number}"), limit=drive_health.SMARTCTL_SECONDS)


def _ask(step: Step, node: str, kind: str) -> Answer | None:
    notes: list[str] = []
    smart = drive_health.ask(step, drive_health.command(node, kind), notes)
    # An enclosure answers, and is no drive.
    return (node, kind, smart, notes) if drive_health.health(smart) is not None and smart.serial else None


def _controllers(step: Step) -> list[tuple[str, _Family, str | None]]:
    """By address: what the controller is called in a message, how it is asked, and its node, None where it has none."""
    if not step.machine.is_root() or not step.machine.has_tool("smartctl"):
        return []
    return [
        (f"RAID controller {address} ({driver})", family, _node(step, address, family))
        for driver, family in _FAMILIES.items()
        for address in filter(_ADDRESS.fullmatch, step.machine.names(f"{_DRIVERS}/{driver}"))
    ]


def _node(step: Step, address: str, family: _Family) -> str | None:
    """The controller's own node, or else the first of what it shows the kernel."""
    below = [
        name
        for name in filter(_NODE.fullmatch, step.machine.names(_GENERIC))
        if f"/{address}/" in (step.machine.resolve(f"{_GENERIC}/{name}") or "")
    ]
    own = [
        name for name in below if (step.machine.read(f"{_GENERIC}/{name}/device/type") or "").strip() == family.own_type
    ]
    return f"/dev/{(own or below)[0]}" if below else None
