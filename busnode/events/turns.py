"""What the engines have in common that keep requests in memory: whose turn it is, and which correlation id is whose."""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

from busnode.events.bus import KEPT_ANSWERS, mark_of, used_already

if TYPE_CHECKING:
    from busnode.events.envelope import Envelope

Item = TypeVar("Item")
_TOLD = 20


class Turns(Generic[Item]):
    """Items that wait, by key; of each key one is worked on at a time, and a key that had its turn comes last.

    Items of no key wait for nothing. Not for several threads: whoever has it holds a lock.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[Item]] = OrderedDict()
        self._busy: set[str] = set()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, key: str, item: Item) -> None:
        """Put an item behind those of its key."""
        self._waiting.setdefault(key, deque()).append(item)

    def take(self) -> tuple[str, Item] | None:
        """The next item whose key nobody works on, with that key, which is busy from now on."""
        key = next((key for key in self._waiting if not key or key not in self._busy), None)
        if key is None:
            return None
        item = self._waiting[key].popleft()
        self._waiting.move_to_end(key)
        if not self._waiting[key]:
            del self._waiting[key]
        self._busy.add(key)
        return key, item

    def put_back(self, key: str, item: Item) -> None:
        """An item that was taken is the next of its key again."""
        self._waiting.setdefault(key, deque()).appendleft(item)
        self.done(key)

    def waiting(self) -> dict[str, int]:
        """How many items of a key wait, of the first keys."""
        return {key: len(items) for key, items in islice(self._waiting.items(), _TOLD) if key}

    def done(self, key: str) -> None:
        """Nobody works on the key any more."""
        self._busy.discard(key)


class Marks:
    """Which request the last KEPT_ANSWERS correlation ids are of. Not for several threads."""

    def __init__(self) -> None:
        self._marks: OrderedDict[tuple[str, str], str] = OrderedDict()

    def require_same(self, request: Envelope) -> None:
        """Raises BadRequestError where another request had its correlation id."""
        mark = mark_of(request)
        if self._marks.setdefault((request.name, request.correlation_id), mark) != mark:
            raise used_already()
        while len(self._marks) > KEPT_ANSWERS:
            self._marks.popitem(last=False)
