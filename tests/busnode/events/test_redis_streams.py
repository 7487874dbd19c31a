"""The bus on a real Redis and a real Valkey: once and in order, whatever is killed on the way."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from busnode.contract import BadRequestError, UnreachableError
from busnode.events import engine, redis_connection, redis_inbox
from busnode.events.bus import MAX_ATTEMPTS, WAKE_SECONDS
from busnode.events.envelope import Envelope, parse, response_to
from busnode.events.memory import Memory
from busnode.events.redis_connection import RedisConnection
from busnode.events.redis_streams import RedisStreams
from busnode.services.worker import Worker

if TYPE_CHECKING:
    from busnode.events.bus import Bus

NAMES = ("bus.node.harden.request", "bus.node.status.request")
WORKER = Path(__file__).with_name("redis_worker.py")


@dataclass
class Server:
    """A Redis or Valkey whose every write is on disk before it is answered."""

    program: str
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        durable = ["--appendonly", "yes", "--appendfsync", "always"]
        self.process = subprocess.Popen([self.program, *options, *durable], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"{self.program} does not start")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(redis_server: str, tmp_path: Path) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = Server(redis_server, tmp_path, port)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def bus(server: Server) -> Iterator[Bus]:
    made = engine.connect(server.url, {})
    yield made
    made.close()


def _request(node_id: str, number: int, operation: str = "status") -> Envelope:
    return Envelope(f"bus.node.{operation}.request", f"{node_id}-{number}", {"node_id": node_id, "number": number})


def test_it_is_the_server_that_is_meant(server: Server) -> None:
    said = redis.Redis(port=server.port).info("server")
    assert said.get("server_name", "redis") == ("valkey" if server.program.endswith("valkey-server") else "redis")


def test_a_nodes_requests_come_in_order_and_one_at_a_time(bus: Bus, server: Server) -> None:
    other_bus = engine.connect(server.url, {})
    inbox, other = bus.inbox(NAMES, group="g"), other_bus.inbox(NAMES, group="g")
    for envelope in (_request("a", 1), _request("a", 2, "harden"), _request("b", 1)):
        bus.publish(envelope)
    first, second = inbox.take(10), other.take(10)
    assert first is not None
    assert second is not None
    assert {parse(one.text).correlation_id for one in (first, second)} == {"a-1", "b-1"}
    assert inbox.take(0.2) is None
    of_a = first if b"a-1" in first.text else second
    of_a.answer(response_to(parse(of_a.text), {}))
    third = inbox.take(0.5) or other.take(10)
    assert third is not None
    assert parse(third.text).correlation_id == "a-2"
    other_bus.close()


def test_an_answer_is_kept_and_a_replayed_request_is_not_worked_on_again(bus: Bus) -> None:
    inbox = bus.inbox(NAMES, group="g")
    request = _request("a", 1)

    def work() -> None:
        delivery = inbox.take(20)
        assert delivery is not None
        delivery.answer(response_to(request, {"number": 1}))

    thread = threading.Thread(target=work)
    thread.start()
    first = bus.ask(request, time_limit=20)
    thread.join()
    again = bus.ask(request, time_limit=20)
    assert [first.payload, again.payload] == [{"number": 1}] * 2
    assert [first.is_kept, again.is_kept] == [False, True]
    bus.publish(request)
    assert inbox.take(0.2) is None


def test_what_a_dead_worker_had_is_anothers_and_then_set_aside(
    bus: Bus, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_inbox, "CLAIM_SECONDS", 0.3)
    monkeypatch.setattr(redis_inbox.RedisInbox, "_beat", lambda self: None)
    inbox = bus.inbox(NAMES, group="g")
    assert isinstance(inbox, redis_inbox.RedisInbox)
    bus.publish(_request("a", 1))
    attempts = []
    for _ in range(4):
        delivery = inbox.take(20)
        assert delivery is not None
        attempts.append(delivery.attempt)
        inbox._mine.clear()
    assert attempts == [1, 2, 3, 4]
    delivery.answer(response_to(_request("a", 1), {"ok": False}))
    client = redis.Redis(port=server.port)
    assert client.xlen("bus:bus.node.request:set-aside") == 1
    assert client.xlen("bus:bus.node.request") == 0
    assert client.keys("bus:bus.node.request:turn:*") == []


def test_what_is_not_utf_8_is_answered_and_holds_nobody_up(bus: Bus, server: Server) -> None:
    worker = Worker("node", bus.inbox(NAMES, group="g"), _answered_whatever, _answered_whatever, 1, _quiet)
    worker.start()
    client, stream = redis.Redis(port=server.port), "bus:bus.node.request"
    for fields in ({b"text": b"\xff\xfe", b"key": b"n\xff"}, {b"\xfe": b"\xff"}, {b"key": b"\xc3(", b"text": b"{}"}):
        client.xadd(stream, fields)
    assert bus.ask(_request("a", 1), time_limit=30).payload == {"ok": True}
    deadline = time.monotonic() + 30
    while client.xlen(stream) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert client.xlen(stream) == 0
    assert client.keys("bus:bus.node.request:*") == []
    assert worker.stop(30)


def _answered_whatever(text: bytes) -> Envelope:
    try:
        return _answered(text)
    except BadRequestError:
        return Envelope("bus.node.status.response", "", {"ok": False})


def test_a_correlation_id_is_one_requests(bus: Bus) -> None:
    worker = Worker("node", bus.inbox(NAMES, group="g"), _answered, _answered, 1, _quiet)
    worker.start()
    request = Envelope("bus.node.status.request", "deploy-7", {"node_id": "a", "checks": ["ssh"]})
    assert bus.ask(request, time_limit=30).payload == {"ok": True}
    for payload in ({"node_id": "b", "checks": ["ssh"]}, {"node_id": "a"}):
        with pytest.raises(BadRequestError, match="correlationId: used for another request"):
            bus.ask(Envelope(request.name, request.correlation_id, payload), time_limit=1)
    again = Envelope(request.name, request.correlation_id, {"checks": ["ssh"], "node_id": "a"})
    assert bus.ask(again, time_limit=30).payload == {"ok": True}
    # Whoever finishes a script of another worker's asks in other words.
    for by in "one", "two":
        bus.publish(Envelope("bus.ssh.script.run.request", "op.script.0", {"script": by}))
    assert worker.stop(30)


def test_what_a_dead_worker_had_is_found_behind_what_is_worked_on(
    bus: Bus, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XAUTOCLAIM looks at ten entries a COUNT, and goes on where its cursor says."""
    client, stream = redis.Redis(port=server.port), "bus:bus.node.request"
    monkeypatch.setattr(redis_inbox.RedisInbox, "_fetch", lambda self: None)
    inbox = bus.inbox(NAMES, group="g")
    for number in range(31):
        bus.publish(_request(f"n{number}", number))
    taken = client.xreadgroup("g", "dead", {stream: ">"}, count=31)
    client.xclaim(stream, "g", "dead", 0, [taken[0][1][-1][0]], idle=60_000)
    assert isinstance(inbox, redis_inbox.RedisInbox)
    delivery, _ = inbox._take()
    assert delivery is not None
    assert parse(delivery.text).correlation_id == "n30-30"


