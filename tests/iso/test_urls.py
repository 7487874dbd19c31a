"""No log shows a user or a password of a URL."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from iso.urls import shown, without_userinfo

words = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="'\""), min_size=1, max_size=12)

paths = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="'\":"), max_size=12)


def test_users_and_passwords_are_left_out() -> None:
    text = "Get http://me:geheim@host:80/a then https://x@y/z, not http://plain/a@b"
    assert without_userinfo(text) == "Get http://host:80/a then https://y/z, not http://plain/a@b"


@given(words, words, words)
@example("x", "me", "p@s/s#w?d")
@example("x", "me", "80/@")
def test_whatever_a_password_is_made_of(before: str, user: str, password: str) -> None:
    marked = f"<{password}>"
    text = f"{before} https://{user}:{marked}@host.invalid/path end"
    assert marked not in without_userinfo(text)
    assert marked not in shown(f"https://{user}:{marked}@host.invalid/path")
    assert marked not in shown(f"{before} https://{user}:{marked}@host.invalid/path")
    assert marked not in shown(f"{user}:{marked}@host.invalid/path") or f"{user}:".startswith(("/", "./", "../"))


@given(paths, words, words, st.sampled_from(["/", "?", "#"]))
def test_whatever_a_token_without_a_colon_is_made_of(before: str, token: str, host: str, end: str) -> None:
    marked = f"<{re.sub('[/?#]', '', token)}>"
    text = f"{before} https://{marked}@{host}{end}x"
    assert marked not in without_userinfo(text)
    assert marked not in shown(text)


@given(st.from_regex(r"[a-z0-9.-]{1,12}", fullmatch=True), paths, st.sampled_from(["/", "?", "#"]))
def test_an_at_sign_in_the_path_leaves_host_and_path(host: str, path: str, begin: str) -> None:
    url = f"https://{host}{begin}{path}@{path}"
    assert without_userinfo(f"see {url} there") == f"see {url} there"
    assert shown(url) == url


@given(paths, st.sampled_from(["/", "./", "../", "/srv/a:b/"]))
def test_a_file_s_path_stays_whatever_it_is_called(path: str, begin: str) -> None:
    name = f"{begin}x{path}@{path}/keys.pub"
    assert shown(name) == name


@given(st.text(max_size=60))
def test_a_text_without_an_at_sign_stays(text: str) -> None:
    plain = text.replace("@", "")
    assert without_userinfo(plain) == plain == shown(plain)
