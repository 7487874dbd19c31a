"""The bus is not trusted with root: one test an attack, on workers that run, by whoever can put anything on the bus."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from busnode.events.envelope import NODE_REQUESTS, SCRIPT_REQUEST, Envelope
from busnode.secrets import Secret
from busnode.services.node_api import Tokens, application
from busnode.services.node_worker import NodeWork
from busnode.transport.local import Local

if TYPE_CHECKING:
    from pathlib import Path

    from busnode.inventory import Target
    from busnode.services.ssh_runner import Keys, Open
    from tests.busnode.services.conftest import Deployment

CHANGE = {"transport": "ssh-runner", "target_ref": "nodes.proxy", "confirm": True, "dry_run": False}


@pytest.fixture
def opened() -> list[tuple[Target, Keys]]:
    """To which targets, and with which keys, a connection was opened."""
    return []


@pytest.fixture
def open_node(opened: list[tuple[Target, Keys]]) -> Open:
    def note(target: Target, keys: Keys, via: tuple[Target, ...]) -> Local:
        opened.append((target, keys))
        return Local()

    return note


def _script(deployment: Deployment, **payload: Any) -> dict[str, Any]:
    """What the runner answers to a script request that an attacker put on the bus."""
    given = {"target": {"node_id": "proxy"}, "time_limit": 5, "script": "id >/tmp/owned\n", **payload}
    answer = deployment.bus.ask(Envelope(SCRIPT_REQUEST, "attack-1", given), time_limit=30).payload
    assert not answer["ok"]
    return answer


def test_a_foreign_host(deployment: Deployment, opened: list[object]) -> None:
    answer = _script(deployment, target={"node_id": "proxy", "host": "203.0.113.7"})
    assert (answer["error_class"], opened) == ("unauthorized", [])


def test_a_foreign_user(deployment: Deployment, opened: list[object]) -> None:
    answer = _script(deployment, target={"node_id": "proxy", "user": "root"})
    assert (answer["error_class"], opened) == ("unauthorized", [])


def test_a_node_that_the_runner_does_not_own(deployment: Deployment, opened: list[object]) -> None:
    answer = _script(deployment, target={"node_id": "database"})
    assert (answer["error_class"], opened) == ("unauthorized", [])


@pytest.mark.parametrize("path", ["../outside", "keys/../../outside", "/etc/ssh/ssh_host_ed25519_key"])
def test_a_key_path_that_leads_out(deployment: Deployment, opened: list[object], tmp_path: Path, path: str) -> None:
    outside = tmp_path.parent / "outside"
    outside.touch(mode=0o600)
    answer = _script(deployment, ssh_private_key_file=path)
    outside.unlink()
    assert (answer["error_class"], opened) == ("unauthorized", [])


@pytest.mark.parametrize("name", ["link", "folder/id"])
def test_a_symbolic_link_in_a_key_path(
    deployment: Deployment, opened: list[object], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "id").touch(mode=0o600)
    (tmp_path / "keys/link").symlink_to(outside / "id")
    (tmp_path / "keys/folder").symlink_to(outside)
    answer = _script(deployment, ssh_private_key_file=f"keys/{name}")
    assert (answer["error_class"], opened) == ("unauthorized", [])


def test_a_secret_that_is_another_nodes(deployment: Deployment, opened: list[object], tmp_path: Path) -> None:
    (tmp_path / "keys/others").touch(mode=0o600)
    answer = _script(deployment, blobs=["secret://deployment/others"])
    assert (answer["error_class"], opened) == ("unauthorized", [])


def test_a_script_for_a_node_through_a_node_request(deployment: Deployment, opened: list[object]) -> None:
    answer = deployment.ask("bootstrap", **{**CHANGE, "target_ref": "nodes.database"})
    assert (answer["error_class"], opened) == ("bad_request", [])
    answer = deployment.ask("bootstrap", "c-2", **CHANGE, script="id >/tmp/owned")
    assert (answer["error_class"], opened) == ("bad_request", [])
    assert answer["diagnostics"][0].startswith("payload.script: unknown key")


@pytest.mark.parametrize(
    "forged",
    [
        {"ok": True},
        {"ok": True, "node_id": "database", "exit_code": 0, "stdout": "", "stderr": "", "diagnostics": [], "notes": []},
        {"ok": True, "node_id": "proxy", "exit_code": 0, "stdout": '{"end":"ok"}\n{"error":"x"', "stderr": ""},
        {"ok": False, "node_id": "proxy", "error_class": "all is well", "diagnostics": [], "notes": []},
    ],
    ids=json.dumps,
)
def test_a_forged_response(deployment: Deployment, forged: dict[str, Any]) -> None:
    """Who may answer is the bus's to say; what is no answer of the runner's, or another node's, proves nothing."""
    work = NodeWork(
        deployment.inventory,
        lambda request, _: Envelope("bus.ssh.script.run.response", request.correlation_id, forged),
        layout=deployment.layout,
    )
    answer = work.handle(Envelope("bus.node.status.request", "c-1", {"node_id": "proxy"}).to_text().encode())
    assert not answer.payload["ok"]


def test_a_replayed_request(deployment: Deployment, tmp_path: Path) -> None:
    """Put on the bus again as it was, long after: what the operator has undone since is not done again."""
    request = Envelope("bus.node.bootstrap.request", "c-1", {"node_id": "proxy", **CHANGE})
    assert deployment.ask("bootstrap", **CHANGE)["ok"]
    (tmp_path / "placed").unlink()
    (tmp_path / "made").rmdir()
    deployment.bus.send(request.name, request.to_text())
    # One after another: when this one is answered, so is that.
    assert deployment.ask("status", "c-2")
    assert not (tmp_path / "placed").exists()
    assert not (tmp_path / "made").exists()


def test_an_event_of_a_readers_token(deployment: Deployment, opened: list[object], tmp_path: Path) -> None:
    tokens = Tokens(Secret(b"reader-0123456789abcdef"), Secret(b"admin-0123456789abcdef"))
    client = TestClient(application(deployment.bus, tokens))
    headers = {"Authorization": "Bearer reader-0123456789abcdef"}
    for operation in ("bootstrap", "harden"):
        answer = client.post(f"/api/internal/node/proxy/{operation}", json={"confirm": True}, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
    # Nor does a reader choose another event by what the body says.
    body = {"name": "bus.node.bootstrap.request", "confirm": True, "dry_run": False}
    assert client.post("/api/internal/node/proxy/status", json=body, headers=headers).status_code == 400
    assert (opened, (tmp_path / "made").exists()) == ([], False)


def test_a_flood_for_one_node_leaves_the_others_served(deployment: Deployment) -> None:
    for number in range(300):
        deployment.bus.send(NODE_REQUESTS[2], json.dumps({"flood": number, "payload": {"node_id": "flooded"}}))
    assert deployment.ask("status")["node_id"] == "proxy"
    assert threading.active_count() < 60
