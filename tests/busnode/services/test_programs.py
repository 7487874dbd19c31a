"""The programs as processes: what they print, how they start and stop, and that one alone opens ssh."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.house.tree import BIN

READ, ADMIN = "reader-0123456789abcdef", "admin-0123456789abcdef"
# Plays a node that ssh logged in to: what follows the host is the remote command.
SSH = """#!/bin/sh
echo "$0" >>{folder}/opened
while [ "$1" != -- ]; do shift; done
exec sh -c "$3"
"""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@dataclass
class Site:
    """A folder with an inventory, a key and tokens; programs that were started are ended with it."""

    folder: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def environment(self, name: str) -> dict[str, str]:
        return {
            "PATH": f"{self.folder / name}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.folder),
            "BUS_NODE_TARGETS_FILE": str(self.folder / "nodes.json"),
            "BUS_SSH_PRIVATE_KEY_FILE": str(self.folder / "id"),
            "BUS_NODE_API_READ_TOKEN_FILE": str(self.folder / "read"),
            "BUS_NODE_API_ADMIN_TOKEN_FILE": str(self.folder / "admin"),
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

    def ssh(self, name: str) -> None:
        """Put an ssh on the PATH of a program."""
        (self.folder / name).mkdir()
        file = self.folder / name / "ssh"
        file.write_text(SSH.format(folder=self.folder))
        file.chmod(0o755)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    target = {"host": "127.0.0.1", "user": "bus", "port": _free_port(), "host_key": "SHA256:" + "A" * 43}
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


def _post(port: int, operation: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/internal/node/proxy/{operation}",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {READ}", "X-Correlation-ID": "c-42"},
    )
    with urllib.request.urlopen(request, timeout=100) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def _resident_megabytes(process: subprocess.Popen[str]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def _stopped(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    said = process.stderr.read()
    assert process.wait(60) == 0, said
    return [json.loads(line) for line in said.splitlines()]


def test_serve_needs_nothing_else(site: Site) -> None:
    port = _free_port()
    process = site.start("none", "bus", "operator", "node", "serve", "--addr", f"127.0.0.1:{port}")
    answer = _post(port, "status", {})
    # Nothing listens where the node should be.
    assert (answer["correlationId"], answer["payload"]["error_class"]) == ("c-42", "unreachable")
    said = _stopped(process)
    assert [line["correlation_id"] for line in said if line["event"] == "answered"][-1] == "c-42"
    assert said[-1]["event"] == "stopped"
    assert said[-1]["clean"] is True


@pytest.mark.timeout(300)
def test_three_programs_on_redis_and_the_runner_alone_opens_ssh(site: Site) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed: apt install redis-server")
    for name in ("node", "api", "runner"):
        site.ssh(name)
    redis_port, port = _free_port(), _free_port()
    redis = subprocess.Popen(
        ["redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(site.folder)],
        stdout=subprocess.DEVNULL,
        text=True,
    )
    site.processes.append(redis)
    _await_port(redis_port)
    url = ("--events-url", f"redis://127.0.0.1:{redis_port}")
    key = ("--ssh-private-key", str(site.folder / "id"))
    programs = [
        site.start("runner", "bus-integration-ssh-runner", *url, *key),
        site.start("node", "bus-integration-node", *url),
        site.start("api", "bus-api-provider-node", *url, "--addr", f"127.0.0.1:{port}"),
    ]
    answer = _post(port, "status", {"checks": ["ssh"]})
    assert answer["payload"]["node_id"] == "proxy"
    assert any(step["name"] == "ssh" for step in answer["payload"]["steps"]), answer
    opened = (site.folder / "opened").read_text().split()
    assert set(opened) == {str(site.folder / "runner/ssh")}
    for program in programs:
        assert _resident_megabytes(program) < 60
    for program in reversed(programs):
        said = _stopped(program)
        assert any(str(line.get("correlation_id")) for line in said)
        assert READ not in json.dumps(said)


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["bus-integration-node"], "--events-url: missing"),
        (["bus-integration-node", "--events-url", "memory:"], "use: bus operator node serve"),
        (["bus-integration-ssh-runner", "--events-url", "redis://127.0.0.1:1"], "--ssh-private-key: missing"),
        (["bus-api-provider-node", "--events-url", "ftp://x"], "no such engine"),
    ],
)
def test_what_is_missing_is_one_line(tmp_path: Path, command: list[str], said: str) -> None:
    argv = [str(BIN / command[0]), *command[1:]]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert said in done.stderr


def test_the_events_and_the_self_test_need_no_credentials(tmp_path: Path) -> None:
    def says(*flags: str) -> str:
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path)}
        argv = [str(BIN / "bus-integration-node"), *flags]
        return subprocess.run(argv, capture_output=True, text=True, env=environment, check=True).stdout

    names = says("--events").split()
    assert "bus.node.harden.request" in names
    assert json.loads(says("--events", "--format", "json"))["events"] == names
    assert says("--self-test") == "OK bus-integration-node self-test\n"
