"""What the documentation says of the tests is so."""

from __future__ import annotations

import re

from tests.house.tree import ROOT

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`", re.ASCII)


def test_every_test_that_the_documentation_names_exists() -> None:
    named = {found for page in (ROOT / "docs").glob("*.md") for found in NAMED.findall(page.read_text())}
    missing = [f"{path}::{name}" for path, name in sorted(named) if f"def {name}(" not in _text(path)]
    assert len(named) > 40
    assert missing == []


def _text(path: str) -> str:
    file = ROOT / path
    return file.read_text() if file.is_file() else ""
