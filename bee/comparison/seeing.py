"""Whether an audit could see what it does not have: a part that no tool listed is not known to be gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bee import model
from bee.drives import SMARTCTL_NOTE, Drive

if TYPE_CHECKING:
    from bee.model import Audit, Collector

_QUOTED = 2
_RAID = ("storcli64", "sas2ircu", "sas3ircu")
# The step whose part a rule looks at, by the first word of the rule's id; the clock needs none.
_STEPS = {
    "disk": "storage",
    "raid": "storage",
    "memory": "memory",
    "cpu": "cpu",
    "pcie": "pcie",
    "psu": "psu",
    "redundancy": "psu",
    "sensor": "psu",
    "sel": "psu",
    "gpu": "nvidia",
}


def whole(audit: Audit, step: str) -> bool:
    """Whether all of a step's part was seen, so that a null in it is the machine's own answer."""
    collector = _collector(audit, step)
    return getattr(audit, step) is not None and (collector is None or collector.status == "ok")


def listed(audit: Audit, step: str, part: object, tools: tuple[tuple[str, ...], ...]) -> bool:
    """Whether the audit would have such a `part` in its list if it were there.

    Args:
        audit: the audit that does not have it.
        step: the step whose list it is.
        part: the part, as the other audit has it.
        tools: the beginnings of the commands that make the list.
    """
    optional = optional_tool(part)
    if optional is None:
        return _listed(audit, step, tools)
    own = tuple(tool for tool in tools if tool[0] == optional)
    return bool(_exited(audit, step, (optional,))) and _listed(audit, step, own)


def list_seen(audit: Audit, step: str, kind: type, tools: tuple[tuple[str, ...], ...]) -> bool:
    """Whether the audit's list of all parts of this kind is all there is."""
    if kind is model.RaidController:
        return bool(_exited(audit, step, _RAID)) and _listed(audit, step, tools)
    return _listed(audit, step, tools)


def _listed(audit: Audit, step: str, tools: tuple[tuple[str, ...], ...]) -> bool:
    if whole(audit, step):
        return True
    collector = _collector(audit, step)
    ran = [run for run in (collector.tools if collector else ()) if _begins(run.args, tools)]
    return bool(ran) and all(run.outcome == "exited" and run.exit_code == 0 for run in ran)


def _begins(args: tuple[str, ...], tools: tuple[tuple[str, ...], ...]) -> bool:
    return any(args[: len(tool)] == tool for tool in tools)


def doubtful(audits: tuple[Audit, Audit]) -> int | None:
    """Which of two audits had fewer of the tools that name power supplies; None where both had the same.

    Firmware and BMC call a supply by different names: what only one of them says is no change of what both say.
    """
    named = [_exited(audit, "psu", ("dmidecode", "ipmitool")) for audit in audits]
    if named[0] == named[1]:
        return next((side for side, audit in enumerate(audits) if not whole(audit, "psu")), None)
    return 0 if len(named[0]) < len(named[1]) else 1


def saw_finding(audits: tuple[Audit, Audit], rule: str, side: int) -> bool:
    """Whether the audit `side`, which lacks a finding that the other has, looked at what the rule looks at."""
    step = step_of_rule(rule)
    if step is None:
        return True
    if rule.startswith("raid-") and not _exited(audits[1 - side], step, _RAID) <= _exited(audits[side], step, _RAID):
        return False
    return whole(audits[side], step) and (not rule.startswith("psu-") or doubtful(audits) is None)


def no_health(part: object) -> bool:
    """Whether no tool read a drive's health, so that lsblk's word, cut as it is, is all that is known of a disk."""
    return isinstance(part, Drive) and part.smart is None and getattr(part, "nvme", None) is None


def why_no_health(part: Drive) -> str:
    """Why it was not read, in smartctl's words."""
    return next((note for note in part.notes if note.startswith(SMARTCTL_NOTE)), "no tool read its health")


def saw_bmc(audit: Audit) -> bool:
    """Whether the BMC was asked: a machine where nothing asks it does not say that there is none."""
    return bool(_exited(audit, "board", ("ipmitool",)))


def _exited(audit: Audit, step: str, tools: tuple[str, ...]) -> set[str]:
    """Those of the tools that a step ran and that ended by themselves."""
    collector = _collector(audit, step)
    ran = {run.args[0] for run in (collector.tools if collector else ()) if run.args and run.outcome == "exited"}
    return ran.intersection(tools)


def optional_tool(part: object) -> str | None:
    """The one tool that lists such a part, where a step is whole without that tool."""
    if isinstance(part, model.RaidMember):
        return "smartctl"
    return part.tool if isinstance(part, model.RaidController) else None


def why(audit: Audit, step: str) -> str:
    """Why an audit lacks something of a step, in its own words."""
    collector = _collector(audit, step)
    if collector is None or not collector.reasons:
        return "the audit does not say why"
    more = len(collector.reasons) - _QUOTED
    return "; ".join([*collector.reasons[:_QUOTED], *([f"and {more} more"] if more > 0 else [])])


def step_of_rule(rule: str) -> str | None:
    """The step whose part a rule of bee/health.py looks at; None for one that looks at none."""
    return _STEPS.get(rule.partition("-")[0])


def _collector(audit: Audit, step: str) -> Collector | None:
    return next((collector for collector in audit.collectors if collector.name == step), None)
