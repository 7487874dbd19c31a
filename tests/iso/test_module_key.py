"""A signing key and its certificate are a pair, or refused before work begins; the key is never repeated."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from iso import shell
from iso.image import module_key


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two keys with their certificates, in PEM and DER."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("one", "two"):
        openssl("req", "-new", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", f"/CN={name}", "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem")  # fmt: skip
        openssl("x509", "-in", f"{folder}/{name}.pem", "-outform", "DER", "-out", f"{folder}/{name}.der")
    openssl("pkey", "-in", f"{folder}/one.key", "-outform", "DER", "-out", f"{folder}/one.key.der")
    openssl("pkcs12", "-export", "-in", f"{folder}/one.pem", "-inkey", f"{folder}/one.key", "-passout", "pass:",
            "-out", f"{folder}/one.p12")  # fmt: skip
    openssl("pkey", "-in", f"{folder}/one.key", "-aes256", "-passout", "pass:x", "-out", f"{folder}/locked.key")
    return folder


def openssl(*arguments: str) -> str:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("certificate", ["one.pem", "one.der"])
def test_a_pair_is_fit(keys: Path, certificate: str) -> None:
    assert module_key.problems(keys / "one.key", keys / certificate) == []


def test_no_key_is_fit_too() -> None:
    assert module_key.problems(None, None) == []


@pytest.mark.parametrize(
    ("key", "certificate", "said"),
    [
        ("one.key", "two.pem", "this certificate is not of the key"),
        ("locked.key", "one.pem", "not a bare private key in PEM"),
        ("one.pem", "one.pem", "not a bare private key in PEM"),
        ("one.key.der", "one.pem", "not a bare private key in PEM"),
        ("one.key", "one.key", "not an X.509 certificate"),
        ("one.key", "one.p12", "not an X.509 certificate in PEM or DER"),
        ("absent", "one.pem", "No such file"),
        (".", "one.pem", "Is a directory"),
    ],
)
def test_what_is_no_pair_is_refused(keys: Path, key: str, certificate: str, said: str) -> None:
    (line,) = module_key.problems(keys / key, keys / certificate)
    assert said in line
    secret = (keys / "one.key").read_text().splitlines()[1]
    assert secret not in line


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        (["rsa:2048"], True),
        (["rsa:2047"], False),
        (["rsa:1024"], False),
        (["ec", "-pkeyopt", "ec_paramgen_curve:P-384"], True),
        (["ec", "-pkeyopt", "ec_paramgen_curve:P-521"], False),
        (["ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"], False),
        (["ed25519"], False),
        (["rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"], False),
    ],
)
def test_only_a_key_that_the_kernel_can_verify_with_is_taken(tmp_path: Path, kind: list[str], taken: bool) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    # RSA may stand in its name, as the words of a key's kind do not.
    subject = "/CN=Public Key Algorithm: rsaEncryption"
    openssl("req", "-new", "-x509", "-newkey", *kind, "-nodes", "-subj", subject, "-keyout", str(key),
            "-out", str(certificate))  # fmt: skip
    said = module_key.problems(key, certificate)
    assert bool(said) != taken
    assert not said or "RSA" in said[0]


def test_without_openssl_that_is_what_is_said(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "_SYSTEM_PATH", str(keys))
    (line,) = module_key.problems(keys / "one.key", keys / "one.pem")
    assert line.endswith("one.key: cannot be looked at: openssl: this program is not installed on this machine")


def test_both_files_are_complained_of_at_once(keys: Path) -> None:
    assert len(module_key.problems(keys / "absent", keys / "absent")) == 2


def test_serial_numbers_compare_whoever_wrote_them(keys: Path) -> None:
    written = openssl("x509", "-in", str(keys / "one.pem"), "-noout", "-serial").strip().partition("=")[2]
    colons = ":".join(written[i : i + 2] for i in range(0, len(written), 2)).lower()
    assert module_key.serial(keys / "one.der") == module_key.normal_serial(colons) == written.lstrip("0")
    assert module_key.normal_serial("00:0A:b1") == "AB1"


def test_the_certificate_is_written_as_der(keys: Path, tmp_path: Path) -> None:
    for source in ("one.pem", "one.der"):
        module_key.write_der(keys / source, tmp_path / source)
        assert (tmp_path / source).read_bytes() == (keys / "one.der").read_bytes()
