"""Who may import whom, read from the code itself."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING

import pytest

from tests.house.tree import ROOT, files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGES = ("bee", "busnode", "iso")
ALLOWED = {
    "bee": {"bee"},
    "busnode": {"busnode", "jsonschema"},
    "iso": {"iso", "sh", "doit"},
}
# bee runs on the live CD from one file: the validator alone may need more than the standard library.
# The services' libraries are an extra, and nothing else of busnode may need them.
EXCEPTIONS = {
    "bee/validation.py": {"jsonschema"},
    "busnode/events/events_api.py": {"httpx"},
    "busnode/events/redis_connection.py": {"redis"},
    "busnode/services/http.py": {"starlette", "uvicorn"},
    "busnode/services/node_api.py": {"anyio", "prometheus_client", "starlette"},
}


def _modules(package: str) -> Iterator[Path]:
    return (path for path in files() if path.suffix == ".py" and path.is_relative_to(ROOT / package))


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _foreign(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in _imports(path)} - sys.stdlib_module_names


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_nothing_but_what_it_may(package: str) -> None:
    wrong = {}
    for path in _modules(package):
        name = str(path.relative_to(ROOT))
        foreign = _foreign(path) - ALLOWED[package] - EXCEPTIONS.get(name, set())
        if foreign:
            wrong[name] = sorted(foreign)
    assert not wrong


def test_the_task_table_imports_the_builder_alone() -> None:
    assert _foreign(ROOT / "dodo.py") <= {"iso"}


def test_parsers_never_touch_the_machine() -> None:
    wrong = {
        str(path.relative_to(ROOT)): sorted(touching)
        for path in _modules("bee/parsers")
        if (touching := {name.partition(".")[0] for name in _imports(path)} & {"os", "subprocess", "pathlib", "socket"})
    }
    assert not wrong
