"""The document's commands are thin: what they refuse, and what they hand to doit."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from iso import cache_entries
from iso.paths import Paths

ROOT = Path(__file__).parents[2]
BUILD = "iso/build.sh"
DRIVER = "iso/builder/build-nvidia-module.sh"
CONTAINER = "iso/builder/build-in-container.sh"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The fronts in a tree where set-up, preflight and doit only say how they were called."""
    root = tmp_path / "check out"
    for front in (BUILD, DRIVER, CONTAINER):
        (root / front).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / front, root / front)
    shutil.copytree(ROOT / "iso/builder/host-packages", root / "iso/builder/host-packages")
    shutil.copy(ROOT / "iso/builder/VERSIONS", root / "iso/builder/VERSIONS")
    (root / "iso/__init__.py").touch()
    (root / "iso/preflight.py").write_text("import sys\nprint('preflight', *sys.argv[1:])\n")
    (root / "iso/fit.py").touch()
    say = '#!/bin/sh\nprintf "%s" "${0##*/}"\nprintf " [%s]" "$@"\necho\n'
    for tool in ("iso/builder/setup-builder.sh", ".venv/bin/doit", "bin/engine"):
        (root / tool).parent.mkdir(parents=True, exist_ok=True)
        (root / tool).write_text(say)
        (root / tool).chmod(0o755)
    return root


