"""The bus on Redis Streams (or Valkey): consumer groups, each node's requests in stream order, answers kept.

Delivery is at least once: what a worker that died had taken is claimed by another. Every script here can be repeated
where its reply was lost.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from inspect import signature
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from busnode.contract import BusnodeError, OperationTimeoutError, UnreachableError
from busnode.events.bus import MAX_ATTEMPTS, WAKE_SECONDS, always, key_of, mark_of, topic_of, used_already
from busnode.events.envelope import Envelope, parse, response_name

# A day: longer than anybody repeats a request.
KEPT_SECONDS = 86_400
KEPT_RESPONSES = 10_000
# Work whose worker has not been heard of for so long is another's.
CLAIM_SECONDS = 15.0
MAX_HELD = 64
_TURN_SECONDS = 0.02
_LOOK_SECONDS = 5.0
# A Redis that says nothing for so long is gone without a word; no command blocks longer than WAKE_SECONDS.
_ANSWER_SECONDS = 15.0

# KEYS stream sent answer; ARGV text key seconds mark. Gives the mark of what was sent first, and its answer, if any.
_PUBLISH = """
local sent = redis.call('GET', KEYS[2])
if sent then return {sent, sent == ARGV[4] and redis.call('GET', KEYS[3]) or ''} end
redis.call('SET', KEYS[2], ARGV[4], 'EX', ARGV[3])
redis.call('DEL', KEYS[3])
redis.call('XADD', KEYS[1], '*', 'text', ARGV[1], 'key', ARGV[2])
return {ARGV[4], ''}
"""

# An attempt counts where a request is handed out to be worked on, not where it is held until its turn; once a token,
# for a script may be repeated.
_COUNT = """
local function count(attempts, id, token)
    if redis.call('HGET', attempts, id .. ':by') ~= token then
        redis.call('HSET', attempts, id .. ':by', token)
        redis.call('HINCRBY', attempts, id, 1)
    end
    return tonumber(redis.call('HGET', attempts, id))
end
"""

# KEYS stream attempts; ARGV group consumer turns idle token. Gives id, text, key, attempts (0 for what is held); or the
# id after which there is nothing.
_TAKE = (
    _COUNT
    + """
local cursor, entry = '0-0', nil
repeat
    local found = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[4], cursor, 'COUNT', 1)
    cursor, entry = found[1], found[2][1]
until entry or cursor == '0-0'
if not entry then
    local read = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', 1, 'STREAMS', KEYS[1], '>')
    if read then entry = read[1][2][1] end
end
if not entry then
    local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
    return {last[1] and last[1][1] or '0-0'}
end
local text, key = '', ''
for at = 1, #(entry[2] or {}), 2 do
    if entry[2][at] == 'text' then text = entry[2][at + 1] end
    if entry[2][at] == 'key' then key = entry[2][at + 1] end
end
if key ~= '' and not redis.call('LPOS', ARGV[3] .. key, entry[1]) then
    redis.call('RPUSH', ARGV[3] .. key, entry[1])
end
return {entry[1], text, key, key == '' and count(KEYS[2], entry[1], ARGV[5]) or 0}
"""
)

# KEYS attempts; ARGV turns token, then id and key in turn. Gives the number of the first whose turn it is, counted from
# 0, and its attempts; -1 for none. Then the ids that will have no turn: another worker has answered them.
_WHOSE_TURN = (
    _COUNT
    + """
