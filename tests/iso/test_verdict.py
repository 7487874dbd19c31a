"""What a question says of a stage is what the next build does, also where a stage before it has yet to choose."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from iso.stages import kernel, nvidia_cache
from tests.iso.checkout import config, make_checkout
from tests.iso.test_commands import PLUGINS, explain
from tests.iso.test_graph import PREFACE, doit, runs, small_project

# A kernel is chosen, a password kept, a driver made for that kernel unless a cache has it, and all of it used.
DODO = f"""{PREFACE}
def chosen():
    if not (here / "chosen").exists():
        raise BuildError("nothing was chosen yet")
    return Inputs(settings={{"kernel": (here / "chosen").read_text()}})

def cached():
    return here / "cache" / chosen().settings["kernel"]

def choose(job):
    ran("_kernel")
    (here / "chosen").write_text(job.config.suite + (here / "mirror").read_text())

def keep(job):
    ran("_password")
    (here / "password").write_text("secret")

def make(job):
    ran("driver")
    cached().touch()

def use(job):
    ran("use")

def spared(job):
    if not job.config.with_nvidia:
        return "no driver is wanted"
    return "a cache has it" if cached().exists() else None

def task__kernel():
    "choose"
    suite = lambda job: Inputs(settings={{"suite": job.config.suite}})
    return build.stage(Stage("_kernel", choose, suite, outputs=lambda job: [here / "chosen"], chooses=("kernel",)))

def task__password():
    "keep"
    return build.stage(Stage("_password", keep, lambda job: Inputs(), outputs=lambda job: [here / "password"]))

def task_driver():
    "1. driver"
    wanted = lambda job: chosen() if job.config.with_nvidia else Inputs(settings={{"nvidia": "none"}})
    return build.stage(Stage("driver", make, wanted, spared=spared))

def task_use():
    "2. use"
    return build.stage(Stage("use", use, lambda job: chosen() | Inputs(listing(here / "input", "input"))))

def task_iso():
    "all"
    return build.result()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    small_project(tmp_path, DODO)
    (tmp_path / "pyproject.toml").write_text(PLUGINS)
    (tmp_path / "mirror").write_text("-1")
    (tmp_path / "cache").mkdir()
    return tmp_path


def new_clone(project: Path) -> None:
    shutil.rmtree(project / "dist/stamps")
    (project / "chosen").unlink()


def cold(project: Path) -> None:
    new_clone(project)
    shutil.rmtree(project / "cache")
    (project / "cache").mkdir()


def other_mirror(project: Path) -> None:
    new_clone(project)
    (project / "mirror").write_text("-2")


def edited(project: Path) -> None:
    (project / "chosen").unlink()
    (project / "input").write_text("other")


KERNEL_FIRST = "run follows from _kernel"
UNLESS = f"{KERNEL_FIRST}, unless a cache has what _kernel chooses"
CASES: dict[str, tuple[Callable[[Path], object], list[str], dict[str, str]]] = {
    "a new clone beside a warm cache": (new_clone, [], {"driver": UNLESS, "use": KERNEL_FIRST}),
    "a new clone beside a cold cache": (cold, [], {"driver": UNLESS, "use": KERNEL_FIRST}),
    "a new clone, and the mirror has gone on": (other_mirror, [], {"driver": UNLESS, "use": KERNEL_FIRST}),
    "what was chosen is missing": (lambda project: (project / "chosen").unlink(), [], {"driver": UNLESS}),
    "the same, and a file changed": (edited, [], {"driver": UNLESS, "use": KERNEL_FIRST}),
    "another setting": (
        lambda _project: None,
        ["suite=bookworm"],
        # The cache is asked for what was chosen before.
        {"_kernel": "run suite: trixie → bookworm", "driver": "cached a cache has it, unless _kernel changes that"},
    ),
    "another setting, and a file changed": (
        lambda project: (project / "input").write_text("other"),
        ["suite=bookworm"],
        {"use": "run input changed"},
    ),
    "no driver": (
        lambda project: (project / "chosen").unlink(),
        ["nvidia=none"],
        {"driver": "cached no driver is wanted"},
    ),
    "no password": (
        lambda project: (project / "password").unlink(),
        [],
        {
            "_password": "run password is missing",
            "driver": "cached a cache has it",
            "use": "run follows from _password",
        },
    ),
    "nothing": (lambda _project: None, [], {"_kernel": "cached", "driver": "cached a cache has it", "use": "cached"}),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_said_is_what_a_build_does(project: Path, case: str) -> None:
    change, words, expected = CASES[case]
    assert doit(project).returncode == 0
    runs(project)
    change(project)
    said = explain(project, *words, "iso")
    assert {name: said[name] for name in expected} == expected
    assert doit(project, *words).returncode == 0
    ran = runs(project)
    for name in ("_kernel", "_password", "driver", "use"):
        if ", unless " not in said[name]:
            assert (name in ran) == said[name].startswith("run"), (name, said, ran)


def test_of_what_was_chosen_before_nothing_is_said_to_change(project: Path) -> None:
    """Trixie, then bookworm: of the next build for trixie bookworm's choice says nothing."""
    doit(project)
    doit(project, "suite=bookworm")
    shutil.rmtree(project / "cache")
    (project / "cache").mkdir()
    (project / "chosen").write_text("something-else")
    assert explain(project, "iso") == {
        "_kernel": "run suite: bookworm → trixie; chosen is not what the stage left",
        "_password": "run follows from _kernel",
        "driver": UNLESS,
        "use": KERNEL_FIRST,
        "iso": "run suite: bookworm → trixie",
    }


def test_a_plan_counts_no_time_that_a_cache_may_spare(project: Path) -> None:
    doit(project)
    new_clone(project)
    planned = doit(project, "plan").stdout.splitlines()
    assert "[1/2] driver … about 0 s, unless a cache has what _kernel chooses" in planned
    assert planned[-1] == "4 to run, about 0 s, without 1 that a cache may spare"
    (project / "dist/build.json").unlink()
    assert doit(project, "plan").stdout.splitlines()[-1].startswith("4 to run; no earlier build says")


def test_all_that_a_driver_has_of_the_choice_is_named_as_chosen(tmp_path: Path) -> None:
    """Else a question would compare a build's with what was chosen for another."""
    paths = make_checkout(tmp_path)
    job = kernel.KERNEL.job(config(nvidia_source="debian"), paths)
    before = nvidia_cache.inputs(job).settings
    paths.kernel_abi.write_text("6.1.0-1-amd64\n")
    paths.toolchain.write_text("headers other\ncompiler other\ndriver other\n")
    after = nvidia_cache.inputs(job).settings
    assert {name for name in after if after[name] != before[name]} == set(kernel.KERNEL.chooses) - {"KERNEL_ABI"}
