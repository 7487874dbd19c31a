"""The ssh runner as the way to a node: scripts leave as events, and come back as what the node printed."""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, SupportsBytes

from busnode.contract import BusnodeError
from busnode.events.envelope import SCRIPT_REQUEST, Envelope
from busnode.events.scripts import ScriptRequest, ScriptResult, ScriptTarget
from busnode.job import Parcel
from busnode.transport import Answer, Family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from busnode.transport.process import Completed

# What the bus and the runner's own queue may take beside the script's time.
_GRACE_SECONDS = 30.0


class Runner:
    """A node behind the ssh runner.

    The requests of one operation are numbered in their order: a worker that repeats an operation which another began
    asks the same questions, and gets the answers that are there already.

    Args:
        node_id: which node of the runner's own inventory.
        ask: sends a request and waits for its answer, for so many seconds.
        operation_id: what the correlation ids of the requests begin with.
        credentials: what of its own the runner is to use, by reference.
    """

    gateway = "bus-integration-ssh-runner"

    def __init__(
        self,
        node_id: str,
        ask: Callable[[Envelope, float], Envelope],
        operation_id: str,
        credentials: dict[str, str] | None = None,
    ) -> None:
        self._target, self._ask, self._operation_id = ScriptTarget(node_id), ask, operation_id
        self._credentials = credentials or {}
        self._numbers: dict[str, Iterator[int]] = defaultdict(itertools.count)
        self._lock = threading.Lock()
        self._notes: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        return self._notes

    def run(self, bundle: SupportsBytes, *, time_limit: float) -> Completed:
        """Raises what the runner says went wrong, or what of the bus did."""
        if not isinstance(bundle, Parcel):
            raise TypeError("only a job by reference goes over the bus")
        request = ScriptRequest(self._target, bundle.job.time_limit, bundle.job, credentials=self._credentials)
        result = self._result("script", request, time_limit + _GRACE_SECONDS)
        self._notes = result.notes
        if result.error is not None:
            raise result.error
        return result.completed

    def probe(self, port: int, *, time_limit: float, family: Family | None = None) -> Answer:
        """What the runner's host sees of the port; unknown where it did not say."""
        request = ScriptRequest(self._target, time_limit, port=port, family=family, credentials=self._credentials)
        kind = f"port-{port}" if family is None else f"port-{port}-{family}"
        try:
            return self._result(kind, request, time_limit + _GRACE_SECONDS).answer or Answer.UNKNOWN
        except BusnodeError:
            return Answer.UNKNOWN

    def _result(self, kind: str, request: ScriptRequest, time_limit: float) -> ScriptResult:
        with self._lock:
            correlation_id = f"{self._operation_id}.{kind}.{next(self._numbers[kind])}"
        request = replace(request, deadline=datetime.now(UTC) + timedelta(seconds=time_limit))
        answer = self._ask(Envelope(SCRIPT_REQUEST, correlation_id, request.to_document()), time_limit)
        return ScriptResult.from_document(answer.payload, self._target.node_id)
