"""The Events API of a running Bus deployment, from its client's side: publish, and streams of one name's events.

Source: bus-api-provider-events. It stamps what it takes with members of its own, which are left out here.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import httpx

from busnode.contract import BadRequestError, UnauthorizedError, UnreachableError
from busnode.events.envelope import MAX_BYTES, Envelope
from busnode.secrets import Secret, is_credential, read_private

EVENTS_PATH = "/api/v1/events"
_CONNECT_SECONDS, _ANSWER_SECONDS = 5.0, 20.0
# A stream that says nothing for so long is opened again: its other end may be gone without a word.
QUIET_SECONDS = 300.0
# So does the kernel where the other machine is gone: after 30 s without a word, three times 10 s (tcp(7)).
_KEEP_ALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]
_MAX_ANSWER, _MAX_ID = 65_536, 128
_TOKEN = re.compile(rb"[\x21-\x7e]{1,16384}")
_ENVELOPE = ("name", "correlationId", "correlation_id", "payload")
_SCOPES = "node:admin (bootstrap, harden), node:read (status, verify), ssh:run (scripts)"


@dataclass(frozen=True, slots=True)
class Token:
    """The bearer token: a file, which is read again each time, or else a value that never changes."""

    file: Path | None = None
    value: Secret | None = None
    is_loaded: bool = False
    """Whether the file is one of $CREDENTIALS_DIRECTORY: those stay as they were when the service was started."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Token:
        """$BUS_API_TOKEN_FILE, else $BUS_API_TOKEN. Raises BadRequestError where there is neither, or no good one."""
        file, value = environment.get("BUS_API_TOKEN_FILE"), environment.get("BUS_API_TOKEN")
        if not file and not value:
            raise BadRequestError("BUS_API_TOKEN_FILE: not set; point it at the file of the bus's token, mode 0600")
        if file:
            made = cls(Path(file), is_loaded=is_credential(Path(file), environment))
        else:
            made = cls(value=Secret((value or "").encode("utf-8", "surrogateescape")))
        made.header()
        return made

    @property
    def is_static(self) -> bool:
        """Whether it stays as it is: who was refused will be refused again."""
        return self.file is None or self.is_loaded

    def header(self) -> dict[str, str]:
        """The Authorization header. Raises BadRequestError where the file can be read by others or holds no token."""
        raw = read_private(self.file) if self.file is not None else self.value.reveal() if self.value else b""
        token = raw.strip()
        if not _TOKEN.fullmatch(token):
            message = "not one word of ASCII; put the bearer token, and nothing else, there"
            raise BadRequestError(f"{self.file or 'BUS_API_TOKEN'}: {message}")
        return {"Authorization": f"Bearer {token.decode('ascii')}"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a stream: `text` is the envelope alone, or what came where it is none; `id` is the server's own."""

    text: bytes
    name: str = ""
    correlation_id: str = ""
    id: str = ""


class Stream:
    """The lines of an open stream; read by one thread, closed by any."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = (_line(text) for text in split(response.iter_raw(), MAX_BYTES) if text.strip())
        self._socket: socket.socket = response.extensions["network_stream"].get_extra_info("socket")
        for option in _KEEP_ALIVE:
            self._socket.setsockopt(*option)

    def __iter__(self) -> Iterator[Line]:
        return self._lines

    def close(self) -> None:
        """End it: whoever reads it comes to its end, or gets UnreachableError."""
        # Past an SSLSocket's own shutdown, which pulls the rug from under the thread that reads.
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class EventsApi:
    """The client; all of it can be used from several threads.

    Args:
        url: of the deployment, or of its `/api/v1/events`.
        token: asked for at each request.
    """

    def __init__(self, url: str, token: Token) -> None:
        self.token = token
        self.failure: UnauthorizedError | None = None
        """That the token is none of this deployment's, where it never changes."""
        self._url = url.rstrip("/")
        if httpx.URL(self._url).path == "/":
            self._url += EVENTS_PATH
        # The system's authorities, as curl has them, or $SSL_CERT_FILE; no proxy and no .netrc of anybody's.
        transport = httpx.HTTPTransport(
            verify=ssl.create_default_context(),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=8),
            trust_env=False,
        )
        headers = {"Accept-Encoding": "identity", "User-Agent": "busnode"}
        self._client = httpx.Client(transport=transport, trust_env=False, headers=headers)

    def publish(self, event: Envelope) -> None:
        """Send an event.

        Raises UnreachableError where it may not have arrived, else UnauthorizedError or BadRequestError.
        """
        code, said = self._post(event)
        if code == 401 and not self.token.is_static:
            # The token may have been changed a moment ago.
            code, said = self._post(event)
        self._require_fine(code, said, event.name)
        if not said.get("accepted"):
            raise UnreachableError(f"{self._url}: does not say that it accepted {event.name}; is it an Events API?")

    def history(self, name: str) -> Iterator[Line]:
        """The events of a name that there are now. Raises as `follow` does."""
        query = {"name": name, "delivery": "broadcast", "replay": "true", "follow": "false"}
        with self._stream(query, _ANSWER_SECONDS) as stream:
            yield from stream

    @contextmanager
    def follow(self, query: Mapping[str, str]) -> Iterator[Stream]:
        """The events to come, once the stream is open.

        Raises UnreachableError where it cannot be opened or breaks, UnauthorizedError where the token is refused.
        """
        with self._stream({**query, "replay": "false", "follow": "true"}, QUIET_SECONDS) as stream:
            yield stream

    def close(self) -> None:
        """End; what is under way ends with UnreachableError."""
        self._client.close()

    def _post(self, event: Envelope) -> tuple[int, dict[str, Any]]:
        headers = {**self.token.header(), "Content-Type": "application/json"}
        timeout = httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS)
        with (
            self._mapped(),
            self._client.stream(
                "POST", self._url, content=event.to_text(), headers=headers, timeout=timeout
            ) as response,
        ):
            return response.status_code, _document(_beginning(response))

    @contextmanager
    def _stream(self, query: Mapping[str, str], quiet: float) -> Iterator[Stream]:
        headers = {**self.token.header(), "Accept": "application/x-ndjson"}
        timeout = httpx.Timeout(_CONNECT_SECONDS, read=quiet)
        with (
            self._mapped(),
            self._client.stream(
                "GET", f"{self._url}/stream", params=dict(query), headers=headers, timeout=timeout
            ) as response,
        ):
            if response.status_code != 200:
                self._require_fine(response.status_code, _document(_beginning(response)), query["name"])
            kind = response.headers.get("content-type", "").partition(";")[0].strip()
            if response.status_code != 200 or kind != "application/x-ndjson":
                raise UnreachableError(f"{self._url}/stream: answers {kind or 'nothing'}; is it an Events API?")
            yield Stream(response)

    def _require_fine(self, code: int, said: Mapping[str, Any], name: str) -> None:
        try:
            _require_fine(code, said, name)
        except UnauthorizedError as error:
            if code == 401 and self.token.is_static:
                self.failure = error
            raise

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, httpx.StreamError) as error:
            why = str(error) or type(error).__name__
            raise UnreachableError(f"{self._url}: {why}; see that the Events API runs there") from error
        except RuntimeError as error:
            # httpx, of a client that was closed meanwhile.
            if not self._client.is_closed:
                raise
            raise UnreachableError("the bus is closed") from error


