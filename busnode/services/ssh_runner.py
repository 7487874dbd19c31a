"""bus-integration-ssh-runner: the one program that opens ssh. Scripts in, what they printed out.

The bus is not trusted: a request can only choose among the nodes, hosts and users of this runner's own inventory, among
the keys below its own folders, and among the files that the inventory names for that node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from busnode.contract import AuthFailedError, BadRequestError, BusnodeError, UnauthorizedError, UnreachableError
from busnode.events.bus import MAX_ATTEMPTS
from busnode.events.envelope import SCRIPT_REQUEST, SCRIPT_RESPONSE, Envelope, EnvelopeError, parse
from busnode.events.scripts import ScriptRequest, ScriptResult
from busnode.job import Parcel, Vault
from busnode.secrets import require_private
from busnode.services import log, netplan
from busnode.services.worker import Worker
from busnode.transport.keys import public_key
from busnode.transport.openssh import OpenSsh

if TYPE_CHECKING:
    from pathlib import Path

    from busnode.events.bus import Bus
    from busnode.inventory import Inventory, Target
    from busnode.transport import Transport

SERVICE = "bus-integration-ssh-runner"
SLOTS = 32
# Of each stream; what the bus takes holds both, each byte escaped.
MAX_OUTPUT = 390_000
GRACE_SECONDS = 20.0


@dataclass(frozen=True)
class Keys:
    """What the runner owns: its key, known hosts and secrets.

    Below `folders` and in `secrets_dir` other keys and known hosts may be named; what lies below `shared` may be sent
    to any node, beside what the inventory names for it.
    """

    private_key: Path
    known_hosts: Path | None = None
    secrets_dir: Path | None = None
    folders: tuple[Path, ...] = ()
    shared: tuple[Path, ...] = ()


Open = Callable[["Target", "Keys", "tuple[Target, ...]"], "Transport"]


def over_ssh(target: Target, keys: Keys, via: tuple[Target, ...]) -> Transport:
    """OpenSSH with nothing of anybody's configuration."""
    require_private(keys.private_key)
    known_hosts = keys.known_hosts
    return OpenSsh(target, keys.private_key, known_hosts, via=via, configured=False, max_output=MAX_OUTPUT)


