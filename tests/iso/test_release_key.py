"""The signature beside the image is one that ssh-keygen verifies; a key that cannot sign is refused, never repeated."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from iso import shell
from iso.errors import BuildError
from iso.image import release_key


@pytest.fixture(scope="module", params=["ed25519", "ecdsa", "rsa"])
def key(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    private = tmp_path_factory.mktemp("keys") / "release"
    make(private, "-t", request.param)
    return private


def make(private: Path, *options: str, passphrase: str = "") -> None:
    subprocess.run(["ssh-keygen", "-q", "-N", passphrase, "-C", "who signs", "-f", str(private), *options], check=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As the build's dist/: nothing but what is put there."""
    place = tmp_path / "dist"
    place.mkdir()
    return place


def verified(signers: Path, file: Path) -> int:
    """The exit code of the command that docs/iso.md gives."""
    command = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", "release", "-n", "file", "-s", f"{file}.sig"]
    with file.open("rb") as content:
        return subprocess.run(command, stdin=content, capture_output=True, check=False).returncode


def test_a_signature_is_verified_and_of_this_content_alone(key: Path, folder: Path) -> None:
    assert release_key.problem(key) is None
    signers, sums = folder / "allowed_signers", folder / "SHA256SUMS"
    signers.write_text(f"release {release_key.public_key(key)}\n")
    sums.write_text("ab  image.iso\n")
    for content in ("ab  image.iso\n", "cd  image.iso\n"):
        sums.write_text(content)
        assert release_key.sign(key, sums, folder / "log") == folder / "SHA256SUMS.sig"
        assert verified(signers, sums) == 0
    sums.write_text("ef  image.iso\n")
    assert verified(signers, sums) != 0
    assert {path.name for path in folder.iterdir()} == {"allowed_signers", "SHA256SUMS", "SHA256SUMS.sig", "log"}


def test_what_cannot_sign_is_refused_without_being_repeated(tmp_path: Path) -> None:
    make(tmp_path / "locked", "-t", "ed25519", passphrase="secret")
    make(tmp_path / "open", "-t", "ed25519")
    (tmp_path / "text").write_text("no key, but private\n")
    (tmp_path / "text").chmod(0o600)
    (tmp_path / "open").chmod(0o644)
    for name in ("locked", "open", "open.pub", "text"):
        said = release_key.problem(tmp_path / name)
        assert said is not None, name
        assert said.startswith("not an SSH private key without a passphrase")
        assert "but private" not in said
    assert release_key.problem(tmp_path / "absent") == "No such file or directory"
    assert release_key.problem(tmp_path) == "Is a directory"


def test_a_signature_that_cannot_be_made_leaves_the_old_one(key: Path, folder: Path) -> None:
    sums = folder / "SHA256SUMS"
    sums.write_text("ab  image.iso\n")
    release_key.sign(key, sums, folder / "log")
    before = (folder / "SHA256SUMS.sig").read_bytes()
    (folder / "other").write_text("no key\n")
    with pytest.raises(BuildError, match="ssh-keygen"):
        release_key.sign(folder / "other", sums, folder / "log")
    assert (folder / "SHA256SUMS.sig").read_bytes() == before
    assert {path.name for path in folder.iterdir()} == {"SHA256SUMS", "SHA256SUMS.sig", "log", "other"}


def test_a_key_that_only_seems_to_sign_is_refused_before_any_work(tmp_path: Path) -> None:
    """ssh-keygen reads a PEM key's public half, but signs with it only by the .pub file."""
    make(tmp_path / "pem", "-t", "rsa", "-m", "PEM")
    assert release_key.problem(tmp_path / "pem") is None
    (tmp_path / "pem.pub").unlink()
    assert (tmp_path / "pem").read_text().startswith("-----BEGIN RSA PRIVATE KEY-----")
    before = sorted(tmp_path.iterdir())
    said = release_key.problem(tmp_path / "pem")
    assert said is not None
    assert "ssh-keygen -p" in said
    assert sorted(tmp_path.iterdir()) == before


def test_without_ssh_keygen_that_is_what_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "release", "-t", "ed25519")
    monkeypatch.setattr(shell, "_SYSTEM_PATH", str(tmp_path))
    said = release_key.problem(tmp_path / "release")
    assert said == "cannot be looked at: ssh-keygen: this program is not installed on this machine"
