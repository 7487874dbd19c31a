"""What the proof of deliveries kills: node workers and ssh runners on Redis, with nodes on this machine that count.

python -m tests.torture.delivery_site worker|runner redis://127.0.0.1:6379 FOLDER [SECONDS]

A node is a folder with a lock and a memory of its own. Each bootstrap of it adds a line to its file `applied`: the id
of the operation. Everything else is as on a deployment, but that the runner reaches the nodes without ssh.
"""

from __future__ import annotations

import shlex
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from busnode.events import engine, redis_inbox
from busnode.events.bus import key_of
from busnode.events.envelope import NODE_REQUESTS, SCRIPT_REQUEST, Envelope
from busnode.inventory import Inventory
from busnode.script import DEBIAN, Layout
from busnode.services import node_worker, ssh_runner
from busnode.services.worker import Worker
from busnode.transport.local import Local

if TYPE_CHECKING:
    from busnode.events.bus import Bus

# A dead worker's requests are another's soon; on a deployment after 15 s.
CLAIM_SECONDS = 3.0
# Between an effect and its record is where a kill would have it twice.
PAUSE_SECONDS = 0.5
# What the runner says of its key, which nobody logs in with here.
OPERATOR_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOk operator"
# Few, so that there is always something to be killed.
_SLOTS = 2


@dataclass(frozen=True, slots=True)
class Count:
    """A step that counts: it adds the operation's id to the file, in the script's own process."""

    file: Path
    pause: float
    action: str = "count"
    name: str = "count"

    @property
    def shell(self) -> str:
        effect = f'echo "$operation_id" >>{shlex.quote(str(self.file))} && sleep {self.pause:g} && changed'
        return f"count() {{ would count || {{ {effect}; }}; }}"

    @property
    def call(self) -> tuple[str, ...]:
        return ("count",)


def names(nodes: int) -> list[str]:
    """The ids of so many nodes."""
    return [f"n{number:02}" for number in range(nodes)]


def make_nodes(folder: Path, nodes: int) -> None:
    """Their folders, empty."""
    for name in names(nodes):
        for part in ("state", "run", "units", "ssh"):
            (folder / name / part).mkdir(parents=True)


def applied(folder: Path, name: str) -> list[str]:
    """The ids of the operations that a node has applied, in order."""
    file = folder / name / "applied"
    return file.read_text().split() if file.exists() else []


def inventory(folder: Path, pause: float = PAUSE_SECONDS) -> Inventory:
    """The nodes below a folder, with nothing to do but to count, and to wait for so many seconds then."""
    nothing: dict[str, object] = {
        "time_synchronised": False,
        "packages": [],
        "service_accounts": [],
        "directories": [],
        "credentials": [],
        "services": [],
        "allowed_ports": [22],
    }
    ids = sorted(path.name for path in folder.iterdir() if path.is_dir())
    made = Inventory.from_document({name: {"host": f"{name}.invalid", "user": "root", **nothing} for name in ids})
    return Inventory({one.id: replace(one, own_steps=(Count(folder / one.id / "applied", pause),)) for one in made})


def layout(node: Path) -> Layout:
    """Where things lie on a node."""
    state, run, units = (str(node / name) for name in ("state", "run", "units"))
    return Layout(state, run, str(node / "ssh/00-busnode.conf"), str(node / "firewall.nft"), units, DEBIAN.path)


def node_workers(bus: Bus, known: Inventory, folder: Path) -> Worker:
    """What `bus-integration-node` does, for nodes that are folders."""

    def ask(request: Envelope, time_limit: float) -> Envelope:
        return bus.ask(request, time_limit=time_limit)

    stopping = Event()
    works = {
        one.id: node_worker.NodeWork(known, ask, layout=layout(folder / one.id), stopping=stopping) for one in known
    }

    def handle(text: bytes) -> Envelope:
        return works[key_of(text)].handle(text)

    set_aside = next(iter(works.values())).set_aside
    inbox = bus.inbox(NODE_REQUESTS, group=node_worker.SERVICE)
    return Worker(node_worker.SERVICE, inbox, handle, set_aside, _SLOTS, stopping=stopping)


def ssh_runners(bus: Bus, known: Inventory, folder: Path) -> Worker:
    """What `bus-integration-ssh-runner` does, without ssh."""
    work = ssh_runner.ScriptWork(known, ssh_runner.Keys(folder / "none"), lambda *_: Local(), lambda _: OPERATOR_KEY)
    inbox = bus.inbox((SCRIPT_REQUEST,), group=ssh_runner.SERVICE)
    return Worker(ssh_runner.SERVICE, inbox, work.handle, work.set_aside, _SLOTS)


MAKE = {"worker": node_workers, "runner": ssh_runners}


def main(kind: str, url: str, folder: Path, pause: float = PAUSE_SECONDS) -> int:
    """Work until TERM, or until it is killed."""
    redis_inbox.CLAIM_SECONDS = CLAIM_SECONDS
    stopping = Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    bus = engine.connect(url, {})
    worker = MAKE[kind](bus, inventory(folder, pause), folder)
    worker.start()
    stopping.wait()
    is_clean = worker.stop(60)
    bus.close()
    return 0 if is_clean else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), *map(float, sys.argv[4:])))
