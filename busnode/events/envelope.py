"""The envelope of every event, `{name, correlationId, payload}`, and the names that there are."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NoReturn

from busnode.contract import BadRequestError

MAX_BYTES = 4_000_000
REQUEST, RESPONSE = ".request", ".response"
NODE_OPERATIONS = ("bootstrap", "harden", "status", "verify")
NODE_REQUESTS = tuple(f"bus.node.{operation}{REQUEST}" for operation in NODE_OPERATIONS)
NODE_RESPONSES = tuple(f"bus.node.{operation}{RESPONSE}" for operation in NODE_OPERATIONS)
SCRIPT_REQUEST, SCRIPT_RESPONSE = "bus.ssh.script.run.request", "bus.ssh.script.run.response"
EVENTS = (
    *(name for pair in zip(NODE_REQUESTS, NODE_RESPONSES, strict=True) for name in pair),
    SCRIPT_REQUEST,
    SCRIPT_RESPONSE,
)


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event. What it carries is checked by whoever takes it.

    `is_kept` where it is the answer to a request that had been answered before it was asked.
    """

    name: str
    correlation_id: str
    payload: dict[str, Any] = field(default_factory=dict)
    is_kept: bool = field(default=False, compare=False)

    def to_document(self) -> dict[str, Any]:
        """The JSON document, always with `correlationId`."""
        return {"name": self.name, "correlationId": self.correlation_id, "payload": self.payload}

    def to_text(self) -> str:
        """The document as JSON text in ASCII."""
        return json.dumps(self.to_document(), separators=(",", ":"))


class EnvelopeError(BadRequestError):
    """What came is no envelope; `name` and `correlation_id` are as much of it as could be read."""

    def __init__(self, message: str, name: str = "", correlation_id: str = "") -> None:
        super().__init__(message)
        self.name, self.correlation_id = name, correlation_id


def parse(data: bytes | str) -> Envelope:
    """An envelope from JSON, with `correlationId` or `correlation_id`.

    Raises EnvelopeError, one line that names the path. No bytes raise anything else.
    """
    document = _document(data)
    name, correlation_id = _text(document.get("name")), _correlation_id(document)

    def refuse(message: str) -> NoReturn:
        raise EnvelopeError(message, name, correlation_id)

    if "correlationId" in document and "correlation_id" in document:
        refuse("correlation_id: there beside correlationId; give one of the two")
    for key in document:
        if key not in {"name", "correlationId", "correlation_id", "payload"}:
            refuse(f"{json.dumps(key)[1:-1][:60]}: unknown key; remove it, or use one of name, correlationId, payload")
    if not name:
        refuse("name: missing, or no event's name; give one such as bus.node.status.request")
    if not correlation_id:
        refuse("correlationId: missing, or no text of 1 to 128 characters; give a unique one, such as a UUID")
    if not isinstance(document.get("payload"), dict):
        refuse("payload: missing, or no object; give an object")
    return Envelope(name, correlation_id, document["payload"])


def response_to(request: Envelope, payload: dict[str, Any]) -> Envelope:
    """The response event to a request, with its correlation id."""
    return Envelope(response_name(request.name), request.correlation_id, payload)


def response_name(name: str) -> str:
    """The name of the answer to a request.

    >>> response_name("bus.node.status.request")
    'bus.node.status.response'
    """
    return name.removesuffix(REQUEST) + RESPONSE


def _document(data: bytes | str) -> dict[str, Any]:
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > MAX_BYTES:
        raise EnvelopeError(f"larger than {MAX_BYTES} bytes; send references, not contents")
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
        # A lone surrogate is JSON to Python, and can be sent to no shell.
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise EnvelopeError("nested too deeply; give an envelope {name, correlationId, payload}") from None
    except ValueError as error:
        raise EnvelopeError(
            f"not JSON: {str(error)[:200]}; give an envelope {{name, correlationId, payload}}"
        ) from None
    if not isinstance(document, dict):
        raise EnvelopeError("not an object; give an envelope {name, correlationId, payload}")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _text(value: object) -> str:
    return value if isinstance(value, str) and 0 < len(value) <= 128 else ""


def _correlation_id(document: dict[str, Any]) -> str:
    return _text(document.get("correlationId", document.get("correlation_id")))
