"""Debian's archives among the sources of this machine's apt."""

from __future__ import annotations

# What to ask apt for: apt-get indextargets --format FORMAT "Created-By: Packages"
FORMAT = "$(RELEASE)|$(COMPONENT)|$(REPO_URI)|$(ORIGIN)|$(LABEL)"
# The names under which a sources.list may call a release of Debian.
RELEASES = ("bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable")
_LABELS = {"": "Debian", "security": "Debian-Security"}


def parse_index_targets(listing: str) -> tuple[str | None, str | None]:
    """Archive and security archive among apt's sources: those whose Release files say that they are Debian's.

    Args:
        listing: lines of FORMAT, as `apt-get indextargets` prints them.
    """
    found: dict[str, str] = {}
    for line in listing.splitlines():
        fields = line.strip().split("|")
        if len(fields) != 5:
            continue
        release, component, url, origin, label = fields
        base, _, part = release.partition("-")
        if component != "main" or base not in RELEASES or part not in _LABELS or not url:
            continue
        # Others name their releases like Debian's, too; only an archive that says nothing of itself is believed.
        if (origin, label) in {("Debian", _LABELS[part]), ("", "")}:
            found.setdefault(part, url)
    return found.get(""), found.get("security")
