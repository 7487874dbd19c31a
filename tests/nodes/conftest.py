"""Nodes for the tests: as many fresh ones as a test wants, of each release, bare or already bootstrapped."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.nodes.deployment import Deployment, deployment
from tests.nodes.leftovers import nothing_left
from tests.nodes.tree import SUITES, Tree, base_tree, cache

TOOLS = ("mmdebstrap", "systemd-nspawn", "nsenter", "ip", "ssh", "ssh-keygen", "dpkg-scanpackages", "setpriv")

Deploy = Callable[[str], Deployment]

_seconds: defaultdict[str, float] = defaultdict(float)


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with nothing_left(tmp_path_factory.getbasetemp(), cache()):
        yield


@pytest.fixture(scope="session")
def trees() -> dict[str, Tree]:
    """The base tree of each suite."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.getuid() != 0:
        pytest.skip("nodes are booted by root only")
    if missing:
        pytest.skip(f"not installed here: {', '.join(missing)} (iso/builder/setup-builder.sh test acceptance)")
    with ThreadPoolExecutor() as pool:
        return dict(zip(SUITES, pool.map(base_tree, SUITES), strict=True))


@pytest.fixture(params=SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    """Each release in turn."""
    return str(request.param)


@pytest.fixture
def bare(trees: dict[str, Tree], tmp_path: Path) -> Iterator[Deploy]:
    """Makes a deployment with a node as installed, not running yet, of the suite that it is given."""
    with ExitStack() as stack:
        yield lambda suite: stack.enter_context(deployment(trees[suite], tmp_path / suite))


@contextmanager
def _bootstrapped_disk(tree: Tree, folder: Path) -> Iterator[Path]:
    """The disk of a node that was bootstrapped and shut down."""
    with deployment(tree, folder) as made:
        made.start()
        answer = made.operate("bootstrap")
        assert answer.code == 0, answer
        made.node.shut_down()
        yield made.node.disk


@pytest.fixture(scope="session")
def bootstrapped_disks(trees: dict[str, Tree], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """For each suite what `bootstrap` writes on a bare node, done once."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("bootstrapped")
        yield {suite: stack.enter_context(_bootstrapped_disk(tree, folder / suite)) for suite, tree in trees.items()}


@pytest.fixture
def prepared(trees: dict[str, Tree], bootstrapped_disks: dict[str, Path], tmp_path: Path) -> Iterator[Deploy]:
    """Makes a deployment with a bootstrapped node, not running yet, of the suite that it is given."""
    with ExitStack() as stack:
        yield lambda suite: stack.enter_context(
            deployment(trees[suite], tmp_path / suite, disk_below=bootstrapped_disks[suite])
        )


@pytest.fixture
def node(prepared: Deploy, suite: str) -> Deployment:
    """A bootstrapped node of each release, running."""
    return prepared(suite).start()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid.split("/")[-1]] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _seconds:
        terminalreporter.section("seconds of the node tests")
        for name, seconds in sorted(_seconds.items(), key=lambda item: -item[1]):
            terminalreporter.line(f"{seconds:7.1f}  {name}")
