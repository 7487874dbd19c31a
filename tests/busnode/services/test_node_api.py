"""The HTTP API: who may what, what is refused, and that its own description of itself is true."""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from starlette.testclient import TestClient

from busnode.contract import BadRequestError
from busnode.events.envelope import NODE_OPERATIONS, NODE_REQUESTS, Envelope, parse, response_to
from busnode.events.memory import Memory
from busnode.services import http, node_api
from busnode.services.node_api import Tokens, application
from busnode.services.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READ, ADMIN = "reader-0123456789abcdef", "admin-0123456789abcdef"
ROUTE = "/api/internal/node/proxy"


def _answer(text: bytes) -> Envelope:
    request = parse(text)
    operation = request.name.split(".")[2]
    document = {"ok": True, "node_id": request.payload["node_id"], "operation": operation, "dry_run": True}
    return response_to(request, {**document, "actions": [], "checks": [], "diagnostics": [], "steps": []})


def _token_file(folder: Path, name: str, value: str) -> Path:
    file = folder / name
    file.touch(mode=0o600)
    file.write_text(value + "\n")
    return file


@pytest.fixture
def bus() -> Iterator[Memory]:
    """A bus with a worker that answers each request at once."""
    made = Memory()
    worker = Worker("node", made.inbox(NODE_REQUESTS, group="node"), _answer, _answer, 2, lambda *_, **__: None)
    worker.start()
    yield made
    worker.stop(10)
    made.close()


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens.load(_token_file(tmp_path, "read", READ), _token_file(tmp_path, "admin", ADMIN))


@pytest.fixture
def client(bus: Memory, tokens: Tokens) -> TestClient:
    return TestClient(application(bus, tokens))


def _as(token: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **headers}


def test_health_and_capabilities_are_as_the_contract_has_them(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"ok": True, "service": "bus-api-provider-node"}
    shown = client.get("/api/internal/node/capabilities").json()
    assert set(shown) == {"provider_neutral", "providers", "transport", "events", "direct_bootstrap"}


@pytest.mark.parametrize("path", ["/", "/api", "/healthz/x", "/api/internal/node", f"{ROUTE}/destroy", "/%2e%2e/x"])
def test_anything_unknown_is_404(client: TestClient, path: str) -> None:
    assert client.get(path).status_code in ({404, 405} if "destroy" in path else {404})
    assert client.post(path, headers=_as(ADMIN)).status_code == 404


@pytest.mark.parametrize(
    ("operation", "token", "code"),
    [
        ("status", READ, 200),
        ("status", ADMIN, 200),
        ("bootstrap", ADMIN, 200),
        ("bootstrap", READ, 403),
        ("harden", READ, 403),
        ("status", "", 401),
        ("status", READ + "x", 401),
        ("harden", "é", 401),
    ],
)
def test_a_token_opens_what_it_is_for(client: TestClient, operation: str, token: str, code: int) -> None:
    body = {"confirm": False} if operation in {"bootstrap", "harden"} else {}
    headers = {b"Authorization": f"Bearer {token}".encode()}
    answer = client.post(f"{ROUTE}/{operation}", json=body, headers=headers)
    assert answer.status_code == code, answer.text
    if code == 401:
        assert answer.headers["www-authenticate"] == "Bearer"


def test_the_answer_is_the_response_event(client: TestClient) -> None:
    answer = client.post(f"{ROUTE}/status", headers=_as(READ, **{"X-Correlation-ID": "c-7"})).json()
    assert (answer["name"], answer["correlationId"]) == ("bus.node.status.response", "c-7")
    assert answer["payload"]["node_id"] == "proxy"


def test_whoever_does_not_wait_gets_a_correlation_id(client: TestClient, bus: Memory) -> None:
    answer = client.post(f"{ROUTE}/status", headers=_as(READ, Prefer="respond-async"))
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "respond-async")
    asked = Envelope("bus.node.status.request", answer.json()["correlationId"], {"node_id": "proxy"})
    assert bus.ask(asked, time_limit=5).payload["ok"]


@pytest.mark.parametrize(
    ("operation", "body", "said"),
    [
        ("status", b"{", "not JSON"),
        ("status", b"[]", "payload: "),
        ("status", b"\xff", "not UTF-8"),
        ("status", b'{"x":1}', "payload.x: unknown key"),
        ("status", b'{"node_id":"other"}', "payload.node_id: "),
        ("status", b'{},"name":"bus.node.harden.request"', "there is twice"),
        ("verify", b"{}", "payload: checks is missing"),
        ("harden", b"{}", "payload: confirm is missing"),
        (
            "bootstrap",
            b'{"confirm":true,"credentials":{"sudo_password_secret":"hunter2"}}',
            "sudo_password_secret: the",
        ),
    ],
)
def test_what_is_malformed_is_400_and_names_the_path(
    client: TestClient, operation: str, body: bytes, said: str
) -> None:
    answer = client.post(f"{ROUTE}/{operation}", content=body, headers=_as(ADMIN))
    assert answer.status_code == 400
    assert said.replace("there is twice", "twice") in answer.json()["message"]
    assert "hunter2" not in answer.text


