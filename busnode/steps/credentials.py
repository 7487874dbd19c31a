"""Credentials: files by reference, and the operator's public key."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from busnode.script import Step
from busnode.steps.directories import bare_mode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from busnode.inventory import Target
    from busnode.secrets import Secret


def steps(target: Target, contents: Sequence[Secret], operator_key: str | None) -> list[Step]:
    """One step a credential; `contents` are the target's credential files in order, sent as blobs of the same numbers.

    `operator_key` is the public half of the operator's key, in the form of authorized_keys.
    """
    found = [
        Step(
            "place-credentials",
            f"credential {file.destination}",
            "credentials",
            (
                "credential_placed",
                str(number),
                hashlib.sha256(content.reveal()).hexdigest(),
                file.destination,
                file.owner,
                file.group,
                bare_mode(file.mode),
            ),
        )
        for number, (file, content) in enumerate(zip(target.credential_files, contents, strict=True))
    ]
    if target.authorize_operator and operator_key is not None:
        found.append(authorized_key(target.user, operator_key))
    return found


def authorized_key(user: str, key: str, whose: str = "operator") -> Step:
    """The step that makes `key` one of those with which `user` may log in."""
    kind, blob, *comment = key.split(maxsplit=2)
    call = ("authorized_key", user, kind, blob, " ".join(comment))
    return Step("place-credentials", f"authorized key of the {whose} for {user}", "credentials", call)


def is_public_key(line: str) -> bool:
    """Whether a line is a plain public key: type, base64, at most a comment.

    >>> is_public_key("ssh-ed25519 AAAAC3Nz name"), is_public_key('command="x" ssh-ed25519 AAAA')
    (True, False)
    """
    return re.fullmatch(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}( [ -~]*)?", line) is not None
