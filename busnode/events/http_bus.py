"""The bus of a running deployment: its Events API as an engine.

That API acknowledges nothing, and orders events only within one name. So a request counts as done when there is a
response with its correlation id; what has none is looked for in the history whenever a stream was opened again, and
from time to time. Delivery is at least once; the node decides that the effect is once.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from busnode.contract import (
    ApplyFailedError,
    BadRequestError,
    OperationTimeoutError,
    UnauthorizedError,
    UnreachableError,
)
from busnode.events.attempts import Attempts
from busnode.events.bus import KEPT_ANSWERS, WAKE_SECONDS, always, key_of, unheard
from busnode.events.envelope import Envelope, parse, response_name
from busnode.events.follower import Follower, Retry
from busnode.events.turns import Marks, Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from busnode.contract import BusnodeError
    from busnode.events.events_api import EventsApi, Line

# Requests that wait in a worker; while there are so many it reads no further.
MAX_HELD = 64
# A request that has no response at one look and at the next is taken, for all that is known of its worker. The second
# look comes soon where a stream was opened, for what came meanwhile was heard by nobody.
LOOK_SECONDS, SETTLE_SECONDS = 60.0, 2.0
_PUBLISH_SECONDS = 10.0
_OPEN_SECONDS = 10.0
# Of each text in a response that stands for one which the API refused.
_SHORT = 200

Identity = tuple[str, str]


class HttpBus:
    """The engine at one Events API; below `state_dir` is counted how often each request was begun.

    `lost` is told why a stream cannot be opened.
    """

    def __init__(self, api: EventsApi, retry: Retry, state_dir: Path, lost: Callable[[str], None] = unheard) -> None:
        self._api, self._retry, self._state_dir, self._lost = api, retry, state_dir, lost
        self._arrived = threading.Condition()
        self._marks = Marks()
        self._responses: dict[Identity, Envelope] = {}
        self._waiting: dict[Identity, int] = {}
        self._accepted: dict[Identity, Envelope] = {}
        self._listeners: dict[str, Follower] = {}
        self._inboxes: list[HttpInbox] = []
        self._closed = threading.Event()

    @property
    def failure(self) -> BusnodeError | None:
        return self._api.failure

    def publish(self, request: Envelope) -> None:
        with self._arrived:
            self._marks.require_same(request)
        self._send(request, time.monotonic() + _PUBLISH_SECONDS)

    def ask(self, request: Envelope, *, time_limit: float, is_wanted: Callable[[], bool] = always) -> Envelope:
        wanted = response_name(request.name), request.correlation_id
        deadline = time.monotonic() + time_limit
        with self._arrived:
            self._marks.require_same(request)
            self._waiting[wanted] = self._waiting.get(wanted, 0) + 1
        try:
            listener = self._listener(wanted[0])
            # Where the API was there before it is worth waiting for: a confirmation that is lost takes a change back.
            limit = time_limit if listener.was_open else min(time_limit, _OPEN_SECONDS)
            if not self._await(listener, limit, is_wanted):
                raise UnreachableError(f"{wanted[0]}: no stream of it could be opened; is the Events API there?")
            self._send(request, deadline, is_wanted)
            with self._arrived:
                self._accepted[wanted] = request
            return self._wait(wanted, deadline, time_limit, is_wanted)
        finally:
            with self._arrived:
                self._waiting[wanted] -= 1
                if not self._waiting[wanted]:
                    for each in (self._waiting, self._accepted, self._responses):
                        each.pop(wanted, None)

    def inbox(self, names: Sequence[str], *, group: str) -> HttpInbox:
        """Waits until the streams are open, unless that is not required.

        Raises UnauthorizedError where a token that never changes is refused.
        """
        made = HttpInbox(self, names, group, Attempts(self._state_dir / "attempts" / group))
        self._inboxes.append(made)
        if self._retry.required:
            made.wait()
        return made

    def close(self) -> None:
        self._closed.set()
        for inbox in self._inboxes:
            inbox.close()
        for listener in self._listeners.values():
            listener.stop()
        with self._arrived:
            self._arrived.notify_all()
        self._api.close()

    def follow(self, query: Mapping[str, str], hear: Callable[[Line], None], opened: Callable[[], None]) -> Follower:
        """A stream of this API's."""
        return Follower(self._api, query, self._retry, hear, opened, self._lost)

    def unanswered(self, name: str, known: Callable[[Identity], bool], limit: int) -> list[Line]:
        """The first requests of a name that have no response, but for those that are `known`."""
        answered = self._answered(name)
        found: dict[str, Line] = {}
        for line in self._api.history(name):
            if line.correlation_id and line.correlation_id not in answered and not known((name, line.correlation_id)):
                found.setdefault(line.correlation_id, line)
            if len(found) == limit:
                break
        # One may have been answered since.
        answered = self._answered(name) if found else answered
        return [line for correlation_id, line in found.items() if correlation_id not in answered]

    def answer(self, response: Envelope) -> None:
        """Publish a response, however long that takes: the work is done."""
        while True:
            try:
                self._send(response, time.monotonic() + _PUBLISH_SECONDS)
                return
            except UnauthorizedError:
                if self._api.token.is_static or self._closed.wait(WAKE_SECONDS):
                    raise
            except UnreachableError:
                if self._closed.wait(WAKE_SECONDS):
                    raise

    def _await(self, listener: Follower, limit: float, is_wanted: Callable[[], bool]) -> bool:
        until = time.monotonic() + limit
        while not listener.wait(max(0.0, min(WAKE_SECONDS, until - time.monotonic()))):
            if time.monotonic() >= until or self._closed.is_set() or not is_wanted():
                return False
        return True

    def _send(self, event: Envelope, deadline: float, is_wanted: Callable[[], bool] = always) -> None:
        """Again and again until the deadline: an event that comes twice has its effect once."""
        delay = 0.1
        while True:
            try:
                self._api.publish(event)
                return
            except UnreachableError:
                if time.monotonic() + delay > deadline or self._closed.wait(delay) or not is_wanted():
                    raise
            delay = min(2 * delay, WAKE_SECONDS)

    def _answered(self, name: str) -> frozenset[str]:
        return frozenset(line.correlation_id for line in self._api.history(response_name(name)))

    def _wait(self, wanted: Identity, deadline: float, time_limit: float, is_wanted: Callable[[], bool]) -> Envelope:
        while (left := deadline - time.monotonic()) > 0 and not self._closed.is_set() and is_wanted():
            with self._arrived:
                self._arrived.wait_for(
                    lambda: wanted in self._responses or self._closed.is_set(), min(left, WAKE_SECONDS)
                )
                if wanted in self._responses:
                    return self._responses[wanted]
            failure = self._listeners[wanted[0]].failure
            if failure is not None:
                raise failure
        raise OperationTimeoutError(f"no {wanted[0]} within {time_limit:g} s; is its service running?")

    def _listener(self, name: str) -> Follower:
        with self._arrived:
            found = self._listeners.get(name)
            if found is None or found.failure is not None:
                query = {"name": name, "delivery": "broadcast"}
                found = self._listeners[name] = self.follow(query, self._hear, lambda: self._catch_up(name))
        return found

    def _hear(self, line: Line) -> None:
        wanted = line.name, line.correlation_id
        with self._arrived:
            if wanted not in self._waiting:
                return
        with suppress(BadRequestError):
            response = parse(line.text)
            with self._arrived:
                self._responses.setdefault(wanted, response)
                self._arrived.notify_all()

    def _catch_up(self, name: str) -> None:
        """What came while the stream was not open; and what the bus has lost meanwhile is asked again."""
        with self._arrived:
            if not any(wanted[0] == name for wanted in self._waiting):
                return
        for line in self._api.history(name):
            self._hear(line)
        with self._arrived:
            mine = {wanted: asked for wanted, asked in self._accepted.items() if wanted[0] == name}
            lost = [asked for wanted, asked in mine.items() if wanted not in self._responses]
        for request in lost:
            if not any(line.correlation_id == request.correlation_id for line in self._api.history(request.name)):
                self._api.publish(request)


