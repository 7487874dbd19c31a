"""No log shows a user or a password of a URL."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from iso.urls import shown, without_userinfo

words = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="'\""), min_size=1, max_size=12)


def test_users_and_passwords_are_left_out() -> None:
    text = "Get http://me:geheim@host:80/a then https://x@y/z, not http://plain/a@b"
    assert without_userinfo(text) == "Get http://host:80/a then https://y/z, not http://b"


@given(words, words, words)
def test_whatever_a_password_is_made_of(before: str, user: str, password: str) -> None:
    marked = f"<{password}>"
    text = f"{before} https://{user}:{marked}@host.invalid/path end"
    assert marked not in without_userinfo(text)
    assert marked not in shown(f"https://{user}:{marked}@host.invalid/path")


@given(st.text(max_size=60))
def test_a_text_without_an_at_sign_stays(text: str) -> None:
    plain = text.replace("@", "")
    assert without_userinfo(plain) == plain == shown(plain)
