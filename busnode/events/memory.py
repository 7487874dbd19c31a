"""The bus of one process: queues in memory, one after another for each node."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from busnode.contract import OperationTimeoutError, UnreachableError
from busnode.events.bus import KEPT_ANSWERS, WAKE_SECONDS, always, key_of, topic_of
from busnode.events.envelope import Envelope, response_name
from busnode.events.turns import Marks, Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from busnode.contract import BusnodeError


class Memory:
    """Requests are kept as JSON text, so that nothing is shared between who sends and who works."""

    failure: BusnodeError | None = None

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queues: dict[str, Turns[bytes]] = defaultdict(Turns)
        self._answers: OrderedDict[tuple[str, str], Envelope] = OrderedDict()
        self._marks = Marks()
        self._closed = False

    def publish(self, request: Envelope) -> None:
        with self._changed:
            self._marks.require_same(request)
        self.send(request.name, request.to_text())

    def send(self, name: str, text: bytes | str) -> None:
        """Put anything into the queue of `name`, checked by nobody."""
        data = text.encode() if isinstance(text, str) else text
        with self._changed:
            if self._closed:
                raise UnreachableError("the bus is closed")
            self._queues[topic_of(name)].add(key_of(data), data)
            self._changed.notify_all()

    def ask(self, request: Envelope, *, time_limit: float, is_wanted: Callable[[], bool] = always) -> Envelope:
        wanted = response_name(request.name), request.correlation_id
        with self._changed:
            self._marks.require_same(request)
            if wanted in self._answers:
                return replace(self._answers[wanted], is_kept=True)
            self.send(request.name, request.to_text())
            deadline = time.monotonic() + time_limit
            while (left := deadline - time.monotonic()) > 0 and is_wanted():
                if self._changed.wait_for(lambda: wanted in self._answers or self._closed, min(left, WAKE_SECONDS)):
                    break
            if wanted in self._answers:
                return self._answers[wanted]
        raise OperationTimeoutError(f"{request.name}: no answer within {time_limit:g} s; is its service running?")

    def inbox(self, names: Sequence[str], *, group: str) -> _Inbox:  # noqa: ARG002 - one process is one group
        return _Inbox(self, tuple(dict.fromkeys(map(topic_of, names))))

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _take(self, inbox: _Inbox, time_limit: float) -> _Delivery | None:
        found: list[_Delivery] = []

        def take_one() -> bool:
            if not (inbox.closed or self._closed):
                found.extend(self._ready(inbox.topics))
            return bool(found) or inbox.closed

        with self._changed:
            self._changed.wait_for(take_one, time_limit)
        return found[0] if found else None

    def _ready(self, topics: Sequence[str]) -> list[_Delivery]:
        for topic in topics:
            taken = self._queues[topic].take()
            if taken is not None:
                return [_Delivery(self, topic, *taken)]
        return []

    def _done(self, delivery: _Delivery, response: Envelope) -> None:
        with self._changed:
            self._answers.setdefault((response.name, response.correlation_id), response)
            while len(self._answers) > KEPT_ANSWERS:
                self._answers.popitem(last=False)
            self._queues[delivery.topic].done(delivery.key)
            self._changed.notify_all()

    def _hand_back(self, delivery: _Delivery) -> None:
        with self._changed:
            self._queues[delivery.topic].put_back(delivery.key, delivery.text)
            self._changed.notify_all()


@dataclass(slots=True)
class _Inbox:
    bus: Memory
    topics: Sequence[str]
    closed: bool = False

    def take(self, time_limit: float) -> _Delivery | None:
        return self.bus._take(self, time_limit)

    def waiting(self) -> dict[str, int]:
        with self.bus._changed:
            queues = [self.bus._queues[topic] for topic in self.topics]
            return {key: number for queue in queues for key, number in queue.waiting().items()}

    def close(self) -> None:
        with self.bus._changed:
            self.closed = True
            self.bus._changed.notify_all()


@dataclass(frozen=True, slots=True)
class _Delivery:
    bus: Memory
    topic: str
    key: str
    text: bytes

    @property
    def attempt(self) -> int:
        return 1

    def answer(self, response: Envelope) -> None:
        self.bus._done(self, response)

    def hand_back(self) -> None:
        self.bus._hand_back(self)
