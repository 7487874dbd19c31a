"""bus-api-provider-node: the internal HTTP API, which turns requests into events and answers with theirs."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import threading
import time
import uuid
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from busnode.contract import BadRequestError, OperationTimeoutError, UnauthorizedError, UnreachableError
from busnode.events.envelope import MAX_BYTES, NODE_OPERATIONS, Envelope, EnvelopeError, parse
from busnode.events.node_requests import NodeRequest
from busnode.secrets import Secret, read_private
from busnode.services import log, openapi
from busnode.services.node_worker import capabilities

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from busnode.events.bus import Bus

SERVICE = "bus-api-provider-node"
ADMIN_OPERATIONS = frozenset({"bootstrap", "harden"})
# Longer than the longest operation of the library.
ANSWER_SECONDS = 3600.0
# Requests that wait for their answers at once; further ones wait for one of these.
MAX_WAITING = 256
_MIN_TOKEN_BYTES = 16
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_STATUS_OF = {
    "bad_request": 400,
}


@dataclass(frozen=True, slots=True)
class Tokens:
    """The two bearer tokens."""

    read: Secret
    admin: Secret

    @classmethod
    def load(cls, read: Path, admin: Path) -> Tokens:
        """From files of mode 0600. Raises BadRequestError where one is missing, too short, or both are the same."""
        found = cls(_token(read), _token(admin))
        if hmac.compare_digest(found.read.reveal(), found.admin.reveal()):
            raise BadRequestError(f"{read}: the same token as in {admin}; make another for one of the two")
        return found

    def may(self, header: str | None, operation: str) -> bool:
        """Whether the bearer of an Authorization header may ask for it. Raises HTTPException 401 for nobody's."""
        scheme, _, given = (header or "").partition(" ")
        token = given.strip().encode("utf-8", "surrogateescape")
        is_admin = hmac.compare_digest(token, self.admin.reveal())
        is_reader = hmac.compare_digest(token, self.read.reveal())
        if scheme.lower() != "bearer" or not (is_admin or is_reader):
            message = "no token, or not one of this service; send Authorization: Bearer TOKEN"
            raise HTTPException(401, message, {"WWW-Authenticate": "Bearer"})
        return is_admin or operation not in ADMIN_OPERATIONS


def _token(path: Path) -> Secret:
    value = read_private(path).strip()
    if len(value) < _MIN_TOKEN_BYTES:
        raise BadRequestError(
            f"{path}: a token of {len(value)} bytes; make one of at least {_MIN_TOKEN_BYTES}, at random"
        )
    return Secret(value)


