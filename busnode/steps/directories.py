"""Directories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from busnode.script import Step

if TYPE_CHECKING:
    from busnode.inventory import Target


def steps(target: Target) -> list[Step]:
    """One step a directory."""
    return [
        Step(
            "create-directories",
            f"directory {directory.path}",
            "directories",
            ("directory_present", directory.path, directory.owner, directory.group, bare_mode(directory.mode)),
        )
        for directory in target.directories
    ]


def bare_mode(mode: str) -> str:
    """A mode as stat prints it: `0750` is `750`.

    >>> bare_mode("0750"), bare_mode("2770")
    ('750', '2770')
    """
    return format(int(mode, 8), "o")
