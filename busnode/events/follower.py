"""A stream of the Events API that is opened again whenever it ends, and how soon."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from busnode.contract import BadRequestError, BusnodeError, UnauthorizedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from busnode.events.events_api import EventsApi, Line, Stream


@dataclass(frozen=True, slots=True)
class Retry:
    """How a stream that ended is opened again: after `minimum` seconds, twice that each time, `maximum` at most."""

    enabled: bool = True
    minimum: float = 1.0
    maximum: float = 30.0
    required: bool = True
    """Whether a worker is ready only when its streams are open."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Retry:
        """$BUS_EVENTS_LISTENER_RETRY, _RETRY_MIN, _RETRY_MAX and _REQUIRED. Raises BadRequestError."""

        def read(name: str, default: bool) -> bool:
            text = environment.get(name, "").lower()
            if text not in {"", *_YES, *_NO}:
                raise BadRequestError(f"{name}: {text[:20]!r} is neither true nor false; give one of the two")
            return text in _YES if text else default

        prefix = "BUS_EVENTS_LISTENER_"
        minimum = _seconds(environment, f"{prefix}RETRY_MIN", 1.0)
        maximum = _seconds(environment, f"{prefix}RETRY_MAX", max(minimum, 30.0))
        if minimum > maximum:
            raise BadRequestError(f"{prefix}RETRY_MAX: less than {prefix}RETRY_MIN; give more")
        return cls(read(f"{prefix}RETRY", True), minimum, maximum, read(f"{prefix}REQUIRED", True))


_YES, _NO = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    """A duration such as 500ms, 30s or 1m; a number alone is of seconds."""
    text = environment.get(name, "")
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    try:
        factor = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0}[text[len(number) :]]
        value = float(number) * factor if text else default
    except (KeyError, ValueError):
        value = 0.0
    if not 0.001 <= value <= 3600:
        raise BadRequestError(f"{name}: {text[:20]!r} is no duration of 1ms to 60m; give one such as 30s")
    return value


class Follower:
    """A stream that is opened again whenever it ends.

    Args:
        api: whose stream.
        query: of the stream.
        retry: when it is opened again.
        hear: told of each line; while it does not return, nothing more is read.
        opened: told each time the stream is open, before its first line.
        lost: told why it cannot be opened, once for each reason.
    """

    def __init__(
        self,
        api: EventsApi,
        query: Mapping[str, str],
        retry: Retry,
        hear: Callable[[Line], None],
        opened: Callable[[], None],
        lost: Callable[[str], None],
    ) -> None:
        self._api, self._query, self._retry, self._hear, self._opened = api, query, retry, hear, opened
        self._lost = lost
        self._stopped, self._settled = threading.Event(), threading.Event()
        self._stream: Stream | None = None
        self.was_open = False
        """Whether the API was there, once."""
        self.failure: BusnodeError | None = None
        """Why it has ended for good."""
        threading.Thread(target=self._run, name=f"follow-{query['name']}", daemon=True).start()

    def wait(self, time_limit: float | None) -> bool:
        """Wait until the stream is open; False where it is not within `time_limit` seconds. Raises `failure`."""
        is_open = self._settled.wait(time_limit)
        if self.failure is not None:
            raise self.failure
        return is_open

    def stop(self) -> None:
        """Hear nothing more."""
        self._stopped.set()
        stream = self._stream
        if stream is not None:
            stream.close()

    def _run(self) -> None:
        delay, told = self._retry.minimum, ""
        while not self._stopped.is_set():
            is_open = False
            try:
                with self._api.follow(self._query) as self._stream:
                    self._opened()
                    self.was_open = is_open = True
                    self._settled.set()
                    delay, told = self._retry.minimum, ""
                    for line in self._stream:
                        if self._stopped.is_set():
                            return
                        self._hear(line)
                error: BusnodeError = UnreachableError(f"{self._query['name']}: the stream ended")
            except BusnodeError as caught:
                error = caught
            except Exception as caught:
                # A thread that ends here is a stream that nobody misses.
                error = UnreachableError(f"{self._query['name']}: {type(caught).__name__}: {caught}")
            if self._is_final(error):
                self.failure = error
                self._settled.set()
                return
            self._settled.clear()
            # One that only ended is opened again at once; whoever looks after the service need not know.
            if not is_open and not self._stopped.is_set() and str(error) != told:
                told = str(error)
                self._lost(told)
            self._stopped.wait(delay)
            delay = min(delay * 2, self._retry.maximum)

    def _is_final(self, error: BusnodeError) -> bool:
        is_refused = isinstance(error, UnauthorizedError) and self._api.token.is_static
        return not self._stopped.is_set() and (is_refused or not self._retry.enabled)
