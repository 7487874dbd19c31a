"""Namespaces for privileged work: whatever happens to the build, no mount and no process outlives it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from iso.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# pid 1 of the namespace. On stdin come the command's variables, a line each, and an empty line; then the pipe stays
# open as long as the builder lives: when it is closed, and kill -9 of the builder closes it too, everything in here is
# killed. When the command ends, so does the namespace with all in it.
_GUARD = """while :; do
    IFS= read -r variable || exit 1
    [ "$variable" ] || break
    export "$variable"
done
exec 3<&0
{ cat <&3 >/dev/null; kill -KILL -1; } &
"$@" </dev/null 3<&- &
wait $!"""


def owner() -> str:
    """Who the results belong to, as chown(1) takes it."""
    return f"{os.getuid()}:{os.getgid()}"


def isolated(command: Sequence[str]) -> list[str]:
    """A command line that runs a command as root in mount and pid namespaces of its own (unshare(1)).

    It lives no longer than the pipe on its stdin stays open, and sees of the environment only what `handed_over`
    writes into that pipe: command lines are everybody's to read (proc_pid_cmdline(5)), and a proxy may have a password.

    Args:
        command: program and arguments.
    """
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n", "--"]
    # If sudo itself is killed, so is what it started.
    bound = ["setpriv", "--pdeathsig", "KILL", "--"]
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return [*as_root, *bound, *namespaces, "env", "-i", "/bin/sh", "-c", _GUARD, "guard", *command]


def handed_over(environment: Mapping[str, str]) -> bytes:
    """What is to be written first into the pipe of an isolated command.

    Args:
        environment: all of the command's variables.

    Raises:
        BuildError: a value has a line break, which has no place there.
    """
    for name, value in environment.items():
        if "\n" in value:
            raise BuildError(f"{name}: a line break in a variable of the environment: unset it")
    return "".join(f"{name}={value}\n" for name, value in sorted(environment.items())).encode() + b"\n"
