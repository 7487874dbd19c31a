"""Versions of this machine's Debian packages: the tools that a build works with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from iso import machine_files, remembered
from iso.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iso.paths import Paths


def listed(paths: Paths) -> list[str]:
    """The packages that a build machine needs, by iso/builder/host-packages.

    Args:
        paths: the checkout.
    """
    lines = (paths.builder / "host-packages/iso").read_text().splitlines()
    return sorted(name for line in lines if (name := line.partition("#")[0].strip()))


def versions(names: Iterable[str]) -> dict[str, str]:
    """The installed version of each package; of one that is not installed none (dpkg-query(1)).

    Args:
        names: of packages.
    """
    try:
        listing = remembered.capture(
            ["dpkg-query", "-W", "-f", "${Package}\t${Version}\t${db:Status-Status}\n"],
            [Path(file) for file in machine_files.DPKG],
        )
    except BuildError:
        # Not a Debian machine: preflight says so where it matters.
        return {}
    return parse_versions(listing, names)


def parse_versions(listing: str, names: Iterable[str]) -> dict[str, str]:
    """The installed packages among those that are asked about.

    Args:
        listing: name, version and state of a package on each line, with tabs between.
        names: of packages.
    """
    fields = (line.split("\t") for line in listing.splitlines())
    wanted = set(names)
    return {row[0]: row[1] for row in fields if len(row) == 3 and row[2] == "installed" and row[0] in wanted}
