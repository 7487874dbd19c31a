"""An operator with an inventory and a key, and the node that they belong to: what a user of `bus operator node` has."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.nodes import process
from tests.nodes.network import Operator, operator
from tests.nodes.node import ADDRESS, Node
from tests.nodes.tree import USER, Tree

NODE_ID = "proxy"
ALLOWED_PORTS = (22, 80, 443, 8080)
OPERATION_SECONDS = 170


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command left: its exit code, the JSON documents on stdout (one an operation), what stderr said."""

    code: int
    documents: tuple[dict[str, Any], ...]
    errors: str
    seconds: float

    @property
    def document(self) -> dict[str, Any]:
        """The one document of a single operation."""
        assert len(self.documents) == 1, self
        return self.documents[0]

    @property
    def changed(self) -> list[str]:
        """The steps that changed something."""
        return [step["name"] for step in self.document["steps"] if step["status"] == "changed"]


def documents(text: str) -> tuple[dict[str, Any], ...]:
    """JSON documents that stand one after another."""
    found = []
    decoder, rest = json.JSONDecoder(), text.lstrip()
    while rest:
        document, end = decoder.raw_decode(rest)
        found.append(document)
        rest = rest[end:].lstrip()
    return tuple(found)


@dataclass(slots=True)
class Deployment:
    """A workstation, its folder with deploy/nodes.json and local/id_ed25519, and one node."""

    station: Operator
    node: Node
    folder: Path
    target: dict[str, Any] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What the operator exports."""
        return {
            "BUS_NODE_TARGETS_FILE": str(self.folder / "deploy/nodes.json"),
            "BUS_SSH_PRIVATE_KEY_FILE": str(self.folder / "local/id_ed25519"),
        }

    def start(self) -> Deployment:
        """Boot the node, and wait until it has; gives itself."""
        self.node.start()
        self.node.wait()
        return self

    def write_target(self, **changes: Any) -> None:
        """Write the inventory: the document's target, with keys added or replaced."""
        self.target |= changes
        (self.folder / "deploy/nodes.json").write_text(json.dumps({NODE_ID: self.target}))

    def operate(self, operation: str, *options: str, timeout: float = OPERATION_SECONDS) -> Answer:
        """`bus operator node OPERATION --id proxy OPTIONS`, as a script runs it: no terminal."""
        return self.run("bus", "operator", "node", operation, "--id", NODE_ID, *options, timeout=timeout)

    def run(
        self,
        *command: str,
        timeout: float = OPERATION_SECONDS,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Answer:
        """Run a command in the operator's folder and environment; what it prints must be JSON documents."""
        begin = time.monotonic()
        done = self.station.run(
            *command, timeout=timeout, check=False, cwd=cwd or self.folder, env=self.environment if env is None else env
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Answer(done.returncode, documents(done.stdout), done.stderr, time.monotonic() - begin)

    def listen(self, port: int) -> None:
        """Let something on the node listen on a port, on every address."""
        command = ("systemd-socket-activate", "--inetd", "-a", "-l", str(port), "cat")
        self.node.run("systemd-run", "--quiet", f"--unit=listener-{port}", *command)
        process.wait_until(f"port {port}", lambda: f":{port} " in self.node.shell("ss -Hltn"), 10)

    def ssh(self, *command: str, user: str = USER, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """A fresh login by plain ssh, never asking anything; not checked."""
        fixed = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "ControlPath=none")
        key = str(self.folder / "local/id_ed25519")
        return self.station.run("ssh", "-i", key, *fixed, *options, f"{user}@{ADDRESS}", *command, check=False)


@contextlib.contextmanager
def deployment(
    tree: Tree, folder: Path, *, disk_below: Path | None = None, disk_bytes: int | None = None
) -> Iterator[Deployment]:
    """An operator who knows the node's host key and may log in; the node is not running yet."""
    work = folder / "work"
    with (
        operator(folder / "home") as station,
        Node(tree, station, folder / "node", disk_below=disk_below, disk_bytes=disk_bytes) as machine,
    ):
        for part in ("deploy", "local"):
            (work / part).mkdir(mode=0o700, parents=True)
        made = Deployment(station, machine, work)
        made.write_target(host=ADDRESS, user=USER, port=22, allowed_ports=list(ALLOWED_PORTS))
        key = work / "local/id_ed25519"
        station.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f", str(key))
        machine.authorize(key.with_suffix(".pub").read_text())
        (station.home / ".ssh/known_hosts").write_text(machine.known_hosts())
        yield made
