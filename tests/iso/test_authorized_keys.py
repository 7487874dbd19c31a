"""Public keys are taken, private ones and everything else refused, before the build."""

from __future__ import annotations

import base64
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iso.image.authorized_keys import KEY_TYPES, is_public_key, problems

if TYPE_CHECKING:
    from pathlib import Path


def key_line(kind: str, material: bytes, comment: str = "") -> str:
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in (kind.encode(), material))
    return f"{kind} {base64.b64encode(blob).decode()} {comment}".strip()


keys = st.builds(key_line, st.sampled_from(KEY_TYPES), st.binary(min_size=1, max_size=64))


@pytest.fixture(scope="module", params=["ed25519", "ecdsa", "rsa"])
def key_pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / request.param
    subprocess.run(["ssh-keygen", "-q", "-t", request.param, "-N", "", "-f", file], check=True)
    return file


def test_what_ssh_keygen_makes_is_taken(key_pair: Path) -> None:
    assert problems(key_pair.with_suffix(".pub").read_bytes()) == []


def test_its_private_half_is_refused(key_pair: Path) -> None:
    assert "private key" in problems(key_pair.read_bytes())[0]


def test_a_private_key_pasted_below_a_public_one_is_refused(key_pair: Path) -> None:
    both = key_pair.with_suffix(".pub").read_bytes() + key_pair.read_bytes()
    assert "private key" in problems(both)[0]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"# nothing but a comment\n"])
def test_a_file_without_keys_is_refused(data: bytes) -> None:
    assert problems(data) == ["no public key in it"]


def test_a_bad_line_among_good_ones_is_named() -> None:
    good = key_line("ssh-ed25519", b"x" * 32)
    assert problems(f"{good}\nssh-ed25519 AAAA\n{good}\n".encode()) == ["line 2 is no public key"]


@pytest.mark.parametrize("options", ['from="10.0.0.0/8"', 'command="echo \\"ssh-rsa AAAA\\"",no-pty', "restrict"])
def test_options_before_a_key_are_allowed(options: str) -> None:
    assert is_public_key(f"{options} {key_line('ssh-ed25519', b'x' * 32)}")


@pytest.mark.parametrize(
    "before", ["host.example", "1)", "|1|c2FsdA==|aGFzaA==", "restrict no-pty", "restrict,", "colour"]
)
def test_a_key_that_sshd_would_not_find_is_refused(before: str) -> None:
    assert not is_public_key(f"{before} {key_line('ssh-ed25519', b'x' * 32)}")


def test_a_key_that_says_one_type_and_holds_another_is_refused() -> None:
    blob = key_line("ssh-rsa", b"x" * 32).split()[1]
    assert not is_public_key(f"ssh-ed25519 {blob}")


@given(keys)
def test_every_well_formed_key_is_taken(line: str) -> None:
    assert is_public_key(line)


@given(keys, st.integers(min_value=1, max_value=20))
def test_a_truncated_key_is_refused(line: str, cut: int) -> None:
    kind, blob = line.split()
    raw = base64.b64decode(blob)
    # Down to the type alone, at most: what is left of a blob must never pass for one.
    shorter = raw[: max(0, len(raw) - cut)]
    assert not is_public_key(f"{kind} {base64.b64encode(shorter).decode()}")


@given(st.binary(max_size=200))
def test_any_bytes_give_an_answer(data: bytes) -> None:
    assert isinstance(problems(data), list)
