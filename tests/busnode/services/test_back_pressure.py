"""What waits on the bus waits there: a worker's memory does not grow with the queue."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from busnode.events import engine
from busnode.events.envelope import Envelope
from busnode.events.redis_streams import RedisStreams
from tests.nodes import process
from tests.torture import delivery_site
from tests.torture.sources import ROOT

QUEUED = 10_000
NODES = 20
MAX_GROWTH_MEGABYTES = 4.0


@pytest.fixture
def url(redis_server: str, tmp_path: Path) -> Iterator[str]:
    """A Redis or Valkey on a socket."""
    socket = tmp_path / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(tmp_path)]
    server = process.start([redis_server, *options], stdout=subprocess.DEVNULL)
    try:
        process.wait_until(redis_server, socket.exists, 30)
        yield f"unix://{socket}"
    finally:
        process.kill(server)


def _request(number: int) -> Envelope:
    payload = {"node_id": f"n{number % NODES:02}", "checks": ["ssh"]}
    return Envelope("bus.node.status.request", f"c-{number}", payload)


def _resident_megabytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


def test_ten_thousand_queued_requests_do_not_grow_a_workers_memory(url: str, tmp_path: Path) -> None:
    nodes = tmp_path / "nodes"
    delivery_site.make_nodes(nodes, NODES)
    bus = engine.connect(url, {})
    assert isinstance(bus, RedisStreams)
    started = {}
    try:
        for kind in ("worker", "runner"):
            command = [sys.executable, "-m", "tests.torture.delivery_site", kind, url, str(nodes)]
            started[kind] = process.start(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        # Both have done all that they do, once.
        for number in range(2 * NODES):
            assert bus.ask(_request(number), time_limit=60).payload["ok"]
        before = {kind: _resident_megabytes(one.pid) for kind, one in started.items()}
        for number in range(2 * NODES, 2 * NODES + QUEUED):
            bus.publish(_request(number))
        time.sleep(5)
        left = bus._redis.call("XLEN", "bus:bus.node.request")
        assert QUEUED - 1000 < left < QUEUED, "they are at work, and most of it waits"
        for kind, one in started.items():
            growth = _resident_megabytes(one.pid) - before[kind]
            print(f"{kind}: {before[kind]:.1f} MB, {growth:+.1f} MB with {left} requests queued")
            assert growth < MAX_GROWTH_MEGABYTES, kind
    finally:
        for one in started.values():
            process.kill(one)
        bus.close()
