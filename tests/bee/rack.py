"""The recorded server with real programs for its tools: each takes its time, or misbehaves, and prints as recorded."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path

from bee.machine import Live, Recorded, Run
from tests.bee.recorded import server


class Rack:
    """A machine whose tools really run, as programs in `folder`; its files are those of a recorded one.

    Args:
        folder: an empty folder.
        recorded: what its tools print, and its files.
        seconds: how long each tool takes, by name; 0 where it is not named.
        faults: by name, the body of a shell script that runs in the place of a tool.
        limit: the longest time that any tool is given, in seconds.
    """

    def __init__(
        self,
        folder: Path,
        recorded: Recorded | None = None,
        *,
        seconds: Mapping[str, float] | None = None,
        faults: Mapping[str, str] | None = None,
        limit: float = 60.0,
    ) -> None:
        self._recorded = recorded or server()
        self._limit = limit
        scripts: dict[str, list[str]] = {}
        for index, (args, run) in enumerate(sorted(self._recorded.runs.items())):
            (folder / f"{index}.stdout").write_bytes(run.stdout)
            answer = f"cat {folder}/{index}.stdout; exit {run.exit_code or 0}"
            scripts.setdefault(args[0], []).append(f"{shlex.quote(' '.join(args[1:]))}) {answer} ;;")
        for name, cases in scripts.items():
            delay = (seconds or {}).get(name, 0)
            body = "\n".join([f"sleep {delay}" if delay else ":", 'case "$*" in', *cases, "*) exit 1 ;;", "esac"])
            program = folder / name
            program.write_text(f"#!/bin/sh\n{(faults or {}).get(name, body)}\n")
            program.chmod(0o755)
        self._live = Live(path=(str(folder), "/usr/bin", "/bin"))
        self._own = frozenset(scripts)

    def __enter__(self) -> Rack:
        return self

    def __exit__(self, *_: object) -> None:
        self._live.close()

    def run(self, *args: str, limit: float) -> Run:
        # The tools of the machine that the tests run on are none of the rack's.
        if args[0] not in self._own:
            return Run(args=args, outcome="missing")
        return self._live.run(*args, limit=min(limit, self._limit))

    def has_tool(self, name: str) -> bool:
        return name in self._own

    def read(self, path: str) -> str | None:
        return self._recorded.read(path)

    def resolve(self, path: str) -> str | None:
        return self._recorded.resolve(path)

    def names(self, path: str) -> tuple[str, ...]:
        return self._recorded.names(path)

    def is_root(self) -> bool:
        return True

    def clock(self) -> float:
        return time.time()
