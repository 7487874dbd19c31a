"""Several workers on a bus that keeps no order between them: the node has one operation at a time, and others wait."""

from __future__ import annotations

import fcntl
import io
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from busnode.contract import UnreachableError
from busnode.events import engine, redis_inbox
from busnode.events.bus import MAX_ATTEMPTS
from busnode.events.envelope import Envelope
from busnode.events.memory import Memory
from busnode.events.node_requests import NodeRequest
from busnode.history import History
from busnode.services import node_worker
from busnode.services.node_worker import operation_id_of
from busnode.services.worker import StoppedError
from tests.busnode.events.events_server import ALL_SCOPES, EventsServer
from tests.busnode.services.site import await_port, free_port
from tests.nodes import process
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


@pytest.fixture(params=["memory", "redis", "events-api"])
def connect(request: pytest.FixtureRequest, server: EventsServer, tmp_path: Path) -> Iterator[Callable[[], Bus]]:
    """Connects to an engine, once for each program; in memory all have one."""
    if request.param == "memory":
        memory = Memory()
        yield lambda: memory
    elif request.param == "redis":
        port = free_port()
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", ""]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as redis:
            await_port(port)
            yield lambda: engine.connect(f"redis://127.0.0.1:{port}", {})
            redis.kill()
    else:
        yield lambda: _connected(server)


def test_a_stop_hands_back_what_waits_for_its_node(
    connect: Callable[[], Bus], nodes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More workers are stopped than may end at a request: none of them counts, and the last one does the work."""
    monkeypatch.setattr(redis_inbox, "CLAIM_SECONDS", 1.0)
    known, buses = delivery_site.inventory(nodes, 0), [connect(), connect()]
    runner = delivery_site.ssh_runners(buses[0], known, nodes)
    runner.start()
    said: list[dict[str, Any]] = []
    # Read while workers write, which pytest's own capture cannot be: it reads, goes back and cuts the file off.
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    heard = 0

    def hears(event: str) -> bool:
        nonlocal heard
        # The last line may just be being written.
        whole = log.getvalue()[heard:].rpartition("\n")[0]
        heard += len(whole) + 1 if whole else 0
        said.extend(json.loads(line) for line in whole.splitlines())
        return any(line["event"] == event and line.get("correlation_id") == "c-1" for line in said)

    with ThreadPoolExecutor(1) as pool, (nodes / "n00/run/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = pool.submit(buses[1].ask, _change(1), time_limit=100)
        for _ in range(MAX_ATTEMPTS + 1):
            buses.append(connect())
            stopped = delivery_site.node_workers(buses[-1], known, nodes)
            stopped.start()
            process.wait_until("the wait", lambda: hears("waiting"), 60)
            assert stopped.stop(30)
            assert hears("handed-back")
            said.clear()
            if buses[-1] is not buses[0]:
                buses[-1].close()
        assert not answer.done()
        fcntl.flock(lock, fcntl.LOCK_UN)
        buses.append(connect())
        last = delivery_site.node_workers(buses[-1], known, nodes)
        last.start()
        assert answer.result(60).payload["ok"], answer.result()
        process.wait_until("the log", lambda: hears("answered"), 30)
    assert [line["attempt"] for line in said if line.get("correlation_id") == "c-1" and "attempt" in line] == [1]
    assert delivery_site.applied(nodes, "n00") == [operation_id_of(NodeRequest.of(_change(1)))]
    for worker in (last, runner):
        assert worker.stop(30)
    for bus in buses:
        bus.close()


def test_the_history_tells_that_the_node_was_held(tmp_path: Path) -> None:
    history = History(tmp_path / "history", "a test", pytest.fail)
    work = replace(_held(tmp_path), history=history)
    work.stopping.set()
    with pytest.raises(StoppedError, match="held by an operator"):
        work.handle(_change(1).to_text().encode())
    [entry] = history.entries()
    assert (entry["event"], entry["ok"], entry["error_class"]) == ("ended", False, "conflict")


class _Pauses(threading.Event):
    """A stop that never comes; tells how long it was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.seconds.append(timeout)
        return False


def test_who_takes_over_does_not_wait_again_for_what_the_node_said_before(tmp_path: Path) -> None:
    held, pauses, kept = _held(tmp_path), _Pauses(), 5
    asked = itertools.count()

    def ask(request: Envelope, time_limit: float) -> Envelope:
        number = next(asked)
        if number == kept + 2:
            raise UnreachableError("the bus is gone")
        return replace(held.ask(request, time_limit), is_kept=number < kept)

    answer = replace(held, ask=ask, stopping=pauses).handle(_change(1).to_text().encode())
    assert answer.payload["error_class"] == "unreachable"
    assert pauses.seconds == [0.0] * kept + [1.0, 2.0]
