"""A deployment in one process: both workers on a bus in memory, and this machine, in a throw-away root, as its node."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from busnode.events.envelope import NODE_REQUESTS, SCRIPT_REQUEST, Envelope
from busnode.events.memory import Memory
from busnode.inventory import Inventory
from busnode.services.node_worker import NodeWork
from busnode.services.ssh_runner import Keys, Open, ScriptWork
from busnode.services.worker import Worker
from busnode.transport.local import Local
from tests.busnode.events.events_server import ALL_SCOPES, EventsServer
from tests.busnode.services.site import ADMIN, READ, TOKEN, Site, await_port, free_port
from tests.busnode.tls import Authority

if TYPE_CHECKING:
    from busnode.script import Layout

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOk operator"


@dataclass
class Deployment:
    """What a test asks; `said` is what the workers logged."""

    bus: Memory
    inventory: Inventory
    layout: Layout
    nodes: NodeWork
    scripts: ScriptWork
    said: list[dict[str, object]] = field(default_factory=list)

    def ask(self, operation: str, correlation_id: str = "c-1", **payload: Any) -> dict[str, Any]:
        """The payload of the answer to a node request."""
        request = Envelope(f"bus.node.{operation}.request", correlation_id, {"node_id": "proxy", **payload})
        answer = self.bus.ask(request, time_limit=60)
        assert answer.correlation_id == correlation_id
        return answer.payload


def document(folder: Path) -> dict[str, Any]:
    """A target that touches nothing outside of `folder`."""
    return {
        "host": "10.0.0.10",
        "user": "bus",
        "allowed_ports": [22, 80],
        "packages": [],
        "service_accounts": [],
        "services": [],
        "directories": [{"path": str(folder / "made")}],
        "credentials": [{"source": "token", "destination": str(folder / "placed")}],
    }


@pytest.fixture
def open_node() -> Open:
    """How the runner reaches a node."""
    return lambda *_: Local()


@pytest.fixture
def deployment(tmp_path: Path, layout: Layout, open_node: Open) -> Iterator[Deployment]:
    (tmp_path / "keys").mkdir()
    for name in ("token", "keys/id"):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text("s3cret of the site")
    inventory = Inventory.from_document({"proxy": document(tmp_path)}, base=tmp_path)
    bus = Memory()
    nodes = NodeWork(inventory, lambda request, limit: bus.ask(request, time_limit=limit), layout=layout)
    keys = Keys(tmp_path / "keys/id", secrets_dir=tmp_path / "keys", folders=(tmp_path,))
    scripts = ScriptWork(inventory, keys, open_node, lambda _: KEY)
    made = Deployment(bus, inventory, layout, nodes, scripts)

    def say(service: str, event: str, **fields: object) -> None:
        made.said.append({"service": service, "event": event, **fields})

    workers = [
        Worker("node", bus.inbox(NODE_REQUESTS, group="node"), nodes.handle, nodes.set_aside, 4, say),
        Worker("ssh", bus.inbox((SCRIPT_REQUEST,), group="ssh"), scripts.handle, scripts.set_aside, 8, say),
    ]
    for worker in workers:
        worker.start()
    yield made
    for worker in workers:
        assert worker.stop(30)
    bus.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    target = {"host": "127.0.0.1", "user": "bus", "port": free_port(), "host_key": "SHA256:" + "A" * 43}
    (tmp_path / "nodes.json").write_text(json.dumps({"proxy": target}))
    for name, text in (("read", READ), ("admin", ADMIN)):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(text)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "id"], check=True)
    made = Site(tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


@pytest.fixture
def redis_url(site: Site, redis_server: str) -> str:
    """A Redis or Valkey of the site's."""
    port = free_port()
    redis = subprocess.Popen(
        [redis_server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(site.folder)],
        stdout=subprocess.DEVNULL,
        text=True,
    )
    site.processes.append(redis)
    await_port(port)
    return f"redis://127.0.0.1:{port}"


@pytest.fixture
def https_url(site: Site) -> Iterator[str]:
    """An Events API that the site trusts."""
    authority = Authority.make(site.folder)
    (site.folder / "token").touch(mode=0o600)
    (site.folder / "token").write_text(TOKEN)
    site.settings |= {"SSL_CERT_FILE": str(authority.certificate), "BUS_API_TOKEN_FILE": str(site.folder / "token")}
    server = EventsServer({TOKEN: ALL_SCOPES}, authority.issue("IP:127.0.0.1"))
    server.start()
    yield server.url
    server.stop()
