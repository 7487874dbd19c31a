"""Keys as OpenSSH writes them: fingerprints, and the public half of a private key file."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from typing import TYPE_CHECKING

from busnode.contract import BadRequestError
from busnode.transport.process import exchange

if TYPE_CHECKING:
    from pathlib import Path

_ARMOUR = re.compile(rb"-----BEGIN OPENSSH PRIVATE KEY-----\n([A-Za-z0-9+/=\n]+)-----END OPENSSH PRIVATE KEY-----\s*")
_MAGIC = b"openssh-key-v1\0"
# How many fields each half of a type has, its type among them; the private one begins with those of the public one, and
# the comment follows.
_PUBLIC_FIELDS = {"ssh-ed25519": 2, "ssh-rsa": 3, **{f"ecdsa-sha2-nistp{bits}": 3 for bits in (256, 384, 521)}}
_FIELDS = {"ssh-ed25519": 3, **{f"ecdsa-sha2-nistp{bits}": 4 for bits in (256, 384, 521)}}
_MAX_BYTES = 100_000


def fingerprint(key: str) -> str:
    """The SHA256 fingerprint of a base64 public key, as ssh-keygen -l prints it."""
    digest = hashlib.sha256(base64.b64decode(key)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def public_key(private_key: Path) -> str:
    """The public half of a private key file, `type base64 comment`; without a comment where the key has a passphrase.

    Raises BadRequestError where ssh-keygen cannot read it without asking, which is so of old formats with a passphrase.
    """
    return _read(private_key) or _asked(private_key)


def _read(private_key: Path) -> str | None:
    """What ssh-keygen would say of a file that openssh's PROTOCOL.key describes, without its start; None for others."""
    try:
        armoured = _ARMOUR.fullmatch(private_key.read_bytes()[:_MAX_BYTES])
        raw = base64.b64decode(armoured[1]) if armoured else b""
        cipher, rest = _field(raw.removeprefix(_MAGIC))
        for _ in ("kdf", "its options"):
            _, rest = _field(rest)
        public, rest = _field(rest[4:])
        private, rest = _field(rest)
        kind, key = _field(public)[0].decode("ascii"), private[8:]
        if not raw.startswith(_MAGIC) or rest:
            return None
        if cipher == b"none":
            comment = _comment(kind, public, key)
        else:
            # It is the agent that opens it, for ssh; the public half is not locked.
            comment = "" if _after(public, _PUBLIC_FIELDS[kind]) == b"" else None
        if comment is None:
            return None
    except (OSError, ValueError, KeyError):
        return None
    said = f"{kind} {base64.b64encode(public).decode()} {comment}".strip()
    return said if said.isprintable() else None


def _comment(kind: str, public: bytes, private: bytes) -> str | None:
    if not private.startswith(public):
        return None
    return _field(_after(private, _FIELDS[kind]))[0].decode("ascii")


def _after(data: bytes, fields: int) -> bytes:
    for _ in range(fields):
        _, data = _field(data)
    return data


def _field(data: bytes) -> tuple[bytes, bytes]:
    """The string that data begins with (RFC 4251 section 5), and what follows it. Raises ValueError where it is cut."""
    end = 4 + int.from_bytes(data[:4])
    if not 4 <= end <= len(data):
        raise ValueError("cut")
    return data[4:end], data[end:]


def _asked(private_key: Path) -> str:
    try:
        done = exchange(["ssh-keygen", "-y", "-P", "", "-f", os.fspath(private_key.absolute())], time_limit=10)
    except FileNotFoundError:
        raise BadRequestError("ssh-keygen: not installed here; run: apt-get install openssh-client") from None
    if done.exit_code != 0:
        why = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no answer"]
        remedy = "give an OpenSSH private key, without a passphrase or with one that your agent knows"
        raise BadRequestError(f"{private_key}: {why[0]}; {remedy}")
    return done.stdout.decode().strip()
