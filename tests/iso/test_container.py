"""doit iso container=ENGINE: what is handed over, what is refused, and what the report says of the machine around."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from iso import container
from tests.iso.test_commands import asked
from tests.iso.test_graph import doit, project, runs

__all__ = ["asked", "project"]


@pytest.fixture
def handed(asked: Path) -> Path:
    """A project whose script only says how it was called."""
    script = asked / "iso/builder/build-in-container.sh"
    script.write_text('#!/bin/sh\nprintf "%s" "$BEE_CONTAINER_ENGINE"\nprintf " [%s]" "$@"\necho\n')
    script.chmod(0o755)
    return asked


@pytest.mark.parametrize("engine", container.ENGINES)
def test_the_build_is_handed_over_with_its_other_settings(handed: Path, engine: str) -> None:
    done = doit(handed, "iso", f"container={engine}", "nvidia=none", "mirror=http://a/$(b)")
    assert "not the http or https URL" in done.stderr
    done = doit(handed, f"container={engine}", "nvidia=none", "suite=bookworm")
    assert (done.stdout, done.stderr) == (f"{engine} [nvidia=none] [suite=bookworm]\n", "")
    assert runs(handed) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["iso", "container=lxc"], "container=lxc: must be one of podman, docker"),
        (["copy", "container=podman"], "the whole image is built in a container, without options of doit, not copy"),
        (["--log-json", "iso", "container=podman"], "without options of doit, not iso --log-json"),
        (["explain", "iso", "container=podman"], "container=podman: only doit iso goes to a container"),
    ],
)
def test_what_cannot_be_handed_over_is_refused_in_one_line(handed: Path, words: list[str], said: str) -> None:
    done = doit(handed, *words)
    # An event says it, too, where events are asked for.
    assert (done.returncode, done.stdout == "") == (2, "--log-json" not in words)
    (line,) = done.stderr.splitlines()
    assert said in line


def test_outside_a_container_there_is_no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BEE_HOST_SYSTEM", raising=False)
    assert container.host({"live-build": "1"}) is None


def test_the_versions_that_differ_are_named_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEE_HOST_SYSTEM", "Debian 12")
    monkeypatch.setenv("BEE_HOST_PACKAGES", "live-build=1:20230502 xorriso=1.5.4 sudo=1 odd")
    assert container.host({"live-build": "1:20250505", "xorriso": "1.5.4", "mtools": "4"}) == {
        "system": "Debian 12",
        "other_versions": {"live-build": {"host": "1:20230502", "container": "1:20250505"}},
    }
    monkeypatch.setenv("BEE_HOST_PACKAGES", "")
    assert container.host({"live-build": "1"}) == {"system": "Debian 12", "other_versions": {}}


def test_the_password_s_place_is_named_as_the_machine_around_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = Path("/root/.config/bee-busnode/iso/fallback-password.json")
    monkeypatch.delenv("BEE_HOST_PRIVATE", raising=False)
    assert container.on_host(inside) == inside
    monkeypatch.setenv("BEE_HOST_PRIVATE", "/home/jo/.config/bee-busnode/iso")
    assert container.on_host(inside) == Path("/home/jo/.config/bee-busnode/iso/fallback-password.json")


def test_an_engine_that_is_not_there_is_one_line(asked: Path) -> None:
    script = Path(__file__).parents[2] / "iso/builder/build-in-container.sh"
    (asked / "iso/builder/build-in-container.sh").write_bytes(script.read_bytes())
    (asked / "iso/fit.py").touch()
    done = subprocess.run(
        ["/bin/sh", asked / "iso/builder/build-in-container.sh", "nvidia=none"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(asked), "BEE_CONTAINER_ENGINE": "podwoman --debug"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("build-in-container.sh: podwoman --debug is not here: install it, or name another engine\n")
