"""Check a file of public keys before it opens root's account (sshd(8), AUTHORIZED_KEYS FILE FORMAT)."""

from __future__ import annotations

import base64
import binascii
import re

KEY_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
_PRIVATE = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----|PuTTY-User-Key-File")
_FLAGS = (
    *("agent-forwarding", "cert-authority", "no-agent-forwarding", "no-port-forwarding", "no-pty", "no-touch-required"),
    *("no-user-rc", "no-x11-forwarding", "port-forwarding", "pty", "restrict", "user-rc", "verify-required"),
    "x11-forwarding",
)
_SETTINGS = ("command", "environment", "expiry-time", "from", "permitlisten", "permitopen", "principals", "tunnel")
_OPTION = rf"""(?i:(?:{"|".join(_FLAGS)})|(?:{"|".join(_SETTINGS)})="(?:\\"|[^"])*")"""
_KINDS = "|".join(map(re.escape, KEY_TYPES))
# The key is first, or second after one word of options; elsewhere sshd would not find it.
_KEY = re.compile(rf"(?:{_OPTION}(?:,{_OPTION})*[ \t]+)?({_KINDS})[ \t]+([^ \t]+)")


def problems(data: bytes) -> list[str]:
    """What is wrong with a file of public keys; an empty list when it can be used.

    Args:
        data: the file's content.
    """
    if _PRIVATE.search(data):
        return ["this is a private key: it belongs on your side only; give the .pub file"]
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return ["not a text file"]
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    wrong = [f"line {number} is no public key" for number, line in lines if not is_public_key(line)]
    return wrong if lines else ["no public key in it"]


def is_public_key(line: str) -> bool:
    """Whether one line is a public key, with its options and comment if any.

    The blob of a key begins with its own type (RFC 4253, 6.6): it must be the type that the line names.
    """
    match = _KEY.match(line)
    if not match:
        return False
    kind, blob = match[1].encode(), match[2]
    try:
        raw = base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError):
        return False
    fields = _fields(raw)
    return fields is not None and len(fields) > 1 and fields[0] == kind and all(fields)


def _fields(raw: bytes) -> list[bytes] | None:
    """The length-prefixed strings of a blob; nothing when a length does not fit."""
    fields = []
    place = 0
    while place < len(raw):
        size = int.from_bytes(raw[place : place + 4], "big")
        place += 4
        if place + size > len(raw):
            return None
        fields.append(raw[place : place + size])
        place += size
    return fields
