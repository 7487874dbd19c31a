"""What an operator may turn off or point elsewhere, by flag or on the kernel's command line, before anything is run.

At boot nobody types flags: `bee.skip=psu` on the kernel's command line keeps a BMC that hangs from costing a visit to
the rack. What is wrong there is said and ignored, since an audit matters more; what is wrong in a flag is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bee.machine import is_program
from bee.records import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# In the document's order.
STEPS = ("board", "cpu", "memory", "storage", "pcie", "psu", "nvidia")
_TOOL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", re.ASCII)
_MAX_SECONDS = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`skip` maps a step to why it is skipped, `tools` a tool to its path; `notes` are what the audit says of both."""

    skip: Mapping[str, str] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    deadline_seconds: float | None = None
    notes: tuple[str, ...] = ()


def steps(text: str) -> tuple[str, ...]:
    """`psu,nvidia` as names of steps.

    Raises:
        ValueError: one of them is no step; the text names them all.
    """
    names = tuple(text.split(","))
    for name in names:
        if name not in STEPS:
            raise ValueError(f"there is no step {name!r}; the steps are {', '.join(STEPS)}")
    return names


def tool(text: str) -> tuple[str, str]:
    """`ipmitool=/opt/bin/ipmitool` as name and path.

    Raises:
        ValueError: it is not of that form, or there is no program at that path.
    """
    name, _, path = text.partition("=")
    if not _TOOL_NAME.fullmatch(name) or not path.startswith("/"):
        raise ValueError(f"{text!r} is not NAME=PATH with a path from / on")
    if not is_program(path):
        raise ValueError(f"there is no program at {path}")
    return name, path


def seconds(text: str) -> float:
    """A time of more than nothing.

    Raises:
        ValueError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < _MAX_SECONDS:
        raise ValueError(f"{text!r} is no number of seconds greater than 0")
    return value


def combine(
    kernel: str | None,
    skip: Sequence[tuple[str, ...]] = (),
    tools: Sequence[tuple[str, str]] = (),
    deadline_seconds: float | None = None,
) -> Settings:
    """The flags' settings and those on the kernel's command line; where both name one thing, the flag wins.

    What the kernel's command line says twice it means as it says it last.

    Args:
        kernel: the text of /proc/cmdline, None where it cannot be read.
        skip: each --skip's steps.
        tools: each --tool's name and path.
        deadline_seconds: --deadline.
    """
    skipped: dict[str, str] = {}
    paths: dict[str, tuple[str, str]] = {}
    notes: list[str] = []
    of_kernel: float | None = None
    for word in (kernel or "").split():
        key, _, value = word.partition("=")
        try:
            if key == "bee.skip":
                skipped |= dict.fromkeys(steps(value), f"skipped by {word} on the kernel's command line")
            elif key == "bee.tool":
                name, path = tool(value)
                paths[name] = (path, "bee.tool on the kernel's command line")
            elif key == "bee.deadline":
                of_kernel = seconds(value)
        except ValueError as error:
            notes.append(f"ignored {word} on the kernel's command line: {error}")
    skipped |= {name: f"skipped by --skip {','.join(names)}" for names in skip for name in names}
    paths |= {name: (path, "--tool") for name, path in tools}
    notes += [f"{name} is {path}, by {source}" for name, (path, source) in sorted(paths.items())]
    return Settings(
        skip=skipped,
        tools={name: path for name, (path, _) in paths.items()},
        deadline_seconds=of_kernel if deadline_seconds is None else deadline_seconds,
        notes=tuple(notes),
    )
