"""How ssh is told to check a node's host key: by what is pinned, by a named file, or by the user's known_hosts."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from busnode.contract import BadRequestError
from busnode.transport.configuration import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from busnode.inventory import Target

# A pinned fingerprint, checked by ssh itself on the very connection: %f, %H, %t, %K are the key that was presented.
_PIN = """/bin/sh -c 'test "$1" != "$2" || echo "$3 $4 $5"' pin %f {fingerprint} %H %t %K"""

_KEY_TYPE = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+")
# Every public key begins with the length of its type's name, three zero bytes among it.
_KEY_BLOB = re.compile(r"AAAA")


@contextmanager
def options(target: Target, known_hosts: Path | None, *, trust_on_first_use: bool) -> Iterator[list[str]]:
    """Those of ssh; the first source there is decides: the target's host_key, the named file, the user's known_hosts.

    Raises BadRequestError where a pinned key cannot be written down for ssh.
    """
    pinned = target.host_key
    if pinned is not None and pinned.startswith("SHA256:"):
        nothing = ["UserKnownHostsFile=/dev/null", "GlobalKnownHostsFile=/dev/null", "StrictHostKeyChecking=yes"]
        yield [*nothing, f"KnownHostsCommand={_PIN.format(fingerprint=pinned)}"]
    elif pinned is not None:
        with _temporary_file(target) as file:
            file.write(known_hosts_line(pinned, _known_as(target)) + "\n")
            file.flush()
            yield [*only_of(Path(file.name)), "StrictHostKeyChecking=yes"]
    else:
        strict = "accept-new" if trust_on_first_use else "yes"
        named = [] if known_hosts is None else only_of(known_hosts)
        yield [*named, f"StrictHostKeyChecking={strict}"]


def only_of(path: Path) -> list[str]:
    """The options of ssh that have it know the keys of one file and no others."""
    return [f"UserKnownHostsFile={quoted(path)}", "GlobalKnownHostsFile=/dev/null", "KnownHostsCommand=none"]


def known_hosts_line(pinned: str, known_as: str) -> str:
    """A pinned key as a line of known_hosts: a whole line is kept, a bare key gets the host's name.

    >>> known_hosts_line("ssh-ed25519 AAAA", "[10.0.0.10]:2222")
    '[10.0.0.10]:2222 ssh-ed25519 AAAA'
    >>> known_hosts_line("ssh-1.example ssh-ed25519 AAAA", "10.0.0.10")
    '10.0.0.10 ssh-ed25519 AAAA'
    """
    words = pinned.split()
    # A host may be called ssh-1, so it is the second word that tells.
    if len(words) > 2 and _KEY_TYPE.fullmatch(words[1]) and _KEY_BLOB.match(words[2]):
        words = words[1:]
    return " ".join([known_as, *words[:2]])


def _known_as(target: Target) -> str:
    return target.host if target.port == 22 else f"[{target.host}]:{target.port}"


def _temporary_file(target: Target) -> IO[str]:
    import tempfile  # noqa: PLC0415 - only a pinned key needs it, and it brings eight modules

    try:
        return tempfile.NamedTemporaryFile("w", prefix="busnode-", suffix=".known")
    except OSError as error:
        message = f"{target.log_in}: no temporary file can be made here: {error.strerror}; nothing was sent"
        raise BadRequestError(message) from error
