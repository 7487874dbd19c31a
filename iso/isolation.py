"""Namespaces for privileged work: whatever happens to the build, no mount and no process outlives it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# pid 1 of the namespace. The builder holds the other end of the pipe on stdin: when that is closed, and kill -9 of the
# builder closes it too, everything in here is killed; when the command ends, so does the namespace with all in it.
_GUARD = 'exec 3<&0; { cat <&3 >/dev/null; kill -KILL -1; } & "$@" </dev/null 3<&- & wait $!'


def owner() -> str:
    """Who the results belong to, as chown(1) takes it."""
    return f"{os.getuid()}:{os.getgid()}"


def isolated(command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """A command line that runs a command as root in mount and pid namespaces of its own (unshare(1)).

    It lives no longer than the pipe on its stdin stays open, and sees nothing of the caller's environment.

    Args:
        command: program and arguments.
        environment: all of the command's environment.
    """
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n", "--"]
    # If sudo itself is killed, so is what it started.
    bound = ["setpriv", "--pdeathsig", "KILL", "--"]
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    variables = ["env", "-i", *(f"{key}={value}" for key, value in sorted(environment.items()))]
    return [*as_root, *bound, *namespaces, *variables, "/bin/sh", "-c", _GUARD, "guard", *command]
