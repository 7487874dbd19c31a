"""Which Python files of the builder a stage is made of: its own, and all that it imports of `iso`, directly or not."""

from __future__ import annotations

import ast
import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PACKAGE = "iso"


def closure(file: Path, root: Path) -> list[Path]:
    """A Python file with all of the checkout's `iso` that runs when it does, sorted; what is imported for types is not.

    Args:
        file: where to begin; nothing comes of one outside the checkout.
        root: the checkout.
    """
    found: set[Path] = set()
    left = [file] if file.is_relative_to(root) else []
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += _imported(one, root)
    return sorted(found)


@functools.cache
def _imported(file: Path, root: Path) -> list[Path]:
    names = _names(ast.parse(file.read_bytes(), str(file)))
    # `from iso.image import vendor` may name a module or something in one, and runs the packages above it: what is
    # there decides.
    found = (name.split(".") for name in names)
    stems = {root.joinpath(*parts[:end]) for parts in found if parts[0] == _PACKAGE for end in range(1, len(parts) + 1)}
    places = (place for stem in stems for place in (stem.with_suffix(".py"), stem / "__init__.py"))
    return [place for place in places if place.is_file()]


def _names(node: ast.AST) -> Iterator[str]:
    """All that a piece of code imports, wherever it does, with its dots; both what it imports from, and what of it."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield str(node.module)
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        for other in node.orelse:
            yield from _names(other)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _names(child)
