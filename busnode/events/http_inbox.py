"""The requests that a worker hears of an Events API: those of a node one after another, and none lost or doubled."""

from __future__ import annotations

import socket
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from busnode.contract import ApplyFailedError, BadRequestError
from busnode.events.bus import KEPT_ANSWERS, WAKE_SECONDS, key_of
from busnode.events.envelope import Envelope, response_name
from busnode.events.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from busnode.events.attempts import Attempts
    from busnode.events.events_api import Line
    from busnode.events.patient_api import Identity, PatientApi

# Requests that wait in a worker; while there are so many it reads no further.
MAX_HELD = 64
# A request that has no response at one look and at the next is taken, for all that is known of its worker. The second
# look comes soon where a stream was opened, for what came meanwhile was heard by nobody.
LOOK_SECONDS, SETTLE_SECONDS = 60.0, 2.0
# Of each text in a response that stands for one which the API refused.
_SHORT = 200


class HttpInbox:
    """What this worker has heard: one after another for each node."""

    def __init__(self, patient: PatientApi, names: Sequence[str], group: str, attempts: Attempts) -> None:
        self._patient, self._names, self._attempts = patient, tuple(names), attempts
        self._changed = threading.Condition()
        self._turns: Turns[Line] = Turns()
        self._mine: set[Identity] = set()
        self._seen: set[Identity] = set()
        self._lately: set[Identity] = set()
        self._again: set[Identity] = set()
        self._heard: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self._closed, self._look = threading.Event(), threading.Event()
        query = {"delivery": "unicast", "group": group, "consumer": socket.gethostname().lower()}
        self._followers = [patient.follow({**query, "name": name}, self._hear, self._look.set) for name in names]
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

    def handed_back(self, delivery: HttpDelivery) -> None:
        """Be done with the request: without a response it is found by the looks of other workers."""
        identity = _identity(delivery.line)
        with self._changed:
            self._turns.done(delivery.key)
            self._again.discard(identity)
            self._mine.discard(identity)
            self._attempts.take_back(*identity)
            self._changed.notify_all()

    def _tell(self, response: Envelope) -> Envelope:
        """Publish what the API takes: where it refuses the response, that is what is told in its place."""
        if not response.correlation_id:
            return response
        try:
            self._patient.answer(response)
        except BadRequestError as error:
            # Without any, the request would be worked on again, and whoever asked would wait in vain.
            response = _untold(response, error)
            self._patient.answer(response)
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
        found = list(
            chain.from_iterable(self._patient.unanswered(name, self._is_mine, MAX_HELD) for name in self._names)
        )
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

    def hand_back(self) -> None:
        self.inbox.handed_back(self)


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
