"""The key that signs what lies beside the image, as ssh-keygen(1) does it: `ssh-keygen -Y sign`, namespace `file`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from iso import remembered, shell
from iso.errors import BuildError, MissingProgramError
from iso.replacement import replace_file

NAMESPACE = "file"


def public_key(key: Path) -> str:
    """The public half of a private key: type and base64, without a comment.

    Args:
        key: private key of SSH, without a passphrase.

    Raises:
        BuildError: it is none, or it has a passphrase.
    """
    said = remembered.capture(["ssh-keygen", "-y", "-P", "", "-f", str(key)], [key])
    return " ".join(said.split()[:2])


def problem(key: Path) -> str | None:
    """Why a key cannot sign; nothing where it can.

    Args:
        key: private key of SSH, without a passphrase.
    """
    try:
        with key.open("rb"):
            public_key(key)
    except OSError as error:
        return error.strerror
    except MissingProgramError as error:
        return f"cannot be looked at: {error}"
    except BuildError:
        # ssh-keygen's own words may quote the file: nothing of it is repeated.
        return "not an SSH private key without a passphrase, readable by its owner alone (ssh-keygen(1))"
    # Some keys have a public half and yet sign nothing: PEM ones without a .pub file beside them.
    with tempfile.TemporaryDirectory() as place:
        empty = Path(place) / "empty"
        empty.touch()
        try:
            shell.capture(signing(key, empty))
        except BuildError:
            return f"ssh-keygen cannot sign with it: if it is an old PEM key, convert it: ssh-keygen -p -f {key}"
    return None


def signing(key: Path, file: Path) -> list[str]:
    """The command that signs a file, in the namespace that its verification names.

    Args:
        key: private key of SSH, without a passphrase.
        file: what to sign.
    """
    return ["ssh-keygen", "-Y", "sign", "-q", "-f", str(key), "-n", NAMESPACE, str(file)]


def sign(key: Path, file: Path, log: Path) -> Path:
    """Sign a file; the signature is beside it, named .sig, whole or not at all.

    Args:
        key: private key of SSH, without a passphrase.
        file: what to sign.
        log: where ssh-keygen's words go.

    Raises:
        BuildError: ssh-keygen refuses.
    """
    # ssh-keygen writes the signature beside what it signs.
    copy = file.with_name(f".{file.name}.unsigned")
    made = copy.with_name(f"{copy.name}.sig")
    made.unlink(missing_ok=True)
    try:
        copy.write_bytes(file.read_bytes())
        shell.run(signing(key, copy), log)
        signature = file.with_name(f"{file.name}.sig")
        replace_file(signature, made.read_bytes())
    finally:
        copy.unlink(missing_ok=True)
        made.unlink(missing_ok=True)
    return signature
