"""bus-integration-node: node requests in, the operations of the library over the ssh runner, node responses out."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from busnode import hardening, operations
from busnode.contract import BadRequestError, BusnodeError, ConflictError, Operation, Response
from busnode.events.bus import MAX_ATTEMPTS
from busnode.events.envelope import (
    NODE_OPERATIONS,
    NODE_REQUESTS,
    NODE_RESPONSES,
    Envelope,
    EnvelopeError,
    parse,
    response_name,
)
from busnode.events.node_requests import NodeRequest
from busnode.history import History, place
from busnode.node import Node, whoami
from busnode.script import DEBIAN, Layout
from busnode.services import log
from busnode.services.worker import StoppedError, Worker
from busnode.transport.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable

    from busnode.events.bus import Bus
    from busnode.inventory import Inventory

SERVICE = "bus-integration-node"
SLOTS = 16
# So long a request waits for a node that another operation holds: an operator's, or another worker's where a bus keeps
# no order between them. It asks again after a second at first, and then less and less often.
PATIENCE_SECONDS, _MAX_PAUSE_SECONDS = 300.0, 10.0
_CHANGES = frozenset({Operation.BOOTSTRAP, Operation.HARDEN})


@dataclass(slots=True)
class _Asked:
    """Asks the runner; `anew` as soon as an answer is none that another worker was given before."""

    ask: Callable[[Envelope, float], Envelope]
    anew: bool = False

    def __call__(self, request: Envelope, time_limit: float) -> Envelope:
        answer = self.ask(request, time_limit)
        self.anew = self.anew or not answer.is_kept
        return answer


@dataclass(frozen=True)
class NodeWork:
    """What answers node requests.

    Args:
        inventory: the nodes.
        ask: sends a script request and waits for its answer, for so many seconds.
        by: whom a node is told that it is held by.
        layout: where things lie on the nodes.
        history: keeps what was done to them.
        stopping: set where nothing is to be waited for any more.
    """

    inventory: Inventory
    ask: Callable[[Envelope, float], Envelope]
    by: str = field(default_factory=lambda: f"{SERVICE} of {whoami()}")
    layout: Layout = DEBIAN
    history: History | None = None
    stopping: threading.Event = field(default_factory=threading.Event)

    def handle(self, text: bytes) -> Envelope:
        """The answer to what came on the bus, whatever it is.

        Raises StoppedError where the node is held and nothing is to be waited for any more.
        """
        try:
            envelope = parse(text)
        except EnvelopeError as error:
            return _refusal(error.name, error.correlation_id, "", error)
        try:
            request = NodeRequest.of(envelope)
            response = self._noted(request)
        except StoppedError:
            raise
        except BusnodeError as error:
            response = error.response or _failed(envelope, error)
        except Exception as error:
            # What is our own mistake must not end the service, or come back for ever.
            log.say(SERVICE, "mistake", correlation_id=envelope.correlation_id, why=f"{type(error).__name__}: {error}")
            response = _failed(envelope, BusnodeError(f"{type(error).__name__}: {error}"))
        return Envelope(_answer_name(envelope.name), envelope.correlation_id, response.to_document())

    def set_aside(self, text: bytes) -> Envelope:
        """The answer to a request that nobody gets to the end of."""
        why = BadRequestError(f"set aside: {MAX_ATTEMPTS} workers ended while they worked on it; look into their logs")
        try:
            envelope = parse(text)
        except EnvelopeError as error:
            return _refusal(error.name, error.correlation_id, "", why)
        return _refusal(envelope.name, envelope.correlation_id, _node_id(envelope), why)

    def _noted(self, request: NodeRequest) -> Response:
        if self.history is None or request.node_id not in {target.id for target in self.inventory}:
            return self._run(request)
        dry_run = request.operation in _CHANGES and not request.apply
        operation, correlation_id = request.operation.value, request.correlation_id
        with self.history.run(request.node_id, operation, dry_run=dry_run, correlation_id=correlation_id) as made:
            made.response = self._run(request)
        return made.response

    def _run(self, request: NodeRequest) -> Response:
        """Once the node is free; the same way to it numbers its scripts on, so that each is one of its own."""
        asked = _Asked(self.ask)
        node, pause = self._node(request, asked), 1.0
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            asked.anew = False
            try:
                return self._operate(node, request)
            except ConflictError as error:
                if time.monotonic() > until:
                    raise
                # What the node told another worker is no reason to wait: it was not asked now.
                seconds = pause if asked.anew else 0.0
                if seconds == 1.0:
                    about = {"correlation_id": request.correlation_id, "node_id": request.node_id}
                    log.say(SERVICE, "waiting", **about, why=str(error))
                if self.stopping.wait(seconds):
                    raise StoppedError(request.correlation_id, error) from error
            pause = min(max(pause, 2 * seconds), _MAX_PAUSE_SECONDS)

    def _operate(self, node: Node, request: NodeRequest) -> Response:
        dry_run = not request.apply
        kinds = request.checks or operations.KINDS
        match request.operation:
            case Operation.BOOTSTRAP:
                return operations.bootstrap(node, dry_run=dry_run)
            case Operation.HARDEN:
                # Whoever confirms a change over the bus has nobody to ask back.
                return hardening.harden(node, dry_run=dry_run, confirm=request.apply)
            case Operation.STATUS:
                return operations.status(node, kinds=kinds)
            case _:
                return operations.verify(node, kinds=kinds)

    def _node(self, request: NodeRequest, ask: Callable[[Envelope, float], Envelope]) -> Node:
        target = request.target(self.inventory[request.node_id])
        operation_id = operation_id_of(request)
        chosen = {key: value for key, value in request.credentials.items() if key != "sudo_password_secret"}
        way = Runner(target.id, ask, operation_id, chosen)
        # The key stays with the runner, which knows its public half.
        return Node(
            target,
            way,
            operator_key=_stays_with_the_runner,
            by=self.by,
            layout=self.layout,
            operation_id=operation_id,
        )


def operation_id_of(request: NodeRequest) -> str:
    """One id for a request however often it is delivered, and for no other: what the node knows it by."""
    document = {**asdict(request), "checks": sorted(request.checks)}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


def worker(bus: Bus, inventory: Inventory, slots: int = SLOTS) -> Worker:
    """The program's work, not yet begun."""
    by = f"{SERVICE} of {whoami()}"
    record = History(place(os.environ), by, lambda why: log.say(SERVICE, "history-lost", why=why))
    work = NodeWork(
        inventory, lambda request, time_limit: bus.ask(request, time_limit=time_limit), by=by, history=record
    )
    inbox = bus.inbox(NODE_REQUESTS, group=SERVICE)
    return Worker(SERVICE, inbox, work.handle, work.set_aside, slots, stopping=work.stopping)


