"""Whatever is edited in iso/overlay: what is staged is what a fresh clone would stage, and every edit is noticed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from iso.stages import live_build, overlay
from iso.tree import listing
from tests.iso.checkout import config, make_checkout, run

if TYPE_CHECKING:
    from iso.paths import Paths

STAGES = (overlay.STAGE, live_build.PREPARE, live_build.SYNC)

# A file with its content, a program, a link with its target, or a folder.
NAMES = st.sampled_from(["a", "b", "etc", "old"])
LEAVES = st.tuples(st.sampled_from(["file", "program", "link"]), st.sampled_from(["one", "two"]))
TREES = st.dictionaries(
    NAMES, st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=6), max_size=4
)


def write(folder: Path, tree: dict[str, object]) -> None:
    """A folder with exactly this in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in tree.items():
        path = folder / name
        if isinstance(part, dict):
            write(path, part)
            continue
        assert isinstance(part, tuple)
        kind, content = part
        if kind == "link":
            path.symlink_to(content)
        else:
            path.write_text(content)
            path.chmod(0o755 if kind == "program" else 0o644)


def edit(paths: Paths, tree: dict[str, object]) -> None:
    """The source overlay, replaced by this tree."""
    shutil.rmtree(paths.source_overlay)
    write(paths.source_overlay, tree)


def staged(paths: Paths) -> dict[str, str]:
    """What the ISO would get, after the stages have run in their order."""
    for stage in STAGES:
        run(stage, paths, config())
    return listing(paths.workdir / "config/includes.chroot", ".")


@settings(max_examples=20)
@given(st.lists(TREES, min_size=1, max_size=3))
def test_no_edit_leaves_anything_stale_or_goes_unnoticed(trees: list[dict[str, object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        kept = make_checkout(Path(folder) / "kept")
        seen: list[tuple[dict[str, str], object]] = []
        for number, tree in enumerate(trees):
            fresh = make_checkout(Path(folder) / f"fresh-{number}")
            edit(kept, tree)
            edit(fresh, tree)
            source, result = listing(kept.source_overlay, "."), staged(kept)
            assert result == staged(fresh)
            inputs = overlay.STAGE.inputs(overlay.STAGE.job(config(), kept))
            assert all((source == before) == (inputs == told) for before, told in seen)
            seen.append((source, inputs))
