"""The examples in docs: the fenced blocks of a page, by what their fence says."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def blocks(page: str, info: str) -> list[str]:
    """The fenced blocks of a page whose fence is followed by `info`, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(rf"^```{re.escape(info)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no block of {info}"
    return [str(block) for block in found]
