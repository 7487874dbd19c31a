"""The fallback password: random enough, kept for its owner alone, hashed as login programs expect."""

from __future__ import annotations

import math
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iso.errors import BuildError
from iso.image import password
from iso.image.password import Password

if TYPE_CHECKING:
    from pathlib import Path


def test_it_has_at_least_80_random_bits_and_no_two_are_alike() -> None:
    made = {Password.generate().password for _ in range(200)}
    assert len(made) == 200
    letters = "".join(made).replace("-", "")
    assert len(letters) / 200 * math.log2(len(set(letters))) >= 80


def test_its_hash_is_what_openssl_makes_of_it() -> None:
    made = Password("correct-horse", "saltsaltsaltsalt")
    expected = subprocess.run(
        ["openssl", "passwd", "-6", "-salt", "rounds=200000$saltsaltsaltsalt", "-stdin"],
        input="correct-horse\n",
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert made.hash() == expected


@settings(max_examples=20)
@given(st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), min_size=1, max_size=20))
def test_a_hash_verifies_its_own_password_and_no_other(secret: str) -> None:
    hashed = password.crypt(secret, "$6$rounds=1000$salt$")
    assert password.crypt(secret, hashed) == hashed
    assert password.crypt(secret + "x", hashed) != hashed


def test_a_setting_that_crypt_refuses_is_an_error() -> None:
    with pytest.raises(BuildError):
        password.crypt("secret", "$nonsense$")


def test_it_is_kept_for_its_owner_alone_and_found_again(tmp_path: Path) -> None:
    file = tmp_path / "private/password.json"
    made = password.load_or_generate(file)
    assert password.load_or_generate(file) == made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password.json"
    password.load_or_generate(file)
    file.chmod(0o640)
    with pytest.raises(BuildError, match="others can read it"):
        password.load_or_generate(file)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"password": "x"}', '{"password": 1, "salt": "y"}'])
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "password.json"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(BuildError, match="not a password file"):
        password.load_or_generate(file)
