"""The search for a builder's secrets in an image finds each of them, and nothing in a tree that has none."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.boot.leaks import OWN, complaints

SECRETS = {"the password": b"abcdef-ghjkmn"}
ARCHIVES = {"mirror.example.org"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A system as an image has it."""
    for name, content in {
        "etc/machine-id": "",
        "etc/apt/sources.list.d/.keep": "",
        "root/.bashrc": "",
        "etc/hosts": "127.0.0.1 mirror.example.org",
        "etc/motd": "http://mirror.example.org.example.net/",
        "root/.ssh/authorized_keys": "ssh-ed25519 AAAA",
        "usr/bin/ssh": "-----BEGIN OPENSSH PRIVATE KEY-----\0more of a program",
        "usr/share/doc/x": "http://mirror.example.org/ and user@example.org, https://example.org/a:b/c@d",
    }.items():
        write(tmp_path, name, content)
    (tmp_path / "etc/apt/sources.list.d/.keep").unlink()
    return tmp_path


def write(tree: Path, name: str, content: str) -> None:
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(content)


def test_a_tree_without_secrets_has_no_complaint(tree: Path) -> None:
    assert complaints(tree, SECRETS, ARCHIVES) == []


@pytest.mark.parametrize("pattern", OWN)
def test_what_only_a_running_system_has_is_found(tree: Path, pattern: str) -> None:
    name = pattern.replace("*", "x")
    write(tree, name, "x")
    assert complaints(tree, {}, set()) == [f"{name} is in it"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("root/.bash_history", "", "root/.bash_history is in it"),
        ("root/.cache/x", "", "root/.cache is in it"),
        ("etc/machine-id", f"{'ab' * 16}\n", "etc/machine-id is some machine's"),
        ("opt/x", "so abcdef-ghjkmn is in it", "opt/x has the password"),
        ("var/lib/x", "http://user:secret@example.org/x", "var/lib/x has a URL with a password"),
        ("etc/apt/apt.conf", "http://mirror.example.org:3142", "etc/apt/apt.conf names the archive mirror.example.org"),
    ],
)
def test_what_is_planted_is_found(tree: Path, name: str, content: str, said: str) -> None:
    write(tree, name, content)
    assert said in complaints(tree, SECRETS, ARCHIVES)


@pytest.mark.parametrize(
    "make",
    [
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f"],
        ["ssh-keygen", "-q", "-t", "rsa", "-m", "PEM", "-N", "secret", "-f"],
        ["openssl", "genpkey", "-algorithm", "ED25519", "-out"],
        ["openssl", "genrsa", "-aes256", "-passout", "pass:secret", "-traditional", "-out"],
    ],
    ids=["OpenSSH", "PEM with a passphrase", "PKCS 8", "OpenSSL with a passphrase"],
)
def test_a_private_key_is_found_in_every_form(tree: Path, make: list[str]) -> None:
    subprocess.run([*make, str(tree / "usr/key")], check=True, capture_output=True)
    assert complaints(tree, {}, set()) == ["usr/key has a private key"]


@pytest.mark.parametrize("listed", ["usr/lib/x.so", "lib/x.so"])
def test_what_a_package_brings_is_no_secret_until_it_is_changed(tree: Path, listed: str) -> None:
    content = "as in the manual: http://user:secret@example.org/x"
    write(tree, "usr/lib/x.so", content)
    assert complaints(tree, {}, set()) == ["usr/lib/x.so has a URL with a password"]
    write(tree, "var/lib/dpkg/info/x.md5sums", f"{hashlib.md5(content.encode()).hexdigest()}  {listed}\n")
    assert complaints(tree, {}, set()) == []
    assert complaints(tree, {"the password": b"secret"}, set()) == ["usr/lib/x.so has the password"]
    write(tree, "usr/lib/x.so", f"{content}y")
    assert complaints(tree, {}, set()) == ["usr/lib/x.so has a URL with a password"]
