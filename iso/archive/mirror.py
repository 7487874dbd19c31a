"""Which Debian archive to build from: the one that this machine's own apt uses, unless another is named."""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from iso import machine_files, remembered, shell
from iso.archive.sources import FORMAT, parse_index_targets
from iso.errors import BuildError

if TYPE_CHECKING:
    from iso.versions import Config

# A line of apt's configuration that names a proxy: for a scheme, for one host of it, or none ("DIRECT").
_PROXY = re.compile(r'^Acquire::(https?)::Proxy(?:::([^\s";]+))? "(.*)";$', re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Mirror:
    """Where packages come from.

    Args:
        archive: URL of the archive.
        security: URL of its security archive.
        of_the_past: they are as they were at some time, and say of themselves that they are out of date.
    """

    archive: str
    security: str
    of_the_past: bool = False


@functools.cache
def find(config: Config) -> Mirror:
    """The archives that a build uses.

    Raises:
        BuildError: this machine's apt has none and no setting names one.
    """
    archive, security = config.mirror, config.security_mirror
    if not (archive and security):
        question = ["apt-get", "indextargets", "--format", FORMAT, "Created-By: Packages"]
        here = parse_index_targets(remembered.capture(question, [Path(file) for file in machine_files.APT]))
        # A named archive brings its own security archive; only without a name are both this machine's.
        security = security or (security_beside(archive) if archive else here[1])
        archive = archive or here[0]
    if not archive:
        raise BuildError("this machine's apt has no Debian archive: name one, doit iso mirror=URL")
    if not security:
        raise BuildError("no Debian security archive is known: name one, doit iso security_mirror=URL")
    for url, setting in ((archive, "mirror"), (security, "security_mirror")):
        if not url.startswith(("http://", "https://")):
            raise BuildError(f"apt's source {url} is no http or https URL: name one, doit iso {setting}=URL")
    if "@" in archive + security:
        raise BuildError(
            "apt's sources have a password in a URL, which logs would show: name others, doit iso mirror=URL"
        )
    return Mirror(archive, security, of_the_past=config.snapshot is not None)


def proxy_environment() -> dict[str, str]:
    """The proxies of this machine's apt, for tools that bring an apt of their own."""
    found = parse_proxies(shell.capture(["apt-config", "dump"]))
    spared = [hosts for hosts in (os.environ.get("no_proxy"), found.get("no_proxy")) if hosts]
    return found | ({"no_proxy": ",".join(spared)} if spared else {})


def parse_proxies(dump: str) -> dict[str, str]:
    """The environment variables for apt's proxies, and the hosts that it reaches without one (apt-transport-http(1)).

    Of a proxy for a single host nothing is said: there is no variable for it.

    Args:
        dump: what `apt-config dump` prints.
    """
    found: dict[str, str] = {}
    direct = set[str]()
    for scheme, host, proxy in _PROXY.findall(dump):
        if host and proxy.upper() == "DIRECT":
            direct.add(host)
        elif not host and proxy and proxy.upper() != "DIRECT":
            found[f"{scheme.lower()}_proxy"] = proxy
    return found | ({"no_proxy": ",".join(sorted(direct))} if direct and found else {})


def security_beside(archive: str) -> str | None:
    """Where mirrors have the security archive: beside the archive, by its usual name, with the same time behind it.

    Args:
        archive: its URL.

    Returns:
        A URL; None where the archive itself has another name than the usual one.
    """
    match = re.fullmatch(r"(.*/debian)(/[0-9]{8}T[0-9]{6}Z)?/?", archive)
    return f"{match[1]}-security{match[2] or ''}" if match else None
