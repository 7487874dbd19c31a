"""The requests that a worker takes from a stream of Redis': each node's in stream order, across all of a group."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from busnode.contract import UnreachableError
from busnode.events import redis_scripts
from busnode.events.bus import MAX_ATTEMPTS, WAKE_SECONDS, topic_of

if TYPE_CHECKING:
    from busnode.events.envelope import Envelope
    from busnode.events.redis_connection import RedisConnection

# Work whose worker has not been heard of for so long is another's.
CLAIM_SECONDS = 15.0
MAX_HELD = 64
_TURN_SECONDS = 0.02


@dataclass
class RedisInbox:
    """What this worker has taken: ready for whoever asks, or held until the node's earlier requests are answered."""

    redis: RedisConnection
    topic: str
    group: str
    _ready: deque[RedisDelivery] = field(default_factory=deque)
    _held: list[RedisDelivery] = field(default_factory=list)
    _mine: dict[str, RedisDelivery] = field(default_factory=dict)
    _hungry: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _closed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        for work in (self._fetch, self._beat):
            threading.Thread(target=work, name=f"{self.group}-{work.__name__}", daemon=True).start()

    def take(self, time_limit: float) -> RedisDelivery | None:
        with self._changed:
            self._hungry += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: self._ready or self._closed.is_set(), time_limit)
                return self._ready.popleft() if self._ready and not self._closed.is_set() else None
            finally:
                self._hungry -= 1

    def close(self) -> None:
        self._closed.set()
        with self._changed:
            self._changed.notify_all()

    def waiting(self) -> dict[str, int]:
        with self._changed:
            return dict(Counter(one.key.decode("utf-8", "backslashreplace") for one in [*self._held]))

    @cached_property
    def stream(self) -> str:
        """The key of the stream."""
        return self.redis.key(self.topic)

    @cached_property
    def turns(self) -> str:
        """What the keys of the lists of turns begin with."""
        return self.redis.key(self.topic, "turn", "")

    @cached_property
    def attempts(self) -> str:
        """The key of how often each entry was handed out."""
        return self.redis.key(self.topic, "attempts")

    def _fetch(self) -> None:
        while not self._closed.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._hungry > len(self._ready) or self._closed.is_set(), WAKE_SECONDS)
                if self._hungry <= len(self._ready):
                    continue
            try:
                self._fetch_one()
            except UnreachableError as error:
                self._closed.wait(WAKE_SECONDS)
                if "NOGROUP" in str(error):
                    self._begin_again()

    def _begin_again(self) -> None:
        """After Redis lost what it had: nothing that waited for its turn will ever have it."""
        with self._changed:
            for delivery in self._held:
                self._mine.pop(delivery.id, None)
            self._held.clear()
        with suppress(UnreachableError):
            self.redis.make_group(self.stream, self.group)

    def _fetch_one(self) -> None:
        delivery = self._whose_turn()
        last: bytes | None = None
        if delivery is None and len(self._held) < MAX_HELD:
            delivery, last = self._take()
            if delivery is not None and delivery.key:
                self._held.append(delivery)
                return
        if delivery is not None:
            with self._changed:
                self._ready.append(delivery)
                self._changed.notify_all()
        elif self._held:
            time.sleep(_TURN_SECONDS)
        elif last is not None:
            self.redis.call("XREAD", "BLOCK", int(WAKE_SECONDS * 1000), "COUNT", 1, "STREAMS", self.stream, last)

    def _take(self) -> tuple[RedisDelivery | None, bytes | None]:
        token = uuid.uuid4().hex
        arguments = [self.group, self.redis.consumer, self.turns, int(CLAIM_SECONDS * 1000), token]
        found = self.redis.evaluate(redis_scripts.TAKE, [self.stream, self.attempts], arguments)
        if len(found) == 1:
            return None, found[0]
        entry_id, text, key, attempt = found
        delivery = RedisDelivery(self, entry_id.decode(), bytes(text), bytes(key), int(attempt), token)
        with self._changed:
            if delivery.id in self._mine:
                # After a pause of this worker's it is given what it has.
                return None, None
            self._mine[delivery.id] = delivery
        return delivery, None

    def _whose_turn(self) -> RedisDelivery | None:
        if not self._held:
            return None
        words = [word for one in self._held for word in (one.id, one.key)]
        token = uuid.uuid4().hex
        number, attempt, gone = self.redis.evaluate(
            redis_scripts.WHOSE_TURN, [self.attempts], [self.turns, token, *words]
        )
        found = replace(self._held[number], attempt=int(attempt), token=token) if number >= 0 else None
        done = {entry_id.decode() for entry_id in gone}
        with self._changed:
            for entry_id in done:
                self._mine.pop(entry_id, None)
            self._held[:] = [one for one in self._held if one.id not in done and (found is None or one.id != found.id)]
        return found

    def _beat(self) -> None:
        """Tell the group that what was taken is still worked on, also after close: until it is answered."""
        while not self.redis.closed.wait(CLAIM_SECONDS / 3):
            with self._changed:
                # What waits when the program stops is another worker's soon.
                waiting = {one.id for one in (*self._held, *self._ready)} if self._closed.is_set() else set()
                mine = [one for one in self._mine if one not in waiting]
            if mine:
                with suppress(UnreachableError):
                    self.redis.renew(self.stream, self.group, mine)

    def answered(self, delivery: RedisDelivery, response: Envelope) -> None:
        """Keep the response, tell it, and be done with the request, however long Redis is away."""
        redis, name = self.redis, response.name
        aside = delivery.text if delivery.attempt > MAX_ATTEMPTS else b""
        answer = redis.key("answer", name, response.correlation_id)
        turn, set_aside = self.turns.encode() + delivery.key, redis.key(self.topic, "set-aside")
        keys: list[str | bytes] = [self.stream, answer, redis.key(topic_of(name)), turn, set_aside, self.attempts]
        arguments = [
            self.group,
            delivery.id,
            response.to_text(),
            redis_scripts.KEPT_SECONDS,
            redis_scripts.KEPT_RESPONSES,
            aside,
        ]
        while True:
            try:
                redis.evaluate(redis_scripts.ANSWER, keys, arguments)
                break
            except UnreachableError:
                # The work is done: its answer is not lost because redis is away for a while.
                if redis.closed.wait(WAKE_SECONDS):
                    raise
        with self._changed:
            self._mine.pop(delivery.id, None)

    def handed_back(self, delivery: RedisDelivery) -> None:
        """Say no more that it is worked on: it is another worker's soon, and keeps its turn."""
        with self._changed:
            self._mine.pop(delivery.id, None)
        # Where Redis is away this attempt counts, which is all that is lost.
        with suppress(UnreachableError):
            self.redis.evaluate(redis_scripts.TAKE_BACK, [self.attempts], [delivery.id, delivery.token])


@dataclass(frozen=True, slots=True)
class RedisDelivery:
    """One entry of the stream; `token` is what this attempt was counted under."""

    inbox: RedisInbox
    id: str
    text: bytes
    key: bytes
    attempt: int
    token: str

    def answer(self, response: Envelope) -> None:
        self.inbox.answered(self, response)

    def hand_back(self) -> None:
        self.inbox.handed_back(self)