class Metrics:
    """What Prometheus reads; each application has its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("operation", "outcome")
        self.answered = Counter("bus_node_requests", "Node requests answered", labels, registry=self.registry)
        self.seconds = Histogram(
            "bus_node_request_seconds", "Time to the answer", ("operation",), registry=self.registry
        )
        self.http = Counter("bus_node_http_responses", "HTTP responses", ("code",), registry=self.registry)


@dataclass(frozen=True)
class _Api:
    bus: Bus
    tokens: Tokens
    metrics: Metrics

    @cached_property
    def waiting(self) -> anyio.CapacityLimiter:
        """The places of those who wait; made where the event loop runs, as anyio 3 wants it."""
        return anyio.CapacityLimiter(MAX_WAITING)

    async def health(self, _: Request) -> Response:
        return JSONResponse({"ok": True, "service": SERVICE})

    async def capabilities(self, _: Request) -> Response:
        return JSONResponse(capabilities())

    async def openapi(self, _: Request) -> Response:
        return JSONResponse(openapi.document())

    async def show_metrics(self, _: Request) -> Response:
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def operate(self, request: Request) -> Response:
        """One of the four operations, on one node."""
        operation = request.path_params["operation"]
        if operation not in NODE_OPERATIONS:
            raise HTTPException(404, "there is nothing here")
        if not self.tokens.may(request.headers.get("authorization"), operation):
            raise HTTPException(403, f"this token may only read; {operation} wants the one that administers")
        envelope = _envelope(request, operation, await _body(request))
        request.state.correlation_id = envelope.correlation_id
        if "respond-async" in request.headers.get("prefer", ""):
            await run_in_threadpool(self.bus.publish, envelope)
            applied = {"Preference-Applied": "respond-async"}
            return JSONResponse({"correlationId": envelope.correlation_id}, 202, headers=applied)
        answer = await self._answer(request, operation, envelope)
        return JSONResponse(answer.to_document(), _STATUS_OF.get(answer.payload.get("error_class", ""), 200))

    async def _answer(self, request: Request, operation: str, envelope: Envelope) -> Envelope:
        """Wait in a thread for as long as the client does."""
        gone = threading.Event()
        watch = asyncio.create_task(_hung_up(request, gone))
        try:
            ask = partial(self._ask, operation, envelope, lambda: not gone.is_set())
            return await anyio.to_thread.run_sync(ask, limiter=self.waiting)
        finally:
            watch.cancel()

    def _ask(self, operation: str, envelope: Envelope, is_wanted: Callable[[], bool]) -> Envelope:
        begin = time.monotonic()
        outcome = "no_answer"
        try:
            answer = self.bus.ask(envelope, time_limit=ANSWER_SECONDS, is_wanted=is_wanted)
            outcome = str(answer.payload.get("error_class", "ok"))
        finally:
            self.metrics.answered.labels(operation, outcome).inc()
            self.metrics.seconds.labels(operation).observe(time.monotonic() - begin)
        return answer


def application(bus: Bus, tokens: Tokens) -> Starlette:
    """The API as an ASGI application."""
    api = _Api(bus, tokens, Metrics())
    routes = [
        Route("/healthz", api.health),
        Route("/api/internal/node/capabilities", api.capabilities),
        Route("/openapi.json", api.openapi),
        Route("/metrics", api.show_metrics),
        Route("/api/internal/node/{id}/{operation}", api.operate, methods=["POST"]),
    ]
    handlers: dict[Any, Any] = {
        HTTPException: _http_error,
        BadRequestError: lambda _, error: _error(400, "bad_request", str(error)),
        # It is this service that the bus refuses, not who asks it.
        UnauthorizedError: lambda _, error: _error(503, "unreachable", str(error)),
        UnreachableError: lambda _, error: _error(503, "unreachable", str(error)),
        OperationTimeoutError: lambda _, error: _error(504, "timeout", str(error)),
    }
    return Starlette(
        routes=routes, exception_handlers=handlers, middleware=[Middleware(_AccessLog, metrics=api.metrics)]
    )


def _envelope(request: Request, operation: str, body: dict[str, Any]) -> Envelope:
    node_id = request.path_params["id"]
    correlation_id = request.headers.get("x-correlation-id", uuid.uuid4().hex)
    if not _CORRELATION_ID.fullmatch(correlation_id):
        raise BadRequestError("X-Correlation-ID: not 1 to 128 letters, digits and . _ : -; give such a one, or none")
    payload = {"node_id": node_id, **body}
    if operation in ADMIN_OPERATIONS:
        payload = {"transport": "ssh-runner", "target_ref": f"nodes.{node_id}", **payload}
    if payload["node_id"] != node_id:
        raise BadRequestError("payload.node_id: not the node of the path; leave it out")
    envelope = Envelope(f"bus.node.{operation}.request", correlation_id, payload)
    NodeRequest.of(envelope)
    return envelope


async def _hung_up(request: Request, gone: threading.Event) -> None:
    """The body has been read: what is received next is the client's end (ASGI, http.disconnect)."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    gone.set()


async def _body(request: Request) -> dict[str, Any]:
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > MAX_BYTES:
                raise HTTPException(413, f"larger than {MAX_BYTES} bytes; send references, not contents")
    except ClientDisconnect:
        raise HTTPException(400, "the body was cut off") from None
    # Read as the bus reads: what is no JSON there is none here.
    try:
        text = bytes(data or b"{}").decode("utf-8")
        return parse(f'{{"name":"body","correlationId":"body","payload":{text}}}').payload
    except UnicodeDecodeError:
        raise BadRequestError("the body is not UTF-8; send JSON") from None
    except EnvelopeError as error:
        raise BadRequestError(f"the body: {error}") from None


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    names = {401: "invalid_auth", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    code = error.status_code
    answer = _error(code, names.get(code, "bad_request"), error.detail)
    answer.headers.update(error.headers or {})
    return answer


def _error(code: int, name: str, message: str) -> JSONResponse:
    return JSONResponse({"error": name, "message": message}, code)


class _AccessLog:
    """A line a response: never a query, a header or a body."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.monotonic()
        code = 500

        async def noted(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            self._metrics.http.labels(str(code)).inc()
            correlation_id = scope.get("state", {}).get("correlation_id")
            seconds = round(time.monotonic() - begin, 3)
            path = json.dumps(scope["path"])[1:-1][:200]
            log.say(
                SERVICE,
                "http",
                method=scope["method"],
                path=path,
                code=code,
                correlation_id=correlation_id,
                seconds=seconds,
            )
