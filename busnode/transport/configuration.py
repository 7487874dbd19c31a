"""How ssh's client is configured: its files, whether more than Debian's package wrote into them, an option's value."""

from __future__ import annotations

import re
from pathlib import Path

USER_CONFIGURATION, SYSTEM_CONFIGURATION = "~/.ssh/config", Path("/etc/ssh/ssh_config")
# What Debian's package sets there, and what leads nobody anywhere: ssh need not be asked what comes of it.
_DEBIANS_OWN = re.compile(
    r"\s*(#.*|Include\s+/etc/ssh/ssh_config\.d/\*\.conf|(Host|SendEnv|HashKnownHosts|GSSAPIAuthentication)[\s=].*)?",
    re.IGNORECASE,
)


def drop_ins() -> list[Path]:
    """What Debian's configuration of ssh's client includes."""
    return sorted(Path("/etc/ssh/ssh_config.d").glob("*.conf"))


def is_configured() -> bool:
    """Whether anybody but Debian's package configured ssh's client."""
    if Path(USER_CONFIGURATION).expanduser().exists() or drop_ins():
        return True
    try:
        lines = SYSTEM_CONFIGURATION.read_text(errors="replace").splitlines()
    except OSError:
        # ssh goes on without it, too.
        return False
    return not all(map(_DEBIANS_OWN.fullmatch, lines))


def quoted(path: Path) -> str:
    """A path as an option's value: ssh splits it at spaces, expands % and takes a quoted word whole."""
    return '"' + str(path.absolute()).replace("%", "%%") + '"'
