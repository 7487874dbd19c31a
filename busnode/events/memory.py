"""The bus of one process: queues in memory, one after another for each node."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from busnode.contract import OperationTimeoutError, UnreachableError
from busnode.events.bus import KEPT_ANSWERS, key_of, mark_of, topic_of, used_already
from busnode.events.envelope import Envelope, response_name

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True)
class _Queue:
    """What waits, by key, and the keys that are worked on; a key that had its turn comes last."""

    waiting: OrderedDict[str, deque[bytes]] = field(default_factory=OrderedDict)
    busy: set[str] = field(default_factory=set)


class Memory:
    """Requests are kept as JSON text, so that nothing is shared between who sends and who works."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queues: dict[str, _Queue] = defaultdict(_Queue)
        self._answers: OrderedDict[tuple[str, str], Envelope] = OrderedDict()
        self._marks: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._closed = False

    def publish(self, request: Envelope) -> None:
        self._require_same(request)
        self.send(request.name, request.to_text())

    def _require_same(self, request: Envelope) -> None:
        mark = mark_of(request)
        with self._changed:
            if self._marks.setdefault((request.name, request.correlation_id), mark) != mark:
                raise used_already()
            while len(self._marks) > KEPT_ANSWERS:
                self._marks.popitem(last=False)

    def send(self, name: str, text: bytes | str) -> None:
        """Put anything into the queue of `name`, checked by nobody."""
        data = text.encode() if isinstance(text, str) else text
        with self._changed:
            if self._closed:
                raise UnreachableError("the bus is closed")
            self._queues[topic_of(name)].waiting.setdefault(key_of(data), deque()).append(data)
            self._changed.notify_all()

    def ask(self, request: Envelope, *, time_limit: float) -> Envelope:
        wanted = response_name(request.name), request.correlation_id
        with self._changed:
            self._require_same(request)
            if wanted not in self._answers:
                self.send(request.name, request.to_text())
            self._changed.wait_for(lambda: wanted in self._answers or self._closed, time_limit)
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
            queue = self._queues[topic]
            key = next((key for key in queue.waiting if not key or key not in queue.busy), None)
            if key is None:
                continue
            text = queue.waiting[key].popleft()
            queue.waiting.move_to_end(key)
            if not queue.waiting[key]:
                del queue.waiting[key]
            queue.busy.add(key)
            return [_Delivery(self, topic, key, text)]
        return []

    def _done(self, delivery: _Delivery, response: Envelope) -> None:
        with self._changed:
            self._answers.setdefault((response.name, response.correlation_id), response)
            while len(self._answers) > KEPT_ANSWERS:
                self._answers.popitem(last=False)
            self._queues[delivery.topic].busy.discard(delivery.key)
            self._changed.notify_all()


@dataclass(slots=True)
class _Inbox:
    bus: Memory
    topics: Sequence[str]
    closed: bool = False

    def take(self, time_limit: float) -> _Delivery | None:
        return self.bus._take(self, time_limit)

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
