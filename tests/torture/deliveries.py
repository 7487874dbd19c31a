"""Send requests through workers, runners and a Redis that are killed or stopped for a while all along.

Each is answered once and applied once, in order.

python -m tests.torture.deliveries --requests 1000 --seed 1 --place FOLDER
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import redis

from busnode.contract import BusnodeError
from busnode.events import engine
from busnode.events.envelope import Envelope, parse
from busnode.events.node_requests import NodeRequest
from busnode.services.node_worker import operation_id_of
from tests.nodes import process
from tests.torture import delivery_site
from tests.torture.sources import ROOT

NODES = 20
KINDS = ("worker",) * 3 + ("runner",) * 2
# Every so many kills it is Redis' turn.
_REDIS_EVERY = 8
# One that is paused instead of killed is taken for dead meanwhile, and goes on with what is another's then.
_PAUSED_EVERY = 5
_PAUSED_SECONDS = delivery_site.CLAIM_SECONDS + 1.0
_PAUSE_SECONDS = (0.4, 1.6)
# Where the disk is slow, a burst ends sooner: else there would be little to disturb between bursts.
_BURST_SECONDS = 2.0
_RESPONSES = "bus:bus.node.response"
_TOPICS = ("bus:bus.node.request", "bus:bus.ssh.request")
_ATTEMPTS_SECONDS = 120.0
# So many may be set aside, for three workers were killed over one by chance; a thousand requests were seen without any.
MIN_ASIDE, ASIDE_SHARE = 2, 0.01


@dataclass(slots=True)
class Site:
    """A Redis whose every write is on disk before it is answered, and the processes on it."""

    place: Path
    port: int
    program: str = "redis-server"
    server: subprocess.Popen[bytes] | None = None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    pauses: int = 0
    _goes_on: dict[int, float] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def nodes(self) -> Path:
        return self.place / "nodes"

    def start_redis(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.place), "--save", ""]
        durable = ["--appendonly", "yes", "--appendfsync", "always"]
        with (self.place / "redis.log").open("ab") as log:
            self.server = process.start([self.program, *options, *durable], stdout=log, stderr=log)
        process.wait_until(self.program, self._answers, _ATTEMPTS_SECONDS)

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(redis.Redis(port=self.port).ping())
        return False

    def start(self, number: int) -> None:
        """The worker or runner of this number, which is there to be killed."""
        kind = KINDS[number]
        command = [sys.executable, "-m", "tests.torture.delivery_site", kind, self.url, str(self.nodes)]
        with (self.place / f"{kind}{number}.log").open("ab") as log:
            one = process.start(command, cwd=ROOT, stdout=log, stderr=log)
        if number < len(self.processes):
            self.processes[number] = one
        else:
            self.processes.append(one)

    def at_work(self) -> list[int]:
        """Who has taken what is not answered yet: there a kill hurts."""
        found: set[int] = set()
        client = redis.Redis(port=self.port)
        for topic in _TOPICS:
            with contextlib.suppress(redis.RedisError):
                for group in client.xinfo_groups(topic):
                    consumers: Any = client.xinfo_consumers(topic, group["name"])
                    # Of a consumer's name, HOST-PROCESS-RANDOM.
                    found |= {int(one["name"].split(b"-")[-2]) for one in consumers if one["pending"]}
        return [number for number, one in enumerate(self.processes) if one.pid in found and number not in self._goes_on]

    def kill(self, number: int) -> None:
        """kill -9 of one alone: what it had started goes on, as a node does whose connection is cut."""
        self.processes[number].kill()
        self.processes[number].wait()
        self.kills[KINDS[number]] += 1
        self.start(number)

    def pause(self, number: int) -> None:
        """Stop it until others have what it had; `go_on` lets it go on."""
        self.processes[number].send_signal(signal.SIGSTOP)
        self._goes_on[number] = time.monotonic() + _PAUSED_SECONDS
        self.pauses += 1

    def go_on(self, *, all_of_them: bool = False) -> None:
        """Those go on whose pause is over."""
        for number, until in [*self._goes_on.items()]:
            if all_of_them or time.monotonic() > until:
                self.processes[number].send_signal(signal.SIGCONT)
                del self._goes_on[number]

    def kill_redis(self) -> None:
        assert self.server is not None
        process.kill(self.server)
        self.kills["redis"] += 1
        self.start_redis()


@contextlib.contextmanager
def _running(place: Path, program: str) -> Iterator[Site]:
    shutil.rmtree(place, ignore_errors=True)
    delivery_site.make_nodes(place / "nodes", NODES)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = Site(place, port, program)
    try:
        made.start_redis()
        for number in range(len(KINDS)):
            made.start(number)
        yield made
    finally:
        for one in [*made.processes, *filter(None, [made.server])]:
            process.kill(one)


def requests(count: int, choices: Random) -> list[Envelope]:
    """Three of four change their node; the rest only look."""
    found = []
    for number in range(count):
        node = choices.choice(delivery_site.names(NODES))
        payload: dict[str, Any] = {"node_id": node}
        operation = "status" if choices.random() < 0.25 else "bootstrap"
        if operation == "bootstrap":
            change = {"transport": "ssh-runner", "target_ref": f"nodes.{node}", "confirm": True, "dry_run": False}
            payload |= change
        found.append(Envelope(f"bus.node.{operation}.request", f"c-{number:04}", payload))
    return found


def _send(site: Site, envelopes: list[Envelope], choices: Random, limit: float) -> None:
    """Publish them in order while something is killed all along, until all are answered or the time is over."""
    bus = engine.connect(site.url, {})
    waiting, until = list(envelopes), time.monotonic() + limit
    while time.monotonic() < until and (waiting or _count(site) < len(envelopes)):
        burst = choices.randrange(1, max(2, len(envelopes) // 3))
        burst_ends = time.monotonic() + _BURST_SECONDS
        with contextlib.suppress(BusnodeError):
            for _ in range(min(burst, len(waiting))):
                # Sent again where it is not known whether it came through.
                bus.publish(waiting[0])
                waiting.pop(0)
                if time.monotonic() > burst_ends:
                    break
        time.sleep(choices.uniform(*_PAUSE_SECONDS))
        site.go_on()
        busy = site.at_work()
        if not busy:
            # On a machine with much else to do a new one needs a while: killed before, none would ever work.
            continue
        turn = site.kills.total() + site.pauses + 1
        if turn % _REDIS_EVERY == 0:
            site.kill_redis()
        elif turn % _PAUSED_EVERY == 0:
            site.pause(choices.choice(busy))
        else:
            site.kill(choices.choice(busy))
    site.go_on(all_of_them=True)
    bus.close()


def _count(site: Site) -> int:
    return int(redis.Redis(port=site.port).xlen(_RESPONSES))


def _answers(site: Site) -> list[Envelope]:
    entries: Any = redis.Redis(port=site.port).xrange(_RESPONSES)
    return [parse(fields[b"text"]) for _, fields in entries]


def judge(site: Site, envelopes: list[Envelope]) -> tuple[list[str], Counter[str]]:
    """What is wrong, and how the requests ended."""
    wrong, seen = [], Counter[str]()
    answers = _answers(site)
    for one, times in Counter(answer.correlation_id for answer in answers).items():
        if times > 1:
            wrong.append(f"{one}: {times} final responses")
    said = {answer.correlation_id: answer.payload for answer in answers}
    numbers = {_operation_id(envelope): number for number, envelope in enumerate(envelopes)}
    done = {name: delivery_site.applied(site.nodes, name) for name in delivery_site.names(NODES)}
    for name, operations in done.items():
        order = [numbers.get(one, -1) for one in operations]
        wrong += [
            f"{name}: applied {one} times: {numbers.get(of)}" for of, one in Counter(operations).items() if one > 1
        ]
        if order != sorted(order) or -1 in order:
            wrong.append(f"{name}: not in the order of the stream, or not asked for: {order}")
    for envelope in envelopes:
        payload, asked = said.get(envelope.correlation_id), envelope.correlation_id
        if payload is None:
            wrong.append(f"{asked}: no response")
            continue
        outcome = "ok" if payload["ok"] else payload["error_class"]
        seen[outcome] += 1
        is_applied = _operation_id(envelope) in done[envelope.payload["node_id"]]
        if payload["ok"] and is_applied != ("bootstrap" in envelope.name):
            wrong.append(f"{asked}: {envelope.name} is answered ok, and applied: {is_applied}")
        if not payload["ok"] and not _is_set_aside(payload):
            wrong.append(f"{asked}: {outcome}: {payload['diagnostics']}")
    changes = {operation for operations in done.values() for operation in operations}
    aside = [(one, _operation_id(one) in changes) for one in envelopes if _is_set_aside(said.get(one.correlation_id))]
    wrong += judge_set_aside([(one.correlation_id, is_applied) for one, is_applied in aside], len(envelopes))
    client = redis.Redis(port=site.port)
    left = [key for topic in _TOPICS for key in (topic, *client.keys(f"{topic}:turn:*")) if _is_left(client, key)]
    if left:
        wrong.append(f"left in Redis: {left}")
    return wrong, seen


def _is_set_aside(payload: dict[str, Any] | None) -> bool:
    return payload is not None and not payload["ok"] and "set aside" in str(payload["diagnostics"])


def judge_set_aside(aside: Sequence[tuple[str, bool]], count: int) -> list[str]:
    """What is wrong with the requests that were set aside, each with whether it was applied, out of `count`."""
    wrong = [f"{asked}: answered as set aside, and applied" for asked, is_applied in aside if is_applied]
    if len(aside) > max(MIN_ASIDE, count * ASIDE_SHARE):
        wrong.append(f"{len(aside)} of {count} requests were set aside: who is killed is seldom killed over one thrice")
    return wrong


def _is_left(client: redis.Redis, key: str | bytes) -> bool:
    return bool(
        client.llen(key) if b":turn:" in (key if isinstance(key, bytes) else key.encode()) else client.xlen(key)
    )


def _operation_id(envelope: Envelope) -> str:
    return operation_id_of(NodeRequest.of(envelope))


def main() -> int:
    """Run it; findings and numbers go to stdout."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--limit", type=float, default=3600, help="seconds until all must be answered")
    parser.add_argument("--redis", default="redis-server", help="the server's program, or Valkey's (redis-server)")
    parser.add_argument("--place", type=Path, required=True, help="a folder, emptied first")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # With the torture's lowest priority a busy machine would leave them no time to be killed in.
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    choices = Random(given.seed)
    envelopes = requests(given.requests, choices)
    with _running(given.place.resolve(), given.redis) as site:
        _send(site, envelopes, choices, given.limit)
        # What outlived the worker that had begun it comes to its end.
        time.sleep(2 * delivery_site.CLAIM_SECONDS)
        wrong, seen = judge(site, envelopes)
        kills, pauses = site.kills, site.pauses
    for one in wrong:
        print(f"FINDING {one}".replace("\n", "\\n"), flush=True)
    print(f"executions: {given.requests}")
    told = {**dict(sorted(seen.items())), **{f"{kind}_kills": kills[kind] for kind in sorted(kills)}, "pauses": pauses}
    for name, number in told.items():
        print(f"{name}: {number}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
