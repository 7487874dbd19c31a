"""An Events API that may be away for a while: events are sent until they are taken, streams are opened again."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from busnode.contract import UnauthorizedError, UnreachableError
from busnode.events.bus import WAKE_SECONDS, always
from busnode.events.envelope import Envelope, response_name
from busnode.events.follower import Follower, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from busnode.events.events_api import EventsApi, Line

_PUBLISH_SECONDS = 10.0

Identity = tuple[str, str]


class PatientApi:
    """What an engine and its inboxes do at one Events API; `lost` is told why a stream cannot be opened."""

    def __init__(self, api: EventsApi, retry: Retry, lost: Callable[[str], None]) -> None:
        self.api, self.retry, self._lost = api, retry, lost
        self.closed = threading.Event()

    def close(self) -> None:
        """Nothing is tried again; `closed` says so to whoever waits."""
        self.closed.set()
        self.api.close()

    def publish(self, event: Envelope) -> None:
        """Publish an event within 10 s; raises what `send` does."""
        self.send(event, time.monotonic() + _PUBLISH_SECONDS)

    def send(self, event: Envelope, deadline: float, is_wanted: Callable[[], bool] = always) -> None:
        """Publish an event, again and again until the deadline: one that comes twice has its effect once.

        Raises UnreachableError, and whatever the API refuses it with.
        """
        delay = 0.1
        while True:
            try:
                self.api.publish(event)
                return
            except UnreachableError:
                if time.monotonic() + delay > deadline or self.closed.wait(delay) or not is_wanted():
                    raise
            delay = min(2 * delay, WAKE_SECONDS)

    def answer(self, response: Envelope) -> None:
        """Publish a response, however long that takes: the work is done."""
        while True:
            try:
                self.publish(response)
                return
            except UnauthorizedError:
                if self.api.token.is_static or self.closed.wait(WAKE_SECONDS):
                    raise
            except UnreachableError:
                if self.closed.wait(WAKE_SECONDS):
                    raise

    def follow(self, query: Mapping[str, str], hear: Callable[[Line], None], opened: Callable[[], None]) -> Follower:
        """A stream of this API's, which is opened again whenever it ends."""
        return Follower(self.api, query, self.retry, hear, opened, self._lost)

    def unanswered(self, name: str, known: Callable[[Identity], bool], limit: int) -> list[Line]:
        """The first requests of a name that have no response, but for those that are `known`."""
        answered = self._answered(name)
        found: dict[str, Line] = {}
        for line in self.api.history(name):
            if line.correlation_id and line.correlation_id not in answered and not known((name, line.correlation_id)):
                found.setdefault(line.correlation_id, line)
            if len(found) == limit:
                break
        # One may have been answered since.
        answered = self._answered(name) if found else answered
        return [line for correlation_id, line in found.items() if correlation_id not in answered]

    def _answered(self, name: str) -> frozenset[str]:
        return frozenset(line.correlation_id for line in self.api.history(response_name(name)))
