"""The bus of a running deployment: its Events API as an engine.

That API acknowledges nothing, and orders events only within one name. So a request counts as done when there is a
response with its correlation id; what has none is looked for in the history whenever a stream was opened again, and
from time to time. Delivery is at least once; the node decides that the effect is once.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from busnode.contract import BadRequestError, OperationTimeoutError, UnreachableError
from busnode.events.attempts import Attempts
from busnode.events.bus import WAKE_SECONDS, always
from busnode.events.envelope import Envelope, parse, response_name
from busnode.events.http_inbox import HttpInbox
from busnode.events.turns import Marks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from busnode.contract import BusnodeError
    from busnode.events.events_api import Line
    from busnode.events.follower import Follower
    from busnode.events.patient_api import Identity, PatientApi

_OPEN_SECONDS = 10.0


class HttpBus:
    """The engine at one Events API; below `state_dir` is counted how often each request was begun."""

    def __init__(self, patient: PatientApi, state_dir: Path) -> None:
        self._patient, self._api, self._state_dir = patient, patient.api, state_dir
        self._arrived = threading.Condition()
        self._marks = Marks()
        self._responses: dict[Identity, Envelope] = {}
        self._waiting: dict[Identity, int] = {}
        self._accepted: dict[Identity, Envelope] = {}
        self._listeners: dict[str, Follower] = {}
        self._inboxes: list[HttpInbox] = []

    @property
    def failure(self) -> BusnodeError | None:
        return self._api.failure

    def publish(self, request: Envelope) -> None:
        with self._arrived:
            self._marks.require_same(request)
        self._patient.publish(request)

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
            self._patient.send(request, deadline, is_wanted)
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
        made = HttpInbox(self._patient, names, group, Attempts(self._state_dir / "attempts" / group))
        self._inboxes.append(made)
        if self._patient.retry.required:
            made.wait()
        return made

    def close(self) -> None:
        self._patient.closed.set()
        for inbox in self._inboxes:
            inbox.close()
        for listener in self._listeners.values():
            listener.stop()
        with self._arrived:
            self._arrived.notify_all()
        self._patient.close()

    def _await(self, listener: Follower, limit: float, is_wanted: Callable[[], bool]) -> bool:
        until = time.monotonic() + limit
        while not listener.wait(max(0.0, min(WAKE_SECONDS, until - time.monotonic()))):
            if time.monotonic() >= until or self._patient.closed.is_set() or not is_wanted():
                return False
        return True

    def _wait(self, wanted: Identity, deadline: float, time_limit: float, is_wanted: Callable[[], bool]) -> Envelope:
        while (left := deadline - time.monotonic()) > 0 and not self._patient.closed.is_set() and is_wanted():
            with self._arrived:
                self._arrived.wait_for(
                    lambda: wanted in self._responses or self._patient.closed.is_set(), min(left, WAKE_SECONDS)
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
                found = self._listeners[name] = self._patient.follow(query, self._hear, lambda: self._catch_up(name))
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
