"""NVLink: the links between GPUs, which nvidia-smi prints apart from all else and joins to a GPU by its UUID."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bee.model import NvLink
from bee.parsers import nvlink
from bee.quantities import number, whole

if TYPE_CHECKING:
    from bee.collectors.step import Step

STATUS = ("nvidia-smi", "nvlink", "-s")
ERRORS = ("nvidia-smi", "nvlink", "-e")
# What a GPU without NVLink is told to have; MIG mode and links that are all inactive are worth a note.
_NONE = re.compile(r"not have or support nvlink", re.IGNORECASE)


def ask(step: Step, limit: float) -> tuple[nvlink.Report, nvlink.Report]:
    """States and errors of all GPUs' links. With a bad exit code it says on stdout that there is no NVLink."""
    outputs = [step.run(*command, limit=limit, refusals=()) for command in (STATUS, ERRORS)]
    status, errors = (nvlink.parse(output or b"") for output in outputs)
    return status, errors


def of_gpu(uuid: str | None, status: nvlink.Report, errors: nvlink.Report, notes: list[str]) -> tuple[NvLink, ...]:
    """The links of one GPU, by number; what nvidia-smi said instead of them goes to `notes`."""
    states, counters = status.of(uuid), errors.of(uuid)
    if states is None:
        return ()
    notes.extend(f"nvlink: {remark}" for remark in states.remarks if not _NONE.search(remark))
    return tuple(_link(link, states, counters) for link in sorted({link for link, name, _ in states.links if not name}))


def _link(link: int, states: nvlink.Gpu, counters: nvlink.Gpu | None) -> NvLink:
    state = states.value(link, "")
    speed = number(state, "GB/s")

    def errors(kind: str) -> int | None:
        return whole(counters.value(link, f"{kind} Errors"), "") if counters else None

    return NvLink(
        number=link,
        active=True if speed is not None else False if "inactive" in state.lower() else None,
        speed_gigabytes_per_second=speed,
        replay_errors=errors("Replay"),
        recovery_errors=errors("Recovery"),
        crc_errors=errors("CRC"),
    )