def test_what_is_too_large_is_not_taken_in(client: TestClient) -> None:
    answer = client.post(f"{ROUTE}/status", content=b" " * 10_000_000, headers=_as(READ))
    assert answer.status_code == 413


def test_a_bus_that_is_gone_is_503(client: TestClient, bus: Memory) -> None:
    bus.close()
    answer = client.post(f"{ROUTE}/status", headers=_as(READ))
    assert (answer.status_code, answer.json()["error"]) == (503, "unreachable")


def test_the_log_has_no_token_query_or_body(client: TestClient, capfd: pytest.CaptureFixture[str]) -> None:
    body = {"confirm": False, "packages": ["payload-of-mine"]}
    client.post(f"{ROUTE}/bootstrap?q=query-of-mine", json=body, headers=_as(ADMIN, **{"X-Correlation-ID": "c-9"}))
    said = capfd.readouterr().err
    (line,) = [json.loads(one) for one in said.splitlines()]
    assert (line["path"], line["code"], line["correlation_id"]) == (f"{ROUTE}/bootstrap", 200, "c-9")
    assert not {text for text in (ADMIN, "query-of-mine", "payload-of-mine") if text in said}


def test_metrics_count_what_was_answered(client: TestClient) -> None:
    client.post(f"{ROUTE}/status", headers=_as(READ))
    shown = client.get("/metrics").text
    assert 'bus_node_requests_total{operation="status",outcome="ok"} 1.0' in shown
    assert 'bus_node_http_responses_total{code="200"} 1.0' in shown


@pytest.mark.parametrize(
    ("read", "admin", "mode", "said"),
    [
        ("short", ADMIN, 0o600, "a token of 5 bytes"),
        (ADMIN, ADMIN, 0o600, "the same token"),
        (READ, ADMIN, 0o644, "mode 0644"),
    ],
)
def test_there_is_no_start_without_two_good_tokens(tmp_path: Path, read: str, admin: str, mode: int, said: str) -> None:
    files = _token_file(tmp_path, "read", read), _token_file(tmp_path, "admin", admin)
    files[0].chmod(mode)
    with pytest.raises(BadRequestError, match=said):
        Tokens.load(*files)
    assert READ not in repr(said)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("0.0.0.0:8093", "not loopback"),
        ("[::]:8093", "not loopback"),
        ("localhost:x", "not an address"),
        ("", "not an"),
    ],
)
def test_only_loopback_is_listened_on(address: str, said: str) -> None:
    with pytest.raises(BadRequestError, match=said):
        http.bind(address, anywhere=False)


@pytest.mark.parametrize("hang_up", [True, False], ids=["who hangs up", "who waits"])
def test_many_who_wait_leave_room_for_others(tokens: Tokens, monkeypatch: pytest.MonkeyPatch, hang_up: bool) -> None:
    """Nobody answers for the node stuck; where its clients are gone, not even a few places stay taken."""
    if hang_up:
        monkeypatch.setattr(node_api, "MAX_WAITING", 2)
    bus, go = Memory(), threading.Event()

    def work(text: bytes) -> Envelope:
        assert b'"node_id":"proxy"' in text or go.wait(60)
        return _answer(text)

    worker = Worker("node", bus.inbox(NODE_REQUESTS, group="node"), work, work, 2, lambda *_, **__: None)
    worker.start()
    listener = http.bind("127.0.0.1:0", anywhere=False)
    address = listener.getsockname()
    server = http.Server(application(bus, tokens), listener, bus)
    server.start()
    clients = [_post_raw(address, "stuck") for _ in range(45)]
    try:
        if hang_up:
            for client in clients:
                client.close()
        with _post_raw(address, "proxy") as healthy:
            healthy.settimeout(60)
            assert healthy.recv(12) == b"HTTP/1.1 200"
    finally:
        for client in clients:
            client.close()
        go.set()
        assert server.stop(30)
        assert worker.stop(30)


def _post_raw(address: tuple[str, int], node_id: str) -> socket.socket:
    client = socket.create_connection(address, 10)
    head = f"POST /api/internal/node/{node_id}/status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {READ}\r\n"
    client.sendall(f"{head}Content-Length: 2\r\n\r\n{{}}".encode())
    return client


@pytest.mark.timeout(300)
def test_the_description_is_true(bus: Memory, tokens: Tokens) -> None:
    described = schemathesis.openapi.from_asgi("/openapi.json", application(bus, tokens))
    operations = [result.ok() for result in described.get_all_operations()]
    assert {f"POST /api/internal/node/{{id}}/{name}" for name in NODE_OPERATIONS} < {one.label for one in operations}

    for operation in operations:

        @settings(max_examples=5, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def holds(case: schemathesis.Case) -> None:
            case.call_and_validate(headers=_as(ADMIN))

        holds()