def _stays_with_the_runner() -> str:
    raise BadRequestError("the operator's key is the ssh runner's alone")


def _answer_name(name: str) -> str:
    """Whoever asks under a name that is none hears of it as of a status."""
    return response_name(name if name in NODE_REQUESTS else "bus.node.status.request")


def _operation(name: str) -> Operation:
    word = name.split(".")[2] if name in NODE_REQUESTS else "status"
    assert word in NODE_OPERATIONS
    return Operation(word)


def _node_id(envelope: Envelope) -> str:
    node_id = envelope.payload.get("node_id")
    return node_id if isinstance(node_id, str) and len(node_id) <= 63 else ""


def _failed(envelope: Envelope, error: BusnodeError) -> Response:
    return Response(
        ok=False,
        node_id=_node_id(envelope),
        operation=_operation(envelope.name),
        diagnostics=tuple(str(error).splitlines()),
        error_class=error.error_class,
    )


def _refusal(name: str, correlation_id: str, node_id: str, error: BusnodeError) -> Envelope:
    envelope = Envelope(name, correlation_id, {"node_id": node_id})
    return Envelope(_answer_name(name), correlation_id, _failed(envelope, error).to_document())


def capabilities() -> dict[str, Any]:
    """What `--events --format json` prints, and the API shows."""
    return {
        "provider_neutral": True,
        "providers": [],
        "transport": "ssh-runner",
        "events": [*NODE_REQUESTS, *NODE_RESPONSES],
        "direct_bootstrap": True,
    }