def run(checkout: Path, front: str, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    home = {"HOME": str(checkout / "home"), "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": ""}
    return subprocess.run(
        [checkout / front, *arguments],
        cwd=checkout.parent,
        env=os.environ | home | extra,
        capture_output=True,
        text=True,
        check=False,
    )


def test_build_checks_sets_up_and_builds(checkout: Path) -> None:
    done = run(checkout, BUILD)
    assert done.stdout == "preflight iso\nsetup-builder.sh [iso]\ndoit [iso]\n"


@pytest.mark.parametrize("front", [BUILD, DRIVER])
def test_a_machine_without_python_gets_it_first(checkout: Path, front: str) -> None:
    python = checkout / "python3"
    script = checkout / front
    script.write_text(script.read_text().replace("/usr/bin/python3", "./python3"))
    setup = checkout / "iso/builder/setup-builder.sh"
    setup.write_text(f'{setup.read_text()}[ -e "{python}" ] || ln -s /usr/bin/python3 "{python}"\n')
    done = run(checkout, front)
    assert done.stdout.startswith("setup-builder.sh [python]\npreflight iso\nsetup-builder.sh [iso]\n")


def test_build_makes_a_setting_of_the_document_s_option_wherever_it_was_called(checkout: Path) -> None:
    keys = checkout.parent / "my keys"
    keys.touch()
    for arguments in (["--authorized-keys", "my keys"], ["--authorized-keys=my keys"]):
        done = run(checkout, BUILD, "nvidia=none", *arguments, "suite=bookworm")
        assert done.stdout.endswith(f"doit [iso] [nvidia=none] [authorized_keys={keys}] [suite=bookworm]\n")


@pytest.mark.parametrize("front", [BUILD, DRIVER])
@pytest.mark.parametrize("setting", ["authorized_keys", "sign_key", "sign_cert", "release_key"])
def test_a_setting_s_file_is_named_from_where_the_front_is_called(checkout: Path, front: str, setting: str) -> None:
    for name in ("my file", "no/such"):
        last = run(checkout, front, "nvidia=none", f"{setting}={name}", "suite=bookworm").stdout.splitlines()[-1]
        assert last.endswith(f"[nvidia=none] [{setting}={checkout.parent}/{name}] [suite=bookworm]")
    # What is wrong with one that is empty, doit says.
    assert run(checkout, front, f"{setting}=").stdout.endswith(f" [{setting}=]\n")


@pytest.mark.parametrize("front", [BUILD, DRIVER])
@pytest.mark.parametrize("arguments", [["--help"], ["-v"], ["list"], ["=x"], ["nvidia=none", "clean"]])
def test_what_is_no_setting_is_refused_before_anything_starts(checkout: Path, front: str, arguments: list[str]) -> None:
    done = run(checkout, front, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"usage: {front}")


def test_build_wants_a_file_after_its_option(checkout: Path) -> None:
    assert run(checkout, BUILD, "--authorized-keys").returncode == 2


def test_a_value_stays_one_word_whatever_is_in_it(checkout: Path) -> None:
    hostile = "mirror=$(touch x);`touch x`; touch x"
    assert f"[{hostile}]" in run(checkout, BUILD, hostile).stdout
    assert not (checkout.parent / "x").exists()


def test_the_driver_alone(checkout: Path) -> None:
    done = run(checkout, DRIVER, "abi=pin-or-newest")
    assert done.stdout.endswith("doit [nvidia] [abi=pin-or-newest]\n")


def test_a_container_build_is_the_same_command_in_a_privileged_container(checkout: Path) -> None:
    keys = checkout.parent / "keys"
    keys.touch()
    done = run(
        checkout,
        CONTAINER,
        "nvidia=none",
        "--authorized-keys",
        "keys",
        BEE_CONTAINER_ENGINE="engine",
        PATH=f"{checkout / 'bin'}:{os.environ['PATH']}",
    )
    last = done.stdout.splitlines()[-1]
    assert last.startswith("engine [run] [--privileged]")
    assert f"[{keys}:/run/authorized_keys:ro]" in last
    shared = checkout / "home/.cache/bee-busnode/iso"
    assert f"[{shared}:/root/.cache/bee-busnode/iso]" in last
    assert Paths.of(Path("/")).cache.parts[-2:] == shared.parts[-2:]
    assert last.endswith("[iso/build.sh] [--authorized-keys=/run/authorized_keys] [nvidia=none]")
    assert "[localhost/bee-builder:trixie-" in last
    # What the report compares: the machine around it.
    assert "[BEE_HOST_SYSTEM=Debian GNU/Linux" in last
    assert "[BEE_HOST_PACKAGES=" in last


@pytest.mark.parametrize(
    ("word", "told", "suite"), [("suite=bookworm", "", "bookworm"), ("nvidia=none", "bookworm", "bookworm")]
)
def test_the_container_is_of_the_live_cd_s_release(checkout: Path, word: str, told: str, suite: str) -> None:
    path = f"{checkout / 'bin'}:{os.environ['PATH']}"
    done = run(checkout, CONTAINER, word, BEE_CONTAINER_ENGINE="engine", PATH=path, BEE_BUILDER_SUITE=told)
    assert f"[localhost/bee-builder:{suite}-" in done.stdout.splitlines()[-1]
    refused = run(checkout, CONTAINER, "suite=sid", BEE_CONTAINER_ENGINE="engine", PATH=path)
    assert (refused.returncode, "suite=sid: must be one of" in refused.stderr) == (2, True)


def test_a_signing_key_is_shown_to_the_container_where_it_may_lie_anywhere(checkout: Path) -> None:
    for name in ("our key", "our certificate", "our release key"):
        (checkout.parent / name).touch()
    path = f"{checkout / 'bin'}:{os.environ['PATH']}"
    pair = ["sign_key=our key", "sign_cert=our certificate", "release_key=our release key"]
    done = run(checkout, CONTAINER, *pair, BEE_CONTAINER_ENGINE="engine", PATH=path)
    last = done.stdout.splitlines()[-1]
    assert f"[{checkout.parent}/our key:/run/sign_key:ro]" in last
    assert f"[{checkout.parent}/our certificate:/run/sign_cert:ro]" in last
    assert f"[{checkout.parent}/our release key:/run/release_key:ro]" in last
    given = "[sign_key=/run/sign_key] [sign_cert=/run/sign_cert] [release_key=/run/release_key]"
    assert last.endswith(f"[iso/build.sh] {given}")


def test_a_container_build_reads_versions_as_the_build_does_and_has_the_given_date(checkout: Path) -> None:
    path = f"{checkout / 'bin'}:{os.environ['PATH']}"
    (checkout / "iso/builder/VERSIONS").write_text("  SUITE=bookworm \t\n")
    done = run(checkout, CONTAINER, BEE_CONTAINER_ENGINE="engine", PATH=path, SOURCE_DATE_EPOCH="1700000000")
    last = done.stdout.splitlines()[-1]
    assert "[localhost/bee-builder:bookworm-" in last
    assert "[-e] [SOURCE_DATE_EPOCH=1700000000]" in last


# An engine that has a builder image or none; what it runs says its process, and goes on until it is told to end.
ENGINE = """#!/bin/sh
case "$1 $2" in
'image inspect') [ -z "$NO_IMAGE" ] || [ "$3" = "${3%-base:*}-base:trixie" ] ;;
'run '*) echo $$ >"$HOME/$1.partial"; mv "$HOME/$1.partial" "$HOME/$1"; exec sleep 60 ;;
*) echo "$*" >>"$HOME/asked" ;;
esac
"""


@contextlib.contextmanager
def in_container(checkout: Path, **extra: str) -> Iterator[subprocess.Popen[bytes]]:
    """The front, when its engine runs something."""
    (checkout / "bin/engine").write_text(ENGINE)
    home = checkout / "home"
    home.mkdir()
    folders = {"HOME": str(home), "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": "", "BEE_CONTAINER_ENGINE": "engine"}
    path = f"{checkout / 'bin'}:{os.environ['PATH']}"
    with subprocess.Popen([checkout / CONTAINER], env=os.environ | folders | {"PATH": path} | extra) as build:
        try:
            while not (home / "run").exists():
                assert build.poll() is None
                time.sleep(0.05)
            yield build
        finally:
            build.terminate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("no_image", ["", "yes"], ids=["building", "setting up"])
def test_a_container_ends_with_its_build(checkout: Path, number: signal.Signals, no_image: str) -> None:
    with in_container(checkout, NO_IMAGE=no_image) as build:
        build.send_signal(number)
        assert build.wait(timeout=30) in {-number, 128 + number}
    running, end = Path(f"/proc/{(checkout / 'home/run').read_text().strip()}"), time.monotonic() + 30
    while running.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    asked = checkout / "home/asked"
    assert (asked.exists() and asked.read_text().startswith("rm -f bee-builder-")) == bool(no_image)


def test_a_prune_spares_what_a_container_build_has(checkout: Path) -> None:
    cache = checkout / "home/.cache/bee-busnode/iso"
    with in_container(checkout, NO_IMAGE=""):
        (cache / "venv-trixie/doit").write_text("x" * 5000)
        assert [entry.path.name for entry in cache_entries.prune(cache, 0).spared] == ["venv-trixie"]
    assert [entry.path.name for entry in cache_entries.prune(cache, 0).removed] == ["venv-trixie"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--authorized-keys"], "wants a file"),
        (["--authorized-keys=/nonexistent"], "/nonexistent: no such file"),
        (["--authorized-keys="], "authorized_keys=: no such file"),
        (["--authorized-keys", ""], "authorized_keys=: no such file"),
        (["authorized_keys="], "authorized_keys=: no such file"),
        (["release_key="], "release_key=: no such file"),
        (["sign_key=/nonexistent"], "/nonexistent: no such file"),
        (["--privileged"], "no such option"),
        (["bash"], "not a setting"),
    ],
)
def test_a_container_build_refuses_what_it_does_not_know(checkout: Path, arguments: list[str], said: str) -> None:
    done = run(checkout, CONTAINER, *arguments, BEE_CONTAINER_ENGINE="engine")
    assert done.returncode == 2
    assert said in done.stderr