local gone = {}
for at = 3, #ARGV, 2 do
    local turn = ARGV[1] .. ARGV[at + 1]
    if redis.call('LINDEX', turn, 0) == ARGV[at] then
        return {(at - 3) / 2, count(KEYS[1], ARGV[at], ARGV[2]), gone}
    end
    if not redis.call('LPOS', turn, ARGV[at]) then gone[#gone + 1] = ARGV[at] end
end
return {-1, 0, gone}
"""
)

# KEYS stream answer responses turn aside attempts; ARGV group id response seconds length text. The first one stays.
_ANSWER = """
if redis.call('SET', KEYS[2], ARGV[3], 'NX', 'EX', ARGV[4]) then
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[5], '*', 'text', ARGV[3])
end
if ARGV[6] ~= '' then redis.call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[5], '*', 'text', ARGV[6]) end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('LREM', KEYS[4], 0, ARGV[2])
redis.call('HDEL', KEYS[6], ARGV[2], ARGV[2] .. ':by')
"""


class RedisStreams:
    """The engine at one Redis; `prefix` begins every key.

    The stream of a topic belongs to one group of workers: what they have answered is removed from it.
    """

    failure: BusnodeError | None = None

    def __init__(self, client: redis.Redis, prefix: str = "bus") -> None:
        self._client, self._prefix = client, prefix
        self._consumer = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._arrived = threading.Condition()
        self._responses: dict[str, Envelope] = {}
        self._waiting: dict[str, int] = {}
        self._closed = threading.Event()
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
        made._call("PING")
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
            return parse(kept) if kept else self._wait(wanted, time_limit, is_wanted)
        finally:
            with self._arrived:
                self._waiting[wanted] -= 1
                if not self._waiting[wanted]:
                    del self._waiting[wanted]
                    self._responses.pop(wanted, None)

    def inbox(self, names: Sequence[str], *, group: str) -> RedisInbox:
        """All of `names` must be of one topic."""
        (topic,) = {topic_of(name) for name in names}
        self._make_group(self._key(topic), group)
        return RedisInbox(self, topic, group)

    def close(self) -> None:
        self._closed.set()
        with self._arrived:
            self._arrived.notify_all()
        self._client.close()

    def _make_group(self, stream: str, group: str) -> None:
        with _mapped():
            try:
                self._client.xgroup_create(stream, group, "0", mkstream=True)
            except redis.ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    def _publish(self, request: Envelope) -> bytes | None:
        text = request.to_text()
        topic, name = topic_of(request.name), response_name(request.name)
        sent = self._key("sent", request.name, request.correlation_id)
        keys = [self._key(topic), sent, self._key("answer", name, request.correlation_id)]
        mark = mark_of(request)
        sent, answer = self._eval(_PUBLISH, keys, [text, key_of(text), KEPT_SECONDS, mark])
        if sent != mark.encode():
            raise used_already()
        return bytes(answer) or None

    def _wait(self, wanted: str, time_limit: float, is_wanted: Callable[[], bool]) -> Envelope:
        deadline = time.monotonic() + time_limit
        look = time.monotonic() + _LOOK_SECONDS
        while (left := deadline - time.monotonic()) > 0 and not self._closed.is_set() and is_wanted():
            with self._arrived:
                self._arrived.wait_for(
                    lambda: wanted in self._responses or self._closed.is_set(), min(left, WAKE_SECONDS)
                )
                if wanted in self._responses:
                    return self._responses[wanted]
            if time.monotonic() < min(look, deadline):
                continue
            look = time.monotonic() + _LOOK_SECONDS
            # What the listener may have missed while it was cut off.
            kept = self._call("GET", self._key("answer", wanted))
            if kept:
                return parse(kept)
        name = wanted.partition(":")[0]
        raise OperationTimeoutError(f"no {name} within {time_limit:g} s; is its service running?")

    def _listen(self, topic: str) -> None:
        with self._arrived:
            if topic in self._listeners:
                return
            stream = self._key(topic)
            last = self._call("XREVRANGE", stream, "+", "-", "COUNT", 1)
            begin = last[0][0] if last else "0-0"
            thread = threading.Thread(target=self._hear, args=(stream, begin), name=f"hear-{topic}", daemon=True)
            self._listeners[topic] = thread
        thread.start()

    def _hear(self, stream: str, last: bytes | str) -> None:
        while not self._closed.is_set():
            try:
                found = self._call("XREAD", "BLOCK", int(WAKE_SECONDS * 1000), "COUNT", 100, "STREAMS", stream, last)
            except UnreachableError:
                self._closed.wait(WAKE_SECONDS)
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

    def _key(self, *words: str) -> str:
        return ":".join((self._prefix, *words))

    def _eval(self, script: str, keys: Sequence[str | bytes], arguments: Sequence[Any]) -> Any:
        return self._call("EVAL", script, len(keys), *keys, *arguments)

    def _call(self, command: str, *arguments: Any) -> Any:
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


@dataclass
class RedisInbox:
    """What this worker has taken: ready for whoever asks, or held until the node's earlier requests are answered."""

    bus: RedisStreams
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
        return self.bus._key(self.topic)

    @cached_property
    def turns(self) -> str:
        """What the keys of the lists of turns begin with."""
        return self.bus._key(self.topic, "turn", "")

    @cached_property
    def attempts(self) -> str:
        """The key of how often each entry was handed out."""
        return self.bus._key(self.topic, "attempts")

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
            self.bus._make_group(self.stream, self.group)

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
            self.bus._call("XREAD", "BLOCK", int(WAKE_SECONDS * 1000), "COUNT", 1, "STREAMS", self.stream, last)

    def _take(self) -> tuple[RedisDelivery | None, bytes | None]:
        arguments = [self.group, self.bus._consumer, self.turns, int(CLAIM_SECONDS * 1000), uuid.uuid4().hex]
        found = self.bus._eval(_TAKE, [self.stream, self.attempts], arguments)
        if len(found) == 1:
            return None, found[0]
        entry_id, text, key, attempt = found
        delivery = RedisDelivery(self, entry_id.decode(), bytes(text), bytes(key), int(attempt))
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
        number, attempt, gone = self.bus._eval(_WHOSE_TURN, [self.attempts], [self.turns, uuid.uuid4().hex, *words])
        found = replace(self._held[number], attempt=int(attempt)) if number >= 0 else None
        done = {entry_id.decode() for entry_id in gone}
        with self._changed:
            for entry_id in done:
                self._mine.pop(entry_id, None)
            self._held[:] = [one for one in self._held if one.id not in done and (found is None or one.id != found.id)]
        return found

    def _beat(self) -> None:
        """Tell the group that what was taken is still worked on, also after close: until it is answered."""
        while not self.bus._closed.wait(CLAIM_SECONDS / 3):
            with self._changed:
                # What waits when the program stops is another worker's soon.
                waiting = {one.id for one in (*self._held, *self._ready)} if self._closed.is_set() else set()
                mine = [one for one in self._mine if one not in waiting]
            if mine:
                with suppress(UnreachableError), _mapped():
                    self.bus._client.xclaim(self.stream, self.group, self.bus._consumer, 0, [*mine], justid=True)

    def _answered(self, delivery: RedisDelivery, response: Envelope) -> None:
        bus, name = self.bus, response.name
        aside = delivery.text if delivery.attempt > MAX_ATTEMPTS else b""
        answer = bus._key("answer", name, response.correlation_id)
        turn, set_aside = self.turns.encode() + delivery.key, bus._key(self.topic, "set-aside")
        keys: list[str | bytes] = [self.stream, answer, bus._key(topic_of(name)), turn, set_aside, self.attempts]
        arguments = [self.group, delivery.id, response.to_text(), KEPT_SECONDS, KEPT_RESPONSES, aside]
        while True:
            try:
                bus._eval(_ANSWER, keys, arguments)
                break
            except UnreachableError:
                # The work is done: its answer is not lost because redis is away for a while.
                if bus._closed.wait(WAKE_SECONDS):
                    raise
        with self._changed:
            self._mine.pop(delivery.id, None)


@dataclass(frozen=True, slots=True)
class RedisDelivery:
    """One entry of the stream."""

    inbox: RedisInbox
    id: str
    text: bytes
    key: bytes
    attempt: int

    def answer(self, response: Envelope) -> None:
        self.inbox._answered(self, response)
