"""A site whose services run as programs: its folder, what it starts and how it asks."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.house.tree import BIN

TOKEN = "token-of-the-services"
READ, ADMIN = "reader-0123456789abcdef", "admin-0123456789abcdef"
# Plays a node that ssh logged in to: what follows the host is the remote command.
SSH = """#!/bin/sh
echo "$0" >>{folder}/opened
while [ "$1" != -- ]; do shift; done
exec {node} sh -c "$3"
"""
# What the script does to these folders is gone with it.
APART = """unshare --user --map-root-user --mount sh -c \
    'mount -t tmpfs none /run && mount -t tmpfs none /var/lib && exec "$@"' -"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@dataclass
class Site:
    """A folder with an inventory, a key and tokens; programs that were started are ended with it."""

    folder: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)

    def environment(self, name: str) -> dict[str, str]:
        return {
            "PATH": f"{self.folder / name}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.folder),
            "BUS_NODE_TARGETS_FILE": str(self.folder / "nodes.json"),
            "BUS_SSH_PRIVATE_KEY_FILE": str(self.folder / "id"),
            "BUS_NODE_API_READ_TOKEN_FILE": str(self.folder / "read"),
            "BUS_NODE_API_ADMIN_TOKEN_FILE": str(self.folder / "admin"),
            **self.settings,
        }

    def start(self, name: str, *command: str) -> subprocess.Popen[str]:
        """Start a program and wait until it says that it is ready."""
        argv = [str(BIN / command[0]), *command[1:]]
        process = subprocess.Popen(argv, env=self.environment(name), stderr=subprocess.PIPE, text=True, cwd=self.folder)
        self.processes.append(process)
        assert process.stderr is not None
        first = process.stderr.readline()
        assert json.loads(first)["event"] == "ready", first + process.stderr.read()
        return process

    def ssh(self, name: str, node: str = "") -> None:
        """Put an ssh on the PATH of a program; `node` begins the command line of what it runs."""
        (self.folder / name).mkdir()
        file = self.folder / name / "ssh"
        file.write_text(SSH.format(folder=self.folder, node=node))
        file.chmod(0o755)


def await_port(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}")


def post(
    port: int, operation: str, body: dict[str, Any], token: str = READ, correlation_id: str = "c-42"
) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/internal/node/proxy/{operation}",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {token}", "X-Correlation-ID": correlation_id},
    )
    with urllib.request.urlopen(request, timeout=100) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def resident_megabytes(process: subprocess.Popen[str]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def stopped(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    said = process.stderr.read()
    assert process.wait(60) == 0, said
    return [json.loads(line) for line in said.splitlines()]
