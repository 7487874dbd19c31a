"""The one edge that touches the world: run a bundle on a host, and give back what it printed."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, SupportsBytes

if TYPE_CHECKING:
    from busnode.transport.process import Completed


class Answer(StrEnum):
    """What a TCP port says to a connect from this side: SYN-ACK, RST, nothing; unknown where that cannot be asked."""

    OPEN = "open"
    REFUSED = "refused"
    SILENT = "silent"
    UNKNOWN = "unknown"


class Family(StrEnum):
    """The two address families, as they are called in diagnostics."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


class Transport(Protocol):
    """A way to a node. It knows nothing of plans, steps or policy."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the operator should know about the way (a jump host, for instance)."""

    @property
    def gateway(self) -> str:
        """What connections to this node and to others have in common: the jump host, else the node's own address."""

    def run(self, bundle: SupportsBytes, *, time_limit: float) -> Completed:
        """Give the bytes of `bundle` to the loader on the node, over a connection of its own; `time_limit` in seconds.

        Raises BadRequestError where a secret that belongs to it cannot be had, and nothing was sent;
        UnreachableError, HostKeyMismatchError, AuthFailedError, OperationTimeoutError.
        """

    def probe(self, port: int, *, time_limit: float, family: Family | None = None) -> Answer:
        """What `port` of the node answers from here, within `time_limit` seconds.

        With a `family`, at the first address of that family which this side knows of the node; unknown without one.
        """