def test_waiting_for_its_turn_is_no_attempt(bus: Bus, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_inbox, "CLAIM_SECONDS", 0.3)
    monkeypatch.setattr(redis_inbox.RedisInbox, "_fetch", lambda self: None)
    monkeypatch.setattr(redis_inbox.RedisInbox, "_beat", lambda self: None)
    bus.publish(_request("a", 1))
    bus.publish(_request("a", 2))
    inbox = bus.inbox(NAMES, group="g")
    assert isinstance(inbox, redis_inbox.RedisInbox)
    for _ in range(2 * (MAX_ATTEMPTS + 2)):
        # A worker takes it, holds it until its turn, and is gone.
        inbox._held.clear()
        inbox._mine.clear()
        delivery = None
        while delivery is None:
            time.sleep(0.05)
            delivery, _ = inbox._take()
        inbox._held.append(delivery)
    first, second = _request("a", 1), _request("a", 2)
    for request in (first, second):
        delivery = None
        while delivery is None:
            inbox._fetch_one()
            delivery = next(iter(inbox._ready), None)
        inbox._ready.clear()
        assert (parse(delivery.text), delivery.attempt) == (request, 1)
        delivery.answer(response_to(request, {"ok": True}))
    client = redis.Redis(port=server.port)
    assert client.xlen("bus:bus.node.request:set-aside") == 0
    assert client.keys("bus:bus.node.request:attempts") == []


