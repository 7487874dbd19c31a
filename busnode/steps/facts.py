"""What status reads of a node, and how it is told."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from busnode.script import Step, json_object
from busnode.steps.services import watched

if TYPE_CHECKING:
    from busnode.inventory import Target

# What a node says is a number; int() itself takes digits of every script, and refuses thousands of them.
_NUMBER = re.compile(r"[0-9]{1,15}")


def steps(target: Target) -> list[Step]:
    """The reading steps; none changes anything."""
    return [
        check_ssh(),
        Step("read-release", "release", "facts", ("read_release",)),
        Step("read-units", "units", "facts", ("read_units", *watched(target))),
        Step("read-listeners", "listeners", "facts", ("read_listeners",)),
        Step("read-last-operation", "last operation", "facts", ("read_last_operation",)),
    ]


def check_ssh() -> Step:
    """That a log-in and root were had, and through which port."""
    return Step("check-ssh", "ssh", "facts", ("read_ssh",))


def digest(facts: dict[str, str]) -> dict[str, Any]:
    """The script's facts as the response document shows them; what was not read is left out."""
    found: dict[str, Any] = {}
    for name in ("release", "kernel", "architecture", "system", "pending", "running"):
        if facts.get(name):
            found[name] = facts[name].strip()
    for name in ("uptime_seconds", "ssh_port"):
        if _NUMBER.fullmatch(facts.get(name, "")):
            found[name] = int(facts[name])
    if "units" in facts:
        found["units"] = dict(line.split(" ", 1) for line in facts["units"].splitlines() if " " in line)
        found["failed_units"] = facts.get("failed_units", "").split()
    if "listeners" in facts:
        found["listeners"] = [_socket(line) for line in facts["listeners"].splitlines() if len(line.split()) >= 5]
    found["last_operation"] = json_object(facts.get("last_operation", ""))
    return found


def _socket(line: str) -> dict[str, Any]:
    """One line of `ss -H -tlnp`: State Recv-Q Send-Q Local:Port Peer:Port users:(("sshd",pid=1,fd=3))."""
    words = line.split()
    address, _, port = words[3].rpartition(":")
    process = line.partition('users:(("')[2].partition('"')[0]
    return {
        "address": address.strip("[]"),
        "port": int(port) if _NUMBER.fullmatch(port) else None,
        "process": process or None,
    }