def split(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """The lines of a stream, without their ends; of one longer than `limit` bytes the first `limit` + 1.

    >>> list(split([b"a", b"b\\ncd", b"efg\\n", b"h"], 3))
    [b'ab', b'cdef', b'h']
    """
    line = bytearray()
    for chunk in chunks:
        *ends, rest = chunk.split(b"\n")
        for piece in ends:
            line += piece[: limit + 1 - len(line)]
            yield bytes(line)
            line.clear()
        line += rest[: limit + 1 - len(line)]
    if line:
        yield bytes(line)


def _line(text: bytes) -> Line:
    document = _document(text) if len(text) <= MAX_BYTES else {}
    event = {key: document[key] for key in _ENVELOPE if key in document}
    name, correlation_id = event.get("name"), event.get("correlationId", event.get("correlation_id"))
    if not (_is_short(name) and _is_short(correlation_id)):
        return Line(text)
    event_id = document["id"] if _is_short(document.get("id")) else ""
    if _has_doubles(text):
        # Whoever takes it is to see that, and refuses it.
        return Line(text, name, correlation_id, event_id)
    return Line(json.dumps(event, separators=(",", ":")).encode(), name, correlation_id, event_id)


def _has_doubles(text: bytes) -> bool:
    found = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal found
        found = found or len(dict(pairs)) != len(pairs)

    json.loads(text, object_pairs_hook=look)
    return found


def _is_short(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= _MAX_ID


def _beginning(response: httpx.Response) -> bytes:
    data = bytearray()
    for chunk in response.iter_raw():
        data += chunk
        if len(data) > _MAX_ANSWER:
            break
    return bytes(data[:_MAX_ANSWER])


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _require_fine(code: int, said: Mapping[str, Any], name: str) -> None:
    why = str(said.get("error", ""))[:200]
    told = f"the Events API answers {code}{f' {why}' if why.isprintable() and why else ''} to {name}"
    if code in {200, 202}:
        return
    if code == 401:
        raise UnauthorizedError(f"{told}; see that the token of BUS_API_TOKEN_FILE is one of this deployment's")
    if code == 403:
        raise UnauthorizedError(f"{told}; the token needs the scope of it: {_SCOPES}")
    if 300 <= code < 400:
        raise BadRequestError(f"{told}: it is elsewhere; give the address that it leads to as --events-url")
    if code in {400, 413, 422}:
        raise BadRequestError(f"{told}; correct the request")
    raise UnreachableError(f"{told}; see that it runs, and that the address is right")
