"""The console scripts of the services, and what `bus operator node serve` starts: all of them over one bus."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

from busnode.contract import BadRequestError, BusnodeError
from busnode.events import engine
from busnode.inventory import Inventory
from busnode.secrets import SCHEME, credentials_directory, locate
from busnode.services import log, node_worker, self_test, ssh_runner
from busnode.services.readiness import notify
from busnode.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from busnode.events.bus import Bus

USAGE = 2
# Longer than one operation takes by default; systemd's own patience is longer still.
STOP_SECONDS = 100.0
_LOOK_SECONDS = 1.0
DEFAULT_ADDRESS = "127.0.0.1:8093"


class Service(Protocol):
    """What runs until it is told to stop, or has a failure that does not pass."""

    @property
    def failure(self) -> BusnodeError | None: ...

    def start(self) -> None: ...

    def stop(self, time_limit: float) -> bool: ...


def bus_integration_node() -> NoReturn:
    """The console script `bus-integration-node`."""
    sys.exit(_main("bus-integration-node", _node_parser(), _integration_node))


def bus_integration_ssh_runner() -> NoReturn:
    """The console script `bus-integration-ssh-runner`."""
    sys.exit(_main("bus-integration-ssh-runner", _runner_parser(), _integration_ssh_runner))


def bus_api_provider_node() -> NoReturn:
    """The console script `bus-api-provider-node`."""
    sys.exit(_main("bus-api-provider-node", _api_parser(), _api_provider_node))


def run_named() -> NoReturn:
    """`busnode.pyz PROGRAM …`: one of the three, by its name."""
    programs = {
        "bus-api-provider-node": bus_api_provider_node,
        "bus-integration-node": bus_integration_node,
        "bus-integration-ssh-runner": bus_integration_ssh_runner,
    }
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in programs:
        print(f"busnode.pyz: no program {name!r}; give one of {', '.join(programs)}", file=sys.stderr)
        sys.exit(USAGE)
    programs[name]()


def serve(given: argparse.Namespace, settings: Settings) -> int:
    """All three in this process, over a bus in memory, until INT or TERM."""
    bus = engine.connect(engine.MEMORY, os.environ)
    inventory = Inventory.load(settings.require_targets_file())
    key = settings.require_private_key()
    folders = _folders(inventory, key, given.folder)
    keys = ssh_runner.Keys(key, settings.known_hosts, settings.secrets_dir, folders, _shared(given))
    services = [ssh_runner.worker(bus, inventory, keys), node_worker.worker(bus, inventory), _api(bus, given)]
    return _run("bus-operator-node", bus, services, given.stop_timeout)


def add_api_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that the API has wherever it runs."""
    parser.add_argument(
        "--addr", default=DEFAULT_ADDRESS, metavar="HOST:PORT", help=f"where to listen ({DEFAULT_ADDRESS})"
    )
    parser.add_argument("--any-address", action="store_true", help="listen also on an address that is not loopback")
    for name, what in (("read", "may ask for status and verify"), ("admin", "may ask for everything")):
        variable = f"BUS_NODE_API_{name.upper()}_TOKEN_FILE"
        parser.add_argument(
            f"--{name}-token-file",
            type=Path,
            default=os.environ.get(variable),
            metavar="FILE",
            help=f"mode 0600; whoever has the token in it {what} ({variable})",
        )


def add_stop_flag(parser: argparse.ArgumentParser) -> None:
    """How long a stop waits."""
    parser.add_argument(
        "--stop-timeout", type=float, default=STOP_SECONDS, metavar="SECONDS", help="wait so long for work under way"
    )


def add_folder_flag(parser: argparse.ArgumentParser) -> None:
    """Where files may lie that requests name."""
    parser.add_argument(
        "--folder",
        type=Path,
        action="append",
        metavar="DIR",
        help="requests may name keys below it (else below the key's and the inventory's folder), and files to send to "
        "a node beside those that the inventory names for it; may be repeated",
    )


def _node_parser() -> argparse.ArgumentParser:
    parser = _parser("bus-integration-node", "Answers bus.node.*.request with the operations, through the ssh runner.")
    parser.add_argument("--events", action="store_true", help="list the event names, and exit")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how --events lists them")
    parser.add_argument("--self-test", action="store_true", help="take each request through the program, and exit")
    return parser


def _runner_parser() -> argparse.ArgumentParser:
    parser = _parser("bus-integration-ssh-runner", "Runs the scripts of bus.ssh.script.run.request on nodes by ssh.")
    for name, what in (("private-key", "the key to log in with, mode 0600"), ("known-hosts", "the nodes' host keys")):
        variable = f"BUS_SSH_RUNNER_{name.upper().replace('-', '_')}"
        parser.add_argument(
            f"--ssh-{name}", type=Path, default=os.environ.get(variable), metavar="FILE", help=f"{what} ({variable})"
        )
    add_folder_flag(parser)
    return parser


def _api_parser() -> argparse.ArgumentParser:
    parser = _parser("bus-api-provider-node", "The internal HTTP API of node operations.")
    add_api_flags(parser)
    return parser


def _parser(program: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description=description, allow_abbrev=False)
    parser.add_argument("--events-url", metavar="URL", help=engine.HELP)
    add_stop_flag(parser)
    return parser


