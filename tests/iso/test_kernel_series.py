"""What stands in for a kernel that is gone is of its own series: bookworm has 6.1, and 6.12 beside it."""

from __future__ import annotations

import pytest

from iso.archive.apt import choose_kernel
from iso.errors import BuildError

BOOKWORM = ["6.1.0-54-amd64", "6.1.0-56-amd64", "6.12.107+deb12-amd64", "6.12.117+deb12-amd64"]


@pytest.mark.parametrize(
    ("pinned", "newest"),
    [
        ("6.1.0-40-amd64", "6.1.0-56-amd64"),
        ("6.12.90+deb12-amd64", "6.12.117+deb12-amd64"),
        ("5.10.0-1-amd64", "6.12.117+deb12-amd64"),
    ],
)
def test_the_newest_is_of_the_pin_s_series_where_there_is_one(pinned: str, newest: str) -> None:
    assert choose_kernel(pinned, BOOKWORM, newest_allowed=True)[0] == newest
    with pytest.raises(BuildError, match=f"the newest it has: {newest.replace('+', '[+]')}"):
        choose_kernel(pinned, BOOKWORM, newest_allowed=False)
