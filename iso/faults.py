"""What tools say of an archive that they cannot use and of a full disk, as one line: what, where, and what to do."""

from __future__ import annotations

import re

from iso.urls import without_userinfo

# apt's summary of the lines above it.
_SUMMARY = re.compile(r"Some index files|Some files failed|Unable to fetch some|Failed to fetch some|Aborting")
_FULL = "No space left on device"
_SUDO = "sudo: a password is required"
# What is known of such words, the first that fits: what to do.
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
    (_SUDO, "run as root, or `sudo -v` first, or let this user use sudo without a password (sudoers(5), NOPASSWD)"),
    (_FULL, "free some space there, or memory where it is built in memory: what is done is kept"),
)


def fault(output: str) -> str | None:
    """The first thing that went wrong, and what to do about it; None where nothing is said that is understood.

    Args:
        output: what a tool printed: apt-get, mmdebstrap, live-build, sudo, or any that found a disk full.
    """
    # apt's own errors, sudo's (it is run with -n), and of other tools the one that they all say alike (strerror(3)).
    found = re.finditer(rf"^E: (?P<apt>.*)$|^(?P<other>.*{_FULL}.*|{_SUDO})$", output, re.MULTILINE)
    said = [(match["apt"] or match["other"] or "").strip() for match in found]
    for line in said:
        reason = re.sub(r"\s+", " ", without_userinfo(line)).removesuffix(".")
        for pattern, remedy in () if _SUMMARY.match(line) else _REMEDIES:
            if re.search(pattern, reason):
                return f"{reason}: {remedy}"
    return None
