"""After operations over Redis no secret is where it does not belong: on no disk, in no log, in no process's sight."""

from __future__ import annotations

import json
import secrets
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from busnode.script import loader
from tests.busnode.services.site import ADMIN, APART, READ, Site, await_port, free_port, post, stopped
from tests.secrets_found import found_in

CHANGE = {"confirm": True, "dry_run": False}


@dataclass
class Guarded:
    """A site with a secret of each kind; `belongs` are the files that may hold one."""

    site: Site
    port: int
    secrets: dict[str, bytes]
    belongs: set[Path]

    def found_in(self, data: bytes) -> list[str]:
        """Which secrets are in it."""
        return found_in(data, self.secrets)


@pytest.fixture
def guarded(site: Site, redis_server: str) -> Guarded:
    folder, port = site.folder, free_port()
    made = {name: f"{name}-{secrets.token_hex(16)}".encode() for name in ("sudo", "credential", "redis")}
    made |= {"read": READ.encode(), "admin": ADMIN.encode()}
    made["key"] = (folder / "id").read_bytes().splitlines()[2]
    target = json.loads((folder / "nodes.json").read_text())["proxy"] | {
        "allowed_ports": [22],
        "packages": [],
        "services": [],
        "service_accounts": [],
        "directories": [{"path": str(folder / "made")}],
        "become": {"password": "secret://deployment/sudo"},
        "credentials": [{"source": "secret://deployment/credential", "destination": str(folder / "placed")}],
    }
    (folder / "nodes.json").write_text(json.dumps({"proxy": target}))
    (folder / "secrets").mkdir(mode=0o700)
    for name in ("sudo", "credential", "redis"):
        (folder / "secrets" / name).touch(mode=0o600)
        (folder / "secrets" / name).write_bytes(made[name])
    # Not on the command line: others would see it there.
    (folder / "redis.conf").touch(mode=0o600)
    (folder / "redis.conf").write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\nlogfile {folder}/redis.log\nloglevel verbose\n"
        f'appendonly yes\nappendfsync always\nsave ""\nrequirepass {made["redis"].decode()}\n'
    )
    site.processes.append(subprocess.Popen([redis_server, str(folder / "redis.conf")], text=True))
    await_port(port)
    site.settings |= {
        "BUS_NODE_SECRETS_DIR": str(folder / "secrets"),
        "BUS_EVENTS_REDIS_PASSWORD_FILE": str(folder / "secrets/redis"),
    }
    belongs = {folder / name for name in ("id", "read", "admin", "placed", "redis.conf")}
    return Guarded(site, port, made, belongs | set((folder / "secrets").iterdir()))


@dataclass
class Onlooker:
    """Reads every process's command line and environment, over and over, as anybody on the host might."""

    guarded: Guarded
    seen: set[tuple[str, str]] = field(default_factory=set)
    saw_a_script: bool = False
    _stop: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        while not self._stop.wait(0.005):
            for process in (one for one in Path("/proc").iterdir() if one.name.isdigit()):
                for file in (process / "cmdline", process / "environ"):
                    with suppress(OSError):
                        self._judge(file.read_bytes())

    def _judge(self, data: bytes) -> None:
        self.saw_a_script = self.saw_a_script or loader().encode() in data
        self.seen |= {(name, data[:60].decode(errors="replace")) for name in self.guarded.found_in(data)}

    def __enter__(self) -> Onlooker:
        self._thread = threading.Thread(target=self.look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def _of_redis(guarded: Guarded) -> Iterator[bytes]:
    """Every key with what is in it."""
    client = redis.Redis(port=guarded.port, password=guarded.secrets["redis"].decode())
    read = {b"stream": client.xrange, b"string": client.get, b"hash": client.hgetall}
    for key in client.scan_iter():
        yield key
        yield repr(read[client.type(key)](key)).encode()


@pytest.mark.timeout(300)
def test_no_secret_is_where_it_does_not_belong(guarded: Guarded) -> None:
    site, api_port = guarded.site, free_port()
    for name in ("node", "api"):
        site.ssh(name)
    site.ssh("runner", APART)
    url = ("--events-url", f"redis://127.0.0.1:{guarded.port}")
    answers = []
    with Onlooker(guarded) as onlooker:
        programs = [
            site.start("runner", "bus-integration-ssh-runner", *url, "--ssh-private-key", str(site.folder / "id")),
            site.start("node", "bus-integration-node", *url),
            site.start("api", "bus-api-provider-node", *url, "--addr", f"127.0.0.1:{api_port}"),
        ]
        asked = [("status", {}), ("bootstrap", CHANGE), ("verify", {"checks": ["ssh"]}), ("harden", {"confirm": True})]
        for number, (operation, body) in enumerate(asked):
            answers.append(post(api_port, operation, body, ADMIN, f"c-{number}"))
        logs = [json.dumps(stopped(program)) for program in programs]
    assert answers[1]["payload"]["ok"], answers[1]
    assert (site.folder / "placed").read_bytes() == guarded.secrets["credential"]
    # What was looked for could have been seen.
    assert onlooker.saw_a_script
    assert guarded.found_in((site.folder / "placed").read_bytes()) == ["credential"]
    assert onlooker.seen == set()
    for text in (*logs, json.dumps(answers)):
        assert guarded.found_in(text.encode()) == []
    assert [data for data in _of_redis(guarded) if guarded.found_in(data)] == []
    files = [file for file in site.folder.rglob("*") if file.is_file() and file not in guarded.belongs]
    assert any("appendonlydir" in str(file) and file.stat().st_size > 1000 for file in files)
    assert [file for file in files if guarded.found_in(file.read_bytes())] == []
