"""An operation takes as many log-ins for a hundred steps as for one: the node's sshd says how many there were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.nodes.conftest import Deploy
    from tests.nodes.deployment import Deployment

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300, func_only=True)]

# What each takes, whatever there is to do. harden's second is the fresh log-in that confirms it.
LOGINS = {"bootstrap": 1, "status": 1, "verify": 1, "harden": 2}


@pytest.fixture
def node(prepared: Deploy) -> Deployment:
    return prepared("trixie").start()


def _logins(made: Deployment, *words: str) -> int:
    """How often the node let somebody in, and how many sessions these had, while a command ran."""
    count = "journalctl -o cat --no-pager | grep -c '{}' || :"
    seen = ("Accepted publickey for", "(sshd:session): session opened for user bus")

    def counts() -> list[int]:
        return [int(made.node.shell(count.format(text))) for text in seen]

    before = counts()
    answer = made.operate(*words)
    assert answer.code in {0, 1}, answer
    assert answer.document["steps"], answer
    accepted, opened = (now - then for now, then in zip(counts(), before, strict=True))
    assert accepted == opened
    return accepted


@pytest.mark.parametrize("number", [1, 100])
def test_round_trips_do_not_grow_with_the_steps(node: Deployment, number: int) -> None:
    node.write_target(
        directories=[{"path": f"/srv/made{n}", "owner": "root", "group": "root"} for n in range(number)],
        allowed_ports=[22, *range(9000, 9000 + number)],
    )
    assert _logins(node, "bootstrap", "--keep-connection", "0") == LOGINS["bootstrap"]
    node.write_target(
        services=[{"unit": f"absent{n}.service"} for n in range(number)],
        listeners=[{"port": 9000 + n} for n in range(number)],
    )
    for operation in ("status", "verify", "harden"):
        assert _logins(node, operation) == LOGINS[operation], operation


def test_the_next_bootstrap_needs_no_log_in_and_whoever_must_know_logs_in(node: Deployment) -> None:
    """A kept connection answers whom the node would let in no more: for status, verify and harden it is not there."""
    node.write_target(directories=[{"path": "/srv/made", "owner": "root", "group": "root"}])
    assert _logins(node, "bootstrap", "--dry-run") == 1
    assert _logins(node, "bootstrap") == 0
    assert _logins(node, "bootstrap") == 0
    assert _logins(node, "status") == 1
    assert _logins(node, "verify") == 1
    assert _logins(node, "harden") == 2
    assert _logins(node, "bootstrap") == 1, "harden closed it"
    assert _logins(node, "bootstrap") == 0
    assert _logins(node, "rollback") == 2
    # A package, an account, a key: whoever logs in next may be another.
    node.write_target(service_accounts=[{"name": "made", "home": "/srv/made"}])
    assert _logins(node, "bootstrap") == 1
    assert _logins(node, "bootstrap") == 1
    assert _logins(node, "bootstrap") == 0
    assert _logins(node, "bootstrap", "--keep-connection", "0") == 1


def test_a_node_that_was_restarted_is_logged_in_to_again(node: Deployment) -> None:
    assert _logins(node, "bootstrap") == 1
    node.node.power_cycle()
    answer = node.operate("bootstrap")
    assert answer.code == 0, answer
    assert not answer.changed
    assert answer.seconds < 30
