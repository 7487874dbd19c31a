"""The bus on Redis Streams (or Valkey): consumer groups, each node's requests in stream order, answers kept.

Delivery is at least once: what a worker that died had taken is claimed by another.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from inspect import signature
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from busnode.contract import BusnodeError, OperationTimeoutError, UnreachableError
from busnode.events import redis_scripts
from busnode.events.bus import WAKE_SECONDS, always, key_of, mark_of, topic_of, used_already
from busnode.events.envelope import Envelope, parse, response_name
from busnode.events.redis_inbox import RedisInbox

_LOOK_SECONDS = 5.0
# A Redis that says nothing for so long is gone without a word; no command blocks longer than WAKE_SECONDS.
_ANSWER_SECONDS = 15.0


class RedisStreams:
    """The engine at one Redis; `prefix` begins every key.

    The stream of a topic belongs to one group of workers: what they have answered is removed from it.
    """

    failure: BusnodeError | None = None

    def __init__(self, client: redis.Redis, prefix: str = "bus") -> None:
        self._client, self._prefix = client, prefix
        self.consumer = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._arrived = threading.Condition()
        self._responses: dict[str, Envelope] = {}
        self._waiting: dict[str, int] = {}
        self.closed = threading.Event()
        self._listeners: dict[str, threading.Thread] = {}

    @classmethod
    def connect(cls, url: str, *, username: str | None, password: str | None, prefix: str = "bus") -> RedisStreams:
        """Connect to `redis://`, `rediss://` or `unix://`. Raises UnreachableError where nothing answers."""
        retry = Retry(ExponentialBackoff(cap=1.0, base=0.02), 8)
        more: dict[str, Any] = {"ssl_check_hostname": True} if url.startswith("rediss:") else {}
        if not url.startswith("unix:"):
            # Debian 12's client knows none of these of a Unix socket's.
            more |= {"socket_connect_timeout": 5, "socket_keepalive": True}
        more |= dict.fromkeys(_names_of_itself())
        client = redis.Redis.from_url(
            url,
            username=username,
            password=password,
            retry=retry,
            socket_timeout=_ANSWER_SECONDS,
            health_check_interval=30,
            **more,
        )
        made = cls(client, prefix)
        made.call("PING")
        return made

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
        self.make_group(self.key(topic), group)
        return RedisInbox(self, topic, group)

    def close(self) -> None:
        self.closed.set()
        with self._arrived:
            self._arrived.notify_all()
        self._client.close()

    def renew(self, stream: str, group: str, entries: Sequence[str]) -> None:
        """Tell the group that this consumer still works on these. Raises UnreachableError."""
        with _mapped():
            self._client.xclaim(stream, group, self.consumer, 0, [*entries], justid=True)

    def make_group(self, stream: str, group: str) -> None:
        """A group of workers that reads the stream from its beginning, unless there is one. Raises UnreachableError."""
        with _mapped():
            try:
                self._client.xgroup_create(stream, group, "0", mkstream=True)
            except redis.ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    def _publish(self, request: Envelope) -> bytes | None:
        text = request.to_text()
        topic, name = topic_of(request.name), response_name(request.name)
        sent = self.key("sent", request.name, request.correlation_id)
        keys = [self.key(topic), sent, self.key("answer", name, request.correlation_id)]
        mark = mark_of(request)
        sent, answer = self.evaluate(
            redis_scripts.PUBLISH, keys, [text, key_of(text), redis_scripts.KEPT_SECONDS, mark]
        )
        if sent != mark.encode():
            raise used_already()
        return bytes(answer) or None

    def _wait(self, wanted: str, time_limit: float, is_wanted: Callable[[], bool]) -> Envelope:
        deadline = time.monotonic() + time_limit
        look = time.monotonic() + _LOOK_SECONDS
        while (left := deadline - time.monotonic()) > 0 and not self.closed.is_set() and is_wanted():
            with self._arrived:
                self._arrived.wait_for(
                    lambda: wanted in self._responses or self.closed.is_set(), min(left, WAKE_SECONDS)
                )
                if wanted in self._responses:
                    return self._responses[wanted]
            if time.monotonic() < min(look, deadline):
                continue
            look = time.monotonic() + _LOOK_SECONDS
            # What the listener may have missed while it was cut off.
            kept = self.call("GET", self.key("answer", wanted))
            if kept:
                return parse(kept)
        name = wanted.partition(":")[0]
        raise OperationTimeoutError(f"no {name} within {time_limit:g} s; is its service running?")

    def _listen(self, topic: str) -> None:
        with self._arrived:
            if topic in self._listeners:
                return
            stream = self.key(topic)
            last = self.call("XREVRANGE", stream, "+", "-", "COUNT", 1)
            begin = last[0][0] if last else "0-0"
            thread = threading.Thread(target=self._hear, args=(stream, begin), name=f"hear-{topic}", daemon=True)
            self._listeners[topic] = thread
        thread.start()

    def _hear(self, stream: str, last: bytes | str) -> None:
        while not self.closed.is_set():
            try:
                found = self.call("XREAD", "BLOCK", int(WAKE_SECONDS * 1000), "COUNT", 100, "STREAMS", stream, last)
            except UnreachableError:
                self.closed.wait(WAKE_SECONDS)
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

    def key(self, *words: str) -> str:
        """A key of this bus'."""
        return ":".join((self._prefix, *words))

    def evaluate(self, script: str, keys: Sequence[str | bytes], arguments: Sequence[Any]) -> Any:
        """What a script gives. Raises UnreachableError."""
        return self.call("EVAL", script, len(keys), *keys, *arguments)

    def call(self, command: str, *arguments: Any) -> Any:
        """What a command gives. Raises UnreachableError."""
        execute: Callable[..., Any] = self._client.execute_command
        with _mapped():
            return execute(command, *arguments)


def _names_of_itself() -> set[str]:
    """What to leave out so that the client does not tell its name: that is a command which no service is granted."""
    known = {"driver_info", "lib_name", "lib_version"} & set(signature(redis.Redis).parameters)
    # Where the first is known, the other two are on their way out.
    return known & {"driver_info"} or known


@contextmanager
def _mapped() -> Iterator[None]:
    """Whatever Redis says instead of an answer is an UnreachableError: for a while it may be full or read-only."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, redis.AuthenticationError) as error:
        raise UnreachableError(f"redis: {error}; see that it runs, and that user and password are right") from error
    except redis.RedisError as error:
        raise UnreachableError(f"redis: {error}; look into its log, and at its memory and its disk") from error
    except ValueError as error:
        # A client that was closed meanwhile.
        raise UnreachableError(f"redis: {error}") from error


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
