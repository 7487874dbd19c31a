"""The paths that steps will ask for, so that the node looks at all of them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from busnode.inventory import Target

# The functions that directories and credentials call.
PART = "paths"


def look(target: Target) -> tuple[str, ...]:
    """The call, before the steps, that names them: a process of the node's for each would take longer than all else."""
    folders = (directory.path for directory in target.directories)
    return ("look_at", *folders, *(file.destination for file in target.credential_files))
