"""What holds for every test: derandomised properties in CI, and a skip there that nobody announced is a failure."""

from __future__ import annotations

import os
import signal
from types import FrameType

import hypothesis
import pytest

# The only reasons for which a test may skip in CI, as the beginning of its reason.
PERMITTED_SKIPS = ("BEE_CORPUS is not set",)

# The fixtures that tests of several folders share.
pytest_plugins = ("tests.redis_servers",)

IN_CI = os.environ.get("CI") == "true"

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("here", deadline=None)
# Chosen by name (--hypothesis-profile): the long proofs of `make torture`.
hypothesis.settings.register_profile(
    "torture",
    max_examples=int(os.environ.get("TORTURE_EXAMPLES", "100000")),
    deadline=None,
    print_blob=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.load_profile("ci" if IN_CI else "here")

_unexpected: list[str] = []


def pytest_configure() -> None:
    # A time limit outside ends a run with TERM: fixtures must still take down what they started.
    signal.signal(signal.SIGTERM, _interrupt)
    # A shell starts a job in the background with INT ignored, and what the tests start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _note(report)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if not hasattr(report, "wasxfail"):
        _note(report)


def _note(report: pytest.CollectReport | pytest.TestReport) -> None:
    if not report.skipped:
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not reason.removeprefix("Skipped: ").startswith(PERMITTED_SKIPS):
        _unexpected.append(f"{report.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if IN_CI and _unexpected and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if IN_CI and _unexpected:
        terminalreporter.section("skips that CI does not permit", red=True)
        for line in _unexpected:
            terminalreporter.line(line)