def test_a_worker_that_paused_has_each_request_once(bus: Bus, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_inbox, "CLAIM_SECONDS", 0.3)
    monkeypatch.setattr(redis_inbox.RedisInbox, "_fetch", lambda self: None)
    monkeypatch.setattr(redis_inbox.RedisInbox, "_beat", lambda self: None)
    other_bus = engine.connect(server.url, {})
    inbox, other = bus.inbox(NAMES, group="g"), other_bus.inbox(NAMES, group="g")
    assert isinstance(inbox, redis_inbox.RedisInbox)
    assert isinstance(other, redis_inbox.RedisInbox)
    requests = [_request("a", number) for number in range(3)]
    for request in requests:
        bus.publish(request)
    for _ in range(4):
        inbox._fetch_one()
    running = inbox._ready.popleft()
    held = [one.id for one in inbox._held]
    # It runs the first and holds the others, when its machine stands still; then they are claimable.
    time.sleep(0.4)
    for _ in range(4):
        inbox._fetch_one()
    assert not inbox._ready
    assert [one.id for one in inbox._held] == held
    # It stands still again, and another does it all.
    time.sleep(0.4)
    for request in requests:
        delivery = None
        while delivery is None:
            other._fetch_one()
            delivery = next(iter(other._ready), None)
        other._ready.clear()
        assert parse(delivery.text) == request
        delivery.answer(response_to(request, {"ok": True}))
    inbox._fetch_one()
    assert not inbox._held
    assert list(inbox._mine) == [running.id]
    other_bus.close()


def test_a_redis_that_falls_silent_is_told(bus: Bus, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_connection, "_ANSWER_SECONDS", 0.3)
    assert server.process is not None
    quick = engine.connect(server.url, {})
    server.process.send_signal(signal.SIGSTOP)
    try:
        begin = time.monotonic()
        with pytest.raises(UnreachableError, match="redis"):
            quick.publish(_request("a", 1))
        assert time.monotonic() - begin < 60
    finally:
        server.process.send_signal(signal.SIGCONT)
    quick.close()


def test_no_command_blocks_longer_than_its_connection_waits(server: Server, bus: Bus) -> None:
    assert WAKE_SECONDS < redis_connection._ANSWER_SECONDS / 2
    assert isinstance(bus, RedisStreams)
    said = bus._redis._client.connection_pool.connection_kwargs
    assert (said["socket_timeout"], said["socket_keepalive"]) == (redis_connection._ANSWER_SECONDS, True)


def _answered(text: bytes) -> Envelope:
    return response_to(parse(text), {"ok": True})


def test_long_work_is_begun_once(bus: Bus, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_inbox, "CLAIM_SECONDS", 2.0)
    begun: list[bytes] = []

    def work(text: bytes) -> Envelope:
        begun.append(text)
        time.sleep(3 * redis_inbox.CLAIM_SECONDS)
        return _answered(text)

    other_bus = engine.connect(server.url, {})
    workers = [Worker("node", one.inbox(NAMES, group="g"), work, work, 2, _quiet) for one in (bus, other_bus)]
    for one in workers:
        one.start()
    assert bus.ask(_request("a", 1), time_limit=60).payload == {"ok": True}
    assert len(begun) == 1
    for one in workers:
        assert one.stop(30)
    other_bus.close()


def _quiet(*_: object, **__: object) -> None:
    """Logs nothing."""


def test_workers_outlive_a_redis_that_has_lost_everything(bus: Bus, server: Server) -> None:
    worker = Worker("node", bus.inbox(NAMES, group="g"), _answered, _answered, 2, _quiet)
    worker.start()
    assert bus.ask(_request("a", 1), time_limit=30).payload == {"ok": True}
    redis.Redis(port=server.port).flushall()
    time.sleep(1.5)
    assert bus.ask(_request("a", 2), time_limit=30).payload == {"ok": True}
    assert worker.stop(30)


