"""The targets file: JSON in, targets out, or one clear line per mistake.

Everything is checked before any connection: the document against `schemas/targets.schema.json`, then what a schema
cannot say (`cross_checks.py`). Keys that a target leaves out come from a built-in profile, `bus-host` unless it names
another.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from busnode import cross_checks, schema, shipped
from busnode.contract import BadRequestError
from busnode.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from busnode.plugins import StepKinds
    from busnode.script import StepRecord

MAX_BYTES = 10_000_000
PROFILE = "bus-host"


@dataclass(frozen=True, slots=True)
class Directory:
    """A folder of the node."""

    path: str
    owner: str = "root"
    group: str = "root"
    mode: str = "0755"


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A system account without a log-in shell."""

    name: str
    home: str = "/nonexistent"


@dataclass(frozen=True, slots=True)
class CredentialFile:
    """A file whose content comes from the operator's side by reference."""

    source: str
    destination: str
    owner: str = "root"
    group: str = "root"
    mode: str = "0600"


@dataclass(frozen=True, slots=True)
class Service:
    """A systemd unit and the state it is wanted in."""

    unit: str
    enabled: bool = True
    running: bool = True


@dataclass(frozen=True, slots=True)
class Listener:
    """A TCP listener that verify expects; an address of None means any."""

    port: int
    address: str | None = None
    process: str | None = None


@dataclass(frozen=True, slots=True)
class SshPolicy:
    """What harden asserts of sshd."""

    disable_password_auth: bool = True
    allow_root_login: bool = False
    authorized_key_secret: str | None = None


