"""Several workers on a bus that keeps no order between them: the node has one operation at a time, and others wait."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from busnode.events import engine
from busnode.events.envelope import Envelope
from busnode.events.node_requests import NodeRequest
from busnode.services import node_worker
from busnode.services.node_worker import operation_id_of
from tests.busnode.events.events_server import ALL_SCOPES, EventsServer
from tests.torture import delivery_site

if TYPE_CHECKING:
    from busnode.events.bus import Bus
    from busnode.services.worker import Worker

CHANGES = 4
# Longer than a script waits for the lock by itself.
PAUSE_SECONDS = 1.5


@pytest.fixture
def server() -> Iterator[EventsServer]:
    made = EventsServer({"token": ALL_SCOPES})
    made.start()
    yield made
    made.stop()


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of one node; attempts are counted beside it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    delivery_site.make_nodes(tmp_path / "nodes", 1)
    return tmp_path / "nodes"


def _change(number: int) -> Envelope:
    payload = {"node_id": "n00", "target_ref": "nodes.n00", "transport": "ssh-runner", "confirm": True}
    return Envelope("bus.node.bootstrap.request", f"c-{number}", {**payload, "dry_run": False})


def _connected(server: EventsServer) -> Bus:
    return engine.connect(server.url, {"BUS_API_TOKEN": "token"})


def test_the_changes_of_one_node_wait_for_each_other_across_workers(
    server: EventsServer, nodes: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    buses = [_connected(server) for _ in range(5)]
    known = delivery_site.inventory(nodes, PAUSE_SECONDS)
    makers = (*[delivery_site.node_workers] * 2, *[delivery_site.ssh_runners] * 2)
    workers: list[Worker] = [make(bus, known, nodes) for make, bus in zip(makers, buses, strict=False)]
    for worker in workers:
        worker.start()
    requests = [_change(number) for number in range(CHANGES)]
    with ThreadPoolExecutor(CHANGES) as pool:
        answers = list(pool.map(lambda request: buses[4].ask(request, time_limit=100), requests))
    assert [answer.payload["ok"] for answer in answers] == [True] * CHANGES, answers
    # Each once; which one first is nobody's promise here.
    wanted = sorted(operation_id_of(NodeRequest.of(request)) for request in requests)
    assert sorted(delivery_site.applied(nodes, "n00")) == wanted
    for worker in workers:
        assert worker.stop(30)
    for bus in buses:
        bus.close()
    said = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    waited = [line for line in said if line["event"] == "waiting" and "why" in line]
    assert waited
    assert all("the node is held by bootstrap of " in line["why"] for line in waited), waited


def _held(tmp_path: Path) -> node_worker.NodeWork:
    """What works on a node that is held for ever."""
    delivery_site.make_nodes(tmp_path / "nodes", 1)
    known = delivery_site.inventory(tmp_path / "nodes")
    said = '{"error":"conflict","detail":"the node is held by an operator"}\n'
    result = {
        "ok": True,
        "node_id": "n00",
        "exit_code": 1,
        "stdout": said,
        "stderr": "",
        "diagnostics": [],
        "notes": [],
    }
    asked: list[str] = []

    def ask(request: Envelope, time_limit: float) -> Envelope:
        asked.append(request.correlation_id.rpartition(".script.")[2])
        assert asked == [str(number) for number in range(len(asked))], "each is one of its own"
        return Envelope("bus.ssh.script.run.response", request.correlation_id, result)

    return node_worker.NodeWork(known, ask)


def test_nobody_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_worker, "PATIENCE_SECONDS", 1.5)
    begin = time.monotonic()
    answer = _held(tmp_path).handle(_change(1).to_text().encode())
    assert answer.payload["error_class"] == "conflict"
    assert 1.5 < time.monotonic() - begin < 60


def test_a_stop_ends_the_wait(tmp_path: Path) -> None:
    work = _held(tmp_path)
    timer = threading.Timer(0.3, work.stopping.set)
    timer.start()
    begin = time.monotonic()
    answer = work.handle(_change(1).to_text().encode())
    assert (answer.payload["error_class"], answer.correlation_id) == ("conflict", "c-1")
    assert time.monotonic() - begin < node_worker.PATIENCE_SECONDS / 4
