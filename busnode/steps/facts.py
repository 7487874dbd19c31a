"""What status reads of a node, and how it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from busnode.report import json_object, number
from busnode.script import Step
from busnode.steps import applied, listeners, upkeep
from busnode.steps.services import watched

if TYPE_CHECKING:
    from collections.abc import Collection

    from busnode.inventory import Target

# What a node notes of an operation; it could say anything.
_LAST_OPERATION = "last operation"
_LAST = ("operation", "operation_id", "by", "at", "ended")


def steps(target: Target) -> list[Step]:
    """The reading steps; none changes anything."""
    return [
        check_ssh(),
        Step("read-release", "release", "facts", ("read_release",)),
        Step("read-units", "units", "facts", ("read_units", *watched(target))),
        listeners.read(),
        Step("read-firewall", "firewall counters", "facts", ("read_firewall",)),
        upkeep.reboot(),
        Step("read-last-operation", _LAST_OPERATION, "facts", ("read_last_operation",)),
        applied.read(),
    ]


def check_ssh() -> Step:
    """That a log-in and root were had, and through which port."""
    return Step("check-ssh", "ssh", "facts", ("read_ssh",), once=True)


def digest(facts: dict[str, str], told: Collection[str] | None = None) -> dict[str, Any]:
    """The script's facts as the response document shows them; what was not read is left out.

    `told` are the steps that ended, None where all did.
    """
    found: dict[str, Any] = {"reachable": told is None or check_ssh().name in told}
    for name in ("release", "kernel", "architecture", "system", "pending", "running"):
        if facts.get(name):
            found[name] = facts[name].strip()
    for name in ("uptime_seconds", "ssh_port"):
        if (value := number(facts.get(name, ""))) is not None:
            found[name] = value
    if "units" in facts:
        found["units"] = dict(line.split(" ", 1) for line in facts["units"].splitlines() if " " in line)
        found["failed_units"] = facts.get("failed_units", "").split()
    if "listeners" in facts:
        found["listeners"] = [*listeners.sockets(facts), *listeners.sockets(facts, "udp")]
    if counters := _counters(json_object(facts.get("firewall", ""))):
        found["firewall"] = counters
    if "reboot" in facts:
        found["reboot"] = {"pending": bool(facts["reboot"]), "reasons": facts["reboot"].splitlines()}
    if "updates" in facts:
        age = facts.get("lists_age_seconds", "")
        found["updates"] = {
            "packages": upkeep.packages(facts["updates"]),
            "lists_age_seconds": number(age),
        }
    return found | _last_operation(facts) if told is None or _LAST_OPERATION in told else found


def _last_operation(facts: dict[str, str]) -> dict[str, Any]:
    last = json_object(facts.get("last_operation", ""))
    return {"last_operation": last and {key: last[key] for key in _LAST if isinstance(last.get(key), str | int)}}


def _counters(table: dict[str, Any] | None) -> dict[str, Any]:
    """The counters of our table, as `nft -j list table` gives it: by port, and by rule."""
    found: dict[str, list[dict[str, Any]]] = {"ports": [], "rules": []}
    entries = (table or {}).get("nftables")
    for entry in entries if isinstance(entries, list) else ():
        match entry:
            case {"set": {"elem": list(elements)}}:
                for element in elements:
                    match element:
                        case {"elem": {"val": int(port), "counter": {"packets": int(packets), "bytes": int(size)}}}:
                            found["ports"].append({"port": port, "packets": packets, "bytes": size})
            case {"rule": {"comment": str(name), "expr": list(expressions)}}:
                for expression in expressions:
                    match expression:
                        case {"counter": {"packets": int(packets), "bytes": int(size)}}:
                            found["rules"].append({"rule": name, "packets": packets, "bytes": size})
    return found if entries else {}
