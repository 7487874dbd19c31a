"""The harness that ends builds sees what it is there to see: on a small graph, good and bad."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iso import cache, download
from iso.isolation import handed_over, isolated
from iso.stages import nvidia_cache, nvidia_run
from tests.house.tree import ROOT
from tests.iso.checkout import config
from tests.iso.test_commands import PLUGINS
from tests.iso.test_graph import project
from tests.torture import small_driver
from tests.torture.signals import MAKERS, SIGNALS, STAGES, WITH_DRIVER, Checkout, end, torment
from tests.torture.small_driver import SmallDriver

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


def test_what_works_in_a_system_of_its_own_is_found_by_what_it_has_mounted(tmp_path: Path) -> None:
    command = ["sh", "-c", 'mount --bind "$1" /mnt && cd / && exec sleep 60', "sh", str(tmp_path / "part")]
    (tmp_path / "part").mkdir()
    with subprocess.Popen(isolated(command), stdin=subprocess.PIPE, cwd="/") as left:
        assert left.stdin
        left.stdin.write(handed_over({"PATH": os.environ["PATH"]}))
        left.stdin.flush()
        limit = time.monotonic() + 30
        while "sleep 60 " not in (found := Checkout(tmp_path).processes()) and time.monotonic() < limit:
            time.sleep(0.1)
    assert "sleep 60 " in found


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache that clones share, another one than the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/bee-busnode/iso"


def test_the_small_driver_is_fetched_and_unpacked_as_nvidias(shared: Path, tmp_path: Path) -> None:
    with small_driver.served(tmp_path) as driver:
        installer = shared / "downloads" / nvidia_run.name(driver.version)
        download.fetch(driver.url, driver.sha256, installer, proxies={"no": "127.0.0.1"})
        target = tmp_path / "unpacked/driver"
        target.parent.mkdir()
        subprocess.run(["sh", installer, "--extract-only", "--target", target], check=True)
        for flavour in ("proprietary", "open"):
            wanted = config(nvidia_source="run", nvidia_version=driver.version, nvidia_flavour=flavour)
            nvidia_run.located(tmp_path / "unpacked", wanted).require()
        assert driver.half_made(tmp_path) == []
        with installer.open("r+b") as stream:
            stream.truncate(1000)
        assert driver.half_made(tmp_path) == [str(installer)]
    assert not installer.exists()


def test_two_harnesses_have_a_driver_each(shared: Path, tmp_path: Path) -> None:
    with small_driver.served(tmp_path / "one") as one, small_driver.served(tmp_path / "two") as two:
        entries = [shared / f"nvidia-{version}-6.12" for version in (one.version, two.version, "550.163.01")]
        for entry in entries:
            entry.mkdir(parents=True)
        one.forget(tmp_path)
        assert [entry.exists() for entry in entries] == [False, True, True]


def test_an_entry_of_the_driver_that_is_not_whole_is_found(shared: Path, tmp_path: Path) -> None:
    driver = SmallDriver("0.0.1", "", "")
    entries = [shared / "nvidia-0.0.1-6.12-abc", tmp_path / "dist/nvidia-0.0.1-6.12"]
    for entry in entries:
        cache.store(
            entry, "of this", lambda folder: [(folder / name).touch() for name in nvidia_cache.MODULES] and None
        )
    assert driver.half_made(tmp_path / "dist") == []
    (entries[0] / "nvidia.ko").write_text("more")
    (entries[1] / cache.MANIFEST).unlink()
    begun = shared / ".nvidia-0.0.1-6.12-abc.half"
    begun.mkdir()
    assert driver.half_made(tmp_path / "dist") == [str(entry) for entry in entries]
    driver.forget(tmp_path / "dist")
    assert list(shared.iterdir()) == list((tmp_path / "dist").iterdir()) == []


@pytest.mark.acceptance
@pytest.mark.timeout(900)
def test_a_real_build_told_to_end_leaves_nothing(tmp_path: Path) -> None:
    """The sample of `make torture`: each signal once where a build has the most mounted, and one compilation killed."""
    real = Checkout.copied(tmp_path)
    for number, name in enumerate(SIGNALS):
        assert end(real, signal.Signals[f"SIG{name}"], "live_build", 2.0 + 3 * number) == []
    assert {"compile", "overlay", "sync"} <= real.done
    with small_driver.served(tmp_path) as driver:
        assert end(Checkout.copied(tmp_path, driver), signal.SIGKILL, "nvidia:d_build", 1.0) == []
    assert set(MAKERS[:3]) <= real.done


def test_every_stage_of_a_build_is_told_to_end() -> None:
    tasks = re.findall(r"^def task_(\w+)", (ROOT / "dodo.py").read_text(), re.MULTILINE)
    told = [stage.partition(":")[0] for stage in (*STAGES, *WITH_DRIVER)]
    assert set(told) == set(tasks)
    assert len(MAKERS) == 6
