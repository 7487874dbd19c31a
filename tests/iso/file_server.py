"""A web server on loopback with one file: it resumes, breaks off, refuses, sends on, or takes its time."""

from __future__ import annotations

import contextlib
import http.server
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

CONTENT = bytes(range(256)) * 4096


@dataclass
class Server:
    """A web server with one file.

    Args:
        content: the file's.
        ranges: whether it resumes.
        cuts: after how many bytes of its answer it drops each connection, in their order; then it drops none.
        statuses: what it says in place of the file, in their order.
        asked: the Range of each request.
        logins: the Authorization of each request.
        elsewhere: a URL that it sends everyone on to.
        length: what it says that its answer is long, in place of the truth.
        name: the file's.
        seconds: how long it takes over the whole file.
    """

    content: bytes = CONTENT
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)
    logins: list[str | None] = field(default_factory=list)
    elsewhere: str = ""
    length: str = ""
    name: str = "installer.run"
    seconds: float = 0
    url: str = ""

    def pieces(self, body: bytes) -> Iterator[bytes]:
        """What is sent at once of an answer, with a pause before each."""
        size = len(self.content) // 20 + 1 if self.seconds else max(1, len(body))
        for begin in range(0, len(body), size):
            time.sleep(self.seconds / 20)
            yield body[begin : begin + size]


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    """A server at work, which has its URL then."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(self.headers.get("Range"))
            server.logins.append(self.headers.get("Authorization"))
            if server.elsewhere:
                self.send_response(302)
                self.send_header("Location", server.elsewhere)
                self.end_headers()
                return
            if server.statuses:
                self.send_error(server.statuses.pop(0))
                return
            begin = 0
            wanted = re.fullmatch(r"bytes=([0-9]+)-", self.headers.get("Range", "")) if server.ranges else None
            if wanted and int(wanted[1]) >= len(server.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(server.content)}")
                self.end_headers()
                return
            if wanted:
                begin = int(wanted[1])
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {begin}-{len(server.content) - 1}/{len(server.content)}")
            else:
                self.send_response(200)
            body = server.content[begin:]
            self.send_header("Content-Length", server.length or str(len(body)))
            self.end_headers()
            cut = server.cuts.pop(0) if server.cuts else len(body)
            # Whoever asked may have been killed.
            with contextlib.suppress(ConnectionError):
                for piece in server.pieces(body[:cut]):
                    self.wfile.write(piece)
            self.close_connection = True

        def log_message(self, *_arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        server.url = f"http://127.0.0.1:{listening.server_address[1]}/pool/{server.name}"
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()
