"""What each setting may be: one check a setting, each with the words that are said of a value it refuses."""

from __future__ import annotations

import errno
import os
import re
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from iso import container
from iso.image import authorized_keys, release_key

if TYPE_CHECKING:
    from collections.abc import Callable

SUITES = ("trixie", "bookworm")
NVIDIA_SOURCES = ("debian", "run", "none")
NVIDIA_FLAVOURS = ("proprietary", "open")
PROFILES = ("dev", "release")
PIN_OR_NEWEST = "pin-or-newest"
SNAPSHOT_FIELD = "{snapshot}"
# Whose values are files of whoever builds.
PATHS = ("authorized_keys", "release_key", "sign_cert", "sign_key")

_ABI = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+~]*(-[0-9A-Za-z.+~]+)*-amd64")
_PORT = "its port is no number from 1 to 65535"
_TIME = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_TIME_FORMAT = "%Y%m%dT%H%M%S%z"
_PLAIN_URL = re.compile(r"[0-9A-Za-z.+~:_/\[\]-]*")


def _one_of(*allowed: str) -> Callable[[str], str | None]:
    return lambda value: None if value in allowed else f"must be one of {', '.join(allowed)}"


def _matching(pattern: str, otherwise: str) -> Callable[[str], str | None]:
    return lambda value: None if re.fullmatch(pattern, value) else otherwise


def _abi(value: str) -> str | None:
    return None if _ABI.fullmatch(value) else "not a kernel ABI such as 6.12.1+deb13-amd64 (uname -r of that kernel)"


def _abi_or_newest(value: str) -> str | None:
    return None if value == PIN_OR_NEWEST else _abi(value)


def _http_problem(value: str, otherwise: str) -> str | None:
    """What is wrong with a URL: its port, or, in the caller's words, anything else."""
    try:
        url = urlsplit(value)
    except ValueError:
        return otherwise
    if url.scheme not in {"http", "https"} or not url.hostname:
        return otherwise
    try:
        return None if url.port != 0 else _PORT
    except ValueError:
        return _PORT


def _archive(value: str) -> str | None:
    if "@" in value:
        # It would stand in configuration files of the image's build and in the command lines of its tools.
        return "no user or password belongs in an archive's URL; name a mirror or a proxy of apt that asks for none"
    otherwise = "not the http or https URL of a Debian archive"
    plain = _PLAIN_URL.fullmatch(value.replace(SNAPSHOT_FIELD, ""))
    return _http_problem(value, otherwise) if plain else otherwise


def _installer(value: str) -> str | None:
    otherwise = "not an http or https URL in plain ASCII: any other character is written as %XX"
    return _http_problem(value, otherwise) if re.fullmatch(r"[!#-&(-~]+", value) else otherwise


def _snapshot(value: str) -> str | None:
    if not _TIME.fullmatch(value):
        return "not a time such as 20260131T000000Z"
    try:
        moment = datetime.strptime(value, _TIME_FORMAT)
    except ValueError:
        return "no day of the calendar, or no time of a day"
    now = datetime.now(UTC)
    return f"in the future: this machine's clock says {now:%Y%m%dT%H%M%SZ}" if moment > now else None


def _sha256(value: str) -> str | None:
    if not re.fullmatch(r"[0-9a-fA-F]*", value):
        return "not a sha256: something else than hexadecimal digits is in it"
    return None if len(value) == 64 else f"not a sha256: {len(value)} digits in place of 64"


def file_problem(value: str) -> str | None:
    """Why a path is no file that a build can read, and read again when it needs it.

    Args:
        value: the path.
    """
    if not value:
        return "names no file"
    try:
        mode = Path(value).stat().st_mode
    except OSError as error:
        # bash does so in name=~/file, sh and zsh do not.
        unexpanded = ": no shell has put your home in place of ~: write $HOME" if value.startswith("~/") else ""
        return f"{error.strerror}{unexpanded}"
    if stat.S_ISDIR(mode):
        return os.strerror(errno.EISDIR)
    # Of a pipe nothing would be left for the stage that uses it.
    return None if stat.S_ISREG(mode) else "a pipe or a device, which cannot be read twice: name a file"


def _keys_file(value: str) -> str | None:
    if problem := file_problem(value):
        return problem
    try:
        data = Path(value).read_bytes()
    except OSError as error:
        return error.strerror
    return "; ".join(authorized_keys.problems(data)) or None


def _release_key(value: str) -> str | None:
    return file_problem(value) or release_key.problem(Path(value))


# Of the lines of VERSIONS.
VERSIONS_CHECKS: dict[str, Callable[[str], str | None]] = {
    "suite": _one_of(*SUITES),
    "abi": _abi,
    "nvidia": _one_of(*NVIDIA_SOURCES),
    "nvidia_version": _matching(r"[0-9]+(\.[0-9]+){1,2}", "not a driver version such as 550.163.01"),
    "nvidia_flavour": _one_of(*NVIDIA_FLAVOURS),
    "nvidia_url": _installer,
    "nvidia_sha256": _sha256,
    "profile": _one_of(*PROFILES),
}
# Of the command line.
CHECKS: dict[str, Callable[[str], str | None]] = {
    **VERSIONS_CHECKS,
    "abi": _abi_or_newest,
    "mirror": _archive,
    "security_mirror": _archive,
    "snapshot": _snapshot,
    "authorized_keys": _keys_file,
    container.SETTING: _one_of(*container.ENGINES),
    # What is in them is checked together, once both are known (iso.image.module_key).
    "sign_key": file_problem,
    "sign_cert": file_problem,
    "release_key": _release_key,
}
