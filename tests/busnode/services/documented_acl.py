"""The aclfile of the documentation, with passwords in it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from tests.house.tree import ROOT


def aclfile(password_of: Callable[[str], str]) -> str:
    """Its lines, a user each, whose passwords are those that are given."""
    [block] = re.findall(r"```\n(user default off\n.*?)```", (ROOT / "docs/services.md").read_text(), re.DOTALL)

    def complete(line: str) -> str:
        user = line.split()[1]
        return line.replace("#HASH", f"#{hashlib.sha256(password_of(user).encode()).hexdigest()}")

    lines = (complete(line) if "#HASH" in line else line for line in block.splitlines())
    return "\n".join([*lines, ""])
