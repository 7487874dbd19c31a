"""The smoke test away from a live system: it says what it is for, and checks nothing. (tests/boot runs it on one.)"""

from __future__ import annotations

import subprocess

from tests.house.tree import ROOT

SMOKETEST = ROOT / "iso/builder/smoketest.sh"


def _run(*names: str) -> subprocess.CompletedProcess[str]:
    """As the document has it: the script on stdin."""
    return subprocess.run(
        ["dash", "-s", "--", *names],
        input=SMOKETEST.read_text(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_an_unknown_check_is_refused_with_the_names_that_there_are() -> None:
    done = _run("lan", "gpu")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("smoketest: no check gpu; there are: release kernel ")


def test_a_check_is_named_whole() -> None:
    assert _run("ssh").returncode == 2


def test_elsewhere_than_on_a_live_system_nothing_is_checked() -> None:
    done = _run()
    assert (done.returncode, done.stdout) == (2, "")
    assert "no live system" in done.stderr
