"""nvidia-smi(1) `nvlink -s` and `nvlink -e`: state, speed and error counters of each GPU's NVLinks.

Its XML (`-q -x`) has nothing of them.
"""

from __future__ import annotations

import re

from bee.records import dataclass

_GPU = re.compile(r"GPU [0-9]{1,4}: .*\(UUID: ([^()\s]{1,80})\)", re.ASCII)
_LINK = re.compile(r"Link ([0-9]{1,3}): (?:(.*?): )?(.*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU: what is said of each link by its number (`name: value`; a state has no name), and of the GPU instead."""

    uuid: str
    links: tuple[tuple[int, str, str], ...]
    remarks: tuple[str, ...]

    def value(self, link: int, name: str) -> str:
        """The raw value `name` of a link; an empty string when there is none."""
        return next((value for number, key, value in self.links if (number, key) == (link, name)), "")


@dataclass(frozen=True, slots=True)
class Report:
    """All GPUs in nvidia-smi's order, and notes on what stands outside of any."""

    gpus: tuple[Gpu, ...] = ()
    notes: tuple[str, ...] = ()

    def of(self, uuid: str | None) -> Gpu | None:
        """The GPU of that UUID."""
        return next((gpu for gpu in self.gpus if gpu.uuid == uuid), None)


def parse(data: bytes) -> Report:
    """Read `Link 0: 25 GB/s`, `Link 1: <inactive>`, `Link 0: CRC Errors: 0` below `GPU 0: NAME (UUID: …)`."""
    gpus: list[tuple[str, list[tuple[int, str, str]], list[str]]] = []
    notes: list[str] = []
    for line in data.decode("utf-8", "replace").split("\n"):
        text = line.strip()
        if (gpu := _GPU.fullmatch(text)) is not None:
            gpus.append((gpu[1], [], []))
        elif text and not gpus:
            notes.append(text)
        elif (link := _LINK.fullmatch(text)) is not None:
            gpus[-1][1].append((int(link[1]), link[2] or "", link[3].strip()))
        elif text:
            gpus[-1][2].append(text)
    return Report(tuple(Gpu(uuid, tuple(links), tuple(said)) for uuid, links, said in gpus), tuple(notes))
