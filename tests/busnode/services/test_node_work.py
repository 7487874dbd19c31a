"""Node requests over the bus: the same documents as in direct mode, and an answer to whatever comes."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from busnode import operations, schema
from busnode.contract import BusnodeError
from busnode.events.envelope import NODE_OPERATIONS, NODE_REQUESTS, SCRIPT_REQUEST, Envelope, parse, response_to
from busnode.events.memory import Memory
from busnode.events.node_requests import NodeRequest
from busnode.hardening import harden
from busnode.history import History
from busnode.job import Job
from busnode.node import Node
from busnode.script import Material, MaterialKind
from busnode.services.node_worker import NodeWork, operation_id_of
from busnode.services.worker import Worker
from busnode.transport import runner as runner_transport
from busnode.transport.local import Local
from tests.busnode.services.conftest import KEY, Deployment

if TYPE_CHECKING:
    from pathlib import Path

ASK: dict[str, dict[str, Any]] = {
    "bootstrap": {"transport": "ssh-runner", "target_ref": "nodes.proxy", "confirm": True, "dry_run": False},
    "harden": {"transport": "ssh-runner", "target_ref": "nodes.proxy", "confirm": True},
    "status": {},
    "verify": {"checks": ["ssh", "systemd", "listeners"]},
}


def _comparable(document: dict[str, Any]) -> dict[str, Any]:
    """Without what differs between any two runs."""
    copied: dict[str, Any] = json.loads(json.dumps(document))
    for step in copied["steps"]:
        del step["seconds"]
        # Uptimes and counts of what listens.
        step["detail"] = re.sub("[0-9]+", "N", step["detail"])
    copied.get("facts", {}).pop("uptime_seconds", None)
    copied.get("facts", {}).pop("listeners", None)
    copied.get("facts", {}).pop("running", None)
    return copied


def _direct(deployment: Deployment, operation: str) -> dict[str, Any]:
    target = deployment.inventory["proxy"]
    node = Node(target, Local(), operator_key=lambda: KEY, layout=deployment.layout, by=deployment.nodes.by)
    run = {
        "bootstrap": operations.bootstrap,
        "status": operations.status,
        "verify": operations.verify,
        "harden": lambda node: harden(node, dry_run=True),
    }[operation]
    try:
        return run(node).to_document()
    except BusnodeError as error:
        return error.response.to_document() if error.response is not None else {}


@pytest.mark.parametrize("operation", NODE_OPERATIONS)
def test_direct_and_event_mode_give_the_same_document(deployment: Deployment, tmp_path: Path, operation: str) -> None:
    direct = _direct(deployment, operation)
    for name in ("made", "placed"):
        path = tmp_path / name
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    event = deployment.ask(operation, **ASK[operation])
    assert list(schema.violations(event, schema.load("node-response"))) == []
    assert _comparable(event) == _comparable(direct)


def test_a_change_is_made_once_however_often_it_is_asked_for(deployment: Deployment, tmp_path: Path) -> None:
    first = deployment.ask("bootstrap", **ASK["bootstrap"])
    assert [step["name"] for step in first["steps"] if step["status"] == "changed"] == [
        f"directory {tmp_path / 'made'}",
        f"credential {tmp_path / 'placed'}",
    ]
    assert (tmp_path / "placed").read_text() == "s3cret of the site"
    assert deployment.ask("bootstrap", **ASK["bootstrap"]) == first
    again = deployment.ask("bootstrap", "c-2", **ASK["bootstrap"])
    assert not any(step["status"] == "changed" for step in again["steps"])


def test_confirm_with_dry_run_left_out_changes_nothing(deployment: Deployment, tmp_path: Path) -> None:
    answer = deployment.ask("bootstrap", transport="ssh-runner", target_ref="nodes.proxy", confirm=True)
    assert (answer["ok"], answer["dry_run"]) == (True, True)
    assert "would-change" in {step["status"] for step in answer["steps"]}
    assert not (tmp_path / "made").exists()
    assert not (tmp_path / "placed").exists()


def test_what_verify_looks_at_is_chosen(deployment: Deployment) -> None:
    names = {step["name"] for step in deployment.ask("verify", checks=["ssh"])["steps"]}
    assert names == {"ssh", "sshd policy", "listener ssh", "service ssh.service"}


def test_no_secret_is_in_an_event_an_answer_or_the_log(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    send = deployment.bus.send

    def noted(name: str, text: bytes | str) -> None:
        seen.append(str(text))
        send(name, text)

    monkeypatch.setattr(deployment.bus, "send", noted)
    answer = deployment.ask("bootstrap", **ASK["bootstrap"])
    assert answer["ok"]
    assert any(SCRIPT_REQUEST in text for text in seen)
    assert "s3cret of the site" not in f"{seen}{answer}{deployment.said}"


def test_only_the_runners_threads_start_programs(deployment: Deployment) -> None:
    started: list[str] = []
    sys.addaudithook(
        lambda event, _: started.append(threading.current_thread().name) if event == "subprocess.Popen" else None
    )
    deployment.ask("status")
    deployment.ask("harden", "c-2", **ASK["harden"])
    assert started
    assert {name.split("-")[0] for name in started} == {"ssh"}


def test_our_own_mistake_is_an_answer_too(deployment: Deployment, capfd: pytest.CaptureFixture[str]) -> None:
    def broken(request: Envelope, time_limit: float) -> Envelope:
        raise ZeroDivisionError("oops")

    work = NodeWork(deployment.inventory, broken)
    answer = work.handle(Envelope("bus.node.status.request", "x", {"node_id": "proxy"}).to_text().encode())
    assert answer.payload["error_class"] == "apply_failed"
    assert json.loads(capfd.readouterr().err)["correlation_id"] == "x"


def test_a_forged_answer_of_the_runner_proves_nothing(deployment: Deployment) -> None:
    def forged(request: Envelope, time_limit: float) -> Envelope:
        return Envelope("bus.ssh.script.run.response", request.correlation_id, {"ok": True, "node_id": "other"})

    work = NodeWork(deployment.inventory, forged)
    answer = work.handle(Envelope("bus.node.status.request", "x", {"node_id": "proxy"}).to_text().encode())
    assert answer.payload["ok"] is False
    assert "not valid" in answer.payload["diagnostics"][0]


def test_a_late_runner_applies_nothing_of_what_was_given_up(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The asker waits three seconds; the runner comes after it."""
    monkeypatch.setattr(runner_transport, "_GRACE_SECONDS", 3.0 - operations.BOOTSTRAP_SECONDS - 20)
    bus = Memory()
    nodes = replace(deployment.nodes, ask=lambda request, limit: bus.ask(request, time_limit=limit))
    payload = {"node_id": "proxy", **ASK["bootstrap"]}
    answer = nodes.handle(Envelope("bus.node.bootstrap.request", "c-1", payload).to_text().encode())
    assert answer.payload["error_class"] == "timeout"
    late: list[dict[str, Any]] = []

    def handle(text: bytes) -> Envelope:
        late.append(deployment.scripts.handle(text).payload)
        return Envelope("bus.ssh.script.run.response", parse(text).correlation_id, late[-1])

    time.sleep(1)
    worker = Worker("late", bus.inbox((SCRIPT_REQUEST,), group="ssh"), handle, handle, 1, lambda *_, **__: None)
    worker.start()
    deadline = time.monotonic() + 30
    while not late and time.monotonic() < deadline:
        time.sleep(0.05)
    assert worker.stop(10)
    assert [one["error_class"] for one in late] == ["timeout"]
    assert not (tmp_path / "made").exists()


