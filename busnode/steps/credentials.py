"""Credentials: files by reference, and the operator's public key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from busnode.script import Material, MaterialKind, Step, Word
from busnode.steps.directories import bare_mode

if TYPE_CHECKING:
    from busnode.inventory import Target


def steps(target: Target, *, authorize_operator: bool) -> list[Step]:
    """One step a credential; the target's credential files are sent as blobs, numbered in their order.

    `authorize_operator`: whether there is an operator's key that could be placed.
    """
    found = [
        Step(
            "place-credentials",
            f"credential {file.destination}",
            "credentials",
            (
                "credential_placed",
                str(number),
                Material(MaterialKind.DIGEST, file.source),
                file.destination,
                file.owner,
                file.group,
                bare_mode(file.mode),
            ),
        )
        for number, file in enumerate(target.credential_files)
    ]
    if target.authorize_operator and authorize_operator:
        found.append(authorized_key(target.user))
    return found


def authorized_key(user: str, reference: str | None = None, whose: str = "operator") -> Step:
    """The step that lets `user` log in with the public key in the file `reference`; None: with the operator's."""
    kinds = (MaterialKind.KEY_TYPE, MaterialKind.KEY, MaterialKind.KEY_COMMENT)
    call: tuple[Word, ...] = ("authorized_key", user, *(Material(kind, reference) for kind in kinds))
    return Step("place-credentials", f"authorized key of the {whose} for {user}", "credentials", call)


def is_public_key(line: str) -> bool:
    """Whether a line is a plain public key: type, base64, at most a comment.

    >>> is_public_key("ssh-ed25519 AAAAC3Nz name"), is_public_key('command="x" ssh-ed25519 AAAA')
    (True, False)
    """
    return re.fullmatch(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}( [ -~]*)?", line) is not None
