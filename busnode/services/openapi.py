"""The API's OpenAPI document, made of the schemas that requests and responses are checked by."""

from __future__ import annotations

import json
from typing import Any

from busnode import schema
from busnode.events.envelope import NODE_OPERATIONS

VERSION = "3.1.0"
_ERRORS = {
    "400": "The request is not valid; the message names the path",
    "401": "No bearer token, or not one of the two",
    "403": "The token may only read",
    "404": "There is nothing here",
    "405": "Not with this method",
    "411": "The length of the body is not told",
    "413": "The body is too large",
    "503": "The bus cannot be reached",
    "504": "No answer came in time",
}


_PREFER = "respond-async: do not wait for the answer; what else is preferred is passed over (RFC 7240)"


def document() -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, Any] = {
        "/healthz": {"get": _get("health", "Whether the service runs", {"$ref": "#/components/schemas/health"})},
        "/api/internal/node/capabilities": {
            "get": _get("capabilities", "What the node integration can do", {"type": "object"})
        },
        "/openapi.json": {"get": _get("openapi", "This document", {"type": "object"})},
        "/metrics": {"get": _get("metrics", "Counters for Prometheus", None)},
    }
    for operation in NODE_OPERATIONS:
        paths[f"/api/internal/node/{{id}}/{operation}"] = {"post": _post(operation)}
    return {
        "openapi": VERSION,
        "info": {
            "title": "bus-api-provider-node",
            "version": "1",
            "description": "Node operations of a Bus deployment",
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "Read, or administer"}},
        },
    }


def _get(name: str, what: str, answer: dict[str, Any] | None) -> dict[str, Any]:
    content = (
        {"text/plain": {"schema": {"type": "string"}}} if answer is None else {"application/json": {"schema": answer}}
    )
    return {"operationId": name, "summary": what, "responses": {"200": {"description": what, "content": content}}}


def _post(operation: str) -> dict[str, Any]:
    event = {"description": "The response event", "content": _json("response_event")}
    accepted = {"description": "Sent; the answer comes on the bus", "content": _json("accepted")}
    errors = {code: {"description": what, "content": _json("error")} for code, what in _ERRORS.items()}
    # What the services behind refuse comes as the event with its reasons.
    errors["400"]["content"] = {"application/json": {"schema": {"anyOf": [_ref("response_event"), _ref("error")]}}}
    return {
        "operationId": operation,
        "summary": f"{operation} on one node",
        "security": [{"token": []}],
        "parameters": [
            {"name": "id", "in": "path", "required": True, "schema": _ref("node_id")},
            {"name": "Prefer", "in": "header", "schema": {"type": "string"}, "description": _PREFER},
            {"name": "X-Correlation-ID", "in": "header", "schema": _ref("correlation_id")},
        ],
        "requestBody": {"required": True, "content": _json(f"{operation}_body")},
        "responses": {"200": event, "202": accepted, **errors},
    }


def _schemas() -> dict[str, Any]:
    request, response = schema.load("node-request"), schema.load("node-response")
    found = {**request["$defs"], "response": {key: item for key, item in response.items() if not key.startswith("$")}}
    for operation in NODE_OPERATIONS:
        payload = request["$defs"][operation]
        # What the path says may stand there too, but only as it says it.
        stands = {"node_id", "target_ref"}
        found[f"{operation}_body"] = {
            **payload,
            "description": f"The payload of bus.node.{operation}.request, without what the path says",
            "properties": {name: value for name, value in payload["properties"].items() if name not in stands},
            "required": [name for name in payload["required"] if name not in stands | {"transport"}],
        }
    event = {"name": {"type": "string"}, "correlationId": _ref("correlation_id"), "payload": _ref("response")}
    found["response_event"] = {"type": "object", "required": list(event), "properties": event}
    found["accepted"] = {
        "type": "object",
        "required": ["correlationId"],
        "properties": {"correlationId": _ref("correlation_id")},
    }
    texts = {name: {"type": "string"} for name in ("error", "message")}
    found["error"] = {"type": "object", "required": list(texts), "properties": texts}
    found["health"] = {"type": "object", "required": ["ok", "service"]}
    moved: dict[str, Any] = json.loads(json.dumps(found).replace("#/$defs/", "#/components/schemas/"))
    return moved


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": _ref(name)}}
