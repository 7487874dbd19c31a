"""Print what event mode costs beside direct mode, over memory and over Redis, and what the services need.

make bench-events ARGS='--runs 200 overhead'
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.command_line import heading, parsed, parser, shown
from benchmarks.timing import Row, Spread, ratios, spread
from busnode import hardening, operations
from busnode.contract import BusnodeError
from busnode.events import engine
from busnode.events.envelope import Envelope
from busnode.events.memory import Memory
from busnode.node import Node
from busnode.transport.local import Local
from tests.nodes import process
from tests.torture import delivery_site
from tests.torture.sources import ROOT

if TYPE_CHECKING:
    from busnode.events.bus import Bus
    from busnode.inventory import Inventory

NODES = 20
MAX_MEGABYTES, MAX_START_SECONDS = 60.0, 1.0
# Requests of one measurement of what workers get done, and how many wait for their answers at once.
REQUESTS, ASKING = 200, 40
# A start takes a whole process; as many runs as of a question would take long.
STARTS = 9
_CHANGE = {"transport": "ssh-runner", "confirm": True, "dry_run": False}
_PAYLOADS: dict[str, dict[str, object]] = {
    "status": {},
    "verify": {"checks": ["ssh"]},
    "bootstrap": _CHANGE,
    # Dry: it would change this machine's own sshd and firewall.
    "harden": {**_CHANGE, "dry_run": True},
}
_DIRECT: dict[str, Callable[[Node], object]] = {
    "status": operations.status,
    "verify": lambda node: operations.verify(node, kinds=frozenset({"ssh"})),
    "bootstrap": operations.bootstrap,
    "harden": lambda node: hardening.harden(node, dry_run=True),
}
# Of the step that counts, which has nothing to wait for here.
_PAUSE_SECONDS = 0.0
_SEEN = itertools.count()


@dataclass(frozen=True, slots=True)
class Site:
    """Nodes that are folders of this machine, and a Redis whose every write is on disk before it is answered."""

    folder: Path
    url: str

    @property
    def nodes(self) -> Path:
        return self.folder / "nodes"

    @contextlib.contextmanager
    def started(self, kinds: Sequence[str]) -> Iterator[Bus]:
        """Workers and runners as processes of their own, and a bus to ask them."""
        with contextlib.ExitStack() as stack:
            for kind in kinds:
                words = (kind, self.url, str(self.nodes), str(_PAUSE_SECONDS))
                command = [sys.executable, "-m", "tests.torture.delivery_site", *words]
                one = process.start(command, cwd=ROOT, stderr=subprocess.DEVNULL)
                stack.callback(process.kill, one)
            bus = engine.connect(self.url, {})
            stack.callback(bus.close)
            # Every node once: all of them have begun.
            _ask_all(bus, 2 * NODES)
            yield bus


@contextlib.contextmanager
def _site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        delivery_site.make_nodes(folder / "nodes", NODES)
        socket = folder / "redis.sock"
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", name]
        server = process.start(
            ["redis-server", "--port", "0", "--unixsocket", str(socket), *durable], stdout=subprocess.DEVNULL
        )
        try:
            process.wait_until("redis-server", socket.exists, 60)
            yield Site(folder, f"unix://{socket}")
        finally:
            process.kill(server)


def _request(operation: str, node: str) -> Envelope:
    payload = {"node_id": node, **_PAYLOADS[operation]}
    if operation in {"bootstrap", "harden"}:
        payload["target_ref"] = f"nodes.{node}"
    return Envelope(f"bus.node.{operation}.request", f"bench-{os.getpid()}-{next(_SEEN)}", payload)


def _ask(bus: Bus, operation: str, node: str) -> None:
    answer = bus.ask(_request(operation, node), time_limit=120)
    # Nothing listens for ssh here, and nobody logged in by it: verify and harden say so, in each mode.
    assert answer.payload["ok"] or answer.payload["error_class"] in {"verify_failed", "lockout_risk"}, answer


def _ask_all(bus: Bus, count: int) -> float:
    """So many status requests, over all nodes, ASKING at once; the seconds that they took."""
    names = itertools.islice(itertools.cycle(delivery_site.names(NODES)), count)
    begin = time.monotonic()
    with ThreadPoolExecutor(ASKING) as pool:
        list(pool.map(lambda node: _ask(bus, "status", node), names))
    return time.monotonic() - begin


@cache
def _inventory(site: Site) -> Inventory:
    return delivery_site.inventory(site.nodes, _PAUSE_SECONDS)


def _direct(site: Site, operation: str, node: str) -> None:
    target = _inventory(site)[node]
    with contextlib.suppress(BusnodeError):
        layout = delivery_site.layout(site.nodes / node)
        _DIRECT[operation](Node(target, Local(), operator_key=lambda: delivery_site.OPERATOR_KEY, layout=layout))


@contextlib.contextmanager
def _in_memory(site: Site) -> Iterator[Bus]:
    bus, known = Memory(), _inventory(site)
    workers = [make(bus, known, site.nodes) for make in (delivery_site.node_workers, delivery_site.ssh_runners)]
    for one in workers:
        one.say = _say_nothing
        one.start()
    yield bus
    for one in workers:
        one.stop(30)
    bus.close()


def _say_nothing(*_: object, **__: object) -> None:
    """The lines of the log would stand between those of the table."""


def overhead(runs: int) -> Iterator[Row]:
    """An operation asked for directly, over memory and over Redis, in turn; each on the same node."""
    (node, *_) = delivery_site.names(NODES)
    with _site() as site, _in_memory(site) as memory, site.started(("worker", "runner")) as redis:
        for operation in _PAYLOADS:
            asked: dict[str, Callable[[], None]] = {
                "direct": partial(_direct, site, operation, node),
                "memory": partial(_ask, memory, operation, node),
                "redis": partial(_ask, redis, operation, node),
            }
            seen = _in_turn(asked, runs)
            for bus in ("memory", "redis"):
                more = sorted(1000 * (ours - theirs) for ours, theirs in zip(seen[bus], seen["direct"], strict=True))
                yield Row(f"{operation} over {bus} / direct", ratios(seen[bus], seen["direct"]), "of its time", None)
                yield Row(f"{operation} over {bus} - direct, median", spread(more), "ms", None)
                yield Row(f"{operation} over {bus} - direct, 99th percentile", _percentile(more), "ms", None)


def _in_turn(asked: dict[str, Callable[[], None]], runs: int) -> dict[str, list[float]]:
    seen: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(runs + 1):
        for name, ask in asked.items():
            begin = time.monotonic()
            ask()
            seen[name].append(time.monotonic() - begin)
    return {name: times[1:] for name, times in seen.items()}


def _percentile(numbers: Sequence[float]) -> Spread:
    (value,) = statistics.quantiles(numbers, n=100, method="inclusive")[98:99] if len(numbers) > 1 else numbers
    return Spread(value, min(numbers), max(numbers))


def throughput(runs: int) -> Iterator[Row]:
    """Status requests of 20 nodes with one, two and four workers and as many runners, beside as many asked directly."""
    rounds = max(3, runs // 30)
    seen: dict[int, list[float]] = {}
    with _site() as site:
        directly = [REQUESTS / _direct_all(site, REQUESTS) for _ in range(rounds)]
        yield Row(f"requests directly, {os.cpu_count()} at once", spread(directly), "a second", None)
        for count in (1, 2, 4):
            with site.started(("worker", "runner") * count) as bus:
                seen[count] = [REQUESTS / _ask_all(bus, REQUESTS) for _ in range(rounds)]
            yield Row(f"requests with {count} workers", spread(seen[count]), "a second", None)
    for count in (1, 2, 4):
        yield Row(f"requests with {count} workers / directly", ratios(seen[count], directly), "of their number", None)


def _direct_all(site: Site, count: int) -> float:
    """So many status operations without any bus, as many at once as there are processors; the seconds they took."""
    names = itertools.islice(itertools.cycle(delivery_site.names(NODES)), count)
    begin = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda node: _direct(site, "status", node), names))
    return time.monotonic() - begin


def services(runs: int) -> Iterator[Row]:
    """Each program from its start to its word that it is ready, and what it has in memory then."""
    with _site() as site:
        folder, url = site.folder, site.url
        (folder / "nodes.json").write_text(json.dumps({"n": {"host": "n.invalid", "user": "bus"}}))
        for name in ("read", "admin", "id"):
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(f"{name}-0123456789abcdef")
        tokens = ("--read-token-file", str(folder / "read"), "--admin-token-file", str(folder / "admin"))
        programs: dict[str, tuple[str, ...]] = {
            "bus-integration-node": (),
            "bus-integration-ssh-runner": ("--ssh-private-key", str(folder / "id")),
            "bus-api-provider-node": (*tokens, "--addr", "127.0.0.1:0"),
        }
        for name, flags in programs.items():
            seen = [_started(folder, name, "--events-url", url, *flags) for _ in range(min(runs, STARTS))]
            yield Row(f"{name}: ready after", spread([one[0] for one in seen]), "s", MAX_START_SECONDS)
            yield Row(f"{name}: at rest", spread([one[1] for one in seen]), "MB", MAX_MEGABYTES)


def _started(folder: Path, name: str, *flags: str) -> tuple[float, float]:
    """Seconds until a program is ready, and its megabytes a moment later."""
    environment = {"PATH": os.environ["PATH"], "BUS_NODE_TARGETS_FILE": str(folder / "nodes.json")}
    command = [str(Path(sys.executable).with_name(name)), *flags]
    begin = time.monotonic()
    one = process.start(command, stderr=subprocess.PIPE, cwd=folder, env=environment)
    try:
        assert one.stderr is not None
        first = one.stderr.readline()
        seconds = time.monotonic() - begin
        assert b'"ready"' in first, first
        time.sleep(0.5)
        status = Path(f"/proc/{one.pid}/status").read_text()
        return seconds, int(status.split("VmRSS:")[1].split()[0]) / 1024
    finally:
        process.kill(one)


BENCHMARKS: dict[str, Callable[[int], Iterator[Row]]] = {
    "overhead": overhead,
    "throughput": throughput,
    "services": services,
}


def main() -> int:
    """Run what was asked for. Exit code 1 when a limit was missed."""
    given = parsed(parser("bench-events", __doc__, BENCHMARKS, 100, "every question (default: 100)"), BENCHMARKS)
    if shutil.which("redis-server") is None:
        print("redis-server is not installed; run: apt install redis-server", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(heading(given.runs), flush=True)
    return 1 if sum(shown(BENCHMARKS[name](given.runs)) for name in given.names) else 0


if __name__ == "__main__":
    raise SystemExit(main())
