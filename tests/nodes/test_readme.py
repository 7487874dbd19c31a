"""The README's Python example, letter for letter, on a real node."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.nodes.conftest import Deploy

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300, func_only=True)]

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_library_example(bare: Deploy, suite: str) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    made = bare(suite)
    made.start()
    program = made.folder / "example.py"
    program.write_text(example)
    ran = made.station.run(sys.executable, str(program), cwd=made.folder, timeout=200, check=False)
    assert ran.returncode == 0, ran
    lines = ran.stdout.splitlines()
    assert lines
    assert all(line.startswith("ok ") for line in lines), lines
