"""The password of an image without keys: generated, kept outside the clone, shown on the terminal only."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from iso.errors import BuildError

# 18 of 32 letters and digits without those that look alike: 90 bits.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789A"
_LENGTH = 18
_SALT_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Password:
    """A password and the salt of its hash: the same hash in every build of one user.

    Args:
        password: 90 random bits, in groups of six characters.
        salt: of crypt(3)'s sha512.
    """

    password: str
    salt: str

    @classmethod
    def generate(cls) -> Password:
        """A new one."""
        letters = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
        salt = "".join(secrets.choice(_SALT_ALPHABET) for _ in range(16))
        return cls("-".join(letters[start : start + 6] for start in range(0, _LENGTH, 6)), salt)

    def hash(self) -> str:
        """Its crypt(5) hash, sha512 with 200,000 rounds."""
        return crypt(self.password, f"$6$rounds=200000${self.salt}$")


def crypt(password: str, setting: str) -> str:
    """crypt(3) of the system's library; Python has none since 3.13.

    Args:
        password: to hash.
        setting: method, cost and salt (crypt(5)).

    Raises:
        BuildError: the library refused the setting.
    """
    function = ctypes.CDLL("libcrypt.so.1").crypt
    function.restype = ctypes.c_char_p
    hashed: bytes | None = function(password.encode(), setting.encode())
    if not hashed or hashed.startswith(b"*"):
        raise BuildError("crypt(3) gives no hash: is libcrypt1 damaged?")
    return hashed.decode()


def load_or_generate(file: Path) -> Password:
    """The password that a file keeps; a new one, kept there, when it has none.

    Args:
        file: 0600, in a folder that only its owner can enter.

    Raises:
        BuildError: others can read the file, or it is no such file.
    """
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        return _keep(Password.generate(), file)
    if mode & 0o077:
        raise BuildError(f"{file}: others can read it: remove it and a new password is made, or chmod 600 it")
    try:
        kept = Password(**json.loads(file.read_text()))
        if not (isinstance(kept.password, str) and isinstance(kept.salt, str)):
            raise TypeError
    except (ValueError, TypeError, OSError):
        raise BuildError(f"{file}: not a password file of this builder: remove it and a new one is made") from None
    return kept


def _keep(password: Password, file: Path) -> Password:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump(asdict(password), stream)
        stream.flush()
        os.fsync(stream.fileno())
    beside.rename(file)
    return password


def show(password: Password, file: Path) -> None:
    """Show it on the terminal and nowhere else: standard output may go into a log.

    Args:
        password: what to show.
        file: where it is kept, said where there is no terminal.
    """
    print(f"no keys given: root's password is kept in {file}")
    try:
        with Path("/dev/tty").open("w") as terminal:
            terminal.write(f"root's password on this live CD: {password.password}\n")
    except OSError:
        return
