"""Many nodes at once: every one is answered for, none waits for another, and what is bounded stays so."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, SupportsBytes

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busnode import fleet, schema
from busnode.contract import (
    BadRequestError,
    BusnodeError,
    LockoutRiskError,
    Operation,
    Response,
    RolledBackError,
    UnreachableError,
)
from busnode.fleet import Progress
from busnode.inventory import Target
from busnode.node import Node

if TYPE_CHECKING:
    from busnode.transport import Answer, Family
    from busnode.transport.process import Completed

ERRORS = (None, BadRequestError, RolledBackError, UnreachableError, LockoutRiskError, ZeroDivisionError)


@dataclass(frozen=True)
class Way:
    """A way that is never gone."""

    gateway: str
    notes: tuple[str, ...] = ()

    def run(self, bundle: SupportsBytes, *, time_limit: float) -> Completed:
        raise AssertionError

    def probe(self, port: int, *, time_limit: float, family: Family | None = None) -> Answer:
        raise AssertionError


def _nodes(count: int, gateways: int = 1000) -> list[Node]:
    return [
        Node(Target.from_document(f"n{number}", {"host": "10.0.0.1", "user": "bus"}), Way(f"g{number % gateways}"))
        for number in range(count)
    ]


@dataclass
class Work:
    """What each node does, by its number; counts how many are under way, in all and behind one gateway."""

    errors: list[type[Exception] | None]
    most: int = 0
    most_behind_one: int = 0
    began: list[str] = field(default_factory=list)
    _now: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, node: Node) -> Response:
        gateway = node.transport.gateway
        with self._lock:
            self.began.append(node.target.id)
            self._now[gateway] = self._now.get(gateway, 0) + 1
            self.most = max(self.most, sum(self._now.values()))
            self.most_behind_one = max(self.most_behind_one, self._now[gateway])
        time.sleep(0.001)
        with self._lock:
            self._now[gateway] -= 1
        error = self.errors[int(node.target.id[1:])]
        if error is not None:
            raise error("no")
        return Response(ok=True, node_id=node.target.id, operation=Operation.STATUS)


@given(
    errors=st.lists(st.sampled_from(ERRORS), min_size=1, max_size=30),
    parallel=st.integers(1, 40),
    gateways=st.integers(1, 5),
)
def test_every_node_is_answered_for_in_order(
    errors: list[type[Exception] | None], parallel: int, gateways: int
) -> None:
    nodes, work, told = _nodes(len(errors), gateways), Work(errors), list[Progress]()
    found = fleet.each(nodes, Operation.STATUS, work, parallel=parallel, progress=told.append)
    assert [response.node_id for response in found.responses] == [node.target.id for node in nodes]
    assert [response.ok for response in found.responses] == [error is None for error in errors]
    assert found.not_run == ()
    assert found.ok == (not any(errors))
    assert work.most <= parallel
    assert work.most_behind_one <= fleet.PER_GATEWAY
    assert sorted(work.began) == sorted(node.target.id for node in nodes)
    assert (
        sum(progress.response is None for progress in told) == sum(p.response is not None for p in told) == len(nodes)
    )
    jsonschema.validate(found.to_document(), schema.load("node-fleet"))
    for document in found.to_document()["nodes"]:
        jsonschema.validate(document, schema.load("node-response"))


@given(errors=st.lists(st.sampled_from(ERRORS), min_size=1, max_size=8))
def test_the_exit_code_is_the_first_of_2_4_3_1(errors: list[type[Exception] | None]) -> None:
    codes = {error.exit_code if issubclass(error, BusnodeError) else 1 for error in errors if error is not None}
    wanted = next((code for code in (2, 4, 3, 1) if code in codes), 0)
    assert fleet.each(_nodes(len(errors)), Operation.STATUS, Work(errors)).exit_code == wanted


def test_after_a_failure_no_other_is_begun() -> None:
    work = Work([None, UnreachableError, None, None])
    found = fleet.each(_nodes(4), Operation.STATUS, work, parallel=1, fail_fast=True)
    assert work.began == ["n0", "n1"]
    assert found.not_run == ("n2", "n3")
    assert (found.ok, found.exit_code) == (False, 3)


@given(
    errors=st.lists(st.sampled_from((None, None, None, LockoutRiskError)), min_size=1, max_size=20),
    batch=st.integers(1, 6),
)
def test_a_batch_begins_only_when_the_one_before_ended_well(errors: list[type[Exception] | None], batch: int) -> None:
    work = Work(errors)
    found = fleet.each(_nodes(len(errors)), Operation.HARDEN, work, batch=batch)
    first = next((number for number, error in enumerate(errors) if error is not None), len(errors))
    reached = min(len(errors), (first // batch + 1) * batch)
    assert len(found.responses) == reached
    assert len(found.not_run) == len(errors) - reached


def test_a_node_that_hangs_keeps_no_other_waiting() -> None:
    gate = threading.Event()

    def operate(node: Node) -> Response:
        if node.target.id == "n0":
            assert gate.wait(10)
        if node.target.id == "n9":
            gate.set()
        return Response(ok=True, node_id=node.target.id, operation=Operation.STATUS)

    assert fleet.each(_nodes(10), Operation.STATUS, operate, parallel=2).ok


@given(text=st.text(max_size=8), nodes=st.integers(1, 500))
def test_a_batch_size_is_a_number_or_refused(text: str, nodes: int) -> None:
    try:
        size = fleet.batch_size(text, nodes)
    except BadRequestError:
        return
    assert size >= 1


@pytest.mark.parametrize(("text", "size"), [("1", 1), ("25%", 13), ("100%", 50), ("1%", 1), ("999", 999)])
def test_batch_sizes(text: str, size: int) -> None:
    assert fleet.batch_size(text, 50) == size
