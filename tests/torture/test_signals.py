"""The harness that ends builds sees what it is there to see: on a small graph, good and bad."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.house.tree import ROOT
from tests.iso.test_commands import PLUGINS
from tests.iso.test_graph import project
from tests.torture.signals import SIGNALS, STAGES, Checkout, end, torment

__all__ = ["project"]
IMAGE = """
    (here / "dist/small.iso").write_text((here / "input").read_text())
    if (here / "dist/.slow").exists():
        time.sleep(2)
"""


@pytest.fixture
def checkout(project: Path) -> Checkout:
    """Of a graph whose second stage makes an image and takes its time."""
    (project / "pyproject.toml").write_text(PLUGINS)
    dodo = (project / "dodo.py").read_text()
    (project / "dodo.py").write_text(
        dodo.replace('    if (here / "copied").read_text() == "slow":', f"{IMAGE}    if False:")
    )
    (project / "dist/.slow").touch()
    return Checkout(project)


@pytest.mark.parametrize("name", SIGNALS)
def test_a_build_that_ends_well_has_no_findings(checkout: Checkout, name: str) -> None:
    wanted, _ = checkout.built()
    assert torment(checkout, signal.Signals[f"SIG{name}"], "check", 0.2, wanted) == []
    assert torment(checkout, signal.Signals[f"SIG{name}"], "copy", 0.0, wanted) == []


def test_what_a_build_leaves_running_is_found(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, _ = checkout.built()
    monkeypatch.setattr("tests.torture.signals._SECONDS_TO_END", 1.0)
    with subprocess.Popen(["sleep", "60"], cwd=checkout.root) as left:
        findings = torment(checkout, signal.SIGTERM, "check", 0.1, wanted)
        left.kill()
    assert findings == ["still running: sleep 60 "]


def test_a_build_ends_with_the_harness_that_started_it(checkout: Checkout) -> None:
    dodo = checkout.root / "dodo.py"
    dodo.write_text(dodo.read_text().replace("time.sleep(2)", "time.sleep(90)"))
    start = "import sys; from pathlib import Path; from tests.torture.signals import Checkout; "
    start += "[print(line, flush=True) for line in Checkout(Path(sys.argv[1])).build().stdout]"
    command = [sys.executable, "-c", start, str(checkout.root)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as harness:
        assert harness.stdout
        events = (json.loads(line) for line in harness.stdout if line.strip())
        assert any((event["event"], event.get("stage")) == ("started", "check") for event in events)
        harness.kill()
    limit = time.monotonic() + 30
    while checkout.processes() and time.monotonic() < limit:
        time.sleep(0.1)
    assert checkout.processes() == []


def test_another_image_is_found(checkout: Checkout) -> None:
    (finding,) = torment(checkout, signal.SIGKILL, "check", 0.1, "what it was") if checkout.built() else ()
    assert finding.startswith("another image: ")


def test_a_source_that_a_build_writes_is_found(checkout: Checkout) -> None:
    wanted, _ = checkout.built()
    dodo = checkout.root / "dodo.py"
    dodo.write_text(
        dodo.read_text().replace("def check(job):\n", 'def check(job):\n    (here / "iso/log").write_text("x")\n')
    )
    assert torment(checkout, signal.SIGTERM, "check", 0.1, wanted) == [
        "changed by the build: iso",
        "changed by the build: iso/log",
    ]


def test_a_stage_that_is_done_again_is_found(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, _ = checkout.built()
    done = Checkout.done.fget
    assert done
    # As if the killed stage, too, had been remembered.
    monkeypatch.setattr(Checkout, "done", property(lambda self: done(self) | {"check"}))
    assert torment(checkout, signal.SIGKILL, "check", 0.1, wanted) == ["done, and done again: check"]


def test_the_base_that_is_forgotten_is_the_images_own(tmp_path: Path) -> None:
    own, other = tmp_path / "cache/base-1/folder.squashfs", tmp_path / "cache/base-2/folder.squashfs"
    for file in (own, other):
        file.parent.mkdir(parents=True)
        file.touch()
    before = own.parent.with_name(".base-1.unfinished") / own.name
    commands = [["make-base.sh", "work", str(before)], ["assemble.sh", "work", str(own), "1700000000"]]
    stages = [{"name": "sync", "commands": []}, {"name": "live_build", "commands": commands}]
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/build.json").write_text(json.dumps({"stages": stages}))
    Checkout(tmp_path).forget_base()
    assert not own.parent.exists()
    assert other.exists()


@pytest.mark.acceptance
@pytest.mark.timeout(900)
def test_a_real_build_told_to_end_leaves_nothing(tmp_path: Path) -> None:
    """The sample of `make torture`: each signal once, where the build has the most mounted; what follows is its."""
    real = Checkout.copied(tmp_path)
    for number, name in enumerate(SIGNALS):
        assert end(real, signal.Signals[f"SIG{name}"], "live_build", 2.0 + 3 * number) == []
    assert {"compile", "overlay", "sync"} <= real.done


def test_every_stage_of_a_build_without_a_driver_is_told_to_end() -> None:
    tasks = re.findall(r"^def task_(\w+)", (ROOT / "dodo.py").read_text(), re.MULTILINE)
    assert [name for name in tasks if name != "nvidia"] == list(STAGES)
