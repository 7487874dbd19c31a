"""The bus on Redis Streams (or Valkey): consumer groups, each node's requests in stream order, answers kept.

Delivery is at least once: what a worker that died had taken is claimed by another.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from busnode.contract import BusnodeError, OperationTimeoutError, UnreachableError
from busnode.events import redis_scripts
from busnode.events.bus import WAKE_SECONDS, always, key_of, mark_of, topic_of, used_already
from busnode.events.envelope import Envelope, parse, response_name
from busnode.events.redis_inbox import RedisInbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from busnode.events.redis_connection import RedisConnection

_LOOK_SECONDS = 5.0


class RedisStreams:
    """The engine at one Redis.

    The stream of a topic belongs to one group of workers: what they have answered is removed from it.
    """

    failure: BusnodeError | None = None

    def __init__(self, connection: RedisConnection) -> None:
        self._redis = connection
        self._arrived = threading.Condition()
        self._responses: dict[str, Envelope] = {}
        self._waiting: dict[str, int] = {}
        self._listeners: dict[str, threading.Thread] = {}

    def publish(self, request: Envelope) -> None:
        self._publish(request)

    def ask(self, request: Envelope, *, time_limit: float, is_wanted: Callable[[], bool] = always) -> Envelope:
        name = response_name(request.name)
        wanted = f"{name}:{request.correlation_id}"
        self._listen(topic_of(name))
        with self._arrived:
            self._waiting[wanted] = self._waiting.get(wanted, 0) + 1
        try:
            kept = self._publish(request)
            return replace(parse(kept), is_kept=True) if kept else self._wait(wanted, time_limit, is_wanted)
        finally:
            with self._arrived:
                self._waiting[wanted] -= 1
                if not self._waiting[wanted]:
                    del self._waiting[wanted]
                    self._responses.pop(wanted, None)

    def inbox(self, names: Sequence[str], *, group: str) -> RedisInbox:
        """All of `names` must be of one topic."""
        (topic,) = {topic_of(name) for name in names}
        self._redis.make_group(self._redis.key(topic), group)
        return RedisInbox(self._redis, topic, group)

    def close(self) -> None:
        self._redis.close()
        with self._arrived:
            self._arrived.notify_all()

    def _publish(self, request: Envelope) -> bytes | None:
        text = request.to_text()
        topic, name = topic_of(request.name), response_name(request.name)
        sent = self._redis.key("sent", request.name, request.correlation_id)
        keys = [self._redis.key(topic), sent, self._redis.key("answer", name, request.correlation_id)]
        mark = mark_of(request)
        sent, answer = self._redis.evaluate(
            redis_scripts.PUBLISH, keys, [text, key_of(text), redis_scripts.KEPT_SECONDS, mark]
        )
        if sent != mark.encode():
            raise used_already()
        return bytes(answer) or None

    def _wait(self, wanted: str, time_limit: float, is_wanted: Callable[[], bool]) -> Envelope:
        deadline = time.monotonic() + time_limit
        look = time.monotonic() + _LOOK_SECONDS
        while (left := deadline - time.monotonic()) > 0 and not self._redis.closed.is_set() and is_wanted():
            with self._arrived:
                self._arrived.wait_for(
                    lambda: wanted in self._responses or self._redis.closed.is_set(), min(left, WAKE_SECONDS)
                )
                if wanted in self._responses:
                    return self._responses[wanted]
            if time.monotonic() < min(look, deadline):
                continue
            look = time.monotonic() + _LOOK_SECONDS
            # What the listener may have missed while it was cut off.
            kept = self._redis.call("GET", self._redis.key("answer", wanted))
            if kept:
                return parse(kept)
        name = wanted.partition(":")[0]
        raise OperationTimeoutError(f"no {name} within {time_limit:g} s; is its service running?")

    def _listen(self, topic: str) -> None:
        with self._arrived:
            if topic in self._listeners:
                return
            stream = self._redis.key(topic)
            last = self._redis.call("XREVRANGE", stream, "+", "-", "COUNT", 1)
            begin = last[0][0] if last else "0-0"
            thread = threading.Thread(target=self._hear, args=(stream, begin), name=f"hear-{topic}", daemon=True)
            self._listeners[topic] = thread
        thread.start()

    def _hear(self, stream: str, last: bytes | str) -> None:
        while not self._redis.closed.is_set():
            try:
                found = self._redis.call(
                    "XREAD", "BLOCK", int(WAKE_SECONDS * 1000), "COUNT", 100, "STREAMS", stream, last
                )
            except UnreachableError:
                self._redis.closed.wait(WAKE_SECONDS)
                continue
            for entry_id, fields in _entries(found):
                last = entry_id
                self._arrive(fields.get(b"text", b""))

    def _arrive(self, text: bytes) -> None:
        try:
            response = parse(text)
        except BusnodeError:
            return
        wanted = f"{response.name}:{response.correlation_id}"
        with self._arrived:
            if wanted in self._waiting:
                self._responses.setdefault(wanted, response)
                self._arrived.notify_all()


def _entries(found: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The entries of an XREAD of one stream, whichever protocol the client speaks."""
    if not found:
        return []
    entries = next(iter(found.values())) if isinstance(found, dict) else found[0][1]
    if entries and isinstance(entries[0], list) and entries[0] and isinstance(entries[0][0], list):
        entries = entries[0]
    return [(one[0], _fields(one[1])) for one in entries]


def _fields(found: Any) -> dict[bytes, bytes]:
    if isinstance(found, dict):
        return found
    return dict(zip(found[::2], found[1::2], strict=True)) if found else {}
