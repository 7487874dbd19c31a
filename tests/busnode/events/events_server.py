"""An Events API as the contract describes it, on a real socket, with what goes wrong in the field at a test's hand.

events_server.py ADDRESS PORT CERTIFICATE KEY, with the scopes of each token as JSON on standard input.
"""

from __future__ import annotations

import contextlib
import http.server
import itertools
import json
import queue
import re
import select
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

PATH = "/api/v1/events"
_SCOPES = (("bus.node.bootstrap.", "node:admin"), ("bus.node.harden.", "node:admin"), ("bus.ssh.", "ssh:run"))
ALL_SCOPES = frozenset({"node:admin", "node:read", "ssh:run"})


def scope_of(name: str) -> str:
    """The scope that a token needs to send events of a name, or to hear them."""
    return next((scope for prefix, scope in _SCOPES if name.startswith(prefix)), "node:read")


@dataclass(eq=False)
class _Subscriber:
    name: str
    group: str | None
    lines: queue.Queue[bytes | None] = field(default_factory=queue.Queue)


@dataclass
class EventsServer:
    """Events are kept until `forget`; each of a name goes to all its broadcast streams, and one stream a group."""

    tokens: dict[str, frozenset[str]]
    certificate: tuple[Path, Path] | None = None
    port: int = 0
    address: str = "127.0.0.1"
    delay: float = 0.0
    """Seconds before each line of a stream."""
    failures: list[int] = field(default_factory=list)
    """Codes that the next publications are answered with, instead of being accepted."""
    refused: tuple[str, list[int]] = ("", [])
    """The same for those of one name."""
    events: list[dict[str, Any]] = field(default_factory=list)
    authorizations: set[str] = field(default_factory=set)
    _subscribers: list[_Subscriber] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _turn: Iterator[int] = field(default_factory=itertools.count)
    _server: http.server.ThreadingHTTPServer | None = None
    _connections: set[socket.socket] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{'http' if self.certificate is None else 'https'}://{self.address}:{self.port}"

    def start(self) -> None:
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = _Server((self.address, self.port), handler)
        self.port = self._server.server_address[1]
        if self.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        self.drop()
        with self._lock:
            connections = [*self._connections]
        for connection in connections:
            _shut(connection)

    def drop(self) -> None:
        """Cut every stream off, in the middle."""
        with self._lock:
            for one in self._subscribers:
                one.lines.put(None)
            self._subscribers.clear()

    def forget(self) -> None:
        """Lose every event, as an engine in memory does when it ends."""
        with self._lock:
            self.events.clear()

    def streams(self, name: str) -> int:
        with self._lock:
            return sum(one.name == name for one in self._subscribers)

    def of(self, name: str) -> list[dict[str, Any]]:
        with self._lock:
            return [event for event in self.events if event["name"] == name]

    def inject(self, name: str, line: bytes) -> None:
        """Put anything into the streams of a name."""
        with self._lock:
            for one in self._subscribers:
                if one.name == name:
                    one.lines.put(line)

    def publish(self, event: dict[str, Any]) -> str:
        with self._lock:
            # Each name's are numbered, from 0 again after all were lost.
            number = f"e-{len(self.of(event['name']))}"
            stamped = {**event, "id": number, "identity_id": "somebody", "created_at": time.time()}
            self.events.append(stamped)
            line = json.dumps(stamped).encode() + b"\n"
            mine = [one for one in self._subscribers if one.name == event["name"]]
            for group in {one.group for one in mine if one.group is not None}:
                workers = [one for one in mine if one.group == group]
                workers[next(self._turn) % len(workers)].lines.put(line)
            for one in mine:
                if one.group is None:
                    one.lines.put(line)
            return str(stamped["id"])

    def subscribe(self, name: str, group: str | None, *, replay: bool) -> _Subscriber:
        with self._lock:
            made = _Subscriber(name, group)
            for event in self.of(name) if replay else ():
                made.lines.put(json.dumps(event).encode() + b"\n")
            self._subscribers.append(made)
            return made

    def leave(self, subscriber: _Subscriber) -> None:
        with self._lock:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: EventsServer
    connection: socket.socket

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(60)
        with self.api._lock:
            self.api._connections.add(self.connection)

    def finish(self) -> None:
        with self.api._lock:
            self.api._connections.discard(self.connection)
        super().finish()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != PATH:
            return self._say(404, {"error": "not_found"})
        try:
            event = json.loads(body)
            name, _, _ = event["name"], event["correlationId"], event["payload"]
        except (ValueError, KeyError, TypeError):
            return self._say(400, {"error": "bad_request"})
        if not self._may(name):
            return None
        if name == self.api.refused[0] and self.api.refused[1]:
            return self._say(self.api.refused[1].pop(0), {"error": "unavailable"})
        if self.api.failures:
            return self._say(self.api.failures.pop(0), {"error": "unavailable"})
        return self._say(202, {"accepted": True, "id": self.api.publish(event), "name": name})

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        name = query.get("name", "")
        if parts.path != f"{PATH}/stream" or not re.fullmatch("[a-z0-9._-]+", name):
            return self._say(400, {"error": "bad_request"})
        if not self._may(name):
            return None
        group = query.get("group", "default") if query.get("delivery") == "unicast" else None
        subscriber = self.api.subscribe(name, group, replay=query.get("replay") == "true")
        try:
            self._stream(subscriber, follow=query.get("follow", "true") == "true")
        finally:
            self.api.leave(subscriber)
        return None

    def _stream(self, subscriber: _Subscriber, *, follow: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        while follow or not subscriber.lines.empty():
            try:
                line = subscriber.lines.get(timeout=0.1)
            except queue.Empty:
                # A client says nothing more: what can be read is its end.
                if not select.select([self.connection], [], [], 0)[0]:
                    continue
                line = None
            if line is None:
                self.close_connection = True
                _shut(self.connection)
                return
            time.sleep(self.api.delay)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _may(self, name: str) -> bool:
        header = self.headers.get("Authorization", "")
        self.api.authorizations.add(header)
        scopes = self.api.tokens.get(header.removeprefix("Bearer "))
        wanted = scope_of(name)
        if scopes is None:
            self._say(401, {"error": "invalid_auth"})
        elif wanted not in scopes:
            self._say(403, {"error": "forbidden"})
        return scopes is not None and wanted in scopes

    def _say(self, code: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Nobody reads it."""


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def main(address: str, port: str, certificate: str, key: str) -> None:
    scopes = {token: frozenset(each) for token, each in json.load(sys.stdin).items()}
    server = EventsServer(scopes, (Path(certificate), Path(key)), int(port), address)
    server.start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
