"""`--events-url`: which engine carries the events."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from busnode.contract import BadRequestError
from busnode.events.bus import unheard
from busnode.events.memory import Memory
from busnode.history import place
from busnode.secrets import read_private

if TYPE_CHECKING:
    from busnode.events.bus import Bus

MEMORY = "memory:"
HELP = "the bus: redis://HOST:PORT, rediss://USER@HOST:PORT, unix://PATH or https://HOST, a deployment's Events API"
_SCHEMES = frozenset({"redis", "rediss", "unix", "http", "https"})


def connect(url: str, environment: Mapping[str, str], lost: Callable[[str], None] = unheard) -> Bus:
    """The bus at `url`; password or token come from `environment`, or from the files that it names.

    `lost` is told why a stream of an Events API cannot be opened, while it is tried again.

    Raises BadRequestError where that is no bus, or not a safe one; UnreachableError where nothing answers there.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise BadRequestError(f"--events-url: {error}; give {HELP}") from error
    if parts.scheme == "memory":
        return Memory()
    if parts.scheme not in _SCHEMES:
        raise BadRequestError(f"--events-url {parts.scheme}: no such engine; give {HELP}")
    if parts.password is not None:
        file = "BUS_API_TOKEN_FILE" if parts.scheme.startswith("http") else "BUS_EVENTS_REDIS_PASSWORD_FILE"
        message = f"others see it in the list of processes; put it into the file {file}"
        raise BadRequestError(f"--events-url: holds a password, and {message}")
    if parts.query or parts.fragment:
        # Options there would undo what is checked here: ssl_cert_reqs=none, password=….
        raise BadRequestError("--events-url: holds a query or a fragment; give the address alone")
    if parts.scheme.startswith("http"):
        return _events_api(url, parts, environment, lost)
    if parts.scheme != "unix" and not _is_loopback(host):
        _require_safe(parts)
    return _redis(url, parts, environment)


def _events_api(url: str, parts: SplitResult, environment: Mapping[str, str], lost: Callable[[str], None]) -> Bus:
    if not parts.hostname or parts.username is not None:
        raise BadRequestError(
            f"--events-url {parts.scheme}: not a host and a port; give https://HOST or https://HOST:PORT"
        )
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise BadRequestError(
            f"--events-url: {parts.hostname} is not loopback, and http:// shows the token to the network; give https://"
        )
    _require_library("httpx")
    # No other engine needs its library.
    from busnode.events.events_api import EventsApi, Token  # noqa: PLC0415
    from busnode.events.follower import Retry  # noqa: PLC0415
    from busnode.events.http_bus import HttpBus  # noqa: PLC0415
    from busnode.events.patient_api import PatientApi  # noqa: PLC0415

    patient = PatientApi(EventsApi(url, Token.of(environment)), Retry.of(environment), lost)
    return HttpBus(patient, place(environment).parent)


def _require_safe(parts: SplitResult) -> None:
    if parts.scheme != "rediss":
        raise BadRequestError(
            f"--events-url: {parts.hostname} is not loopback, and redis:// is not encrypted; give rediss://"
        )
    if not parts.username:
        message = f"{parts.hostname} is not loopback, and names no ACL user; give rediss://USER@{parts.hostname}"
        raise BadRequestError(f"--events-url: {message}")


def _redis(url: str, parts: SplitResult, environment: Mapping[str, str]) -> Bus:
    _require_library("redis")
    # No other engine needs its library.
    from busnode.events.redis_connection import RedisConnection  # noqa: PLC0415
    from busnode.events.redis_streams import RedisStreams  # noqa: PLC0415

    file = environment.get("BUS_EVENTS_REDIS_PASSWORD_FILE")
    password = environment.get("BUS_EVENTS_REDIS_PASSWORD")
    if file:
        # An empty one, which the units have where there is none, is no password.
        password = read_private(Path(file)).decode("utf-8", "replace").strip() or password
    username = unquote(parts.username) if parts.username else None
    prefix = environment.get("BUS_EVENTS_REDIS_PREFIX") or "bus"
    return RedisStreams(RedisConnection.connect(url, username=username, password=password or None, prefix=prefix))


def _require_library(name: str) -> None:
    if find_spec(name) is None:
        raise BadRequestError(f"the library {name} is not installed; run: pip install 'bee-busnode[services]'")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