def test_work_that_is_done_outlives_a_redis_that_is_full(bus: Bus, server: Server) -> None:
    client, go, begun = redis.Redis(port=server.port), threading.Event(), []

    def work(text: bytes) -> Envelope:
        begun.append(text)
        go.wait(30)
        return _answered(text)

    worker = Worker("node", bus.inbox(NAMES, group="g"), work, work, 1, _quiet)
    worker.start()
    bus.publish(_request("a", 1))
    deadline = time.monotonic() + 30
    while not begun and time.monotonic() < deadline:
        time.sleep(0.02)
    client.config_set("maxmemory", "1")
    go.set()
    time.sleep(0.5)
    with pytest.raises(UnreachableError, match="its memory"):
        bus.publish(_request("a", 2))
    client.config_set("maxmemory", "0")
    assert bus.ask(_request("a", 1), time_limit=30).payload == {"ok": True}
    assert bus.ask(_request("a", 3), time_limit=30).payload == {"ok": True}
    assert len(begun) == 2
    assert worker.stop(30)


def test_a_slot_outlives_whatever_its_inbox_raises() -> None:
    bus, said = Memory(), list[object]()

    def broken(text: bytes) -> Envelope:
        if b"a-1" in text:
            raise ZeroDivisionError("oops")
        return _answered(text)

    worker = Worker("node", bus.inbox(NAMES, group="g"), broken, broken, 1, lambda *_, **fields: said.append(fields))
    worker.start()
    bus.publish(_request("a", 1))
    assert bus.ask(_request("b", 1), time_limit=30).payload == {"ok": True}
    assert {"why": "ZeroDivisionError: oops"} in said
    assert worker.stop(30)


@pytest.mark.timeout(300)
def test_every_request_has_one_answer_whatever_is_killed(server: Server, tmp_path: Path) -> None:
    """Three workers of two threads; one after another is killed, and redis too, while requests come and go."""
    nodes = tmp_path / "nodes"
    nodes.mkdir()
    chaos = random.Random(7)

    def worker() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(WORKER), server.url, str(nodes)])

    workers = [worker() for _ in range(3)]
    bus = engine.connect(server.url, {})
    requests = [_request(f"n{number % 10}", number) for number in range(100)]
    try:
        for request in requests:
            bus.publish(request)
        with ThreadPoolExecutor(20) as pool:
            answers = [pool.submit(bus.ask, request, time_limit=240) for request in requests]
            for turn in range(3):
                time.sleep(2)
                victim = chaos.randrange(3)
                workers[victim].send_signal(signal.SIGKILL)
                workers[victim].wait()
                workers[victim] = worker()
                if turn == 1:
                    server.kill()
                    server.start()
            payloads = [answer.result() for answer in answers]
    finally:
        for one in workers:
            one.kill()
            one.wait()
        bus.close()
    assert [answer.correlation_id for answer in payloads] == [request.correlation_id for request in requests]
    for file in nodes.glob("*.applied"):
        applied = [json.loads(line) for line in file.read_text().splitlines()]
        assert applied == sorted(set(applied)), file
    assert redis.Redis(port=server.port).xlen("bus:bus.node.response") == len(requests)
    total = sum(len(file.read_text().splitlines()) for file in nodes.glob("*.applied"))
    assert total == len(requests)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://10.0.0.5", "not encrypted"),
        ("rediss://10.0.0.5", "no ACL user"),
        ("redis://:hunter2@127.0.0.1", "holds a password"),
        ("rediss://bus@10.0.0.5?ssl_cert_reqs=none&password=hunter2", "a query or a fragment"),
        ("redis://127.0.0.1#hunter2", "a query or a fragment"),
        ("unix:///run/redis?password=hunter2", "a query or a fragment"),
        ("ftp://x", "no such engine"),
        ("redis://[", "Invalid IPv6"),
    ],
)
def test_a_bus_that_is_not_safe_is_refused(url: str, said: str) -> None:
    with pytest.raises(BadRequestError, match=said) as caught:
        engine.connect(url, {})
    assert "hunter2" not in str(caught.value)


def test_the_name_in_a_certificate_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RedisConnection, "call", lambda *_: None)
    connection = RedisConnection.connect("rediss://bus@10.0.0.5", username="bus", password=None)
    pool = connection._client.connection_pool
    made = pool.connection_class(**pool.connection_kwargs)
    assert isinstance(made, redis.SSLConnection)
    assert made.check_hostname
    assert made.cert_reqs == ssl.CERT_REQUIRED
    connection.close()


def test_a_bus_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="redis"):
        engine.connect(f"unix://{tmp_path}/none", dict(os.environ))
