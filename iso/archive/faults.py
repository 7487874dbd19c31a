"""What apt says of an archive that it cannot use, as one line: what, where, and what to do."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from iso.errors import BuildError
from iso.urls import without_userinfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# apt's summary of the lines above it.
_SUMMARY = re.compile(r"Some index files|Some files failed|Unable to fetch some|Failed to fetch some|Aborting")
# What is known of apt's words, the first that fits: what to do.
_REMEDIES = (
    (
        r"expired|Valid-Until",
        "an archive of the past is named with its time: doit iso mirror=URL/{snapshot} snapshot=TIME",
    ),
    (r"not valid yet", "this machine's clock is behind: set it, see timedatectl(1)"),
    (r"NO_PUBKEY|not signed|signature|GPG error", "only Debian's own archives are believed: name a mirror of them"),
    (
        r"Hash Sum mismatch|unexpected size|Connection (failed|closed)|Undetermined|unexpectedly",
        "it broke off or is being updated: run the same again; what came whole is kept",
    ),
    (
        r"[Cc]onnect|resolv|timed out|unreachable|Proxy|proxy",
        "see whether the network and apt's proxy are up (apt-config dump Acquire), or name another mirror=URL",
    ),
    (r"404|does not have a Release", "it lacks this release, or lies elsewhere: doit iso mirror=URL names another"),
    (r"No space left", "free some space there: what came whole is kept"),
)


@contextlib.contextmanager
def explained(log: Path) -> Iterator[None]:
    """Have an apt that fails in this block say why, in one line.

    Args:
        log: where its output goes.

    Raises:
        BuildError: it failed.
    """
    begin = log.stat().st_size if log.exists() else 0
    try:
        yield
    except BuildError as error:
        with log.open("rb") as stream:
            stream.seek(begin)
            said = fault(stream.read().decode(errors="replace"))
        if said is None:
            raise
        raise BuildError(f"{said}\n  all of it: {log}") from error


def fault(output: str) -> str | None:
    """The first thing that went wrong, and what to do about it; None where apt says nothing that is understood.

    Args:
        output: what apt-get or mmdebstrap printed.
    """
    errors = [match[1].strip() for match in re.finditer(r"^E: (.*)$", output, re.MULTILINE)]
    first = next((error for error in errors if not _SUMMARY.match(error)), None)
    if first is None:
        return None
    reason = re.sub(r"\s+", " ", without_userinfo(first)).removesuffix(".")
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, reason):
            return f"{reason}: {remedy}"
    return None