def with_engine(checkout: Path) -> dict[str, str]:
    return {"BEE_CONTAINER_ENGINE": "engine", "PATH": f"{checkout / 'bin'}:{os.environ['PATH']}"}


def test_all_that_is_wrong_is_said_before_a_container_is_made(checkout: Path) -> None:
    passed = shutil.ignore_patterns("__pycache__", "overlay")
    shutil.copytree(ROOT / "iso", checkout / "iso", dirs_exist_ok=True, ignore=passed)
    words = ["nvida=none", "suite=potato", "sign_key=no/key", "sign_cert=no/cert", "--authorized-keys", "no keys"]
    done = run(checkout, CONTAINER, *words, **with_engine(checkout))
    assert (done.returncode, done.stdout) == (2, "")
    for said in (
        "nvida=none: no such setting; did you mean nvidia?",
        "suite=potato: must be one of trixie, bookworm",
        "sign_key=no/key: No such file or directory",
        "sign_cert=no/cert: No such file or directory",
        "authorized_keys=no keys: No such file or directory",
    ):
        assert sum(line == said for line in done.stderr.splitlines()) == 1, done.stderr
    # Not the folder's of whoever calls, which may have modules of the same names.
    (checkout.parent / "iso").mkdir()
    (checkout.parent / "iso/fit.py").write_text("raise SystemExit(9)")
    assert run(checkout, CONTAINER, "nvida=none", **with_engine(checkout)).stderr.startswith("nvida=none: no")


