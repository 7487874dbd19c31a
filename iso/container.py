"""A build in a container: how it is handed over to one, and what its report says of the machine around it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Never

from iso.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iso.paths import Paths

SETTING = "container"
ENGINES = ("podman", "docker")
_SCRIPT = "build-in-container.sh"
# What the script tells the build in there of the machine around it: its system, and a word PACKAGE=VERSION for each
# package that it has of those a build needs.
_SYSTEM, _PACKAGES = "BEE_HOST_SYSTEM", "BEE_HOST_PACKAGES"
# And where on that machine the folder with the password is.
_PRIVATE = "BEE_HOST_PRIVATE"


def hand_over(paths: Paths, settings: Mapping[str, str], tasks: Sequence[str], options: Sequence[str]) -> Never:
    """Become the build in a container, which is of the whole image.

    Args:
        paths: the checkout.
        settings: of the build, with the engine among them.
        tasks: what is asked for.
        options: doit's own that are given.

    Raises:
        BadInputError: something else than the whole image is asked for.
        OSError: the script cannot be started.
    """
    engine = settings[SETTING]
    if list(tasks) != ["iso"] or options:
        other = " ".join([*tasks, *(f"--{name.replace('_', '-')}" for name in options)])
        raise BadInputError(
            [f"{SETTING}={engine}: the whole image is built in a container, without options of doit, not {other}"]
        )
    script = paths.builder / _SCRIPT
    words = [f"{key}={value}" for key, value in settings.items() if key != SETTING]
    os.execve(script, [str(script), *words], os.environ | {"BEE_CONTAINER_ENGINE": engine})  # noqa: S606  # no shell is meant


def host(tools: Mapping[str, str]) -> dict[str, object] | None:
    """The machine around this container, with the tools that it has in other versions; None outside a container.

    Args:
        tools: packages in here, with their versions.
    """
    system = os.environ.get(_SYSTEM)
    if system is None:
        return None
    words = os.environ.get(_PACKAGES, "").split()
    there = {name: version for name, mark, version in (word.partition("=") for word in words) if mark}
    differing = sorted(name for name in there.keys() & tools.keys() if there[name] != tools[name])
    return {
        "system": system,
        "other_versions": {name: {"host": there[name], "container": tools[name]} for name in differing},
    }


def on_host(private: Path) -> Path:
    """Where a file of the user's own folder is on the machine around this container; outside of one, where it is.

    Args:
        private: a file right in that folder (`Paths.private`).
    """
    folder = os.environ.get(_PRIVATE)
    return Path(folder) / private.name if folder else private