class HttpInbox:
    """What this worker has heard: one after another for each node."""

    def __init__(self, bus: HttpBus, names: Sequence[str], group: str, attempts: Attempts) -> None:
        self._bus, self._names, self._attempts = bus, tuple(names), attempts
        self._changed = threading.Condition()
        self._turns: Turns[Line] = Turns()
        self._mine: set[Identity] = set()
        self._seen: set[Identity] = set()
        self._lately: set[Identity] = set()
        self._again: set[Identity] = set()
        self._heard: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self._closed, self._look = threading.Event(), threading.Event()
        query = {"delivery": "unicast", "group": group, "consumer": socket.gethostname().lower()}
        self._followers = [bus.follow({**query, "name": name}, self._hear, self._look.set) for name in names]
        threading.Thread(target=self._look_for_more, name=f"{group}-look", daemon=True).start()

    def wait(self) -> None:
        """Until all streams are open. Raises why one of them never will be."""
        for follower in self._followers:
            follower.wait(None)

    def take(self, time_limit: float) -> HttpDelivery | None:
        """Raises UnauthorizedError where the bus refuses this worker, for good."""
        found: list[HttpDelivery] = []

        def take_one() -> bool:
            taken = None if self._closed.is_set() else self._turns.take()
            if taken is not None:
                key, line = taken
                attempt = self._attempts.begin(*_identity(line)) if line.correlation_id else 1
                found.append(HttpDelivery(self, key, line, attempt))
            return bool(found) or self._closed.is_set()

        with self._changed:
            self._changed.wait_for(take_one, time_limit)
            self._changed.notify_all()
        failure = next((one.failure for one in self._followers if one.failure is not None), None)
        if failure is not None and not found:
            raise failure
        return found[0] if found else None

    def waiting(self) -> dict[str, int]:
        with self._changed:
            return self._turns.waiting()

    def close(self) -> None:
        self._closed.set()
        self._look.set()
        for follower in self._followers:
            follower.stop()
        with self._changed:
            self._changed.notify_all()

    def answered(self, delivery: HttpDelivery, response: Envelope) -> None:
        """Tell the response, where anybody can be told, and be done with the request."""
        identity = _identity(delivery.line)
        if delivery.line.correlation_id and not response.correlation_id:
            # Of what is no envelope the server still says whose it is.
            name = response_name(delivery.line.name)
            response = replace(response, name=name, correlation_id=delivery.line.correlation_id)
        is_told = False
        try:
            told = self._tell(response)
            is_told = True
        finally:
            with self._changed:
                self._turns.done(delivery.key)
                is_wanted_again = identity in self._again
                self._again.discard(identity)
                self._mine.discard(identity)
                self._lately.add(identity)
                if is_told:
                    self._attempts.end(*identity)
                else:
                    self._attempts.leave(*identity)
                self._changed.notify_all()
        if is_wanted_again:
            # Who asked a second time may have begun to listen after the first response.
            self._tell(told)

    def _tell(self, response: Envelope) -> Envelope:
        """Publish what the API takes: where it refuses the response, that is what is told in its place."""
        if not response.correlation_id:
            return response
        try:
            self._bus.answer(response)
        except BadRequestError as error:
            # Without any, the request would be worked on again, and whoever asked would wait in vain.
            response = _untold(response, error)
            self._bus.answer(response)
        return response

    def _hear(self, line: Line) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._turns) < MAX_HELD or self._closed.is_set())
            # From the history, and then from the stream. The server may number each name's events, and begin again.
            if (line.name, line.correlation_id, line.id) not in self._heard:
                self._put(line)

    def _put(self, line: Line) -> None:
        if line.id:
            self._heard[line.name, line.correlation_id, line.id] = None
            if len(self._heard) > KEPT_ANSWERS:
                self._heard.popitem(last=False)
        identity = _identity(line)
        if line.correlation_id and identity in self._mine:
            self._again.add(identity)
        elif not self._closed.is_set():
            self._mine.add(identity)
            self._turns.add(key_of(line.text), line)
            self._changed.notify_all()

    def _look_for_more(self) -> None:
        while not self._closed.is_set():
            is_fresh = self._look.wait(LOOK_SECONDS)
            self._look.clear()
            try:
                self._look_once()
                if is_fresh and not self._closed.wait(SETTLE_SECONDS):
                    self._look_once()
            except Exception:
                # Whatever it was, the next look may find what this one did not: without looks requests are lost.
                self._closed.wait(WAKE_SECONDS)
                if is_fresh:
                    self._look.set()

    def _look_once(self) -> None:
        with self._changed:
            self._lately.clear()
        found = list(chain.from_iterable(self._bus.unanswered(name, self._is_mine, MAX_HELD) for name in self._names))
        with self._changed:
            for line in found:
                identity = _identity(line)
                is_free = identity not in self._mine and identity not in self._lately
                if is_free and identity in self._seen and len(self._turns) < MAX_HELD:
                    self._put(line)
            self._seen = set(map(_identity, found))

    def _is_mine(self, identity: Identity) -> bool:
        with self._changed:
            return identity in self._mine


@dataclass(frozen=True, slots=True)
class HttpDelivery:
    """One line of a stream."""

    inbox: HttpInbox
    key: str
    line: Line
    attempt: int

    @property
    def text(self) -> bytes:
        return self.line.text

    def answer(self, response: Envelope) -> None:
        self.inbox.answered(self, response)


def _untold(response: Envelope, error: BadRequestError) -> Envelope:
    """The response without its long texts and lists, of which one was refused: it keeps the form of its kind."""
    short: dict[str, Any] = {
        key: one for key, one in response.payload.items() if not isinstance(one, (list, dict, str))
    }
    short |= {key: one[:_SHORT] for key, one in response.payload.items() if isinstance(one, str)}
    short |= {key: [] for key, one in response.payload.items() if isinstance(one, list)}
    why = f"the work was done, and the bus does not take what came of it: {error}"
    short |= {"ok": False, "error_class": ApplyFailedError.error_class, "diagnostics": [why]}
    return Envelope(response.name, response.correlation_id, short)


def _identity(line: Line) -> Identity:
    return line.name, line.correlation_id
