"""What to build: iso/builder/VERSIONS and the settings of the command line, checked at once and together."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from iso import authorized_keys
from iso.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SUITES = ("trixie", "bookworm")
NVIDIA_SOURCES = ("debian", "none")
PIN_OR_NEWEST = "pin-or-newest"

_ABI = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+~]*(-[0-9A-Za-z.+~]+)*-amd64")
# A shell takes a tilde for a home directory at the beginning of a value and after a colon.
_LINE = re.compile(r"([A-Z][A-Z0-9_]*)=(?!~)((?:[0-9A-Za-z.+~_/-]|:(?!~))*)")


@dataclass(frozen=True, slots=True)
class Config:
    """One build, as asked for.

    Args:
        suite: Debian release of the live CD.
        kernel_abi: the pinned kernel, as in linux-image-<ABI>.
        newest_allowed: take the newest kernel where the mirror no longer has the pinned one.
        nvidia_source: one of NVIDIA_SOURCES.
        nvidia_version: the driver's upstream version.
        mirror: Debian archive to use in place of the one this machine's apt uses.
        security_mirror: the same for the security archive.
        authorized_keys: public keys that may log in as root; without them the image has a password.
    """

    suite: str
    kernel_abi: str
    newest_allowed: bool
    nvidia_source: str
    nvidia_version: str
    mirror: str | None = None
    security_mirror: str | None = None
    authorized_keys: Path | None = None

    @property
    def with_nvidia(self) -> bool:
        return self.nvidia_source != "none"


def parse_versions(text: str, name: str = "VERSIONS") -> tuple[dict[str, str], list[str]]:
    """KEY=value lines, as a shell would source them, and a complaint for each line that is something else.

    Args:
        text: the file's content.
        name: what to call it in complaints.
    """
    found: dict[str, str] = {}
    complaints = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if not match:
            complaints.append(f"{name}:{number}: not KEY=value without quotes or blanks: {line[:80]!r}")
        elif match[1] in found:
            complaints.append(f"{name}:{number}: {match[1]} is there twice")
        else:
            found[match[1]] = match[2]
    return found, complaints


def configure(versions: str, settings: Mapping[str, str], name: str = "iso/builder/VERSIONS") -> Config:
    """The build that VERSIONS and the command line's settings describe.

    Args:
        versions: content of the file VERSIONS.
        settings: key=value pairs of the command line.
        name: what to call the file in complaints.

    Raises:
        BadInputError: with everything that is wrong with either.
    """
    values, complaints = parse_versions(versions, name)
    complaints += [
        f"{name}: unknown key {key}{_nearest(key, VERSIONS_KEYS)}" for key in values if key not in VERSIONS_KEYS
    ]
    complaints += [f"{name}: {key} is missing" for key in VERSIONS_KEYS if key not in values]
    complaints += [
        f"{key}={value}: no such setting{_nearest(key, _SETTINGS)}"
        for key, value in settings.items()
        if key not in _SETTINGS
    ]
    for key, value in values.items():
        if key in VERSIONS_KEYS and (problem := _CHECKS[VERSIONS_KEYS[key]](value)):
            complaints.append(f"{name}: {key}={value}: {problem}")
    for key, value in settings.items():
        if key in _SETTINGS and (problem := _SETTINGS[key](value)):
            complaints.append(f"{key}={value}: {problem}")
    if complaints:
        raise BadInputError(complaints)
    chosen = {VERSIONS_KEYS[key]: value for key, value in values.items()} | dict(settings)
    newest_allowed = chosen["abi"] == PIN_OR_NEWEST
    keys = chosen.get("authorized_keys")
    return Config(
        suite=chosen["suite"],
        kernel_abi=values["DEBIAN_KERNEL_ABI"] if newest_allowed else chosen["abi"],
        newest_allowed=newest_allowed,
        nvidia_source=chosen["nvidia"],
        nvidia_version=chosen["nvidia_version"],
        mirror=chosen.get("mirror"),
        security_mirror=chosen.get("security_mirror"),
        authorized_keys=Path(keys).absolute() if keys else None,
    )


def _nearest(word: str, words: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are: {', '.join(words)}"


def _one_of(*allowed: str) -> Callable[[str], str | None]:
    return lambda value: None if value in allowed else f"must be one of {', '.join(allowed)}"


def _abi(value: str) -> str | None:
    return None if _ABI.fullmatch(value) else "not a kernel ABI such as 6.12.1+deb13-amd64 (uname -r of that kernel)"


def _abi_or_newest(value: str) -> str | None:
    return None if value == PIN_OR_NEWEST else _abi(value)


def _driver_version(value: str) -> str | None:
    return None if re.fullmatch(r"[0-9]+(\.[0-9]+){1,2}", value) else "not a driver version such as 550.163.01"


def _archive(value: str) -> str | None:
    try:
        url = urlsplit(value)
        described = url.scheme in {"http", "https"} and bool(url.netloc)
    except ValueError:
        described = False
    if "@" in value:
        return "no password belongs in a URL, which logs show"
    plain = described and not re.search(r"[^0-9A-Za-z.+~:_/\[\]-]", value)
    return None if plain else "not the http or https URL of a Debian archive"


def _keys_file(value: str) -> str | None:
    try:
        data = Path(value).read_bytes()
    except OSError as error:
        return error.strerror
    problems = authorized_keys.problems(data)
    return "; ".join(problems) or None


_CHECKS: dict[str, Callable[[str], str | None]] = {
    "suite": _one_of(*SUITES),
    "abi": _abi,
    "nvidia": _one_of(*NVIDIA_SOURCES),
    "nvidia_version": _driver_version,
}
_SETTINGS: dict[str, Callable[[str], str | None]] = {
    **_CHECKS,
    "abi": _abi_or_newest,
    "mirror": _archive,
    "security_mirror": _archive,
    "authorized_keys": _keys_file,
}
VERSIONS_KEYS = {
    "SUITE": "suite",
    "DEBIAN_KERNEL_ABI": "abi",
    "NVIDIA_SOURCE": "nvidia",
    "NVIDIA_VERSION": "nvidia_version",
}
