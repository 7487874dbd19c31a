"""Debian's archives among the sources of this machine's apt."""

from __future__ import annotations

# What to ask apt for: apt-get indextargets --format FORMAT "Created-By: Packages"
FORMAT = "$(RELEASE) $(COMPONENT) $(REPO_URI)"
# The names under which a sources.list may call a release of Debian.
RELEASES = ("bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable")


def parse_index_targets(listing: str) -> tuple[str | None, str | None]:
    """Archive and security archive among apt's sources.

    Args:
        listing: lines of release, component and URL, as `apt-get indextargets` prints them.
    """
    archive = security = None
    for line in listing.splitlines():
        words = line.split()
        if len(words) != 3 or words[1] != "main":
            continue
        release, _, url = words
        base, _, part = release.partition("-")
        if base not in RELEASES:
            continue
        if part == "security":
            security = security or url
        elif not part:
            archive = archive or url
    return archive, security