def _main(program: str, parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> int:
    try:
        given = parser.parse_args()
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        return run(given)
    except BusnodeError as error:
        for line in str(error).splitlines():
            print(f"{program}: {line}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _integration_node(given: argparse.Namespace) -> int:
    if given.events:
        names = node_worker.capabilities()
        print(json.dumps(names, indent=2) if given.format == "json" else "\n".join(names["events"]))
        return 0
    if given.self_test:
        self_test.run()
        print(self_test.PASSED)
        return 0
    bus = _connect(given, node_worker.SERVICE)
    inventory = Inventory.load(_settings().require_targets_file())
    return _run(node_worker.SERVICE, bus, [node_worker.worker(bus, inventory)], given.stop_timeout)


def _integration_ssh_runner(given: argparse.Namespace) -> int:
    settings = _settings()
    secrets_dir = settings.secrets_dir or credentials_directory(os.environ)
    key = _runner_key(given, secrets_dir)
    inventory = Inventory.load(settings.require_targets_file())
    known_hosts = given.ssh_known_hosts or settings.known_hosts
    keys = ssh_runner.Keys(key, known_hosts, secrets_dir, _folders(inventory, key, given.folder), _shared(given))
    bus = _connect(given, ssh_runner.SERVICE)
    return _run(ssh_runner.SERVICE, bus, [ssh_runner.worker(bus, inventory, keys)], given.stop_timeout)


def _api_provider_node(given: argparse.Namespace) -> int:
    bus = _connect(given, "bus-api-provider-node")
    return _run("bus-api-provider-node", bus, [_api(bus, given)], given.stop_timeout)


def _api(bus: Bus, given: argparse.Namespace) -> Service:
    if any(find_spec(name) is None for name in ("starlette", "uvicorn", "prometheus_client")):
        raise BadRequestError("the API's libraries are not installed; run: pip install 'bee-busnode[services]'")
    from busnode.services import http, node_api  # noqa: PLC0415 - the other services need none of its libraries

    for name in ("read", "admin"):
        if getattr(given, f"{name}_token_file") is None:
            raise BadRequestError(f"--{name}-token-file: missing; give the file of the token, mode 0600")
    tokens = node_api.Tokens.load(Path(given.read_token_file), Path(given.admin_token_file))
    return http.Server(node_api.application(bus, tokens), http.bind(given.addr, anywhere=given.any_address), bus)


def _named_url(environment: Mapping[str, str]) -> str | None:
    """The bus by the names that a Bus deployment has for it."""
    for name, scheme in (("API_URL", ""), ("API_BASE_URL", ""), ("REDIS_ADDR", "redis://")):
        value = environment.get(f"BUS_EVENTS_{name}")
        if value:
            return scheme + value
    return None


def _connect(given: argparse.Namespace, service: str) -> Bus:
    url = given.events_url or _named_url(os.environ)
    if url is None:
        raise BadRequestError(f"--events-url: missing; give {engine.HELP}")
    if url.startswith(engine.MEMORY):
        raise BadRequestError("--events-url memory: joins no other program; use: bus operator node serve")
    return engine.connect(url, os.environ, lambda why: log.say(service, "bus-lost", why=why))


def _run(service: str, bus: Bus, services: Sequence[Service], stop_seconds: float) -> int:
    """Start, say so, wait for INT or TERM, and stop in reverse; 1 where something was still under way then."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    is_clean = True
    with ExitStack() as stack:
        stack.callback(bus.close)
        for one in services:
            one.start()
        log.say(service, "ready")
        notify("READY=1")
        failure = None
        while failure is None and not stopping.wait(_LOOK_SECONDS):
            failure = next(filter(None, (one.failure for one in services)), None)
        notify("STOPPING=1")
        log.say(service, "stopping")
        for one in reversed(services):
            is_clean = one.stop(stop_seconds) and is_clean
    log.say(service, "stopped", clean=is_clean)
    if failure is not None:
        raise failure
    return 0 if is_clean else 1


def _settings() -> Settings:
    return Settings.read(os.environ, lambda text: print(text, file=sys.stderr))


def _runner_key(given: argparse.Namespace, secrets_dir: Path | None) -> Path:
    reference = os.environ.get("BUS_SSH_PRIVATE_KEY_SECRET")
    if given.ssh_private_key is not None:
        return Path(given.ssh_private_key)
    if reference:
        if not reference.startswith(SCHEME):
            raise BadRequestError(f"BUS_SSH_PRIVATE_KEY_SECRET: not a reference; give {SCHEME}NAME")
        return locate(reference, Path(), secrets_dir)
    raise BadRequestError("--ssh-private-key: missing; give the file of the key, mode 0600")


def _folders(inventory: Inventory, key: Path, given: Sequence[Path] | None) -> tuple[Path, ...]:
    if given:
        return tuple(given)
    return tuple(dict.fromkeys((key.absolute().parent, *(target.base for target in inventory))))


def _shared(given: argparse.Namespace) -> tuple[Path, ...]:
    """Beside the key there may be other programs' secrets: only a folder that was named is open to requests."""
    return tuple(given.folder or ())
