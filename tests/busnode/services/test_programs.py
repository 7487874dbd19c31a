"""The programs as processes: what they print, how they start and stop, and that one alone opens ssh."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import urllib.error
from typing import TYPE_CHECKING

import pytest

from busnode.events.envelope import NODE_REQUESTS, SCRIPT_REQUEST
from busnode.events.memory import Memory
from busnode.services import self_test
from tests.busnode.services.site import READ, TOKEN, Site, free_port, post, resident_megabytes, stopped
from tests.house.tree import BIN

if TYPE_CHECKING:
    from pathlib import Path


def test_serve_needs_nothing_else(site: Site) -> None:
    port = free_port()
    process = site.start("none", "bus", "operator", "node", "serve", "--addr", f"127.0.0.1:{port}")
    answer = post(port, "status", {})
    # Nothing listens where the node should be.
    assert (answer["correlationId"], answer["payload"]["error_class"]) == ("c-42", "unreachable")
    said = stopped(process)
    assert [line["correlation_id"] for line in said if line["event"] == "answered"][-1] == "c-42"
    assert said[-1]["event"] == "stopped"
    assert said[-1]["clean"] is True


@pytest.mark.timeout(300)
def test_three_programs_on_redis_and_the_runner_alone_opens_ssh(site: Site, redis_url: str) -> None:
    _the_runner_alone_opens_ssh(site, redis_url)


@pytest.mark.timeout(300)
def test_three_programs_on_an_events_api_and_the_runner_alone_opens_ssh(site: Site, https_url: str) -> None:
    _the_runner_alone_opens_ssh(site, https_url)


def _the_runner_alone_opens_ssh(site: Site, events_url: str) -> None:
    for name in ("node", "api", "runner"):
        site.ssh(name)
    port = free_port()
    url = ("--events-url", events_url)
    key = ("--ssh-private-key", str(site.folder / "id"))
    programs = [
        site.start("runner", "bus-integration-ssh-runner", *url, *key),
        site.start("node", "bus-integration-node", *url),
        site.start("api", "bus-api-provider-node", *url, "--addr", f"127.0.0.1:{port}"),
    ]
    answer = post(port, "status", {"checks": ["ssh"]})
    assert answer["payload"]["node_id"] == "proxy"
    assert any(step["name"] == "ssh" for step in answer["payload"]["steps"]), answer
    opened = (site.folder / "opened").read_text().split()
    assert set(opened) == {str(site.folder / "runner/ssh")}
    for program in programs:
        assert resident_megabytes(program) < 60
    for program in reversed(programs):
        said = stopped(program)
        assert any(str(line.get("correlation_id")) for line in said)
        assert READ not in json.dumps(said)
        assert TOKEN not in json.dumps(said)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("API_URL", "http://10.0.0.5/api/v1/events", "http:// shows the token"),
        ("API_BASE_URL", "http://10.0.0.5", "http:// shows the token"),
        ("REDIS_ADDR", "10.0.0.5:6379", "redis:// is not encrypted"),
    ],
)
def test_a_deployments_own_names_for_its_bus_are_known(site: Site, name: str, value: str, said: str) -> None:
    environment = site.environment("node") | {f"BUS_EVENTS_{name}": value}
    argv = [str(BIN / "bus-integration-node")]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=site.folder, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert said in done.stderr


def test_the_api_ends_where_its_token_is_refused(site: Site, https_url: str) -> None:
    del site.settings["BUS_API_TOKEN_FILE"]
    site.settings["BUS_API_TOKEN"] = "nobodys-token"
    port = free_port()
    api = site.start("api", "bus-api-provider-node", "--events-url", https_url, "--addr", f"127.0.0.1:{port}")
    with contextlib.suppress(urllib.error.URLError, ConnectionError):
        post(port, "status", {})
    assert api.wait(30) == 1
    assert api.stderr is not None
    assert "bus-api-provider-node: the Events API answers 401" in api.stderr.read()


def test_a_service_whose_token_is_refused_ends_with_one_line(site: Site, https_url: str) -> None:
    del site.settings["BUS_API_TOKEN_FILE"]
    environment = site.environment("node") | {"BUS_API_TOKEN": "nobodys-token"}
    argv = [str(BIN / "bus-integration-node"), "--events-url", https_url]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=site.folder, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "answers 401 invalid_auth" in done.stderr
    assert "nobodys-token" not in done.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["bus-integration-node"], "--events-url: missing"),
        (["bus-integration-node", "--events-url", "memory:"], "use: bus operator node serve"),
        (["bus-integration-ssh-runner", "--events-url", "redis://127.0.0.1:1"], "--ssh-private-key: missing"),
        (["bus-api-provider-node", "--events-url", "ftp://x"], "no such engine"),
        (["bus-integration-node", "--events-url", "http://10.0.0.5"], "not loopback"),
        (["bus-integration-node", "--events-url", "https://127.0.0.1:1"], "BUS_API_TOKEN_FILE: not set"),
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


def test_the_self_test_takes_all_four_requests_through_the_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    send = Memory.send

    def noted(bus: Memory, name: str, text: bytes | str) -> None:
        sent.append(name)
        send(bus, name, text)

    monkeypatch.setattr(Memory, "send", noted)
    self_test.run()
    assert [name for name in sent if name in NODE_REQUESTS] == list(NODE_REQUESTS)
    assert sent.count(SCRIPT_REQUEST) >= len(NODE_REQUESTS)


def test_the_self_test_takes_less_than_a_second(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path)}

    def seconds() -> float:
        begin = time.monotonic()
        subprocess.run([str(BIN / "bus-integration-node"), "--self-test"], env=environment, check=True)
        return time.monotonic() - begin

    # On a machine with much else to do the best of a few counts.
    assert min(seconds() for _ in range(5)) < 1.0


def test_the_runners_key_may_be_a_secret_of_the_deployment(site: Site, redis_url: str) -> None:
    folder = site.folder / "secrets"
    folder.mkdir(mode=0o700)
    (site.folder / "id").rename(folder / "ssh-key")
    site.settings |= {"BUS_NODE_SECRETS_DIR": str(folder)}
    site.settings["BUS_SSH_PRIVATE_KEY_SECRET"] = "secret://deployment/ssh-key"
    site.ssh("runner")
    runner = site.start("runner", "bus-integration-ssh-runner", "--events-url", redis_url)
    site.start("node", "bus-integration-node", "--events-url", redis_url)
    api_port = free_port()
    site.start("api", "bus-api-provider-node", "--events-url", redis_url, "--addr", f"127.0.0.1:{api_port}")
    post(api_port, "status", {})
    assert (site.folder / "opened").read_text().split() == [str(site.folder / "runner/ssh")]
    assert stopped(runner)[-1]["event"] == "stopped"


@pytest.mark.parametrize("value", ["-----BEGIN OPENSSH PRIVATE KEY-----", "secret://deployment/../id"])
def test_a_key_that_is_no_reference_is_refused(site: Site, value: str) -> None:
    site.settings |= {"BUS_NODE_SECRETS_DIR": str(site.folder), "BUS_SSH_PRIVATE_KEY_SECRET": value}
    argv = [str(BIN / "bus-integration-ssh-runner"), "--events-url", "redis://127.0.0.1:1"]
    environment = site.environment("runner")
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=site.folder, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "BEGIN" not in done.stderr
