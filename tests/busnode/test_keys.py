"""The public half of private keys, beside what ssh-keygen says of them."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from busnode.contract import BadRequestError
from busnode.transport import keys
from busnode.transport.keys import public_key

TYPES = {"ed25519": (), "rsa": ("-b", "2048"), "ecdsa": ("-b", "384")}


def _made(path: Path, kind: str, *options: str, comment: str = "me@here", passphrase: str = "") -> Path:
    words = ("ssh-keygen", "-q", "-t", kind, *TYPES[kind], "-C", comment, "-N", passphrase, *options, "-f", str(path))
    subprocess.run(words, check=True)
    return path


def _by_ssh_keygen(path: Path) -> str:
    return subprocess.run(["ssh-keygen", "-y", "-P", "", "-f", path], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("comment", ["me@here", "several words of it", "", "tail "])
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_it_is_read_as_ssh_keygen_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, comment: str
) -> None:
    key = _made(tmp_path / "key", kind, comment=comment)
    said = _by_ssh_keygen(key).strip()
    monkeypatch.setattr(keys, "exchange", None)
    assert public_key(key) == said


@pytest.mark.parametrize("comment", ["Zoë", "a\tb"])
def test_what_is_not_plain_is_asked_of_ssh_keygen(tmp_path: Path, comment: str) -> None:
    key = _made(tmp_path / "key", "ed25519", comment=comment)
    assert public_key(key) == _by_ssh_keygen(key).strip()


@pytest.mark.parametrize("options", [(), ("-m", "PEM")])
def test_other_types_and_formats_are_asked_of_ssh_keygen(tmp_path: Path, options: tuple[str, ...]) -> None:
    key = _made(tmp_path / "key", "rsa", *options)
    assert (b"BEGIN RSA" in key.read_bytes()) is bool(options)
    assert public_key(key) == _by_ssh_keygen(key).strip()


@pytest.mark.parametrize("kind", TYPES)
def test_the_public_half_of_a_key_with_a_passphrase_is_not_locked(tmp_path: Path, kind: str) -> None:
    key = _made(tmp_path / "key", kind, passphrase="secret words")
    assert public_key(key).split() == key.with_suffix(".pub").read_text().split()[:2]


def test_what_cannot_be_read_without_asking_is_one_line(tmp_path: Path) -> None:
    key = _made(tmp_path / "key", "rsa", "-m", "PEM", passphrase="secret words")
    with pytest.raises(BadRequestError, match="without a passphrase or with one that your agent knows"):
        public_key(key)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(at=st.integers(min_value=0), value=st.integers(min_value=0, max_value=255), cut=st.booleans())
def test_a_damaged_file_is_never_read_as_another_key(tmp_path: Path, at: int, value: int, cut: bool) -> None:
    """Cut, or with another byte anywhere in its lengths and names: another key's public half never comes of it."""
    key = tmp_path / "key"
    if not key.exists():
        _made(key, "ed25519")
    whole = keys._read(key)
    assert whole is not None
    raw = bytearray(base64.b64decode("".join(key.read_text().splitlines()[1:-1])))
    # Up to the end of the public half.
    at %= 39 + 4 + 51
    raw = raw[: len(raw) - at - 1] if cut else raw[:at] + bytes([value]) + raw[at + 1 :]
    text = base64.b64encode(raw).decode()
    damaged = tmp_path / "damaged"
    damaged.write_text(f"-----BEGIN OPENSSH PRIVATE KEY-----\n{text}\n-----END OPENSSH PRIVATE KEY-----\n")
    found = keys._read(damaged)
    # Where it calls itself locked, nobody looks for the comment.
    assert found is None or found.split()[:2] == whole.split()[:2]
