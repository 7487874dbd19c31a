"""What is malformed: an answer that names the path, the same over the bus and over HTTP, and the services go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import negative_data_rejection
from starlette.testclient import TestClient

from busnode import schema
from busnode.events.envelope import MAX_BYTES, NODE_OPERATIONS, SCRIPT_REQUEST, Envelope, response_to
from busnode.events.memory import Memory
from busnode.inventory import Inventory
from busnode.secrets import Secret
from busnode.services.node_api import Tokens, application
from busnode.services.node_worker import NodeWork
from busnode.services.ssh_runner import Keys, ScriptWork
from tests.busnode.test_schema import REQUESTS, damaged

if TYPE_CHECKING:
    from tests.busnode.services.conftest import Deployment

ADMIN = "admin-0123456789abcdef"
HEADERS = {"Authorization": f"Bearer {ADMIN}"}
STATUS = {"name": "bus.node.status.request", "correlationId": "c-1", "payload": {"node_id": "proxy"}}


def _event(operation: str, **payload: Any) -> bytes:
    return json.dumps(
        {**STATUS, "name": f"bus.node.{operation}.request", "payload": {**REQUESTS[operation], **payload}}
    ).encode()


# What comes on the bus, what the answer says first, and whether the correlation id could be read.
MALFORMED: dict[str, tuple[bytes, str, bool]] = {
    "not JSON": (b"{", "not JSON", False),
    "not UTF-8": (b"\xff\xfe", "not JSON", False),
    "wrong name": (json.dumps({**STATUS, "name": "bus.node.destroy.request"}).encode(), "name: ", True),
    "no name": (json.dumps({**STATUS, "name": None}).encode(), "name: ", True),
    "missing node_id": (json.dumps({**STATUS, "payload": {}}).encode(), "payload: node_id is missing", True),
    "a node that is not there": (_event("status", node_id="none"), 'the inventory: no target "none"', True),
    "unknown key": (_event("status", shell="x"), "payload.shell: unknown key", True),
    "unknown key above": (json.dumps({**STATUS, "to": "x"}).encode(), "to: unknown key", True),
    "unknown key below": (_event("harden", ssh_policy={"port": 1}), "payload.ssh_policy.port: unknown key", True),
    "inline secret": (
        _event("bootstrap", credentials={"sudo_password_secret": "hunter2"}),
        "payload.credentials.sudo_password_secret: ",
        True,
    ),
    "verify without checks": (_event("verify", checks=[]), "payload.checks: ", True),
    "10 MB payload": (_event("status", x="x" * 10_000_000), f"larger than {MAX_BYTES} bytes", False),
    "bad correlation id": (json.dumps({**STATUS, "correlationId": "a b\n"}).encode(), "correlationId: ", True),
    "correlation id no text": (json.dumps({**STATUS, "correlationId": {}}).encode(), "correlationId: ", False),
    "too long a correlation id": (
        json.dumps({**STATUS, "correlationId": "c" * 129}).encode(),
        "correlationId: ",
        False,
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_over_the_bus_it_is_a_bad_request_that_names_the_path(deployment: Deployment, case: str) -> None:
    text, said, is_known = MALFORMED[case]
    answer = deployment.nodes.handle(text)
    assert answer.payload["error_class"] == "bad_request"
    assert answer.payload["diagnostics"][0].startswith(said)
    assert list(schema.violations(answer.payload, schema.load("node-response"))) == []
    assert "hunter2" not in answer.to_text()
    assert len(answer.to_text()) < 10_000
    assert bool(answer.correlation_id) == is_known
    deployment.bus.send("bus.node.status.request", text)
    assert deployment.ask("status", "c-2")["node_id"] == "proxy"


TARGETED = {"target": {"node_id": "proxy"}, "time_limit": 5}
SCRIPT = {"name": SCRIPT_REQUEST, "correlationId": "c-1", "payload": TARGETED}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"no json", "not JSON"),
        (json.dumps({**SCRIPT, "name": "bus.ssh.shell.request"}).encode(), "name: "),
        (json.dumps(SCRIPT).encode(), "payload: "),
        (json.dumps({**SCRIPT, "payload": {"script": "x", "time_limit": 5}}).encode(), "payload: target is missing"),
        (
            json.dumps({**SCRIPT, "payload": {**TARGETED, "script": "x" * 600_000}}).encode(),
            "payload.script: ",
        ),
        (json.dumps({**SCRIPT, "payload": {**TARGETED, "script": "x", "env": {}}}).encode(), "payload.env: "),
        (b'{"name":"' + b"x" * 10_000_000, "larger than"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_runner_refuses_it_too(deployment: Deployment, text: bytes, said: str) -> None:
    answer = deployment.scripts.handle(text)
    assert answer.payload["error_class"] == "bad_request"
    assert answer.payload["diagnostics"][0].startswith(said)


@pytest.fixture(scope="module")
def client() -> TestClient:
    """The API before a worker that finds every request good."""

    class Good(Memory):
        def ask(self, request: Envelope, **_: object) -> Envelope:
            operation = request.name.split(".")[2]
            document = {"ok": True, "node_id": request.payload["node_id"], "operation": operation, "dry_run": True}
            return response_to(request, {**document, "actions": [], "checks": [], "diagnostics": [], "steps": []})

    tokens = Tokens(Secret(b"reader-0123456789abcdef"), Secret(ADMIN.encode()))
    return TestClient(application(Good(), tokens))


@pytest.mark.parametrize(
    ("operation", "body", "headers", "code", "said"),
    [
        ("status", b"{", {}, 400, "not JSON"),
        ("destroy", b"{}", {}, 404, "nothing here"),
        ("status", b'{"shell":"x"}', {}, 400, "payload.shell: unknown key"),
        (
            "bootstrap",
            b'{"confirm":true,"credentials":{"sudo_password_secret":"hunter2"}}',
            {},
            400,
            "payload.credentials",
        ),
        ("verify", b'{"checks":[]}', {}, 400, "payload.checks"),
        ("status", b'"' + b"x" * 10_000_000 + b'"', {}, 413, f"larger than {MAX_BYTES} bytes"),
        ("status", b"{}", {"X-Correlation-ID": "a b"}, 400, "X-Correlation-ID: "),
        ("status", b"{}", {"X-Correlation-ID": "c" * 129}, 400, "X-Correlation-ID: "),
    ],
)
def test_over_http_it_is_400(
    client: TestClient, operation: str, body: bytes, headers: dict[str, str], code: int, said: str
) -> None:
    answer = client.post(f"/api/internal/node/proxy/{operation}", content=body, headers={**HEADERS, **headers})
    assert (answer.status_code, said in answer.json()["message"]) == (code, True), answer.text
    assert "hunter2" not in answer.text
    assert client.post("/api/internal/node/proxy/status", headers=HEADERS).status_code == 200


def _events(document: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """That event damaged, or its text."""
    text = json.dumps(document).encode()
    cut = st.integers(0, len(text)).map(lambda at: text[:at])
    noise = st.tuples(cut, st.binary(max_size=5), cut).map(b"".join)
    return st.one_of(damaged(document).map(lambda made: json.dumps(made).encode()), cut, noise, st.binary(max_size=60))


NOBODYS_NODE = Inventory.from_document({"elsewhere": {"host": "10.0.0.10", "user": "bus"}})


@given(data=st.data(), operation=st.sampled_from(NODE_OPERATIONS))
def test_whatever_comes_gets_one_valid_answer(data: st.DataObject, operation: str) -> None:
    event = {"name": f"bus.node.{operation}.request", "correlationId": "c-1", "payload": REQUESTS[operation]}
    text = data.draw(_events(event))

    def unexpected(request: Envelope, time_limit: float) -> Envelope:
        raise AssertionError("the runner was asked")

    answer = NodeWork(NOBODYS_NODE, unexpected).handle(text)
    assert list(schema.violations(answer.payload, schema.load("node-response"))) == []
    assert answer.payload["error_class"] == "bad_request"
    assert json.dumps(answer.correlation_id)[1:-1].encode() in text


@given(data=st.data())
def test_whatever_comes_to_the_runner_gets_one_valid_answer(data: st.DataObject) -> None:
    payload = {**TARGETED, "script": "true", "blobs": ["x"], "deadline": "2100-01-01T00:00:00Z"}
    text = data.draw(_events({**SCRIPT, "payload": payload}))

    def unexpected(*_: object) -> NoReturn:
        raise AssertionError("a connection was opened")

    answer = ScriptWork(NOBODYS_NODE, Keys(Path("/nonexistent")), unexpected).handle(text)
    assert list(schema.violations(answer.payload, schema.load("script-result"))) == []
    assert answer.payload["error_class"] in {"bad_request", "unauthorized"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), operation=st.sampled_from(NODE_OPERATIONS))
def test_over_http_the_schema_decides(client: TestClient, data: st.DataObject, operation: str) -> None:
    without_node = {key: value for key, value in REQUESTS[operation].items() if key != "node_id"}
    body = data.draw(damaged(without_node or {"checks": ["ssh"]}))
    answer = client.post(f"/api/internal/node/proxy/{operation}", json=body, headers=HEADERS)
    defaults = {"transport": "ssh-runner", "target_ref": "nodes.proxy"} if operation in {"bootstrap", "harden"} else {}
    whole = {"node_id": "proxy", **defaults, **body} if isinstance(body, dict) else body
    event = {"name": f"bus.node.{operation}.request", "correlationId": "c-1", "payload": whole}
    is_good = not list(schema.violations(event, schema.load("node-request")))
    named = whole if isinstance(whole, dict) else {}
    is_of_the_node = (named.get("node_id"), named.get("target_ref", "nodes.proxy")) == ("proxy", "nodes.proxy")
    assert answer.status_code == (200 if is_good and is_of_the_node else 400), answer.text


@pytest.mark.timeout(300)
@pytest.mark.parametrize("operation", NODE_OPERATIONS)
def test_what_the_api_says_it_refuses_it_refuses(client: TestClient, operation: str) -> None:
    described = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    asked = described[f"/api/internal/node/{{id}}/{operation}"]["POST"]

    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    @given(case=asked.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))
    def holds(case: schemathesis.Case) -> None:
        headers = {} if "Authorization" in (case.headers or {}) else HEADERS
        case.call_and_validate(headers=headers, additional_checks=[negative_data_rejection])

    holds()
