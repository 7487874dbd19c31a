"""The image that the boot tests boot, and how long each part of the run took."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Protocol

import pytest

from iso.graph.repro import copy_of
from iso.image.release import bee_version
from iso.mounts import remove_tree
from iso.paths import Paths
from iso.versions import configure
from tests.boot.qemu import BOOT_LIMIT, QEMU, guests_left
from tests.house.sources import git_status, states
from tests.house.tree import BIN, ROOT

TOOLS = (QEMU, "setpriv", "ssh", "ssh-keygen", "xorriso")
BUILD_LIMIT = 35 * 60  # seconds, with nothing cached
STOP_LIMIT = 60  # seconds that a build told to stop has to take down what it mounted
LINES_SHOWN = 40

_seconds: dict[str, float] = {}
_remarks: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Whichever test comes first pays for the image and for a boot: its own limit does not count that.
    for item in items:
        if {"iso", "build_another"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.timeout(BUILD_LIMIT + BOOT_LIMIT + 300), append=False)


@contextlib.contextmanager
def timed(part: str) -> Iterator[None]:
    """Note how long a part of the run takes, for the summary at its end."""
    begin = time.monotonic()
    try:
        yield
    finally:
        _seconds[part] = _seconds.get(part, 0.0) + time.monotonic() - begin


@pytest.fixture(scope="session", autouse=True)
def _no_guest_left_behind() -> Iterator[None]:
    yield
    assert not guests_left()


@pytest.fixture(scope="session")
def paths() -> Paths:
    """Where the build reads and writes."""
    return Paths.of(ROOT)


@pytest.fixture(scope="session")
def key(paths: Paths) -> Path:
    """The operator's private key; its public half is built into the image.

    It is kept in the product's cache, so that an image that is up to date need not be built again for a new key.
    """
    ready = os.environ.get("BEE_ACCEPTANCE_KEY")
    if ready:
        return Path(ready)
    private = paths.cache / "acceptance/id_ed25519"
    if not private.with_suffix(".pub").exists():
        private.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        private.unlink(missing_ok=True)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "acceptance", "-f", str(private)], check=True
        )
    return private


def _run_to_its_end(command: list[str], output: IO[str], root: Path, variables: Mapping[str, str]) -> int:
    """A build's exit code. Should this process be stopped or die, the build is told to stop (TERM)."""
    with subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", *command],
        cwd=root,
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
    ) as build:
        try:
            return build.wait(BUILD_LIMIT)
        except BaseException:
            build.terminate()
            build.wait(STOP_LIMIT)
            raise


@pytest.fixture(scope="session")
def _tools() -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed here: {', '.join(missing)} (iso/builder/setup-builder.sh iso test acceptance)")


def _build(root: Path, name: str, settings: Mapping[str, str], variables: Mapping[str, str]) -> Path:
    """The ISO of a checkout, built by the documented command; `name` is its log's."""
    log = ROOT / f"dist/acceptance/{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [f"{key}={value}" for key, value in settings.items()]
    # -B: the sources are left as they are.
    with timed(f"build the ISO ({name})"), log.open("w") as output:
        code = _run_to_its_end([str(BIN / "python"), "-B", "-m", "doit", "iso", *words], output, root, variables)
    said = log.read_text(errors="replace").splitlines()
    _remarks.extend(line for line in said if line.lstrip(". ").startswith("STALE PIN"))
    if code:
        last = "\n".join(said[-LINES_SHOWN:])
        pytest.fail(f"doit iso ended with {code}; the last lines of {log}:\n{last}", pytrace=False)
    paths = Paths.of(root)
    return paths.image(bee_version(paths), configure(paths.versions.read_text(), settings).suite)


@pytest.fixture(scope="session")
def sources_before() -> tuple[list[str], dict[str, tuple[int, int, int, int]]]:
    """What git says of the checkout, and its files' states, before the ISO is built."""
    return git_status(ROOT), states(ROOT)


@pytest.fixture(scope="session")
def iso(_tools: None, key: Path, sources_before: object) -> Path:
    """The ISO, built in this checkout by the documented command; BEE_ACCEPTANCE_ISO names one that is ready."""
    ready = os.environ.get("BEE_ACCEPTANCE_ISO")
    if ready:
        return Path(ready)
    return _build(ROOT, "build", {"authorized_keys": f"{key}.pub", "abi": "pin-or-newest", "release_key": str(key)}, {})


class Builder(Protocol):
    """Builds an ISO of this checkout in a copy of it, so that the one in dist/ stays."""

    def __call__(
        self,
        name: str,
        settings: Mapping[str, str],
        variables: Mapping[str, str] | None = None,
        by_hand: Path | None = None,
    ) -> Path:
        """An image with these settings.

        Args:
            name: of its log.
            settings: of the build.
            variables: to add to its environment.
            by_hand: a file to put into its dist/ beforehand.
        """


@pytest.fixture(scope="module")
def build_another(_tools: None) -> Iterator[Builder]:
    """Other images for the tests of a module, gone with it. What they are made of comes from the same cache."""
    folders: list[Path] = []

    def build(
        name: str,
        settings: Mapping[str, str],
        variables: Mapping[str, str] | None = None,
        by_hand: Path | None = None,
    ) -> Path:
        # Not pytest's own folder: it keeps those of three runs.
        folders.append(Path(tempfile.mkdtemp(prefix="bee-build-", dir="/var/tmp")))
        copy = copy_of(ROOT, folders[-1])
        if by_hand:
            (copy / "dist").mkdir()
            shutil.copy2(by_hand, copy / "dist")
        return _build(copy, name, settings, variables or {})

    yield build
    for folder in folders:
        remove_tree(folder)


@pytest.fixture(scope="session")
def kept() -> Path:
    """The folder for what a run is worth keeping of its guests: the audit, the smoke test, the serial line."""
    folder = ROOT / "dist/acceptance"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for remark in _remarks:
        terminalreporter.section(remark, sep="!", yellow=True)
    if _seconds:
        terminalreporter.section("seconds of the live CD's parts")
        for part, seconds in _seconds.items():
            terminalreporter.line(f"{seconds:7.1f}  {part}")
