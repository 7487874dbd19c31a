"""A worker or runner that stands still, is taken for dead, and goes on: what it held is another's by then, and done."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from busnode.events import engine, redis_inbox
from busnode.events.envelope import Envelope, parse
from busnode.events.node_requests import NodeRequest
from busnode.services.node_worker import operation_id_of
from tests.nodes import process
from tests.torture import delivery_site
from tests.torture.sources import ROOT

if TYPE_CHECKING:
    from busnode.events.bus import Delivery
    from busnode.services.worker import Worker

CHANGE = {"transport": "ssh-runner", "confirm": True, "dry_run": False}
TOPICS = {"worker": "bus:bus.node.request", "runner": "bus:bus.ssh.request"}
RESPONSES = "bus:bus.node.response"


def _change(number: int, node: str = "n00") -> Envelope:
    payload = {"node_id": node, "target_ref": f"nodes.{node}", **CHANGE}
    return Envelope("bus.node.bootstrap.request", f"c-{number}", payload)


def _operation_ids(requests: list[Envelope]) -> list[str]:
    return [operation_id_of(NodeRequest.of(one)) for one in requests]


@dataclass
class Site:
    """A Redis or Valkey, one node that counts what is applied to it, and processes that work on it."""

    url: str
    nodes: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = redis.Redis.from_url(self.url)

    def start(self, kind: str) -> None:
        """A worker or a runner."""
        command = [sys.executable, "-m", "tests.torture.delivery_site", kind, self.url, str(self.nodes)]
        self.processes.append(process.start(command, cwd=ROOT, stderr=subprocess.DEVNULL))

    def holder(self, topic: str) -> subprocess.Popen[bytes] | None:
        """Who has taken something of the topic and not answered it."""
        with contextlib.suppress(redis.ResponseError):
            for group in self.client.xinfo_groups(topic):
                for one in self.client.xinfo_consumers(topic, group["name"]):
                    # Of a consumer's name, HOST-PROCESS-RANDOM.
                    number = int(one["name"].split(b"-")[-2])
                    if one["pending"]:
                        return next((each for each in self.processes if each.pid == number), None)
        return None

    def answers(self) -> list[Envelope]:
        """All that were given, in order."""
        return [parse(fields[b"text"]) for _, fields in self.client.xrange(RESPONSES)]

    def applied(self) -> list[str]:
        return delivery_site.applied(self.nodes, "n00")

    def left(self) -> list[bytes]:
        """What still waits in Redis, or waits for its turn."""
        return [key for topic in TOPICS.values() for key in self.client.keys(f"{topic}:turn:*")]


@pytest.fixture
def site(redis_server: str, tmp_path: Path) -> Iterator[Site]:
    socket = tmp_path / "redis.sock"
    durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", str(tmp_path)]
    command = [redis_server, "--port", "0", "--unixsocket", str(socket), *durable]
    server = process.start(command, stdout=subprocess.DEVNULL)
    delivery_site.make_nodes(tmp_path / "nodes", 1)
    try:
        process.wait_until(redis_server, socket.exists, 30)
        made = Site(f"unix://{socket}", tmp_path / "nodes")
        yield made
        for one in made.processes:
            process.kill(one)
    finally:
        process.kill(server)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("kind", TOPICS)
def test_who_was_paused_and_goes_on_does_nothing_a_second_time(site: Site, kind: str) -> None:
    """Real processes, the one that has the node's first request stopped by SIGSTOP, and continued when it is done."""
    for each in ("worker", "worker", "runner", "runner"):
        site.start(each)
    bus = engine.connect(site.url, {})
    requests = [_change(number) for number in range(3)]
    bus.publish(requests[0])
    paused = process.wait_until(f"a {kind} at work", lambda: site.holder(TOPICS[kind]), 60, 0.01)
    paused.send_signal(signal.SIGSTOP)
    try:
        for request in requests[1:]:
            bus.publish(request)
        process.wait_until("all answers of the others", lambda: len(site.answers()) == len(requests), 60)
    finally:
        paused.send_signal(signal.SIGCONT)
    # It finishes what it had in hand, and tells: for so long nothing more happens.
    time.sleep(delivery_site.CLAIM_SECONDS)
    assert paused.poll() is None
    assert site.applied() == _operation_ids(requests)
    assert [(one.correlation_id, one.payload["ok"]) for one in site.answers()] == [
        (request.correlation_id, True) for request in requests
    ]
    assert site.left() == []
    bus.close()


def _take(worker: Worker) -> Delivery:
    return process.wait_until("a request", lambda: worker.inbox.take(5), 30)


def _answer(worker: Worker, delivery: Delivery) -> None:
    delivery.answer(worker.handle(delivery.text))


@pytest.mark.parametrize("kind", TOPICS)
def test_who_begins_with_what_another_has_finished_changes_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The worst moment: it had taken the request, and stood still before it did anything about it."""
    monkeypatch.setattr(redis_inbox, "CLAIM_SECONDS", 0.3)
    monkeypatch.setattr(redis_inbox.RedisInbox, "_beat", lambda self: None)
    known = delivery_site.inventory(site.nodes, 0.0)
    make = delivery_site.MAKE[kind]
    other_kind = "runner" if kind == "worker" else "worker"
    buses = [engine.connect(site.url, {}) for _ in range(4)]
    # What the requests of the others go through.
    through = delivery_site.MAKE[other_kind](buses[0], known, site.nodes)
    through.start()
    requests = [_change(number) for number in range(2)]
    buses[3].publish(requests[0])
    late = make(buses[1], known, site.nodes)
    held = _take(late)
    late.inbox.close()
    time.sleep(2 * redis_inbox.CLAIM_SECONDS)
    others = make(buses[2], known, site.nodes)
    others.start()
    answers = [buses[3].ask(request, time_limit=60) for request in requests]
    assert site.applied() == _operation_ids(requests)
    _answer(late, held)
    assert site.applied() == _operation_ids(requests)
    assert [answer.payload["ok"] for answer in answers] == [True, True]
    assert Counter(one.correlation_id for one in site.answers()) == {"c-0": 1, "c-1": 1}
    assert [buses[3].ask(request, time_limit=60) for request in requests] == answers
    for worker in (others, through):
        assert worker.stop(30)
    for bus in buses:
        bus.close()
