"""What `build-in-container.sh` asks before it makes a container: a build's own complaints, on a bare machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from iso import fit

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]


def test_the_words_of_the_script_are_settings() -> None:
    words = ["nvidia=none", "--authorized-keys", "my keys", "mirror=http://m/?a=b", "--authorized-keys=other", "word"]
    assert fit.settings(words) == {"nvidia": "none", "mirror": "http://m/?a=b", "authorized_keys": "other"}
    assert fit.settings(["--privileged", "--log=x", "=x", "--authorized-keys"]) == {}


@given(st.lists(st.text(max_size=10), max_size=5))
def test_any_words_are_read(words: list[str]) -> None:
    assert not any(key.startswith("-") or not key for key in fit.settings(words))


def test_what_only_the_container_can_judge_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").touch()
    keys = [f"{setting}={tmp_path}/key" for setting in ("sign_key", "sign_cert", "release_key")]
    assert fit.main(keys) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name.startswith(("openssl", "ssh-")) else which(name))
    assert fit.main([*keys, "nvidia=maybe"]) == 2
    assert capsys.readouterr().err == "nvidia=maybe: must be one of debian, run, none\n"


def test_it_needs_nothing_but_the_system_s_own_python() -> None:
    command = ["/usr/bin/python3", "-B", "-P", "-S", "-m", "iso.fit", "suite=potato"]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "suite=potato: must be one of trixie, bookworm\n"
