"""What the operator's side sees of a node's ports, and of its firewall before and after a change."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from busnode.records import dataclass
from busnode.transport import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from busnode.inventory import FirewallPolicy
    from busnode.transport import Family, Transport

PROBE_SECONDS = 1.0
# A policy may allow a thousand ports; these many tell whether it is in force.
_PROBED = 8
_FIRST_OTHER_PORT = 50001
_THERE = (Answer.OPEN, Answer.REFUSED)


class Look:
    """One look at some ports, all at once, begun when made; over one address family where it is given.

    ssh's own port is never among them: sshd counts bare connects against their source, and a log-in probes it anyway.
    """

    def __init__(self, transport: Transport, ports: Iterable[int], family: Family | None = None) -> None:
        self._family = family
        self._answers: dict[int, Answer] = {}
        self._threads = [threading.Thread(target=self._ask, args=(transport, port), daemon=True) for port in ports]
        for thread in self._threads:
            thread.start()

    def _ask(self, transport: Transport, port: int) -> None:
        self._answers[port] = transport.probe(port, time_limit=PROBE_SECONDS, family=self._family)

    def answers(self) -> dict[int, Answer]:
        """Port -> what it said; waits for the last of them."""
        for thread in self._threads:
            thread.join()
        return dict(sorted(self._answers.items()))


@dataclass(frozen=True, slots=True)
class Watch:
    """The ports by which a firewall policy is judged: some that it allows, and one that it does not."""

    allowed: tuple[int, ...]
    other: int | None

    @classmethod
    def of(cls, policy: FirewallPolicy, ssh_port: int) -> Watch:
        """What to watch of a policy, without ssh's own port."""
        allowed = tuple(port for port in policy.allowed_ports if port != ssh_port)[:_PROBED]
        if not policy.default_deny_inbound:
            return cls(allowed, None)
        taken = {*policy.allowed_ports, ssh_port}
        return cls(allowed, next((port for port in range(_FIRST_OTHER_PORT, 65536) if port not in taken), None))

    @property
    def ports(self) -> tuple[int, ...]:
        """All of them."""
        return self.allowed if self.other is None else (*self.allowed, self.other)

    def gone_wrong(self, before: dict[int, Answer], after: dict[int, Answer]) -> str | None:
        """Why the firewall is not as its policy says; None where nothing that was seen speaks against it.

        What did not answer before the change either is dropped somewhere on the way, and proves nothing.
        """
        for port in self.allowed:
            if before[port] in _THERE and after[port] is Answer.SILENT:
                return f"port {port} is allowed and no longer answers"
        if self.other is not None and before[self.other] in _THERE and after[self.other] in _THERE:
            return f"port {self.other} is not allowed and still answers"
        return None

    def unproven(self, before: dict[int, Answer], after: dict[int, Answer]) -> tuple[str, ...]:
        """What the probes could not show, for the diagnostics."""
        if Answer.UNKNOWN in after.values():
            return ("ports could not be probed from here; the fresh log-in alone confirmed the change",)
        found = []
        silent = [str(port) for port in self.allowed if after[port] is Answer.SILENT]
        if silent:
            found.append(f"allowed, but dropped on the way here, before the change as after it: {', '.join(silent)}")
        if self.other is not None and before[self.other] is Answer.SILENT:
            found.append(f"port {self.other} was silent before the change too: that others are dropped is not proven")
        return tuple(found)
