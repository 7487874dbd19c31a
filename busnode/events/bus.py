"""What every engine gives: requests to take and answer, and answers to wait for."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Protocol

from busnode.contract import BadRequestError
from busnode.events.envelope import SCRIPT_REQUEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from busnode.contract import BusnodeError
    from busnode.events.envelope import Envelope

KEPT_ANSWERS = 10_000
MAX_ATTEMPTS = 3
"""How often a request is handed out before it is set aside."""


WAKE_SECONDS = 1.0
"""How often a wait looks whether it still has a reason."""


def always() -> bool:
    """Who asks wants the answer, however long it takes."""
    return True


def unheard(why: str) -> None:
    """Nobody wants to know why a stream cannot be opened."""


class Delivery(Protocol):
    """One request, to be answered once; until then it is this worker's, and no other of its key is given to any."""

    @property
    def text(self) -> bytes:
        """The event as it came, checked by nobody."""

    @property
    def attempt(self) -> int:
        """How often it was handed out, this time included."""

    def answer(self, response: Envelope) -> None:
        """Publish the response, unless the request was answered before, and be done with the request."""

    def hand_back(self) -> None:
        """Leave the request, for which nothing was done, to another worker; that it was handed out does not count."""


class Inbox(Protocol):
    """The requests of some names, for one of the workers of a group."""

    def take(self, time_limit: float) -> Delivery | None:
        """The next request whose key nobody works on; None where none came within `time_limit` seconds."""

    def waiting(self) -> dict[str, int]:
        """How many requests it has that wait for their turn, by node; of some of the nodes where there are many."""

    def close(self) -> None:
        """Give out no more, also to who waits; what was taken can still be answered."""


class Bus(Protocol):
    """An engine. All of it can be used from several threads."""

    @property
    def failure(self) -> BusnodeError | None:
        """Why nothing can be sent here any more, which does not pass; None where there is no such thing."""

    def publish(self, request: Envelope) -> None:
        """Send a request.

        Raises UnreachableError where the engine cannot be reached, BadRequestError where another request has its
        correlation id.
        """

    def ask(self, request: Envelope, *, time_limit: float, is_wanted: Callable[[], bool] = always) -> Envelope:
        """Send a request and wait for its answer; one that was answered before gives the same answer again.

        Raises OperationTimeoutError after `time_limit` seconds, or soon after `is_wanted` says no; else what publish
        does.
        """

    def inbox(self, names: Sequence[str], *, group: str) -> Inbox:
        """Take part in the work on the requests of these names; every group gets each request once."""

    def close(self) -> None:
        """End; whoever waits gets nothing more."""


def key_of(text: bytes | str) -> str:
    """What a request is about: its node, so that those of one node are worked on one after another, in order.

    A look at a port waits for nothing; neither does what names no node.
    """
    try:
        payload = json.loads(text)["payload"]
        if "port" in payload:
            return ""
        node = payload.get("node_id", payload.get("target", {}).get("node_id"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ""
    return node if isinstance(node, str) and len(node) <= 64 else ""


def mark_of(request: Envelope) -> str:
    """What tells requests of one name and correlation id apart: the sha256 of the document, its keys in order.

    The id of a script request says whose it is; its text names the worker that wrote it, and each may finish it.
    """
    document = {} if request.name == SCRIPT_REQUEST else request.to_document()
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def used_already() -> BadRequestError:
    """What is told to who asks something else under a correlation id that is known."""
    return BadRequestError("correlationId: used for another request; give each its own, such as a UUID")


def topic_of(name: str) -> str:
    """What keeps requests in one order: all of `bus.node.*.request` are one topic.

    >>> topic_of("bus.node.harden.request"), topic_of("bus.ssh.script.run.request")
    ('bus.node.request', 'bus.ssh.request')
    """
    words = name.split(".")
    return ".".join([*words[:2], words[-1]])