def test_what_was_done_over_the_bus_is_in_the_history(deployment: Deployment, tmp_path: Path) -> None:
    record = History(tmp_path / "history.jsonl", "tester", pytest.fail)
    work = replace(deployment.nodes, history=record)

    def ask(operation: str, node_id: str = "proxy", **payload: Any) -> None:
        request = Envelope(f"bus.node.{operation}.request", f"c-{operation}", {"node_id": node_id, **payload})
        work.handle(request.to_text().encode())

    ask("bootstrap", **ASK["bootstrap"])
    ask("harden", **ASK["harden"])
    ask("status", "elsewhere")
    told = [(one["operation"], one["dry_run"], one["correlation_id"], one["event"]) for one in record.entries()]
    assert told == [("bootstrap", False, "c-bootstrap", "ended"), ("harden", True, "c-harden", "ended")]
    assert "s3cret" not in record.path.read_text()


def test_others_wait_for_their_turn_visibly() -> None:
    bus, go, said = Memory(), threading.Event(), list[dict[str, object]]()

    def slow(text: bytes) -> Envelope:
        assert go.wait(30)
        return response_to(parse(text), {"ok": True})

    worker = Worker(
        "node", bus.inbox(NODE_REQUESTS, group="g"), slow, slow, 2, lambda _, event, **more: said.append({event: more})
    )
    worker.start()
    for number in range(3):
        bus.publish(Envelope("bus.node.status.request", f"c-{number}", {"node_id": "proxy"}))
    deadline = time.monotonic() + 30
    while not said and time.monotonic() < deadline:
        time.sleep(0.05)
    assert said == [{"waiting": {"requests": 2, "nodes": {"proxy": 2}}}]
    go.set()
    assert bus.ask(Envelope("bus.node.status.request", "c-2", {"node_id": "proxy"}), time_limit=30).payload["ok"]
    assert worker.stop(30)


def test_words_of_a_script_that_only_the_runner_knows_are_filled_in_there(deployment: Deployment) -> None:
    job = Job("x", 1, (Material(MaterialKind.KEY), Material(MaterialKind.DIGEST, "token")))
    assert "s3cret" not in repr(job)


def test_what_the_node_knows_a_request_by_is_its_own() -> None:
    def known_as(payload: dict[str, Any]) -> str:
        return operation_id_of(NodeRequest.of(Envelope("bus.node.bootstrap.request", "c-1", payload)))

    asked = {**ASK["bootstrap"], "node_id": "proxy", "packages": ["curl"]}
    assert known_as(asked) == known_as(dict(reversed(asked.items())))
    others = [
        {"packages": ["wget"]},
        {"dry_run": True},
        {"credentials": {"sudo_password_secret": "secret://deployment/x"}},
    ]
    assert len({known_as(asked), *(known_as({**asked, **other}) for other in others)}) == 4
