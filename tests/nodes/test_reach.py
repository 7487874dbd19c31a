"""Nodes that cannot be reached, or are not who they were: exit 3, the reason, and nothing done."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.nodes import process
from tests.nodes.deployment import NODE_ID
from tests.nodes.node import ADDRESS, ADDRESS_6

if TYPE_CHECKING:
    from tests.nodes.conftest import Deploy
    from tests.nodes.deployment import Answer, Deployment

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120, func_only=True)]

# The limit of 10 seconds for a connection, and a little for starting.
CONNECT_SECONDS = 13

_MUTE = """
import socket, time
server = socket.create_server(("10.0.0.1", 0))
print(server.getsockname()[1], flush=True)
connection, _ = server.accept()
time.sleep(60)
"""

OPERATIONS = ("bootstrap", "status", "harden", "verify")


@pytest.fixture
def node(bare: Deploy) -> Deployment:
    return bare("trixie").start()


def _is_refused(answer: Answer, error_class: str, code: int = 3) -> None:
    assert answer.code == code, answer
    assert answer.document["ok"] is False
    assert answer.document["node_id"] == NODE_ID
    assert answer.document["error_class"] == error_class


def test_a_silent_host_is_unreachable_within_the_connect_limit(bare: Deploy) -> None:
    off = bare("trixie")
    # A host whose packets vanish, which takes longer to find out than one that is not there.
    off.station.run("ip", "neighbour", "add", ADDRESS, "lladdr", "02:00:00:00:00:10", "dev", "bridge")
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(off.operate, OPERATIONS))
    for answer in answers:
        _is_refused(answer, "unreachable")
        assert answer.seconds < CONNECT_SECONDS
        assert ADDRESS in answer.errors


def test_a_host_that_accepts_and_says_nothing_is_unreachable_too(bare: Deploy) -> None:
    off = bare("trixie")
    mute = process.start(off.station.command("/usr/bin/python3", "-I", "-c", _MUTE), stdout=subprocess.PIPE)
    try:
        assert mute.stdout is not None
        off.write_target(host="10.0.0.1", port=int(mute.stdout.readline()))
        answer = off.operate("status")
    finally:
        process.kill(mute)
    _is_refused(answer, "unreachable")
    assert answer.seconds < CONNECT_SECONDS


def test_a_closed_port_is_unreachable_at_once(node: Deployment) -> None:
    node.write_target(port=2222)
    answer = node.operate("status")
    _is_refused(answer, "unreachable")
    assert answer.seconds < 5


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_unknown_host_key_is_shown_and_not_accepted(node: Deployment, operation: str) -> None:
    known = node.station.home / ".ssh/known_hosts"
    known.unlink()
    answer = node.operate(operation)
    _is_refused(answer, "host_key_mismatch")
    said = " ".join([*answer.document["diagnostics"], answer.errors])
    assert node.node.fingerprint() in said
    assert f"{ADDRESS} {node.node.host_key()}" in said, "the line to add"
    assert not known.exists()


def test_the_line_that_is_shown_is_the_line_to_add(node: Deployment) -> None:
    known = node.station.home / ".ssh/known_hosts"
    known.unlink()
    said = " ".join(node.operate("status").document["diagnostics"])
    known.write_text(said[said.index(f"{ADDRESS} ssh-") :].splitlines()[0] + "\n")
    answer = node.operate("status")
    assert answer.code == 0, answer


def test_a_changed_host_key_is_refused(node: Deployment, bare: Deploy) -> None:
    known = node.station.home / ".ssh/known_hosts"
    other = bare("bookworm").node.known_hosts()
    known.write_text(other)
    answer = node.operate("status", "--trust-on-first-use")
    _is_refused(answer, "host_key_mismatch")
    assert node.node.fingerprint() in " ".join(answer.document["diagnostics"])
    assert known.read_text() == other


def test_trust_on_first_use_is_for_the_first_use(node: Deployment) -> None:
    known = node.station.home / ".ssh/known_hosts"
    known.unlink()
    assert node.operate("status", "--trust-on-first-use").code == 0
    assert node.operate("status").code == 0


def test_a_pinned_fingerprint_needs_no_known_hosts(node: Deployment) -> None:
    (node.station.home / ".ssh/known_hosts").unlink()
    node.write_target(host_key=node.node.fingerprint())
    assert node.operate("status").code == 0
    node.write_target(host_key="SHA256:" + "A" * 43)
    _is_refused(node.operate("status"), "host_key_mismatch")


def test_a_key_that_the_node_does_not_know_is_refused(node: Deployment) -> None:
    key = node.folder / "local/id_ed25519"
    key.unlink()
    key.with_suffix(".pub").unlink()
    node.station.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    _is_refused(node.operate("status"), "auth_failed")


@pytest.mark.parametrize("identity", ["a;touch x", "$(touch x)"])
def test_an_id_is_a_word_whatever_it_spells(node: Deployment, identity: str) -> None:
    answer = node.run("bus", "operator", "node", "status", "--id", identity)
    assert answer.code == 2, answer
    assert not (node.folder / "x").exists()
    assert node.node.run("find", "/home", "/root", "-name", "x").stdout == ""


def test_a_node_is_operated_over_ipv6(node: Deployment) -> None:
    """Its address alone, behind a jump host by the same, and looked at from outside over it."""
    node.listen(8080)
    node.write_target(host=ADDRESS_6)
    for operation in ("bootstrap", "harden", "verify"):
        answer = node.operate(operation)
        assert answer.code == 0, answer
    assert any(check["name"].endswith("from outside over IPv6") for check in answer.document["checks"])
    inventory = {"direct": node.target, "behind": {**node.target, "via": "direct"}}
    (node.folder / "deploy/nodes.json").write_text(json.dumps(inventory))
    answer = node.run("bus", "operator", "node", "status", "--id", "behind")
    assert answer.code == 0, answer
    assert f"through direct ({ADDRESS_6})" in answer.document["diagnostics"]
