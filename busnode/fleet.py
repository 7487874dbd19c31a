"""Many nodes at once: one operation on each, side by side, bounded, and one answer for all of them."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from busnode.contract import BadRequestError, BusnodeError, Operation, Response
from busnode.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from busnode.node import Node

PARALLEL = 16
# sshd drops log-ins at random once ten are under way (MaxStartups 10:30:100), on a jump host too.
PER_GATEWAY = 8
# What a caller must know first: bad input, then a change taken back, then a node not reached, then any failure.
_EXIT_CODES = (2, 4, 3, 1)


@dataclass(frozen=True, slots=True)
class Progress:
    """That a node's operation began, or with a `response` how it ended, after so many seconds."""

    node_id: str
    response: Response | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class FleetResponse:
    """The responses in the order of the nodes, and the nodes that were not begun any more after a failure."""

    operation: Operation
    responses: tuple[Response, ...]
    not_run: tuple[str, ...]
    exit_code: int

    @property
    def ok(self) -> bool:
        """Whether every node was run and is as the operation wants it."""
        return not self.not_run and all(response.ok for response in self.responses)

    def to_document(self) -> dict[str, Any]:
        """The document, `schemas/node-fleet.schema.json`."""
        return {
            "ok": self.ok,
            "operation": self.operation.value,
            "nodes": [response.to_document() for response in self.responses],
            "not_run": list(self.not_run),
        }


def each(
    nodes: Sequence[Node],
    operation: Operation,
    operate: Callable[[Node], Response],
    *,
    parallel: int = PARALLEL,
    batch: int | None = None,
    fail_fast: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
) -> FleetResponse:
    """Run one operation on every node; what fails on one node does not touch another.

    Args:
        nodes: where.
        operation: what it is called in the answer.
        operate: does it on one node; called from a thread of its own.
        parallel: so many nodes at once; PER_GATEWAY of them behind one jump host or address.
        batch: nodes that must all end well before any of the next so many is begun; None: all are one batch.
        fail_fast: after the first failure begin no other.
        progress: told of each beginning and end, from the calling thread.
    """
    fleet = _Fleet(operation, operate, parallel, progress)
    size = batch or max(1, len(nodes))
    for start in range(0, len(nodes), size):
        fleet.run(nodes[start : start + size], fail_fast=fail_fast)
        if fleet.failed and (fail_fast or batch is not None):
            break
    responses = tuple(fleet.responses[node.target.id] for node in nodes if node.target.id in fleet.responses)
    not_run = tuple(node.target.id for node in nodes if node.target.id not in fleet.responses)
    exit_code = next((code for code in _EXIT_CODES if code in fleet.exit_codes), 0)
    return FleetResponse(operation, responses, not_run, exit_code)


class _Fleet:
    """What is under way, and how what has ended did so; all but the operations themselves is in one thread."""

    def __init__(
        self,
        operation: Operation,
        operate: Callable[[Node], Response],
        parallel: int,
        progress: Callable[[Progress], None],
    ) -> None:
        self.responses: dict[str, Response] = {}
        self.exit_codes: set[int] = set()
        self._operation, self._operate = operation, operate
        self._parallel, self._progress = parallel, progress
        self._ended: queue.SimpleQueue[tuple[Node, Response, int, float]] = queue.SimpleQueue()

    @property
    def failed(self) -> bool:
        return bool(self.exit_codes)

    def run(self, nodes: Sequence[Node], *, fail_fast: bool) -> None:
        """Run these to their end."""
        waiting, under_way = list(nodes), Counter[str]()
        while waiting or under_way.total():
            for node in self._next(waiting, under_way):
                self._progress(Progress(node.target.id))
                # A daemon: whoever interrupts twice is not kept by a node that hangs.
                threading.Thread(target=self._one, args=(node,), daemon=True).start()
            node, response, exit_code, seconds = self._ended.get()
            under_way[node.transport.gateway] -= 1
            self.responses[node.target.id] = response
            if exit_code:
                self.exit_codes.add(exit_code)
            self._progress(Progress(node.target.id, response, seconds))
            if fail_fast and self.failed:
                waiting.clear()

    def _next(self, waiting: list[Node], under_way: Counter[str]) -> Iterator[Node]:
        """Take off `waiting` what may begin now."""
        for node in tuple(waiting):
            if under_way.total() >= self._parallel:
                return
            if under_way[node.transport.gateway] < PER_GATEWAY:
                waiting.remove(node)
                under_way[node.transport.gateway] += 1
                yield node

    def _one(self, node: Node) -> None:
        begin = time.monotonic()
        exit_code = 0
        try:
            response = self._operate(node)
        except BusnodeError as error:
            exit_code = error.exit_code
            response = error.response or self._failed(node, error)
        except Exception as error:
            exit_code = 1
            response = self._failed(node, BusnodeError(f"{node.target.id}: {type(error).__name__}: {error}"))
        self._ended.put((node, response, exit_code, time.monotonic() - begin))

    def _failed(self, node: Node, error: BusnodeError) -> Response:
        return Response(
            ok=False,
            node_id=node.target.id,
            operation=self._operation,
            diagnostics=(str(error),),
            error_class=error.error_class,
        )


def batch_size(text: str, nodes: int) -> int:
    """How many nodes `3` or `25%` of them are, at least one.

    >>> batch_size("25%", 10), batch_size("3", 10)
    (3, 3)

    Raises:
        BadRequestError: it is neither a number nor a percentage.
    """
    number = text.removesuffix("%")
    if not (number.isascii() and number.isdigit() and len(number) <= 6 and int(number)):
        raise BadRequestError(f"--serial {text}: give a number of nodes such as 5, or a share of them such as 25%")
    if text == number:
        return int(number)
    return max(1, -(-nodes * min(int(number), 100) // 100))
