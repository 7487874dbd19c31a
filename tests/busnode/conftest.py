"""A throw-away root, the three shells, and a way to run compiled scripts in them for real."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from busnode.contract import Operation
from busnode.inventory import Target
from busnode.job import Job, Vault
from busnode.report import Report, parse_report
from busnode.script import Layout, Plan, Step, compile_script
from busnode.steps import paths
from tests.busnode.sshd import Server, running

SHELLS = {"dash": ("dash",), "bash": ("bash", "--posix"), "busybox": ("busybox", "sh")}

Run = Callable[..., Report]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """An sshd that lets root in with a key."""
    with running() as made:
        yield made


@pytest.fixture
def known(server: Server, tmp_path: Path) -> Path:
    """A known_hosts file with its key, of a name that wants care."""
    file = tmp_path / "known hosts %h"
    file.write_text(server.known_hosts)
    return file


@pytest.fixture
def target() -> Target:
    """The document's own target."""
    return Target.from_document(
        "proxy", {"host": "10.0.0.10", "user": "bus", "port": 22, "allowed_ports": [22, 80, 443, 8080]}
    )


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Each shell that a node may have as sh."""
    found = SHELLS[request.param]
    if shutil.which(found[0]) is None:
        pytest.skip(f"{found[0]} is not installed: apt install {found[0]}")
    return found


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A node's folders inside of a throw-away root; programs in `bin` come before the machine's own."""
    for name in ("bin", "state", "run", "units", "ssh"):
        (tmp_path / name).mkdir()
    return Layout(
        state_dir=str(tmp_path / "state"),
        run_dir=str(tmp_path / "run"),
        sshd_dropin=str(tmp_path / "ssh/00-busnode.conf"),
        firewall_rules=str(tmp_path / "etc/firewall.nft"),
        unit_dir=str(tmp_path / "units"),
        path=f"{tmp_path / 'bin'}:{Layout().path}",
    )


@pytest.fixture
def program(tmp_path: Path, layout: Layout) -> Callable[[str, str], Path]:
    """Puts a program of the test's own on the script's PATH; each call is logged, one line, in the file returned."""

    def place(name: str, body: str) -> Path:
        calls = tmp_path / f"{name}.calls"
        file = tmp_path / "bin" / name
        file.write_text(f'#!/bin/sh\necho "$*" >>{calls}\n{body}\n')
        file.chmod(0o755)
        return calls

    return place


@pytest.fixture
def run(tmp_path: Path, layout: Layout, shell: tuple[str, ...]) -> Run:
    """Compiles steps and runs the script in one of the shells, as the loader would; gives its report."""

    def run_steps(
        *steps: Step,
        blobs: tuple[bytes, ...] = (),
        user: str = "bus",
        operation_id: str = "0" * 32,
        operator_key: str = "",
        may_come_again: bool = False,
        parts: tuple[str, ...] = (),
        **options: Any,
    ) -> Report:
        plan = replace(Plan(Operation.BOOTSTRAP, steps, parts=(paths.PART, *parts)), **options)
        script = compile_script(
            plan, operation_id=operation_id, by="tester@here", layout=layout, may_come_again=may_come_again
        )
        text = Job(script, 60, plan.materials).text(Vault(tmp_path, None, lambda: operator_key))
        box = Path(tempfile.mkdtemp(dir=tmp_path, prefix="box."))
        (box / "script").write_text(text)
        for number, blob in enumerate(blobs):
            (box / f"blob.{number}").write_bytes(blob)
        done = subprocess.run(
            [*shell, str(box / "script"), str(box), "10.0.0.1 40000 10.0.0.10 22", user],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.stderr == b"", done.stderr
        return parse_report(done.stdout)

    return run_steps
