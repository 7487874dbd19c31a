"""A Bus host that runs the services as systemd units, made by busnode's own bootstrap, and a node that they work on."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.nodes.deployment import NODE_ID, Deployment, deployment
from tests.nodes.node import Node
from tests.nodes.services import POST
from tests.nodes.tree import USER

if TYPE_CHECKING:
    from tests.nodes.tree import Tree

API, WORKER, RUNNER = "bus-api-provider-node", "bus-integration-node", "bus-integration-ssh-runner"
PROGRAMS = (RUNNER, WORKER, API)
CONFIGURED = "/etc/bus/services"
# Where the node's credential is put.
PLACED = "/etc/bus/token"
_ANSWER_SECONDS = 150


@dataclass(frozen=True, slots=True)
class Site:
    """The host of the services, and the node; `secrets` are all that there are, by name."""

    made: Deployment
    other: Node
    secrets: dict[str, bytes]

    @property
    def host(self) -> Node:
        return self.made.node

    def ask(self, operation: str, payload: str = "{}", token: str | None = None) -> dict[str, Any]:
        """What the API answers to who asks on its host; the reader, where no token is given."""
        url = f"http://127.0.0.1:8093/api/internal/node/{NODE_ID}/{operation}"
        words = ("python3", "-I", "-c", POST, url, token or self.secrets["read"].decode(), str(_ANSWER_SECONDS))
        answer: dict[str, Any] = json.loads(self.host.run(*words, stdin=payload, timeout=_ANSWER_SECONDS + 10).stdout)
        return answer

    def property(self, unit: str, name: str) -> str:
        return self.host.run("systemctl", "show", "--value", f"--property={name}", unit).stdout.strip()

    def megabytes(self, unit: str) -> float:
        """What its main process has in memory."""
        status = (self.host.root / f"proc/{self.property(unit, 'MainPID')}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def start_seconds(self, unit: str) -> float:
        """From its process' start to its word that it is ready, but for the time that it waited for a processor."""
        self.host.run("systemctl", "restart", unit)
        start, ready = (
            int(self.property(unit, f"{name}TimestampMonotonic")) for name in ("ExecMainStart", "ActiveEnter")
        )
        # sched(7), schedstat: nanoseconds on a processor, then waiting for one.
        waited = int((self.host.root / f"proc/{self.property(unit, 'MainPID')}/schedstat").read_text().split()[1])
        return (ready - start) / 1e6 - waited / 1e9

    def new_secret(self, name: str) -> str:
        """A secret of the run."""
        self.secrets[name] = f"{name}-{secrets.token_hex(16)}".encode()
        return self.secrets[name].decode()

    @contextlib.contextmanager
    def configured(self, files: Mapping[str, str]) -> Iterator[None]:
        """The services with these files of /etc/bus/services, beside what is there."""
        for name, content in files.items():
            private(self.host, f"{CONFIGURED}/{name}", content)
        self.restart()
        yield
        for name in files:
            (self.host.root / CONFIGURED.lstrip("/") / name).unlink()
        self.restart()

    def restart(self) -> None:
        """What the documentation says to do after a change of the configuration."""
        done = self.host.run("systemctl", "restart", "bus-*", timeout=120, check=False)
        assert done.returncode == 0, self.host.run("journalctl", "--no-pager", "-n", "60").stdout


def private(node: Node, path: str, content: str) -> None:
    """Put a file on a running node that root alone may read."""
    node.run("sh", "-euc", 'umask 077; mkdir -p "${1%/*}"; cat >"$1"', "sh", path, stdin=content)


@contextlib.contextmanager
def services_host(tree: Tree, folder: Path) -> Iterator[Site]:
    """Both run; the node's sudo wants a password, and it is to get a credential: secrets of the deployment."""
    with (
        deployment(tree, folder) as made,
        Node(tree, made.station, folder / "other", address="10.0.0.11", address_6="fd00:b05::11") as other,
    ):
        site = Site(made, other, {})
        key = made.folder / "local/id_ed25519"
        # Its first line but one is every key's; the last ones may be too short to be anything's alone.
        for number, line in enumerate(key.read_bytes().splitlines()[2:5]):
            site.secrets[f"key, line {number}"] = line
        other.authorize(key.with_suffix(".pub").read_text())
        other.place(f"/etc/sudoers.d/{USER}", f"{USER} ALL=(ALL:ALL) ALL\n", mode=0o440)
        files = made.folder / "deploy/services"
        files.mkdir(mode=0o700)
        target = {
            "host": other.address,
            "user": USER,
            "allowed_ports": [22],
            "become": {"password": "secret://deployment/sudo"},
            "credentials": [
                {"authorized_key": "operator"},
                {"source": "secret://deployment/credential", "destination": PLACED},
            ],
        }
        contents = {
            "targets.json": json.dumps({NODE_ID: target}),
            "known_hosts": other.known_hosts(),
            "ssh-key": key.read_text(),
            "read.token": site.new_secret("read"),
            "admin.token": site.new_secret("admin"),
        }
        for name, content in contents.items():
            (files / name).touch(mode=0o600)
            (files / name).write_text(content)
        made.write_target(profile="bus-services")
        for machine in (made.node, other):
            machine.start()
        for machine in (made.node, other):
            machine.wait()
        other.run("chpasswd", stdin=f"{USER}:{site.new_secret('sudo')}\n")
        _give_secrets(site)
        answer = made.operate("bootstrap")
        assert answer.code == 0, (answer, made.node.run("journalctl", "--no-pager", "-n", "100").stdout)
        yield site


def _give_secrets(site: Site) -> None:
    """What `systemctl edit bus-integration-ssh-runner` makes, as the documentation has it."""
    site.new_secret("credential")
    lines = ["[Service]"]
    for name in ("sudo", "credential"):
        private(site.host, f"/etc/site/{name}", site.secrets[name].decode())
        lines.append(f"LoadCredential={name}:/etc/site/{name}")
    private(site.host, f"/etc/systemd/system/{RUNNER}.service.d/override.conf", "\n".join([*lines, ""]))
