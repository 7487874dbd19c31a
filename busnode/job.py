"""One script on its way to a node, with what only the side that holds keys and secrets can add to it.

A plan names secrets and keys by reference. Where a script leaves by ssh, and nowhere before, a vault turns the
references into bytes.
"""

from __future__ import annotations

import hashlib
import shlex
from typing import TYPE_CHECKING

from busnode import shipped
from busnode.contract import BadRequestError, UnauthorizedError
from busnode.records import dataclass
from busnode.script import Material, MaterialKind, pack
from busnode.secrets import Secret, locate, read_private
from busnode.steps.credentials import is_public_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Job:
    """A compiled script; `materials` are its variables, `blobs` and `password` references to what goes beside it.

    `time_limit` is in seconds; the node itself stops the script after it.
    """

    script: str
    time_limit: float
    materials: tuple[Material, ...] = ()
    blobs: tuple[str, ...] = ()
    password: str | None = None

    def pack(self, vault: Vault) -> bytes:
        """What the loader reads. Raises BadRequestError where a reference leads to nothing usable."""
        password = None if self.password is None else vault.secret(self.password)
        blobs = [vault.secret(reference) for reference in self.blobs]
        return pack(self.text(vault), time_limit=self.time_limit, password=password, blobs=blobs)

    def text(self, vault: Vault) -> str:
        """The script with its materials."""
        values = [vault.value(material) for material in self.materials]
        known = "".join(f"material_{number}={shlex.quote(value)}\n" for number, value in enumerate(values))
        return known + self.script


@dataclass(frozen=True)
class Vault:
    """Where references lead on this side; relative files begin at `base`.

    `operator_key` gives the public half of the key that logs in, `type base64 comment`. Where `folders` are named, a
    file must lie below one of them, wherever links lead, or be one of `own`; none of `never` is given out at all.
    """

    base: Path
    secrets_dir: Path | None = None
    operator_key: Callable[[], str] | None = None
    folders: tuple[Path, ...] | None = None
    own: frozenset[str] = frozenset()
    never: tuple[Path, ...] = ()

    def secret(self, reference: str) -> Secret:
        """What a reference leads to, read now."""
        if reference.startswith(shipped.SCHEME):
            return Secret(shipped.referred(reference))
        return Secret(read_private(self.path(reference)))

    def path(self, reference: str) -> Path:
        """The file that a reference names. Raises UnauthorizedError where it is not to be had here."""
        path = locate(reference, self.base, self.secrets_dir)
        if self.folders is None:
            return path
        try:
            real = path.resolve()
            is_never = any(real == one.resolve() or _is_same_file(real, one) for one in self.never)
        except (OSError, RuntimeError) as error:
            raise BadRequestError(f"{reference}: {error}") from error
        if is_never:
            raise UnauthorizedError(f"{reference}: a private key; it is sent to nobody")
        if reference not in self.own and not any(real.is_relative_to(folder.resolve()) for folder in self.folders):
            raise UnauthorizedError(f"{reference}: outside of the folders that may be used here")
        return real

    def value(self, material: Material) -> str:
        """The word that stands for a material in a script."""
        if material.kind is MaterialKind.DIGEST:
            return hashlib.sha256(self.secret(material.reference or "").reveal()).hexdigest()
        kind, blob, *comment = self._public_key(material.reference).split(maxsplit=2)
        parts = {MaterialKind.KEY_TYPE: kind, MaterialKind.KEY: blob, MaterialKind.KEY_COMMENT: " ".join(comment)}
        return parts[material.kind]

    def _public_key(self, reference: str | None) -> str:
        if reference is None:
            if self.operator_key is None:
                raise BadRequestError("no operator's key is known here, and the plan needs it")
            return self.operator_key()
        lines = self.secret(reference).reveal().decode("utf-8", "replace").strip().splitlines()
        if len(lines) != 1 or not is_public_key(lines[0]):
            message = f"{reference}: not one public key; give a file with one line such as: ssh-ed25519 AAAA… name"
            raise BadRequestError(message)
        return lines[0]


def _is_same_file(one: Path, other: Path) -> bool:
    """Also by another name of it (link(2))."""
    return one.exists() and other.exists() and one.samefile(other)


@dataclass(frozen=True, slots=True)
class Parcel:
    """A job with the vault of this side: its bytes are what the loader reads, secrets among them."""

    job: Job
    vault: Vault

    def __bytes__(self) -> bytes:
        return self.job.pack(self.vault)
