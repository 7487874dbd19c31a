"""`--events-url`: which engine carries the events."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from busnode.contract import BadRequestError
from busnode.events.memory import Memory
from busnode.secrets import read_private

if TYPE_CHECKING:
    from busnode.events.bus import Bus

MEMORY = "memory:"
HELP = "the bus: redis://HOST:PORT, rediss://USER@HOST:PORT or unix://PATH"


def connect(url: str, environment: Mapping[str, str]) -> Bus:
    """The bus at `url`; the password comes from $BUS_EVENTS_REDIS_PASSWORD_FILE, a file, or $BUS_EVENTS_REDIS_PASSWORD.

    Raises BadRequestError where that is no bus, or not a safe one; UnreachableError where nothing answers there.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise BadRequestError(f"--events-url: {error}; give {HELP}") from error
    if parts.scheme == "memory":
        return Memory()
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise BadRequestError(f"--events-url {parts.scheme}: no such engine; give {HELP}")
    if parts.password is not None:
        message = "others see it in the list of processes; put it into the file BUS_EVENTS_REDIS_PASSWORD_FILE"
        raise BadRequestError(f"--events-url: holds a password, and {message}")
    if parts.query or parts.fragment:
        # Options there would undo what is checked here: ssl_cert_reqs=none, password=….
        raise BadRequestError("--events-url: holds a query or a fragment; give the address alone")
    if parts.scheme != "unix" and not _is_loopback(host):
        _require_safe(parts)
    return _redis(url, parts, environment)


def _require_safe(parts: SplitResult) -> None:
    if parts.scheme != "rediss":
        raise BadRequestError(
            f"--events-url: {parts.hostname} is not loopback, and redis:// is not encrypted; give rediss://"
        )
    if not parts.username:
        message = f"{parts.hostname} is not loopback, and names no ACL user; give rediss://USER@{parts.hostname}"
        raise BadRequestError(f"--events-url: {message}")


def _redis(url: str, parts: SplitResult, environment: Mapping[str, str]) -> Bus:
    if find_spec("redis") is None:
        raise BadRequestError("the library of redis is not installed; run: pip install 'bee-busnode[services]'")
    from busnode.events.redis_streams import RedisStreams  # noqa: PLC0415 - no other engine needs its library

    file = environment.get("BUS_EVENTS_REDIS_PASSWORD_FILE")
    password = environment.get("BUS_EVENTS_REDIS_PASSWORD")
    if file:
        password = read_private(Path(file)).decode("utf-8", "replace").strip()
    username = unquote(parts.username) if parts.username else None
    prefix = environment.get("BUS_EVENTS_REDIS_PREFIX") or "bus"
    return RedisStreams.connect(url, username=username, password=password or None, prefix=prefix)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
