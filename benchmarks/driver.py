"""What NVIDIA's driver costs (stage 6) beside `make -j` alone, and what it costs when a cache has it."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

from benchmarks.pieces import caches, copy, doit, measured
from benchmarks.timing import Row, spread
from iso import build_root
from iso.build_root import Bind
from iso.mounts import remove_tree
from iso.paths import Paths
from iso.stages import nvidia, nvidia_debian
from iso.stages.kernel import kernel_abi
from iso.stages.nvidia_driver import Workshop
from iso.versions import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WANTED = {"nvidia": "debian", "nvidia_flavour": "proprietary"}
_BEFORE, _BUILT = "vendor", nvidia.LINK_LIBRARIES.name
LIMIT, CACHED_SECONDS = 1.15, 1.0
# What a person would type in a system with the kernel's headers; seconds by the clock, in the program, in the kernel.
_MAKE = """
cp -a /source /tmp/nvidia
cd /tmp/nvidia
TIMEFORMAT='%R %U %S'
{ time make -j "$(nproc)" modules NV_EXCLUDE_KERNEL_MODULES=nvidia-peermem SYSSRC="/lib/modules/$1/source" \
    SYSOUT="/lib/modules/$1/build" KERNEL_UNAME="$1" >/tmp/make.log 2>&1; } 2>/result/seconds
"""


def rows(place: Path) -> Iterator[Row]:
    """Stage 6 with empty caches, and `make -j` in the same system; then with the driver in the shared cache."""
    folder = place / "driver"
    checkout = copy(folder)
    _run(folder, checkout, _BEFORE)
    with (folder / "build.log").open("ab") as log:
        command = doit(checkout, [_BUILT], _WANTED)
        wall, used = measured(command, env=caches(folder), stdout=log, stderr=log)
    built = _seconds_of(checkout, nvidia.BUILD.name)
    make, make_used = _bare_make(folder, checkout)
    last = sum(_run(folder, checkout, "nvidia").values())
    yield Row("make -j alone", spread([make]), "s", None)
    yield Row("6d: make -j, strip, checks", spread([built / make]), "of its time", LIMIT)
    yield Row("stage 6, a to f", spread([(wall + last) / make]), "of its time", LIMIT)
    yield Row("  processor time, without f", spread([used / make_used]), "of its", None)
    remove_tree(checkout / "dist")
    _run(folder, checkout, _BEFORE)
    yield Row("stage 6, cached", spread([sum(_run(folder, checkout, "nvidia").values())]), "s", CACHED_SECONDS)


def _run(folder: Path, checkout: Path, task: str) -> dict[str, float]:
    """Have a task done; the seconds of each part of stage 6 that ran."""
    command = doit(checkout, ["--log-json", task], _WANTED)
    done = subprocess.run(command, env=caches(folder), check=True, stdout=subprocess.PIPE, text=True)
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    ended = [event for event in events if event["event"] == "finished"]
    return {event["stage"]: event["seconds"] for event in ended if event["stage"].startswith("nvidia:")}


def _seconds_of(checkout: Path, stage: str) -> float:
    """How long a stage took, by its stamp."""
    (stamp,) = [file for file in (checkout / "dist/stamps").iterdir() if file.name.endswith(stage)]
    return float(json.loads(stamp.read_bytes())["seconds"])


def _bare_make(folder: Path, checkout: Path) -> tuple[float, float]:
    """Seconds of `make -j`, by the clock and of the processor, in what stages 6a to 6c left."""
    paths = Paths.of(checkout)
    job = nvidia.BUILD.job(load(paths, _WANTED), paths)
    here = Workshop.of(job)
    source = nvidia_debian.located(here.extracted, job.config).kernel_source
    result = folder / "result"
    result.mkdir()
    shown = [Bind(source, "/source"), Bind(result, "/result", writable=True)]
    make = ["/bin/bash", "-euc", _MAKE, "make", kernel_abi(paths)]
    command = build_root.command_line(here.build_root, paths.mount_point, shown, make)
    isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *command]
    subprocess.run(isolated, env=os.environ, check=True, stdin=subprocess.DEVNULL)
    clock, program, kernel = map(float, (result / "seconds").read_text().split())
    return clock, program + kernel
