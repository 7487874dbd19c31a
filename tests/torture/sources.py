"""Which files of this checkout a module is made of: itself and all that it imports, read from the code."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def closure(*files: Path) -> tuple[Path, ...]:
    """`files` and every file of the checkout that they import, directly or not, sorted."""
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path)
    return tuple(sorted(found))


def module_file(name: str) -> Path | None:
    """Where the module `name` of this checkout lies; None for a module of anywhere else."""
    path = ROOT.joinpath(*name.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


@cache
def _imported(path: Path) -> tuple[Path, ...]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # What is imported from a package may be a name in it or a module of it.
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return tuple(found for name in sorted(names) if (found := module_file(name)) is not None)
