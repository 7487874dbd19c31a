"""docs/policy.md says of the policy what the policy's own file says."""

from __future__ import annotations

from busnode import policy
from tests.busnode import policy_page


def test_the_page_is_made_from_the_policy() -> None:
    _, inside, after = policy_page.parts(policy_page.PAGE.read_text(encoding="utf-8"))
    assert inside == policy_page.made(policy.load().document), "run: python -m tests.busnode.policy_page"
    assert "| finding | Debian | what it says | answer |" in after
