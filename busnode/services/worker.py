"""Threads that take requests from an inbox and answer each: what both worker programs have in common."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from busnode.contract import ConflictError, UnauthorizedError, UnreachableError
from busnode.events.bus import MAX_ATTEMPTS
from busnode.services import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from busnode.events.bus import Delivery, Inbox
    from busnode.events.envelope import Envelope

_WAIT_SECONDS = 1.0


class StoppedError(ConflictError):
    """Another operation holds the node, and the worker stops: nothing was done, and the request is another worker's."""

    def __init__(self, correlation_id: str, held: ConflictError) -> None:
        super().__init__(str(held), response=held.response, output=held.output)
        self.correlation_id = correlation_id


@dataclass(slots=True)
class Worker:
    """So many threads on one inbox.

    Args:
        service: the program's name, in its log and in the names of its threads.
        inbox: where requests come from.
        handle: makes the answer to what came; it does not raise for any bytes, but StoppedError once it is stopping.
        set_aside: makes the answer to a request that ended its workers MAX_ATTEMPTS times.
        slots: how many requests are worked on at once.
        say: told of each answer.
        stopping: set as soon as it is to stop.
    """

    service: str
    inbox: Inbox
    handle: Callable[[bytes], Envelope]
    set_aside: Callable[[bytes], Envelope]
    slots: int
    say: Callable[..., None] = log.say
    stopping: threading.Event = field(default_factory=threading.Event)
    failure: UnauthorizedError | None = None
    """Why it takes no more requests, where the bus refuses it for good."""
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin to take requests."""
        for number in range(self.slots):
            thread = threading.Thread(target=self._work, name=f"{self.service}-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)
        threading.Thread(target=self._tell_who_waits, name=f"{self.service}-waiting", daemon=True).start()

    def stop(self, time_limit: float) -> bool:
        """Take nothing more and finish what is under way; False where that took more than `time_limit` seconds."""
        self.stopping.set()
        self.inbox.close()
        deadline = time.monotonic() + time_limit
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _tell_who_waits(self) -> None:
        """A line whenever other requests of a node begin to wait for the one that is under way, or are done waiting."""
        told: dict[str, int] = {}
        while not self.stopping.wait(_WAIT_SECONDS):
            waiting = self.inbox.waiting()
            if waiting != told:
                self.say(self.service, "waiting", requests=sum(waiting.values()), nodes=waiting)
            told = waiting

    def _work(self) -> None:
        while not self.stopping.is_set():
            try:
                delivery = self.inbox.take(_WAIT_SECONDS)
                if delivery is not None:
                    self._answer(delivery)
            except UnauthorizedError as error:
                self.failure = error
                return
            except UnreachableError as error:
                self.say(self.service, "bus-lost", why=str(error))
                self.stopping.wait(_WAIT_SECONDS)
            except Exception as error:
                # A thread that ends here is a slot that nobody misses until none is left.
                self.say(self.service, "mistake", why=f"{type(error).__name__}: {error}")
                self.stopping.wait(_WAIT_SECONDS)

    def _answer(self, delivery: Delivery) -> None:
        begin = time.monotonic()
        make = self.handle if delivery.attempt <= MAX_ATTEMPTS else self.set_aside
        try:
            response = make(delivery.text)
        except StoppedError as error:
            delivery.hand_back()
            self.say(self.service, "handed-back", correlation_id=error.correlation_id, why=str(error))
            return
        delivery.answer(response)
        said = response.payload
        self.say(
            self.service,
            "answered",
            name=response.name,
            correlation_id=response.correlation_id,
            node_id=said.get("node_id"),
            ok=said.get("ok"),
            error_class=said.get("error_class"),
            attempt=delivery.attempt,
            seconds=round(time.monotonic() - begin, 3),
        )
