"""What a stage of the build is, and when it need not run again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from iso.paths import Paths
    from iso.versions import Config


@dataclass(frozen=True, slots=True)
class Job:
    """What a stage works on.

    Args:
        config: the build as asked for.
        paths: the checkout's folders.
        log: where the stage's tools write.
    """

    config: Config
    paths: Paths
    log: Path


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the document's build sequence.

    Args:
        name: its task's name; also its log's.
        run: does it.
        key: a digest of all it depends on: while that stays the same and the outputs are there, it need not run.
        outputs: what it leaves behind.
        summary: what it is for, where its task has no text of its own.
        remark: what to say of it in a run that skips it.
        spared: says that there is nothing to do whatever happened before, as when a cache has the result.
    """

    name: str
    run: Callable[[Job], None]
    key: Callable[[Job], str]
    summary: str = ""
    outputs: Callable[[Job], list[Path]] = lambda _job: []
    remark: Callable[[Job], str | None] = lambda _job: None
    spared: Callable[[Job], bool] = lambda _job: False

    def job(self, config: Config, paths: Paths) -> Job:
        """What it works on in one build; each stage has a log of its own."""
        return Job(config, paths, paths.logs / f"{self.name}.log")