@dataclass(frozen=True)
class ScriptWork:
    """What answers script requests; `public_half` reads the public key out of a private one's file."""

    inventory: Inventory
    keys: Keys
    open: Open = over_ssh
    public_half: Callable[[Path], str] = public_key

    def handle(self, text: bytes) -> Envelope:
        """The answer to what came on the bus, whatever it is."""
        try:
            envelope = parse(text)
        except EnvelopeError as error:
            return _answer(error.correlation_id, ScriptResult("", error=error))
        node_id = _node_id(envelope)
        try:
            if envelope.name != SCRIPT_REQUEST:
                raise BadRequestError(f"name: {envelope.name[:60]!r} is not this program's; give {SCRIPT_REQUEST}")
            result = self._run(ScriptRequest.from_document(envelope.payload))
        except BusnodeError as error:
            result = ScriptResult(node_id, error=error)
        except Exception as error:
            # What is our own mistake must not end the service, or come back for ever.
            log.say(SERVICE, "mistake", correlation_id=envelope.correlation_id, why=f"{type(error).__name__}: {error}")
            result = ScriptResult(node_id, error=BusnodeError(f"{type(error).__name__}: {error}"))
        return _answer(envelope.correlation_id, result)

    def set_aside(self, text: bytes) -> Envelope:
        """The answer to a request that nobody gets to the end of."""
        why = BadRequestError(f"set aside: {MAX_ATTEMPTS} runners ended while they worked on it; look into their logs")
        try:
            envelope = parse(text)
        except EnvelopeError as error:
            return _answer(error.correlation_id, ScriptResult("", error=why))
        return _answer(envelope.correlation_id, ScriptResult(_node_id(envelope), error=why))

    def _run(self, request: ScriptRequest) -> ScriptResult:
        request.require_wanted()
        known = self._target(request.target.node_id)
        keys, vault = self._chosen(request, known)
        if request.port is not None:
            answer = self.open(known, keys, self.inventory.way(known)).probe(
                request.port, time_limit=request.time_limit, family=request.family
            )
            return ScriptResult(known.id, answer=answer)
        assert request.job is not None
        job = request.job
        if request.network_bootstrap is not None:
            job = replace(job, script=netplan.script(request.network_bootstrap) + job.script)
        bundle = bytes(Parcel(job, vault))
        last: BusnodeError | None = None
        for target in _candidates(known, request.target.host, request.target.user):
            # A host that does not answer may have taken all the time there was.
            request.require_wanted()
            way = self.open(target, keys, self.inventory.way(known))
            try:
                completed = way.run(bundle, time_limit=job.time_limit + GRACE_SECONDS)
            except (UnreachableError, AuthFailedError) as error:
                # What has said anything was there, and may have begun.
                if error.output or (isinstance(error, UnreachableError) and error.began):
                    raise
                last = last or error
                continue
            return ScriptResult(known.id, completed, notes=way.notes)
        assert last is not None
        raise last

    def _target(self, node_id: str) -> Target:
        try:
            return self.inventory[node_id]
        except BadRequestError:
            raise UnauthorizedError(f"target.node_id: {node_id} is none of this runner's nodes") from None

    def _chosen(self, request: ScriptRequest, target: Target) -> tuple[Keys, Vault]:
        """The keys to use, where the request names others than the runner's first, and where references lead."""
        folders = self.keys.folders if self.keys.secrets_dir is None else (*self.keys.folders, self.keys.secrets_dir)
        vault = Vault(target.base, self.keys.secrets_dir, None, folders)
        given = request.credentials
        if "ssh_private_key_file" in given and "ssh_private_key_secret" in given:
            raise BadRequestError("ssh_private_key_file: there beside ssh_private_key_secret; give one of the two")
        keys = self.keys
        for name in ("ssh_private_key_file", "ssh_private_key_secret"):
            if name in given:
                keys = replace(keys, private_key=vault.path(given[name]))
        if "known_hosts_file" in given:
            keys = replace(keys, known_hosts=vault.path(given["known_hosts_file"]))
        sent = replace(
            vault,
            operator_key=lambda: self._public_key(keys.private_key),
            folders=self.keys.shared,
            own=_references(target),
            never=(self.keys.private_key, keys.private_key),
        )
        return keys, sent

    def _public_key(self, private_key: Path) -> str:
        return self._own_public_key if private_key == self.keys.private_key else self.public_half(private_key)

    @cached_property
    def _own_public_key(self) -> str:
        return self.public_half(self.keys.private_key)


def worker(bus: Bus, inventory: Inventory, keys: Keys, slots: int = SLOTS) -> Worker:
    """The program's work, not yet begun. Raises BadRequestError where the key is missing or can be read by others."""
    require_private(keys.private_key)
    work = ScriptWork(inventory, keys)
    return Worker(SERVICE, bus.inbox((SCRIPT_REQUEST,), group=SERVICE), work.handle, work.set_aside, slots)


def _candidates(known: Target, host: str | None, user: str | None) -> Iterator[Target]:
    """The hosts and users under which the node is tried, in order. Raises UnauthorizedError for a foreign one."""
    hosts, users = (known.host, *known.host_candidates), (known.user, *known.user_candidates)
    if host is not None and host not in hosts:
        raise UnauthorizedError(f"target.host: none of the hosts that this runner knows of {known.id}")
    if user is not None and user not in users:
        raise UnauthorizedError(f"target.user: none of the users that this runner knows of {known.id}")
    for chosen_host in hosts if host is None else (host,):
        for chosen_user in users if user is None else (user,):
            yield replace(known, host=chosen_host, user=chosen_user)


def _references(target: Target) -> frozenset[str]:
    """What the inventory names to be sent to a node."""
    named = (target.become_password, target.ssh_policy.authorized_key_secret)
    return frozenset({*(file.source for file in target.credential_files), *filter(None, named)})


def _node_id(envelope: Envelope) -> str:
    target = envelope.payload.get("target")
    node_id = target.get("node_id") if isinstance(target, dict) else None
    return node_id if isinstance(node_id, str) and len(node_id) <= 63 else ""


def _answer(correlation_id: str, result: ScriptResult) -> Envelope:
    return Envelope(SCRIPT_RESPONSE, correlation_id, result.to_document())
