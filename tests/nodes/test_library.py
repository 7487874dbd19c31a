"""The library's page against a real node: its examples are true, and its program runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.busnode.examples import blocks

if TYPE_CHECKING:
    from tests.nodes.conftest import Deploy
    from tests.nodes.deployment import Deployment

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300, func_only=True)]


def _python(made: Deployment, *words: str) -> str:
    done = made.station.run(sys.executable, *words, cwd=made.folder, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return f"{done.stdout}{done.stderr}"


def test_the_examples_of_the_page_are_true(prepared: Deploy) -> None:
    made = prepared("trixie")
    made.start()
    made.write_target(allowed_ports=[22, 443])
    (made.folder / "page.txt").write_text("\n".join(blocks("docs/library.md", "pycon node")))
    _python(made, "-m", "doctest", "page.txt")
    (made.folder / "program.py").write_text(blocks("docs/library.md", "python")[0])
    said = _python(made, "program.py", "deploy/nodes.json", "local/id_ed25519")
    assert "proxy Debian GNU/Linux 13 (trixie)" in said
    assert "release: ok, " in said
