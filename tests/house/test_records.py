"""bee and busnode never import each other, and make their records alike: from one text, which bee's tests are of."""

from __future__ import annotations

from tests.house.tree import ROOT


def test_both_packages_have_the_same_records() -> None:
    assert (ROOT / "bee/records.py").read_bytes() == (ROOT / "busnode/records.py").read_bytes()
