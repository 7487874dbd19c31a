"""The facts of one build that the image carries: versions, commit, kernel, driver, date."""

from __future__ import annotations

import functools
import os
import re
import shlex
import time
from typing import TYPE_CHECKING

from iso import shell
from iso.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from iso.paths import Paths
    from iso.versions import Config

# git may otherwise write what it learns of file times into its index (git(1), GIT_OPTIONAL_LOCKS).
_READ_ONLY = {"GIT_OPTIONAL_LOCKS": "0"}
# Untracked files that a build takes, as git status says them.
_OF_THE_IMAGE = ("? bee/", "? iso/", "? schemas/")
_VERSION = re.compile(r'^__version__\s*=\s*"([^"]+)"', re.MULTILINE)


def bee_version(paths: Paths) -> str:
    """The audit program's version, read from its text: the builder never imports it.

    Raises:
        BuildError: there is none to read.
    """
    source = paths.bee / "__init__.py"
    try:
        match = _VERSION.search(source.read_text())
    except OSError as error:
        raise BuildError(f"{source}: {error.strerror}") from None
    if not match:
        raise BuildError(f'{source}: no line __version__ = "…"')
    return match[1]


def git_commit(root: Path) -> str:
    """The checkout's commit, with -dirty where files differ or one of the image's is not in it; `unknown` outside git.

    Args:
        root: the checkout.
    """
    try:
        # git describe --dirty would write the index, whatever it is told (git-status(1), "Background Refresh").
        said = _git(root, "status", "--porcelain=v2", "--branch", "--untracked-files=normal", "-z").split("\0")
    except BuildError:
        return "unknown"
    commit = next((line.split()[2] for line in said if line.startswith("# branch.oid ")), "(initial)")
    dirty = any(line[:1] not in {"", "#", "?"} or line.startswith(_OF_THE_IMAGE) for line in said)
    return "unknown" if commit == "(initial)" else f"{commit}{'-dirty' if dirty else ''}"


def given_date() -> int | None:
    """Seconds since 1970 of SOURCE_DATE_EPOCH, where that is set.

    Raises:
        BuildError: it is no number.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given and not re.fullmatch(r"[0-9]{1,11}", given):
        raise BuildError(f"SOURCE_DATE_EPOCH={given[:40]}: not a number of seconds since 1970")
    return int(given) if given else None


def source_date(paths: Paths) -> int:
    """Seconds since 1970 that all times in the image are cut down to: SOURCE_DATE_EPOCH, or when the commit was made.

    Raises:
        BuildError: SOURCE_DATE_EPOCH is no number.
    """
    given = given_date()
    if given is not None:
        return given
    try:
        return int(_git(paths.root, "log", "-1", "--format=%ct"))
    except (BuildError, ValueError):
        return int(paths.versions.stat().st_mtime)


@functools.cache
def _git(root: Path, *arguments: str) -> str:
    """One answer for the whole of a build: its parts agree on the commit, whatever is committed meanwhile."""
    # The checkout may be another user's: root builds in a user's clone.
    return shell.capture(["git", "-c", f"safe.directory={root}", "-C", str(root), *arguments], _READ_ONLY).strip()


def facts(config: Config, paths: Paths, kernel_abi: str) -> dict[str, str]:
    """What /etc/bee-release says.

    Args:
        config: the build as asked for.
        paths: the checkout.
        kernel_abi: the kernel that the build settled on.
    """
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(source_date(paths)))
    return {
        "BEE_VERSION": bee_version(paths),
        "GIT_COMMIT": git_commit(paths.root),
        "SUITE": config.suite,
        "KERNEL_ABI": kernel_abi,
        "NVIDIA_SOURCE": config.nvidia_source,
        "NVIDIA_FLAVOUR": config.nvidia_flavour if config.with_nvidia else "none",
        "NVIDIA_VERSION": config.nvidia_version if config.with_nvidia else "none",
        "BUILD_DATE": date,
    }


def shell_lines(values: Mapping[str, str]) -> str:
    """KEY=value lines that a shell can source, whatever the values are.

    Args:
        values: names and values.
    """
    return "".join(f"{key}={shlex.quote(value)}\n" for key, value in values.items())


def fill_in(template: str, values: Mapping[str, str]) -> str:
    """A text with each @KEY@ replaced by its value.

    Args:
        template: the text.
        values: what the keys stand for.

    Raises:
        BuildError: it has a key that is not there.
    """
    unknown = sorted({key for key in re.findall(r"@([A-Z][A-Z0-9_]*)@", template) if key not in values})
    if unknown:
        raise BuildError(
            f"motd: no value for {', '.join(f'@{key}@' for key in unknown)}; there are: {', '.join(values)}"
        )
    return re.sub(r"@([A-Z][A-Z0-9_]*)@", lambda match: values[match[1]], template)
