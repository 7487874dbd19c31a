"""What the documentation gives each service: Redis' aclfile, and the scopes of its token."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from tests.house.tree import ROOT

PAGE = ROOT / "docs/services.md"
API, NODE, RUNNER = "bus-api-provider-node", "bus-integration-node", "bus-integration-ssh-runner"


def aclfile(password_of: Callable[[str], str]) -> str:
    """The lines of the aclfile, a user each, whose passwords are those that are given."""
    [block] = re.findall(r"```\n(user default off\n.*?)```", PAGE.read_text(), re.DOTALL)

    def complete(line: str) -> str:
        user = line.split()[1]
        return line.replace("#HASH", f"#{hashlib.sha256(password_of(user).encode()).hexdigest()}")

    lines = (complete(line) if "#HASH" in line else line for line in block.splitlines())
    return "\n".join([*lines, ""])


def scopes() -> dict[str, frozenset[str]]:
    """Those of each service's token for the Events API."""
    words = re.findall(rf"`{NODE}` `([^`]*)`,\s+the\s+runner `([^`]*)`,\s+the\s+API `([^`]*)`", PAGE.read_text())
    [found] = words
    return {name: frozenset(each.split()) for name, each in zip((NODE, RUNNER, API), found, strict=True)}
