"""The key that signs kernel modules, and the certificate that a machine must know for it: a pair, or refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from iso import shell
from iso.errors import BuildError, MissingProgramError

if TYPE_CHECKING:
    from pathlib import Path

HASH = "sha512"
# As openssl calls P-256 and P-384.
_CURVES = ("prime256v1", "secp384r1")
_RSA_BITS = 2048
# How DER begins: a sequence, the length of its length, its length (as sign-file tells it from PEM).
_SEQUENCE, _LONG = b"\x30", (b"\x81", b"\x82", b"\x83", b"\x84")
_KEY_ALONE = (
    "no_header,no_version,no_serial,no_signame,no_issuer,no_validity,no_subject,no_extensions,no_sigdump,no_aux"
)


def problems(key: Path | None, certificate: Path | None) -> list[str]:
    """All that is wrong with the pair, a line each; nothing when neither is given.

    Args:
        key: private key, PEM without a passphrase.
        certificate: X.509, PEM or DER.
    """
    if key is None and certificate is None:
        return []
    if key is None:
        return ["sign_cert= needs sign_key=, the private key of that certificate"]
    if certificate is None:
        return ["sign_key= needs sign_cert=, the certificate that a machine must know for it"]
    return _pair_problems(key, certificate)


def _pair_problems(key: Path, certificate: Path) -> list[str]:
    said, public = [], []
    # What openssl says of a file may quote it: of a private key nothing is repeated.
    for setting, path, ask, meant in (
        ("sign_key", key, _public_half, "a bare private key in PEM"),
        ("sign_cert", certificate, _certified, "an X.509 certificate in PEM or DER"),
    ):
        try:
            public.append(ask(path))
        except OSError as error:
            said.append(f"{setting}={path}: {error.strerror}")
        except MissingProgramError as error:
            return [f"{setting}={path}: cannot be looked at: {error}"]
        except BuildError:
            said.append(f"{setting}={path}: not {meant} (see openssl-req(1))")
    if len(public) == 2:
        if public[0] != public[1]:
            said.append(f"sign_cert={certificate}: this certificate is not of the key {key}")
        elif problem := _unfit(certificate):
            said.append(f"sign_key={key}: {problem}")
    return said


def _public_half(key: Path) -> str:
    with key.open("rb"):
        return shell.capture(
            ["openssl", "pkey", "-inform", "PEM", "-passin", "pass:", "-pubout", "-in", str(key)],
        )


def _certified(certificate: Path) -> str:
    return _x509(certificate, "-noout", "-pubkey")


def _x509(certificate: Path, *options: str) -> str:
    """What openssl says of a certificate, in a form that the kernel's sign-file takes, too."""
    with certificate.open("rb") as stream:
        head = stream.read(8)
    is_der = head[:1] == _SEQUENCE and head[1:2] in _LONG
    # openssl reads all that holds a certificate, PKCS#12 for one; a certificate itself begins with another sequence.
    if is_der and head[head[1] - 0x80 + 2 :][:1] != _SEQUENCE:
        raise BuildError(f"{certificate}: not an X.509 certificate in PEM or DER")
    return shell.capture(["openssl", "x509", "-inform", "DER" if is_der else "PEM", *options, "-in", str(certificate)])


def _unfit(certificate: Path) -> str | None:
    """Why modules should not be signed with a certificate's key (Documentation/admin-guide/module-signing.rst)."""
    # Of its key alone: any words may be in a name.
    shown = _x509(certificate, "-noout", "-text", "-certopt", _KEY_ALONE)
    facts = dict(line.strip().split(": ", 1) for line in shown.splitlines() if ": " in line)
    if facts.get("Public Key Algorithm") != "rsaEncryption":
        others = "the kernel verifies RSA keys and EC keys on P-256 or P-384, none of another kind"
        return None if facts.get("ASN1 OID") in _CURVES else others
    bits = int(re.sub(r"[^0-9]", "", facts.get("Public-Key", "")) or 0)
    return None if bits >= _RSA_BITS else f"an RSA key of {bits} bits can be broken: make one of {_RSA_BITS} or more"


def write_der(certificate: Path, target: Path) -> None:
    """Write a certificate as mokutil(1) and the kernel take it.

    Args:
        certificate: X.509, PEM or DER.
        target: the file to write.

    Raises:
        BuildError: it is no certificate.
    """
    _x509(certificate, "-outform", "DER", "-out", str(target))


def serial(certificate: Path) -> str:
    """A certificate's serial number, hexadecimal digits without leading zeros: what a signature names its signer by.

    Args:
        certificate: X.509, PEM or DER.

    Raises:
        BuildError: it is none.
    """
    said = _x509(certificate, "-noout", "-serial")
    return normal_serial(said.partition("=")[2])


def normal_serial(text: str) -> str:
    """A serial number as it is compared, from openssl's or modinfo's way to write it.

    Args:
        text: hexadecimal digits, with colons or without.
    """
    return re.sub(r"[^0-9A-F]", "", text.upper()).lstrip("0")
