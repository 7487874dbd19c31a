"""For every test of the builder: none leaves an answer of its own making where real builds look for theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from iso import remembered

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_memory_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "user_cache", lambda: tmp_path / "memory")
