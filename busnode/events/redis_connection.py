"""One Redis (or Valkey) as the bus uses it: what it says in place of an answer is always an UnreachableError."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from busnode.contract import UnreachableError

# A Redis that says nothing for so long is gone without a word; no command blocks longer than WAKE_SECONDS.
_ANSWER_SECONDS = 15.0


class RedisConnection:
    """A client of one Redis, with a name of its own in the groups that read there; `prefix` begins every key."""

    def __init__(self, client: redis.Redis, prefix: str = "bus") -> None:
        self._client, self._prefix = client, prefix
        self.consumer = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.closed = threading.Event()

    @classmethod
    def connect(cls, url: str, *, username: str | None, password: str | None, prefix: str = "bus") -> RedisConnection:
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

    def close(self) -> None:
        """Nothing is asked any more; `closed` says so to whoever waits."""
        self.closed.set()
        self._client.close()

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

    def make_group(self, stream: str, group: str) -> None:
        """A group of workers that reads the stream from its beginning, unless there is one. Raises UnreachableError."""
        with _mapped():
            try:
                self._client.xgroup_create(stream, group, "0", mkstream=True)
            except redis.ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    def renew(self, stream: str, group: str, entries: Sequence[str]) -> None:
        """Tell the group that this consumer still works on these. Raises UnreachableError."""
        with _mapped():
            self._client.xclaim(stream, group, self.consumer, 0, [*entries], justid=True)


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
