"""A file from the network, in any number of attempts: resumed where it broke off, believed when its digest is right."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from iso.errors import BuildError
from iso.tree import file_digest
from iso.urls import without_userinfo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ATTEMPTS = 5
# Seconds of silence after which a server counts as gone, and between attempts.
_SILENCE = 60
_PAUSE = 2
_CHUNK = 1 << 20


class _BrokenOffError(Exception):
    """An attempt ended early; what came of it is kept, and another may follow."""


def fetch(
    url: str,
    sha256: str,
    target: Path,
    *,
    proxies: Mapping[str, str] | None = None,
    say: Callable[[str], None] = print,
    pause: float = _PAUSE,
) -> None:
    """Have a file, whole and verified, or not at all; what an interrupted call got is resumed by the next one.

    Args:
        url: http or https; a user and password in it are used and never shown.
        sha256: what the file must have, lower case.
        target: where it goes; beside it, .partial holds what there is until then.
        proxies: URLs of proxies by scheme, beside those of the environment.
        say: is given lines of progress.
        pause: seconds between attempts.

    Raises:
        BuildError: it cannot be had, or is another file than the one wanted.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    was_kept = partial.exists()
    shown = without_userinfo(url)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({**urllib.request.getproxies(), **(proxies or {})})
    )
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _continue(opener, url, partial, say)
            break
        except _BrokenOffError as trouble:
            if attempt == ATTEMPTS:
                kept = partial.stat().st_size if partial.exists() else 0
                raise BuildError(
                    f"{shown}: {without_userinfo(str(trouble))}, {ATTEMPTS} times; {kept} bytes are kept and resumed: "
                    "run the same command again, or see whether the network, the proxy or the URL is right"
                ) from None
            say(f"{shown}: {without_userinfo(str(trouble))}; attempt {attempt + 1} of {ATTEMPTS}")
            time.sleep(pause)
    found = file_digest(partial)
    if found != sha256:
        size = partial.stat().st_size
        partial.unlink()
        if was_kept:
            say(f"{shown}: what an earlier attempt had kept was of another file; once more from its beginning")
            return fetch(url, sha256, target, proxies=proxies, say=say, pause=pause)
        raise BuildError(
            f"{shown}: its sha256 is {found} ({size} bytes), {sha256} is wanted: "
            "the file there is another one, or the sum is of another version; it was not kept"
        )
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    partial.replace(target)
    return None


def _request(url: str, begin: int) -> urllib.request.Request:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    # Compressed on the way, a range of it would be a range of something else.
    headers = {"User-Agent": "bee-busnode", "Accept-Encoding": "identity"}
    if begin:
        headers["Range"] = f"bytes={begin}-"
    plain = urlunsplit(parts._replace(netloc=host))
    request = urllib.request.Request(plain, headers=headers)  # noqa: S310 # iso.settings lets http and https pass
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        # For this server alone, not for one that it sends us on to.
        request.add_unredirected_header("Authorization", f"Basic {b64encode(pair.encode()).decode()}")
    return request


def _continue(opener: urllib.request.OpenerDirector, url: str, partial: Path, say: Callable[[str], None]) -> None:
    begin = partial.stat().st_size if partial.exists() else 0
    try:
        answer = opener.open(_request(url, begin), timeout=_SILENCE)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and begin:
                # Nothing lies behind what we have: it is the whole file, or one that is longer than the whole.
                if _total(error.headers.get("Content-Range")) == begin:
                    return
                partial.unlink()
                raise _BrokenOffError("the server's file is shorter than what was kept of it") from None
            if error.code in {408, 429} or error.code >= 500:
                raise _BrokenOffError(f"the server says {error.code} {error.reason}") from None
            raise BuildError(
                f"{without_userinfo(url)}: the server says {error.code} {error.reason}: correct nvidia_url= or "
                "NVIDIA_URL in iso/builder/VERSIONS"
            ) from None
    # ValueError: it sends us on to what is no URL.
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise _BrokenOffError(f"cannot be reached: {getattr(reason, 'strerror', None) or reason}") from None
    with contextlib.closing(answer):
        if answer.status == 206 and _first(answer.headers.get("Content-Range")) != begin:
            partial.unlink()
            raise _BrokenOffError("the server answers with another part than the one asked for")
        # A server that knows no ranges sends all of it again.
        _receive(answer, partial, begin if answer.status == 206 else 0, say)


def _receive(answer: http.client.HTTPResponse, partial: Path, begin: int, say: Callable[[str], None]) -> None:
    length = answer.headers.get("Content-Length", "")
    # Anything else is no length (RFC 9110, section 8.6) or more than any disk holds.
    whole = begin + int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
    progress = Progress(without_userinfo(answer.url).rpartition("/")[2], whole, say)
    got = begin
    with partial.open("r+b" if begin else "wb") as stream:
        stream.seek(begin)
        while chunk := _read(answer, got):
            stream.write(chunk)
            got += len(chunk)
            progress.at(got)
    if whole is not None and got < whole:
        raise _BrokenOffError(f"broke off after {got} of {whole} bytes")


def _read(answer: http.client.HTTPResponse, got: int) -> bytes:
    try:
        return answer.read1(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(f"broke off after {got} bytes: {getattr(error, 'strerror', None) or error}") from None


class Progress:
    """Says how far a download is: at its beginning, every few seconds and at its end.

    Args:
        name: the file's.
        whole: its size in bytes, where the server says it.
        say: is given the lines.
        seconds: between two lines.
    """

    def __init__(self, name: str, whole: int | None, say: Callable[[str], None], seconds: float = 5) -> None:
        self._name, self._whole, self._say, self._seconds = name, whole, say, seconds
        self._last = float("-inf")

    def at(self, got: int) -> None:
        """So many bytes are there."""
        now = time.monotonic()
        if now - self._last < self._seconds and got != self._whole:
            return
        self._last = now
        part = f" of {self._whole / 1e6:.1f} MB, {100 * got // max(self._whole, 1)} %" if self._whole else " MB"
        self._say(f"{self._name}: {got / 1e6:.1f}{part}")


def _first(content_range: str | None) -> int | None:
    """Where an answer in part begins (RFC 9110, section 14.4)."""
    match = re.fullmatch(r"bytes ([0-9]+)-[0-9]+/(?:[0-9]+|\*)", content_range or "")
    return int(match[1]) if match else None


def _total(content_range: str | None) -> int | None:
    match = re.fullmatch(r"bytes \*/([0-9]+)", content_range or "")
    return int(match[1]) if match else None
