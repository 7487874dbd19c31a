"""How a fleet's progress is told on standard error: a table on a terminal, lines elsewhere, NDJSON for programs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from busnode import view
from busnode.console import told
from busnode.records import dataclass, field

if TYPE_CHECKING:
    from busnode.console import Console
    from busnode.fleet import Progress


@dataclass(slots=True)
class Following:
    """Told of each beginning and end.

    Args:
        console: where plain lines go.
        total: how many nodes there are.
        style: `json`, `none`, or `auto`.
    """

    console: Console
    total: int
    style: str
    _under_way: list[str] = field(default_factory=list)
    _done: int = 0
    _failed: int = 0

    def __call__(self, progress: Progress) -> None:
        """One node began or ended."""
        with told():
            if self.style == "json":
                print(json.dumps(_document(progress)), file=sys.stderr, flush=True)
            elif self.style == "auto":
                self._tell(progress)

    def _tell(self, progress: Progress) -> None:
        response = progress.response
        if response is None:
            self._under_way.append(progress.node_id)
        else:
            self._under_way.remove(progress.node_id)
            self._done += 1
            self._failed += not response.ok
            self._clear()
            self.console.say(view.ended(response, progress.seconds, self.console.color))
        self._live()

    def _clear(self) -> None:
        if self._is_live:
            print("\r\x1b[K", end="", file=sys.stderr)

    def _live(self) -> None:
        """The last line, which is written over."""
        if not self._is_live or self._done == self.total:
            return
        failed = f", {self._failed} failed" if self._failed else ""
        words = f"{self._done} of {self.total} done{failed}; under way: {' '.join(self._under_way)}"
        print(f"\r\x1b[K{words[:79]}", end="", file=sys.stderr, flush=True)

    @property
    def _is_live(self) -> bool:
        return sys.stderr.isatty() and not self.console.quiet


def _document(progress: Progress) -> dict[str, object]:
    if progress.response is None:
        return {"event": "began", "node_id": progress.node_id}
    document: dict[str, object] = {
        "event": "ended",
        "node_id": progress.node_id,
        "ok": progress.response.ok,
        "changed": progress.response.changed,
        "seconds": round(progress.seconds, 3),
    }
    if progress.response.error_class is not None:
        document["error_class"] = progress.response.error_class
    return document
