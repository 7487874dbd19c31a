"""Redis over TLS, and Valkey, with the users of the documentation: the services work with that, and get no more."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

import pytest
import redis

from busnode.contract import UnreachableError
from busnode.events import engine
from tests.busnode.services.documented import aclfile
from tests.busnode.services.site import Site, await_port, free_port, post, stopped
from tests.busnode.tls import Authority

API, NODE, RUNNER = "bus-api-provider-node", "bus-integration-node", "bus-integration-ssh-runner"
# Who administers Redis, in this test alone: it sees what was called and what was refused.
WATCHER = "user watcher on nopass +@all ~*"


def _password(user: str) -> str:
    return f"password-of-{user}"


def _users() -> str:
    return f"{aclfile(_password)}{WATCHER}\n"


@dataclass
class TlsRedis:
    site: Site
    authority: Authority
    port: int

    def url(self, user: str) -> str:
        return f"rediss://{user}@127.0.0.1:{self.port}"

    def settings(self, user: str) -> dict[str, str]:
        """What a service's environment has; the password is in a file."""
        file = self.site.folder / f"{user}.password"
        file.touch(mode=0o600)
        file.write_text(_password(user))
        return {"BUS_EVENTS_REDIS_PASSWORD_FILE": str(file), "SSL_CERT_FILE": str(self.authority.certificate)}

    def client(self, user: str, password: str | None = None) -> redis.Redis:
        ca = str(self.authority.certificate)
        return redis.Redis(
            host="127.0.0.1",
            port=self.port,
            ssl=True,
            ssl_ca_certs=ca,
            username=user,
            password=password or _password(user),
        )

    def start(self, user: str, *words: str) -> subprocess.Popen[str]:
        """A service as this user."""
        self.site.settings |= self.settings(user)
        return self.site.start(user, user, "--events-url", self.url(user), *words)


@pytest.fixture
def server(site: Site, redis_server: str) -> TlsRedis:
    authority, port = Authority.make(site.folder), free_port()
    certificate, key = authority.issue("IP:127.0.0.1")
    (site.folder / "users.acl").write_text(_users())
    options = {
        "port": "0",
        "bind": "127.0.0.1",
        "tls-port": str(port),
        "tls-cert-file": str(certificate),
        "tls-key-file": str(key),
        "tls-ca-cert-file": str(authority.certificate),
        "tls-auth-clients": "no",
        "aclfile": str(site.folder / "users.acl"),
        "dir": str(site.folder),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "always",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    site.processes.append(subprocess.Popen([redis_server, *words], stdout=subprocess.DEVNULL, text=True))
    await_port(port)
    return TlsRedis(site, authority, port)


def _commands(name: str) -> set[str]:
    """What a user of the documentation may call."""
    line = next(line for line in _users().splitlines() if line.startswith(f"user {name} "))
    return set(re.findall(r"\+([a-z|]+)", line))


@pytest.mark.timeout(300)
def test_the_services_need_all_of_what_the_documentation_grants_and_no_more(server: TlsRedis) -> None:
    site, port = server.site, free_port()
    for name in (API, NODE, RUNNER):
        site.ssh(name)
    programs = [
        server.start(RUNNER, "--ssh-private-key", str(site.folder / "id")),
        server.start(NODE),
        server.start(API, "--addr", f"127.0.0.1:{port}"),
    ]
    assert any(step["name"] == "ssh" for step in post(port, "status", {"checks": ["ssh"]})["payload"]["steps"])
    watcher = server.client("watcher")
    called = {name.decode() if isinstance(name, bytes) else name for name in watcher.info("commandstats")}
    granted = {f"cmdstat_{command}" for name in (API, NODE, RUNNER) for command in _commands(name)}
    # Only a worker that is at it for long says so, by XCLAIM.
    assert granted - called <= {"cmdstat_xclaim"}
    assert watcher.acl_log() == []
    for program in programs:
        assert "password-of" not in str(stopped(program))


SCRIPT = "return redis.call('SET', 'bus:answer:{}:x', 'forged')"
NODE_ANSWER, SSH_ANSWER = "bus:answer:bus.node.status.response:x", "bus:answer:bus.ssh.script.run.response:x"


DENIED: dict[str, list[list[str]]] = {
    API: [
        ["XADD", "bus:bus.node.response", "*", "text", "forged"],
        ["SET", NODE_ANSWER, "forged"],
        ["EVAL", SCRIPT.format("bus.node.status.response"), "0"],
        ["EVAL", SCRIPT.format("bus.node.status.response"), "1", NODE_ANSWER],
        ["XADD", "bus:bus.ssh.request", "*", "text", "script"],
        ["XREAD", "STREAMS", "bus:bus.ssh.request", "0"],
        ["XREADGROUP", "GROUP", NODE, "me", "STREAMS", "bus:bus.node.request", ">"],
    ],
    NODE: [
        ["XADD", "bus:bus.ssh.response", "*", "text", "forged"],
        ["EVAL", SCRIPT.format("bus.ssh.script.run.response"), "1", SSH_ANSWER],
        ["XADD", "bus:bus.node.request", "*", "text", "harden"],
        ["XREADGROUP", "GROUP", RUNNER, "me", "STREAMS", "bus:bus.ssh.request", ">"],
    ],
    RUNNER: [
        ["XADD", "bus:bus.node.request", "*", "text", "harden"],
        ["XADD", "bus:bus.ssh.request", "*", "text", "script"],
        ["SET", NODE_ANSWER, "forged"],
        ["XREAD", "STREAMS", "bus:bus.node.request", "0"],
    ],
}
NOBODYS = [["FLUSHALL"], ["CONFIG", "GET", "*"], ["KEYS", "*"], ["ACL", "LIST"], ["SET", "other", "x"], ["SAVE"]]


@pytest.mark.parametrize("user", DENIED)
def test_a_service_can_do_nothing_else(server: TlsRedis, user: str) -> None:
    client = server.client(user)
    assert client.ping()
    for command in (*DENIED[user], *NOBODYS):
        with pytest.raises(redis.ResponseError, match=r"(?i)no permission|can't access|can't run"):
            client.execute_command(*command)


@pytest.mark.parametrize(("user", "password"), [("default", ""), (API, "guessed"), ("nobody", "guessed")])
def test_who_is_no_user_gets_nothing(server: TlsRedis, user: str, password: str) -> None:
    with pytest.raises(redis.AuthenticationError):
        server.client(user, password or None).ping()


def test_what_is_not_tls_or_not_of_the_authority_is_not_spoken_to(
    server: TlsRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = server.settings(NODE)
    monkeypatch.setenv("SSL_CERT_FILE", settings["SSL_CERT_FILE"])
    engine.connect(server.url(NODE), settings).close()
    empty = server.site.folder / "empty.password"
    empty.touch(mode=0o600)
    empty.write_text("\n")
    password = {"BUS_EVENTS_REDIS_PASSWORD_FILE": str(empty), "BUS_EVENTS_REDIS_PASSWORD": _password(NODE)}
    engine.connect(server.url(NODE), settings | password).close()
    with pytest.raises(UnreachableError, match="redis"):
        engine.connect(server.url(NODE).replace("rediss:", "redis:"), settings)
    with pytest.raises(UnreachableError, match="certificate"):
        # The certificate names the address alone.
        engine.connect(server.url(NODE).replace("127.0.0.1", "localhost"), settings)
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(UnreachableError, match="certificate"):
        engine.connect(server.url(NODE), settings)
