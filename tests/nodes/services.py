"""The services of a deployment on the operator's workstation, and what asks them: event mode beside direct mode."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.nodes import process
from tests.nodes.deployment import NODE_ID, Deployment

READY_SECONDS = 60
ANSWER_SECONDS = 300
# What a change needs beside its node, and what verify needs.
CHANGE = {"transport": "ssh-runner", "target_ref": f"nodes.{NODE_ID}", "confirm": True, "dry_run": False}
CHECKS = {"checks": ["ssh", "systemd", "listeners"]}
PAYLOADS: dict[str, dict[str, object]] = {"bootstrap": CHANGE, "status": {}, "harden": CHANGE, "verify": CHECKS}

# A POST to the API; whatever its answer's code is, the body is printed.
POST = """
import sys, urllib.error, urllib.request
url, token, seconds = sys.argv[1:]
headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
request = urllib.request.Request(url, sys.stdin.buffer.read(), headers)
try:
    print(urllib.request.urlopen(request, timeout=float(seconds)).read().decode())
except urllib.error.HTTPError as error:
    print(error.read().decode())
"""


@dataclass(frozen=True, slots=True)
class Services:
    """Running services; requests to them go through the API."""

    made: Deployment
    token: str

    def ask(self, operation: str, **payload: object) -> dict[str, Any]:
        """The payload of the answer to a request for the node."""
        url = f"http://127.0.0.1:8093/api/internal/node/{NODE_ID}/{operation}"
        words = ("/usr/bin/python3", "-I", "-c", POST, url, self.token, str(ANSWER_SECONDS))
        said = self.made.station.run(*words, stdin=json.dumps(payload), timeout=ANSWER_SECONDS + 10).stdout
        answer = json.loads(said)
        assert answer.get("name") == f"bus.node.{operation}.response", answer
        found: dict[str, Any] = answer["payload"]
        return found


@contextlib.contextmanager
def in_one_process(made: Deployment) -> Iterator[Services]:
    """`bus operator node serve`: all three over the bus in memory."""
    with _started(made, "bus", "operator", "node", "serve", *_tokens(made)):
        yield Services(made, _token(made, "admin"))


@contextlib.contextmanager
def over_redis(made: Deployment) -> Iterator[Services]:
    """The three programs with a redis-server between them."""
    url = ("--events-url", "redis://127.0.0.1:6379")
    redis = ("redis-server", "--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "always", "--save", "")
    key = ("--ssh-private-key", str(made.folder / "local/id_ed25519"))
    known = ("--ssh-known-hosts", str(made.station.home / ".ssh/known_hosts"))
    with contextlib.ExitStack() as stack:
        stack.enter_context(_started(made, *redis, says="Ready to accept connections"))
        stack.enter_context(_started(made, "bus-integration-ssh-runner", *url, *key, *known))
        stack.enter_context(_started(made, "bus-integration-node", *url))
        stack.enter_context(_started(made, "bus-api-provider-node", *url, *_tokens(made)))
        yield Services(made, _token(made, "admin"))


BUSES: dict[str, Callable[[Deployment], contextlib.AbstractContextManager[Services]]] = {
    "memory": in_one_process,
    "redis": over_redis,
}


def _tokens(made: Deployment) -> tuple[str, ...]:
    """The API's flags, and the files that they name."""
    flags: list[str] = []
    for name in ("read", "admin"):
        file = made.folder / f"local/{name}.token"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(24))
        flags += [f"--{name}-token-file", str(file)]
    return tuple(flags)


def _token(made: Deployment, name: str) -> str:
    return (made.folder / f"local/{name}.token").read_text()


@contextlib.contextmanager
def _started(made: Deployment, *command: str, says: str = '"event": "ready"') -> Iterator[None]:
    """A program of the operator's, from when it says that it is ready until the end."""
    log = made.folder / f"{command[0]}.log"
    with log.open("wb") as file:
        program = process.start(
            made.station.command(*command, cwd=made.folder),
            stdout=file,
            stderr=file,
            env=made.station.environment(made.environment),
        )

    def is_ready() -> bool:
        said = log.read_text(errors="replace")
        assert program.poll() is None, said
        return says in said

    try:
        process.wait_until(f"{command[0]} ready", is_ready, READY_SECONDS)
        yield
    finally:
        process.kill(program)
        assert "Traceback" not in log.read_text(errors="replace"), log.read_text(errors="replace")