def test_all_files_that_a_container_cannot_be_given_are_named_at_once(checkout: Path) -> None:
    for name in ("our:key", "our cert"):
        (checkout.parent / name).touch()
    words = ["sign_key=our:key", "sign_cert=our cert", "release_key=no/key", "authorized_keys=no/keys"]
    done = run(checkout, CONTAINER, *words, **with_engine(checkout), XDG_CACHE_HOME=f"{checkout}/ca:che")
    assert (done.returncode, done.stdout) == (2, "")
    bear = "a container engine cannot bear the colon in"
    assert sorted(line.removeprefix("build-in-container.sh: ") for line in done.stderr.splitlines()) == [
        "authorized_keys=no/keys: no such file",
        "release_key=no/key: no such file",
        f"sign_key=our:key: {bear} {checkout.parent}/our:key: give it another name",
        f"the cache: {bear} {checkout}/ca:che/bee-busnode/iso: give it another name",
    ]


APT_CONFIG = """#!/bin/sh
case $1 in
shell) echo "by_http='http://me:geheim@proxy:3128/'"; echo "by_https='DIRECT'" ;;
dump) echo 'Acquire::http::Proxy "http://me:geheim@proxy:3128/";'; echo 'Acquire::http::Proxy::near.lan "DIRECT";' ;;
esac
"""


def test_a_container_has_the_proxy_of_this_machine_s_apt_and_nobody_sees_its_password(checkout: Path) -> None:
    (checkout / "bin/apt-config").write_text(APT_CONFIG)
    (checkout / "bin/apt-config").chmod(0o755)
    with (checkout / "bin/engine").open("a") as engine:
        engine.write('echo "$http_proxy|$https_proxy|$no_proxy" >>"$HOME/seen"\n')
    (checkout / "home").mkdir()
    done = run(checkout, CONTAINER, **with_engine(checkout), http_proxy="", https_proxy="", no_proxy="own.lan")
    last = done.stdout.splitlines()[-1]
    assert "[-e] [http_proxy]" in last
    assert "[-e] [no_proxy]" in last
    assert "geheim" not in done.stdout + done.stderr
    assert set((checkout / "home/seen").read_text().split()) == {"http://me:geheim@proxy:3128/||own.lan,near.lan"}


@pytest.mark.parametrize("shown", [True, False])
def test_a_container_has_a_terminal_where_this_is_one(checkout: Path, shown: bool) -> None:
    ours, theirs = pty.openpty()
    home = checkout / "home"
    home.mkdir()
    (checkout / "bin/engine").write_text('#!/bin/sh\nprintf " [%s]" "$@" >"$HOME/asked"\n')
    subprocess.run(
        [checkout / CONTAINER],
        env=os.environ | {"HOME": str(home), "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": ""} | with_engine(checkout),
        stdin=theirs,
        stdout=theirs if shown else subprocess.DEVNULL,
        check=True,
    )
    os.close(ours)
    os.close(theirs)
    asked = (home / "asked").read_text()
    assert ("[-t]" in asked) == shown
    assert f"[BEE_HOST_PRIVATE={home}/.config/bee-busnode/iso]" in asked


def test_without_an_engine_it_says_what_to_install(checkout: Path) -> None:
    tools = checkout / "tools"
    tools.mkdir()
    for tool in ("sh", "dirname", "env"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    done = run(checkout, CONTAINER, PATH=str(tools), BEE_CONTAINER_ENGINE="")
    assert done.returncode == 2
    assert "apt install podman" in done.stderr
