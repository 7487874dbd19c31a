"""Certificates of an authority that lives for one test, made by openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


@dataclass(frozen=True)
class Authority:
    """A certificate authority; `certificate` is what its clients trust."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Authority:
        made = cls(folder)
        # From 3.13 on Python takes no authority without (RFC 5280, 4.2.1.3).
        usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        subject = ["-x509", "-subj", "/CN=an authority of the tests", "-days", "2", *usage]
        _openssl("req", *_CURVE, *subject, "-keyout", str(folder / "ca.key"), "-out", str(made.certificate))
        return made

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, name: str) -> tuple[Path, Path]:
        """A server's certificate and key for `name`, such as IP:127.0.0.1 or DNS:localhost."""
        stem = name.replace(":", "-").replace("*", "any")
        key, request, certificate = (self.folder / f"{stem}.{end}" for end in ("key", "csr", "pem"))
        _openssl("req", *_CURVE, "-subj", "/CN=a server", "-keyout", str(key), "-out", str(request))
        extensions = self.folder / f"{stem}.ext"
        extensions.write_text(f"subjectAltName={name}\nauthorityKeyIdentifier=keyid\n")
        signer = ["-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key"), "-CAcreateserial", "-days", "2"]
        out = ["-extfile", str(extensions), "-out", str(certificate)]
        _openssl("x509", "-req", "-in", str(request), *signer, *out)
        return certificate, key


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
