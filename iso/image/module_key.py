"""The key that signs kernel modules, and the certificate that a machine must know for it: a pair, or refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from iso import shell
from iso.errors import BuildError

if TYPE_CHECKING:
    from pathlib import Path

HASH = "sha512"
# As openssl calls P-256 and P-384.
_CURVES = ("prime256v1", "secp384r1")
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
    said, public = [], []
    # What openssl says of a file may quote it: of a private key nothing is repeated.
    for setting, path, command, meant in (
        (
            "sign_key",
            key,
            ["openssl", "pkey", "-inform", "PEM", "-passin", "pass:", "-pubout", "-in"],
            "a bare private key in PEM",
        ),
        (
            "sign_cert",
            certificate,
            ["openssl", "x509", "-noout", "-pubkey", "-in"],
            "an X.509 certificate in PEM or DER",
        ),
    ):
        try:
            with path.open("rb"):
                public.append(shell.capture([*command, str(path)]))
        except OSError as error:
            said.append(f"{setting}={path}: {error.strerror}")
        except BuildError:
            said.append(f"{setting}={path}: not {meant} (see openssl-req(1))")
    if len(public) == 2:
        if public[0] != public[1]:
            said.append(f"sign_cert={certificate}: this certificate is not of the key {key}")
        elif not _is_verifiable(certificate):
            said.append(
                f"sign_key={key}: the kernel verifies RSA keys and EC keys on P-256 or P-384, none of another kind"
            )
    return said


def _is_verifiable(certificate: Path) -> bool:
    """Whether the kernel can verify what its key signed (Documentation/admin-guide/module-signing.rst)."""
    # Of its key alone: any words may be in a name.
    shown = shell.capture(
        ["openssl", "x509", "-noout", "-text", "-certopt", _KEY_ALONE, "-in", str(certificate)],
    )
    facts = dict(line.strip().split(": ", 1) for line in shown.splitlines() if ": " in line)
    return facts.get("Public Key Algorithm") == "rsaEncryption" or facts.get("ASN1 OID") in _CURVES


def write_der(certificate: Path, target: Path) -> None:
    """Write a certificate as mokutil(1) and the kernel take it.

    Args:
        certificate: X.509, PEM or DER.
        target: the file to write.

    Raises:
        BuildError: it is no certificate.
    """
    shell.capture(["openssl", "x509", "-in", str(certificate), "-outform", "DER", "-out", str(target)])


def serial(certificate: Path) -> str:
    """A certificate's serial number, hexadecimal digits without leading zeros: what a signature names its signer by.

    Args:
        certificate: X.509, PEM or DER.

    Raises:
        BuildError: it is none.
    """
    said = shell.capture(["openssl", "x509", "-in", str(certificate), "-noout", "-serial"])
    return normal_serial(said.partition("=")[2])


def normal_serial(text: str) -> str:
    """A serial number as it is compared, from openssl's or modinfo's way to write it.

    Args:
        text: hexadecimal digits, with colons or without.
    """
    return re.sub(r"[^0-9A-F]", "", text.upper()).lstrip("0")
