"""The API's server: uvicorn in a thread of its own, on a socket that is bound before anything is said to be ready."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from typing import TYPE_CHECKING

import uvicorn

from busnode.contract import BadRequestError, BusnodeError

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from busnode.events.bus import Bus

_START_SECONDS = 10.0


def bind(address: str, *, anywhere: bool) -> socket.socket:
    """A listening socket at `HOST:PORT`; HOST is an address of this machine, IPv6 in brackets.

    Raises BadRequestError for one beyond loopback unless `anywhere`, and where it cannot be had.
    """
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
        number = int(port)
    except ValueError:
        raise BadRequestError(f"--addr {address}: not an address and a port; give one such as 127.0.0.1:8093") from None
    if not (is_loopback or anywhere):
        message = f"--addr {address}: not loopback, and this API authenticates no public clients"
        raise BadRequestError(f"{message}; put a proxy before it, or add --any-address")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, number))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        raise BadRequestError(f"--addr {address}: {error}; give another") from error
    return listener


class Server:
    """A running server."""

    def __init__(self, application: Starlette, listener: socket.socket, bus: Bus) -> None:
        self._bus = bus
        # Its own log would hold queries; the application writes one line a response.
        config = uvicorn.Config(application, log_level="warning", access_log=False, lifespan="off", server_header=False)
        self._server = uvicorn.Server(config)
        self._listener = listener
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    @property
    def failure(self) -> BusnodeError | None:
        """The bus's: without it there is nothing to serve."""
        return self._bus.failure

    def _serve(self) -> None:
        self._server.run([self._listener])

    def start(self) -> None:
        """Returns once it accepts."""
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)

    def stop(self, time_limit: float) -> bool:
        """Finish what is under way; False where that took more than `time_limit` seconds."""
        self._server.should_exit = True
        self._thread.join(time_limit)
        self._listener.close()
        return not self._thread.is_alive()
