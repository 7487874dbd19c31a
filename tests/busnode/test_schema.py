"""Schemas: our validator gives jsonschema's verdicts, and every document that leaves the package is valid."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busnode import schema
from busnode.contract import ERRORS, BusnodeError, Check, Operation, Response, StepResult, StepStatus

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
NAMES = ("targets", "node-request", "node-response", "node-list", "node-plan")

FULL: dict[str, Any] = {
    "proxy": {
        "host": "10.0.0.10",
        "user": "bus",
        "port": 22,
        "host_key": "SHA256:" + "A" * 43,
        "become": {"password": "secret://deployment/sudo"},
        "allowed_ports": [22, 80],
        "packages": ["nginx", "g++"],
        "directories": [{"path": "/srv/a b", "owner": "root", "group": "root", "mode": "2750"}],
        "service_accounts": [{"name": "gateway", "home": "/srv/gateway"}],
        "credentials": [{"source": "../local/token", "destination": "/srv/token"}, {"authorized_key": "operator"}],
        "services": [{"unit": "nginx.service", "enabled": True, "running": False}],
        "listeners": [{"address": "::1", "port": 443, "process": "nginx"}],
        "ssh_policy": {"disable_password_auth": True, "authorized_key_secret": "key.pub"},
        "firewall_policy": {"allowed_ports": [80, 22], "default_deny_inbound": True},
    }
}
REQUESTS: dict[str, dict[str, Any]] = {
    "bootstrap": {"node_id": "proxy", "transport": "ssh-runner", "target_ref": "nodes.proxy", "confirm": True},
    "harden": {"node_id": "proxy", "transport": "ssh-runner", "target_ref": "nodes.proxy", "confirm": True},
    "status": {"node_id": "proxy"},
    "verify": {"node_id": "proxy", "checks": ["ssh", "systemd", "listeners"]},
}

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 70000), st.just(22.0), st.text("ab/.-:; ", max_size=6), st.just([]),
    st.just({}), st.sampled_from(["SHA256:x", "/etc/x", "x.service", "secret://deployment/x", "secret:x", "0750"]),
)  # fmt: skip


def _paths(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(inner for key, item in items for inner in _paths(item, (*path, key)))]


@st.composite
def damaged(draw: st.DrawFn, document: dict[str, Any]) -> Any:
    """A document with some places replaced, removed, or with a key more."""
    made = copy.deepcopy(document)
    for _ in range(draw(st.integers(0, 3))):
        *above, key = draw(st.sampled_from([path for path in _paths(made) if path]))
        place = made
        for part in above:
            place = place[part]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                place[key] = draw(leaves)
            case "remove":
                del place[key]
            case "add" if isinstance(place, dict):
                place[draw(st.text("abz_", min_size=1, max_size=3))] = draw(leaves)
        if not made:
            break
    return made


def _agree(document: object, name: str) -> None:
    loaded = schema.load(name)
    ours = not list(schema.violations(document, loaded))
    theirs = jsonschema.Draft202012Validator(loaded).is_valid(document)
    assert ours == theirs, (document, list(schema.violations(document, loaded)))


@given(damaged(FULL))
def test_our_verdict_on_an_inventory_is_jsonschemas(document: object) -> None:
    _agree(document, "targets")


@given(st.sampled_from(sorted(REQUESTS)).flatmap(
    lambda name: damaged({"name": f"bus.node.{name}.request", "correlationId": "c-1", "payload": REQUESTS[name]})
))  # fmt: skip
def test_our_verdict_on_a_request_is_jsonschemas(document: object) -> None:
    _agree(document, "node-request")


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_one_and_travels_inside_the_package(name: str) -> None:
    text = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(text)
    assert schema.load(name) == text


def test_good_documents_are_accepted() -> None:
    jsonschema.validate(FULL, schema.load("targets"))
    for name, payload in REQUESTS.items():
        event = {"name": f"bus.node.{name}.request", "correlationId": "1", "payload": payload}
        jsonschema.validate(event, schema.load("node-request"))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("bootstrap", {"credentials": {"sudo_password_secret": "hunter2"}}),
        ("bootstrap", {"credentials": {"password": "x"}}),
        ("harden", {"firewall_policy": {"ports": [22]}}),
        ("harden", {"ssh_policy": {"allow_root_login": "no"}}),
        ("verify", {"checks": []}),
        ("status", {"node_id": "a;b"}),
    ],
)
def test_a_request_that_the_contract_forbids_is_refused(name: str, change: dict[str, Any]) -> None:
    event = {"name": f"bus.node.{name}.request", "correlationId": "1", "payload": {**REQUESTS[name], **change}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(event, schema.load("node-request"))


steps = st.builds(StepResult, st.text(), st.sampled_from(StepStatus), st.text(), st.floats(min_value=0, max_value=1e6))
responses = st.builds(
    Response,
    ok=st.just(True),
    node_id=st.text(),
    operation=st.sampled_from(Operation),
    dry_run=st.booleans(),
    actions=st.lists(st.sampled_from(["check-ssh", "install-packages"]), unique=True).map(tuple),
    checks=st.lists(st.builds(Check, st.text(), st.booleans(), st.text())).map(tuple),
    diagnostics=st.lists(st.text()).map(tuple),
    steps=st.lists(steps).map(tuple),
)


@given(responses)
def test_a_response_is_what_its_schema_says(response: Response) -> None:
    jsonschema.validate(json.loads(json.dumps(response.to_document())), schema.load("node-response"))


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_each_error_has_its_class_and_its_response(error: type[BusnodeError]) -> None:
    response = Response(ok=False, node_id="proxy", operation=Operation.STATUS, error_class=error.error_class)
    jsonschema.validate(response.to_document(), schema.load("node-response"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**response.to_document(), "ok": True}, schema.load("node-response"))
