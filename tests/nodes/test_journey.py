"""The operator's way with a node, from a Debian as installed to a verified Bus host, on both releases."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.nodes.deployment import ALLOWED_PORTS, NODE_ID, OPERATION_SECONDS
from tests.nodes.node import ADDRESS, ADDRESS_6

if TYPE_CHECKING:
    from tests.nodes.conftest import Deploy
    from tests.nodes.deployment import Answer, Deployment

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400, func_only=True)]

ROOT = Path(__file__).resolve().parents[2]
# The session that the operator's document prints, word for word.
SESSION = Path(__file__).with_name("session.txt")

# What a target without optional keys is prepared with.
PROFILE = json.loads((resources.files("busnode") / "profiles/bus-host.json").read_text())

OPERATIONS = ("bootstrap", "status", "harden", "verify")


@pytest.fixture
def node(bare: Deploy, suite: str) -> Deployment:
    return bare(suite).start()


def test_the_session_of_the_document(node: Deployment) -> None:
    key = node.folder / "local/id_ed25519"
    empty = node.folder / "empty"
    empty.mkdir()
    ran = node.run("sh", "-e", str(SESSION), cwd=empty, env={"SSH_PRIVATE_KEY_SOURCE": str(key)}, timeout=300)
    assert ran.code == 0, ran
    assert [document["operation"] for document in ran.documents] == list(OPERATIONS)
    assert all(document["ok"] and document["node_id"] == NODE_ID for document in ran.documents)
    bootstrap, status, harden, verify = ran.documents
    assert _names(bootstrap["actions"], "package", "director", "credential")
    assert _names(harden["actions"], "ssh", "firewall")
    assert status["actions"]
    assert _names([check["name"] for check in verify["checks"]], "listener", "service")
    assert all(check["ok"] for check in verify["checks"])
    _is_as_the_document_says(node)
    _knows_what_it_did(node, ran)


def _names(names: list[str], *kinds: str) -> bool:
    """Whether each of the document's kinds of action or check has one of these names."""
    return all(any(kind in name for name in names) for kind in kinds)


def _is_as_the_document_says(node: Deployment) -> None:
    """Look at the node itself, not at what was answered about it."""
    machine = node.node
    for package in PROFILE["packages"]:
        assert machine.run("dpkg-query", "-W", "-f", "${db:Status-Status}", package).stdout == "installed", package
    for directory in PROFILE["directories"]:
        owner_and_mode = machine.run("stat", "-c", "%F %U %G 0%a", directory["path"]).stdout.strip()
        assert owner_and_mode == "directory {owner} {group} {mode}".format(**directory)
    effective = machine.shell("sshd -T -C user=bus,host=operator,addr=10.0.0.1").splitlines()
    assert {"passwordauthentication no", "kbdinteractiveauthentication no", "permitrootlogin no"} <= set(effective)
    ends = [(address, port) for address in (ADDRESS, ADDRESS_6) for port in (*ALLOWED_PORTS, 23, 81, 9090)]
    seen = node.station.probe(*ends)
    for (address, port), answer in seen.items():
        expected = "open" if port == 22 else "refused" if port in ALLOWED_PORTS else "silent"
        assert answer == expected, (address, port, answer)
    assert [node.station.ping(address) for address in (ADDRESS, ADDRESS_6)] == [True, True]


def _knows_what_it_did(node: Deployment, first: Answer) -> None:
    """The same four operations again: nothing to do, nothing done, and said so."""
    before = node.node.state()
    for operation in OPERATIONS:
        again = node.run("make", "-s", "-C", str(ROOT), f"node-{operation}", f"ID={NODE_ID}", timeout=OPERATION_SECONDS)
        assert again.code == 0, again
        assert again.changed == [], operation
        assert again.document["operation"] == operation
        assert {step["status"] for step in again.document["steps"]} <= {"ok", "skipped"}, again.document["steps"]
    assert node.node.differences(before) == {}
    changed = [
        step["name"] for document in first.documents for step in document["steps"] if step["status"] == "changed"
    ]
    assert changed, "the first round changed something"


def test_what_harden_did_is_there_after_a_power_cut(prepared: Deploy, suite: str) -> None:
    made = prepared(suite)
    made.start()
    assert made.operate("harden").code == 0
    hardened = made.node.state()
    made.node.power_cycle()
    assert made.node.differences(hardened) == {}
    assert made.station.probe((ADDRESS, 9090), (ADDRESS_6, 9090)) == {
        (ADDRESS, 9090): "silent",
        (ADDRESS_6, 9090): "silent",
    }
    verify = made.operate("verify")
    assert verify.code == 0, verify
