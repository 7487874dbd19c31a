"""Where the user's own folders are, by the XDG base directory specification."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iso.paths import Paths, strange_characters


@pytest.mark.parametrize("value", [None, "", "relative", "./here", "~/cache"])
def test_what_is_no_absolute_path_is_as_if_it_were_not_set(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.setenv("HOME", "/home/jo")
    for variable in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
        if value is not None:
            monkeypatch.setenv(variable, value)
    paths = Paths.of(Path("/srv/clone"))
    assert paths.cache == Path("/home/jo/.cache/bee-busnode/iso")
    assert paths.private == Path("/home/jo/.config/bee-busnode/iso")


def test_an_absolute_path_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/srv/cache")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/srv/config")
    paths = Paths.of(Path("/srv/clone"))
    assert (paths.cache, paths.private) == (Path("/srv/cache/bee-busnode/iso"), Path("/srv/config/bee-busnode/iso"))


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_what_live_build_cannot_bear_is_named(name: str) -> None:
    fit = set(name) <= set("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._+-/")
    assert (strange_characters(Path("/srv") / name) == "") == fit
