"""This very machine as a node: the same loader, without ssh."""

from __future__ import annotations

from typing import TYPE_CHECKING, SupportsBytes

from busnode.contract import OperationTimeoutError
from busnode.records import dataclass
from busnode.script import loader
from busnode.transport import Answer, Family
from busnode.transport.process import Completed, exchange

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Local:
    """Runs bundles here; `shell` is the POSIX shell that plays the log-in's `sh`, `listener` as in OpenSsh."""

    shell: tuple[str, ...] = ("/bin/sh",)
    listener: Callable[[], Callable[[bytes], None]] | None = None

    @property
    def gateway(self) -> str:
        return "here"

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    def run(self, bundle: SupportsBytes, *, time_limit: float) -> Completed:
        hear = None if self.listener is None else self.listener()
        completed = exchange((*self.shell, "-c", loader()), bytes(bundle), time_limit=time_limit, hear=hear)
        if completed.exit_code is None:
            raise OperationTimeoutError(f"not done after {time_limit:g} s", output=completed.stdout)
        return completed

    def probe(self, port: int, *, time_limit: float, family: Family | None = None) -> Answer:  # noqa: ARG002
        """Unknown: nothing is outside of this machine."""
        return Answer.UNKNOWN
