"""Envelopes and requests: any bytes in, a record or one line that names the path."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busnode import schema
from busnode.contract import BadRequestError
from busnode.events.envelope import MAX_BYTES, Envelope, EnvelopeError, parse, response_name
from busnode.events.node_requests import NodeRequest
from busnode.events.scripts import ScriptRequest, ScriptResult, ScriptTarget
from busnode.inventory import Directory, Target
from busnode.job import Job
from busnode.script import Material, MaterialKind
from busnode.transport import Family
from tests.busnode.test_schema import REQUESTS, damaged

SAFE = st.text(st.characters(codec="utf-8"), max_size=20)
ENVELOPES = st.builds(
    Envelope,
    name=st.text("abz.", min_size=1, max_size=30),
    correlation_id=st.text("ab0-_.:", min_size=1, max_size=128),
    payload=st.dictionaries(SAFE, st.none() | st.booleans() | st.integers() | SAFE, max_size=4),
)


@given(envelope=ENVELOPES)
def test_an_envelope_comes_back_as_it_was(envelope: Envelope) -> None:
    assert parse(envelope.to_text()) == envelope
    text = envelope.to_text().replace('"correlationId"', '"correlation_id"', 1)
    assert parse(text).to_document() == envelope.to_document()


@given(data=st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_are_an_envelope_or_one_clear_line(data: bytes | str) -> None:
    said = ""
    try:
        parse(data)
    except EnvelopeError as error:
        said = str(error)
    assert len(said.splitlines()) <= 1, said


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "not an object"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":1,"a":2}', "twice"),
        (b'{"name":"x","correlationId":"1","payload":{"x":NaN}}', "NaN is not JSON"),
        (b'{"name":"x","correlationId":"1","payload":{"x":"\\ud800"}}', "not JSON"),
        (b'{"correlationId":"1","payload":{}}', "name: "),
        (b'{"name":"x","payload":{}}', "correlationId: "),
        (b'{"name":"x","correlationId":7,"payload":{}}', "correlationId: "),
        (b'{"name":"x","correlationId":"1","correlation_id":"1","payload":{}}', "correlation_id: "),
        (b'{"name":"x","correlationId":"1","payload":[]}', "payload: "),
        (b'{"name":"x","correlationId":"1","payload":{},"to":"y"}', "to: unknown key"),
        (b'{"name":"' + b"x" * 10_000_000, f"larger than {MAX_BYTES} bytes"),
    ],
)
def test_what_is_no_envelope_is_told_with_its_path(data: bytes, said: str) -> None:
    with pytest.raises(EnvelopeError, match=said):
        parse(data)


def _request(operation: str, **payload: Any) -> Envelope:
    return Envelope(f"bus.node.{operation}.request", "c-1", {**REQUESTS[operation], **payload})


@pytest.mark.parametrize(
    ("envelope", "said"),
    [
        (Envelope("bus.node.destroy.request", "1", {"node_id": "proxy"}), "^name: 'bus.node.destroy.request' is no"),
        (Envelope("bus.node.status.response", "1", {"node_id": "proxy"}), "^name: "),
        (Envelope("bus.node.status.request", "a b", {"node_id": "proxy"}), "^correlationId: "),
        (Envelope("bus.node.status.request", "1", {}), "^payload: node_id is missing"),
        (_request("status", node_id="../x"), "^payload.node_id: "),
        (_request("status", nodes=1), "^payload.nodes: unknown key"),
        (_request("verify", checks=[]), "^payload.checks: 0 entries"),
        (_request("verify", checks=["ping"]), r"^payload.checks\[0\]: "),
        (_request("bootstrap", target_ref="nodes.other"), "^payload.target_ref: "),
        (_request("bootstrap", packages=["-o"]), r"^payload.packages\[0\]: "),
        (_request("bootstrap", directories=["/srv/../etc"]), r"^payload.directories\[0\]: "),
        (_request("harden", firewall_policy={"ports": [1]}), "^payload.firewall_policy.ports: unknown key"),
        (
            _request("bootstrap", credentials={"sudo_password_secret": "hunter2"}),
            "^payload.credentials.sudo_password_secret: the value is not allowed",
        ),
    ],
)
def test_a_wrong_request_is_told_with_its_path(envelope: Envelope, said: str) -> None:
    with pytest.raises(BadRequestError, match=said) as caught:
        NodeRequest.of(envelope)
    assert "hunter2" not in str(caught.value)


@given(data=st.data(), operation=st.sampled_from(sorted(REQUESTS)))
def test_requests_are_taken_as_their_schema_has_them(data: st.DataObject, operation: str) -> None:
    payload = data.draw(damaged(REQUESTS[operation]))
    envelope = Envelope(f"bus.node.{operation}.request", "c-1", payload)
    valid = jsonschema.Draft202012Validator(schema.load("node-request")).is_valid(envelope.to_document())
    said = ""
    try:
        NodeRequest.of(envelope)
    except BadRequestError as error:
        said = str(error)
    # The schema cannot say that two keys name one node.
    assert valid == (not said or "payload.target_ref: not of the node" in said)


@pytest.mark.parametrize(
    ("words", "applied"),
    [
        ({"confirm": True, "dry_run": False}, True),
        ({"confirm": True}, False),
        ({"confirm": False, "dry_run": False}, False),
        ({"confirm": True, "dry_run": True}, False),
    ],
)
def test_a_change_wants_both_words(words: dict[str, bool], applied: bool) -> None:
    assert NodeRequest.of(_request("bootstrap", **words)).apply is applied


def test_what_a_request_gives_stands_in_place_of_the_inventorys(target: Target) -> None:
    request = NodeRequest.of(
        _request("bootstrap", packages=["less"], directories=["/etc/bus", "/srv/new"], services=["ssh.service"])
    )
    changed = request.target(target)
    assert changed.packages == ("less",)
    known = next(directory for directory in target.directories if directory.path == "/etc/bus")
    assert changed.directories == (known, Directory("/srv/new"))
    policy = NodeRequest.of(_request("harden", firewall_policy={"allowed_ports": [443, 22]})).target(target)
    assert policy.firewall_policy is not None
    assert policy.firewall_policy.allowed_ports == (22, 443)
    assert policy.packages == target.packages


JOB = Job("true\n", 60, (Material(MaterialKind.DIGEST, "token"), Material(MaterialKind.KEY)), ("token",), "/s/sudo")


@pytest.mark.parametrize(
    "request_",
    [
        ScriptRequest(ScriptTarget("proxy"), 60, JOB, credentials={"ssh_private_key_secret": "secret://deployment/k"}),
        ScriptRequest(ScriptTarget("proxy", "10.0.0.10", "bus"), 2, port=80),
        ScriptRequest(ScriptTarget("proxy"), 2, port=80, family=Family.IPV6),
    ],
)
def test_a_script_request_comes_back_as_it_was(request_: ScriptRequest) -> None:
    document = json.loads(json.dumps(request_.to_document()))
    jsonschema.validate(document, schema.load("script-request"))
    assert ScriptRequest.from_document(document) == request_


@given(document=damaged(ScriptRequest(ScriptTarget("proxy"), 60, JOB).to_document()))
def test_script_requests_are_taken_as_their_schema_has_them(document: dict[str, Any]) -> None:
    valid = jsonschema.Draft202012Validator(schema.load("script-request")).is_valid(document)
    try:
        ScriptRequest.from_document(document)
    except BadRequestError:
        assert not valid
    else:
        assert valid


def test_a_result_of_another_node_proves_nothing() -> None:
    document = ScriptResult("other").to_document()
    with pytest.raises(Exception, match="node_id: of another node"):
        ScriptResult.from_document(document, "proxy")


def test_a_response_is_called_like_its_request() -> None:
    assert response_name("bus.ssh.script.run.request") == "bus.ssh.script.run.response"
