"""A node's whole file system, and the paths of it that change by themselves, each with its reason."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.nodes.node import Node

# What a plain `ssh node sudo true` and the passing of time write. Anything else that changes is a change.
VOLATILE = {
    "/run/log/journal/*": "journald writes down the log-in, and what sudo was asked to run",
    "/var/log/journal/*": "the same, where the journal is kept on disk",
    "/var/log/wtmp": "login(1)'s record of the log-in",
    "/var/log/lastlog": "the account's last log-in",
    "/var/lib/lastlog/*": "the same, as a database",
    "/var/lib/lastlog": "the same: a database makes and removes its journal there",
    "/var/lib/wtmpdb/*": "the record of log-ins, as a database",
    "/var/lib/wtmpdb": "the same",
    "/run/utmp": "who is logged in",
    "/run/agetty.reload": "a getty of the console heard that the machine's name or addresses were set",
    "/run/motd.dynamic": "PAM writes it anew at each log-in",
    "/run/sudo/*": "sudo's time stamps, a file a user",
    "/var/lib/sudo/*": "that sudo's lecture was given",
    "/run/systemd/*": "systemd's own state: sessions, users, units under way",
    "/run/systemd": "the same",
    "/run/user/*": "the folder of a user's session, made at log-in",
    "/run/user": "the same: that folder is made and removed here",
    "/run/credentials/*": "systemd's folder for a unit that is starting, such as user@.service",
    "/run/credentials": "the same",
    "/var/lib/systemd/timers/*": "when each of the node's own timers last ran",
    "/run": "our folder in memory for the script is made and removed here",
}

# A line a path: type, mode, owner, size, time of the last change of content and of inode, link, content's digest.
# ctime is set by the kernel alone: what was changed and put back shows too.
_FILES = r"""
for mount in / /run /tmp /dev/shm; do
    find "$mount" -xdev \( -path /run/root -o -path /run/packages \) -prune -o \
        ! -type d -printf '%p\t%y %m %U:%G %s %T@ %C@ %i %l\n' -o -printf '%p\t%y %m %U:%G %T@ %C@\n'
done
find / /run /tmp /dev/shm -xdev -type f -newerct '@0' -exec sha256sum {} + | sed 's/^\([0-9a-f]*\)  \(.*\)/\2\t\1/'
"""


def snapshot(node: Node) -> dict[str, str]:
    """Every file, folder and link of the node's disk and of its file systems in memory."""
    found: dict[str, str] = {}
    for line in node.shell(_FILES).splitlines():
        path, _, value = line.partition("\t")
        found[path] = f"{found.get(path, '')} {value}".strip()
    assert len(found) > 3000, "a Debian has more files than that"
    return found


def changes(before: dict[str, str], after: dict[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """What is not as before and is not volatile: path -> what it was, what it is."""
    names = sorted(before.keys() | after.keys())
    return {
        name: (before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name) and not any(fnmatch.fnmatchcase(name, pattern) for pattern in VOLATILE)
    }