@dataclass(frozen=True, slots=True)
class FirewallPolicy:
    """What harden lets in; ports are TCP, on IPv4 and IPv6."""

    allowed_ports: tuple[int, ...]
    default_deny_inbound: bool = True
    allow_established: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """One node of the inventory, complete: what the file left out is filled from the profile.

    `own_steps` is None where the inventory names steps of the operator's own and their classes were not given.
    """

    id: str
    host: str
    user: str
    port: int = 22
    host_key: str | None = None
    via: str | None = None
    host_candidates: tuple[str, ...] = ()
    user_candidates: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    become_password: str | None = None
    time_synchronised: bool = False
    packages: tuple[str, ...] = ()
    directories: tuple[Directory, ...] = ()
    service_accounts: tuple[ServiceAccount, ...] = ()
    credential_files: tuple[CredentialFile, ...] = ()
    authorize_operator: bool = False
    services: tuple[Service, ...] = ()
    own_steps: tuple[StepRecord, ...] | None = ()
    listeners: tuple[Listener, ...] = ()
    ssh_policy: SshPolicy = SshPolicy()
    firewall_policy: FirewallPolicy | None = None
    base: Path = Path()

    @property
    def log_in(self) -> str:
        """Where one logs in, as people write it: `bus@[::1]:22`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{host}:{self.port}"

    @classmethod
    def from_document(
        cls, node_id: str, document: dict[str, Any], base: Path = Path(), kinds: StepKinds | None = None
    ) -> Target:
        """A target from a document that the schema accepts; `base` is where relative references begin."""
        settings = _with_profile(document)
        credentials = settings["credentials"]
        return cls(
            id=node_id,
            host=settings["host"],
            user=settings["user"],
            port=int(settings.get("port", 22)),
            host_key=settings.get("host_key"),
            via=settings.get("via"),
            host_candidates=tuple(settings.get("host_candidates", ())),
            user_candidates=tuple(settings.get("user_candidates", ())),
            tags=tuple(settings.get("tags", ())),
            become_password=settings.get("become", {}).get("password"),
            time_synchronised=settings["time_synchronised"],
            packages=tuple(settings["packages"]),
            directories=tuple(Directory(**item) for item in settings["directories"]),
            service_accounts=tuple(ServiceAccount(**item) for item in settings["service_accounts"]),
            credential_files=tuple(CredentialFile(**item) for item in credentials if "source" in item),
            authorize_operator=any("authorized_key" in item for item in credentials),
            services=tuple(Service(**item) for item in settings["services"]),
            own_steps=_own_steps(settings.get("steps", ()), kinds),
            listeners=tuple(Listener(**{**item, "port": int(item["port"])}) for item in settings["listeners"]),
            ssh_policy=SshPolicy(**settings.get("ssh_policy", {})),
            firewall_policy=_firewall_policy(settings),
            base=base,
        )


class Inventory:
    """The targets by node id, in the file's order.

    >>> Inventory.from_document({"proxy": {"host": "10.0.0.10", "user": "bus"}})["proxy"].port
    22
    """

    def __init__(self, targets: dict[str, Target], source: str = "the inventory") -> None:
        self._targets = targets
        self.source = source

    @classmethod
    def load(cls, path: Path | str, kinds: StepKinds | None = None) -> Inventory:
        """Read a targets file; `kinds` are the classes of its own steps (see busnode.plugins).

        Raises BadRequestError with one line a mistake, each naming the file, the path in the document and the remedy.
        """
        path = Path(path)
        document, repeated = _parse(path, _read(path))
        return cls._checked(document, str(path), path.absolute().parent, kinds, repeated)

    @classmethod
    def from_document(
        cls, document: object, source: str = "the inventory", base: Path = Path(), kinds: StepKinds | None = None
    ) -> Inventory:
        """The same from a document that is already in memory."""
        return cls._checked(document, source, base, kinds)

    @classmethod
    def _checked(
        cls, document: object, source: str, base: Path, kinds: StepKinds | None, repeated: Sequence[str] = ()
    ) -> Inventory:
        try:
            found = [*repeated, *_mistakes(document, kinds)]
        except RecursionError:
            found = ["nested too deeply; give targets as schemas/targets.schema.json describes them"]
        if found:
            raise BadRequestError("\n".join(f"{source}: {mistake}" for mistake in found))
        assert isinstance(document, dict)
        return cls({key: Target.from_document(key, item, base, kinds) for key, item in document.items()}, source)

    def __getitem__(self, node_id: str) -> Target:
        try:
            return self._targets[node_id]
        except KeyError:
            known = ", ".join(self._targets) or "none"
            message = f"{self.source}: no target {json.dumps(node_id)}; add it, or give one of: {known}"
            raise BadRequestError(message) from None

    def way(self, target: Target) -> tuple[Target, ...]:
        """The jump hosts on the way to a target, the nearest to the operator first."""
        found: list[Target] = []
        while target.via is not None:
            target = self._targets[target.via]
            found.append(target)
        return tuple(reversed(found))

    def __iter__(self) -> Iterator[Target]:
        return iter(self._targets.values())

    def __len__(self) -> int:
        return len(self._targets)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        _refuse(path, f"{error.strerror}; create it, or point BUS_NODE_TARGETS_FILE at the targets file")
    if len(data) > MAX_BYTES:
        _refuse(path, f"larger than {MAX_BYTES} bytes; is this the targets file?")
    return data


def _parse(path: Path, data: bytes) -> tuple[object, list[str]]:
    """The document, and what is said of keys that stand in it twice."""
    repeated: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                repeated.append(f"{json.dumps(key)} is there twice in one object; remove one of the two")
            found[key] = value
        return found

    def refuse_constant(name: str) -> NoReturn:
        _refuse(path, f"{name} is not JSON; give a number")

    try:
        text = data.decode("utf-8")
        document = json.loads(text, object_pairs_hook=unique, parse_constant=refuse_constant)
        # A lone surrogate is JSON to Python and can be sent to no shell.
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError) as error:
        _refuse(path, f"not UTF-8 ({error.reason}); save it as UTF-8")
    except json.JSONDecodeError as error:
        _refuse(path, f"not JSON: line {error.lineno} column {error.colno}: {error.msg}; correct it there")
    except (ValueError, RecursionError) as error:
        _refuse(path, f"not JSON: {error}; correct it")
    return document, repeated


def _refuse(path: Path, what: str) -> NoReturn:
    raise BadRequestError(f"{path}: {what}")


def _mistakes(document: object, kinds: StepKinds | None) -> Iterator[str]:
    found = list(schema.violations(document, schema.load("targets")))
    yield from found
    if not found and isinstance(document, dict):
        completed = {node_id: _with_profile(target) for node_id, target in document.items()}
        yield from cross_checks.mistakes(document, completed, kinds)


def _own_steps(items: Sequence[dict[str, Any]], kinds: StepKinds | None) -> tuple[StepRecord, ...] | None:
    if not items:
        return ()
    return None if kinds is None else tuple(map(kinds.record, items))


def _firewall_policy(settings: dict[str, Any]) -> FirewallPolicy | None:
    policy = dict(settings.get("firewall_policy", {}))
    ports = policy.pop("allowed_ports", settings.get("allowed_ports"))
    if ports is None:
        return None
    return FirewallPolicy(allowed_ports=tuple(sorted(int(port) for port in ports)), **policy)


def _with_profile(target: dict[str, Any]) -> dict[str, Any]:
    return {**profile(target.get("profile", PROFILE)), **target}


@cache
def profile(name: str) -> dict[str, Any]:
    """What a target of this profile has where its own keys say nothing."""
    found: dict[str, Any] = json.loads(shipped.data(f"profiles/{name}.json"))
    return found
