"""The bus of one process: order, one at a time a node, answers that are kept."""

from __future__ import annotations

import threading

import pytest

from busnode.contract import BadRequestError, OperationTimeoutError, UnreachableError
from busnode.events.envelope import Envelope, parse, response_to
from busnode.events.memory import Memory

NAMES = ("bus.node.harden.request", "bus.node.status.request")


def _request(node_id: str, number: int, operation: str = "status") -> Envelope:
    return Envelope(f"bus.node.{operation}.request", f"{node_id}-{number}", {"node_id": node_id})


def test_a_nodes_requests_come_in_order_and_one_at_a_time() -> None:
    bus = Memory()
    inbox, other = bus.inbox(NAMES, group="g"), bus.inbox(NAMES, group="g")
    for envelope in (_request("a", 1), _request("a", 2, "harden"), _request("b", 1)):
        bus.publish(envelope)
    first, second = inbox.take(1), other.take(1)
    assert first is not None
    assert second is not None
    assert [parse(one.text).correlation_id for one in (first, second)] == ["a-1", "b-1"]
    assert inbox.take(0.01) is None
    first.answer(response_to(parse(first.text), {}))
    third = other.take(1)
    assert third is not None
    assert parse(third.text).correlation_id == "a-2"


def test_a_node_with_much_to_do_does_not_keep_others_waiting() -> None:
    bus = Memory()
    inbox = bus.inbox(NAMES, group="g")
    for envelope in (*(_request("a", number) for number in range(50)), _request("b", 1)):
        bus.publish(envelope)
    taken = []
    for _ in range(3):
        delivery = inbox.take(1)
        assert delivery is not None
        taken.append(parse(delivery.text).correlation_id)
        delivery.answer(response_to(parse(delivery.text), {}))
    assert "b-1" in taken


def test_an_answer_is_kept_and_a_second_one_is_not_believed() -> None:
    bus = Memory()
    inbox = bus.inbox(NAMES, group="g")
    request = _request("a", 1)

    def work() -> None:
        for number in (1, 2):
            delivery = inbox.take(5)
            assert delivery is not None
            delivery.answer(response_to(request, {"number": number}))

    thread = threading.Thread(target=work)
    thread.start()
    first = bus.ask(request, time_limit=5)
    bus.publish(request)
    thread.join()
    again = bus.ask(request, time_limit=5)
    assert [first.payload, again.payload] == [{"number": 1}] * 2
    assert [first.is_kept, again.is_kept] == [False, True]


def test_what_is_handed_back_is_the_next_of_its_node() -> None:
    bus = Memory()
    inbox = bus.inbox(NAMES, group="g")
    for number in (1, 2):
        bus.publish(_request("a", number))
    delivery = inbox.take(1)
    assert delivery is not None
    delivery.hand_back()
    again = inbox.take(1)
    assert again is not None
    assert again.text == delivery.text
    assert inbox.take(0.01) is None


def test_a_correlation_id_is_one_requests() -> None:
    bus = Memory()
    inbox = bus.inbox(NAMES, group="g")
    request = Envelope("bus.node.status.request", "deploy-7", {"node_id": "a", "checks": ["ssh"]})
    other = Envelope(request.name, request.correlation_id, {"node_id": "b"})
    bus.publish(request)
    with pytest.raises(BadRequestError, match="correlationId: used for another request"):
        bus.publish(other)
    delivery = inbox.take(1)
    assert delivery is not None
    delivery.answer(response_to(request, {"ok": True}))
    with pytest.raises(BadRequestError, match="correlationId: used for another request"):
        bus.ask(other, time_limit=1)
    again = Envelope(request.name, request.correlation_id, {"checks": ["ssh"], "node_id": "a"})
    assert bus.ask(again, time_limit=1).payload == {"ok": True}


def test_nobody_waits_for_ever() -> None:
    bus = Memory()
    with pytest.raises(OperationTimeoutError, match="is its service running"):
        bus.ask(_request("a", 1), time_limit=0.01)
    inbox = bus.inbox(NAMES, group="g")
    inbox.close()
    assert inbox.take(60) is None
    bus.close()
    with pytest.raises(UnreachableError):
        bus.publish(_request("a", 2))
