"""A function under way in a thread of its own: waiting for many slow tools takes no longer than for the slowest."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


class Task(Generic[Result]):
    """`work`, begun when this is made. A daemon: one that is stuck in the kernel must not keep bee from ending."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self._work = work
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # it is raised again where the result is asked for
            self._error = error

    def ended(self, seconds: float | None) -> bool:
        """Whether it has ended, after waiting for it at most `seconds` (None: for as long as it takes)."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def result(self) -> Result:
        """What `work` returned, or raised, once it has ended."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return cast("Result", self._result)
