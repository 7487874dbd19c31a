"""dist/build.json: how the image came to be, stage by stage; schemas/build.schema.json describes it."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iso import container, packages
from iso.errors import BuildError
from iso.image import release
from iso.replacement import replace_file
from iso.urls import without_userinfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iso.graph.stage import Step
    from iso.graph.stamps import Done
    from iso.paths import Paths
    from iso.versions import Config

FORMAT = 1


def write(steps: Sequence[Step], ran: set[str], config: Config, paths: Paths) -> None:
    """Write the report of a build that succeeded, whole or not at all.

    Args:
        steps: all stages, in their order, each of them done.
        ran: names of those that ran in this build; the others' results were there.
        config: the build as asked for.
        paths: where it goes.

    Raises:
        BuildError: a stage is not done, so that there is nothing to report.
    """
    stages = [_stage(step, ran=step.stage.name in ran, root=paths.root) for step in steps]
    tools = packages.versions(packages.listed(paths))
    document = {
        "format": FORMAT,
        "bee_version": release.bee_version(paths),
        "commit": release.git_commit(paths.root),
        "settings": settings(config),
        "finished": _time(time.time()),
        "seconds": round(sum(stage["seconds"] for stage in stages if not stage["cached"]), 3),
        "machine": _machine(tools),
        "tools": tools,
        "stages": stages,
    }
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    # A file's name that is no text has surrogates (PEP 383), which a string of JSON writes as Python does: \udce9.
    replace_file(paths.report, text.encode(errors="backslashreplace"))


def _stage(step: Step, *, ran: bool, root: Path) -> dict[str, Any]:
    done = step.stamp.read()
    why = step.stage.spared(step.job)
    if done is None and not why:
        raise BuildError(f"{step.stage.name} is not done: doit iso does it")
    return {
        "name": step.stage.name,
        "cached": not ran,
        **({"spared": why} if why and not ran else {}),
        "inputs": (done.inputs if done else step.inputs()).as_dict(),
        **_run(done, root),
    }


def _run(done: Done | None, root: Path) -> dict[str, Any]:
    """What is known of the run that made a stage's result; nothing of one that never ran here."""
    if done is None:
        return {"began": None, "seconds": 0, "commands": [], "outputs": {}}
    return {
        "began": _time(done.began),
        "seconds": done.seconds,
        "commands": done.commands,
        "outputs": {
            os.path.relpath(path, root): {"sha256": output.sha256, "size": output.size}
            for path, output in done.outputs.items()
            if Path(path).is_relative_to(root)
        },
    }


def settings(config: Config) -> dict[str, str]:
    """The settings of a build as text, URLs without passwords; those that were not given are empty.

    Args:
        config: the build as asked for.
    """
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {name: "" if value is None else without_userinfo(str(value)) for name, value in values.items()}


def _machine(tools: Mapping[str, str]) -> dict[str, object]:
    host = container.host(tools)
    system = re.search(r'^PRETTY_NAME="?([^"\n]*)', Path("/etc/os-release").read_text(), re.MULTILINE)
    return {
        "system": system[1] if system else "",
        "kernel": os.uname().release,
        "architecture": os.uname().machine,
        "processors": os.cpu_count() or 0,
        **({"container_on": host} if host else {}),
    }


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def expected(step: Step) -> float | None:
    """How many seconds a stage took when it ran the last time, by the report of the last build.

    Args:
        step: the stage.
    """
    return _durations(step.job.paths.report).get(step.stage.name)


@functools.cache
def _durations(file: Path) -> dict[str, float]:
    try:
        stages = json.loads(file.read_bytes())["stages"]
        return {stage["name"]: float(stage["seconds"]) for stage in stages if stage["began"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
