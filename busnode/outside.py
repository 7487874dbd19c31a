"""What the operator's side sees of a node's ports, before and after a change of its firewall."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from busnode.inventory import FirewallPolicy
    from busnode.transport import Transport

PROBE_SECONDS = 1.0
# A policy may allow a thousand ports; these many tell whether it is in force.
_PROBED = 8
_FIRST_OTHER_PORT = 50001


@dataclass(frozen=True, slots=True)
class Ports:
    """Port -> whether it answers (None: cannot be asked from here), and which one the policy does not allow."""

    answers: dict[int, bool | None]
    other: int | None


class Look:
    """One look at some allowed ports and one that is not allowed, all at once, begun when made.

    A port answers with SYN-ACK or RST, whether something listens there or not. ssh's own is never probed: sshd counts
    bare connects against their source, and the log-in probes it anyway.
    """

    def __init__(self, transport: Transport, policy: FirewallPolicy, ssh_port: int) -> None:
        allowed = [port for port in policy.allowed_ports if port != ssh_port][:_PROBED]
        other = next(port for port in range(_FIRST_OTHER_PORT, 65536) if port not in policy.allowed_ports)
        self._found: dict[int, bool | None] = {}
        self.other = other if policy.default_deny_inbound else None
        wanted = [*allowed, other] if policy.default_deny_inbound else allowed
        self._threads = [threading.Thread(target=self._ask, args=(transport, port), daemon=True) for port in wanted]
        for thread in self._threads:
            thread.start()

    def _ask(self, transport: Transport, port: int) -> None:
        self._found[port] = transport.probe(port, time_limit=PROBE_SECONDS)

    def ports(self) -> Ports:
        """What was seen; waits for the last answer."""
        for thread in self._threads:
            thread.join()
        return Ports(dict(self._found), self.other)


def gone_wrong(before: Ports, after: Ports) -> str | None:
    """Why the firewall is not as its policy says, seen from outside; None where nothing speaks against it.

    What did not answer before the change either is dropped somewhere else, and proves nothing.
    """
    for port, answers in sorted(after.answers.items()):
        if port == after.other:
            if answers and before.answers.get(port):
                return f"port {port} is not allowed and still answers"
        elif answers is False and before.answers.get(port):
            return f"port {port} is allowed and no longer answers"
    return None


def shown(before: Ports, after: Ports) -> tuple[str, ...]:
    """What the probes could not prove, for the diagnostics."""
    silent = sorted(port for port, answers in after.answers.items() if answers is False and port != after.other)
    found = []
    if silent:
        ports = ", ".join(map(str, silent))
        found.append(f"allowed, but dropped on the way here, before the change as after it: port {ports}")
    if any(answers is None for answers in after.answers.values()):
        found.append("ports could not be probed from here; the fresh log-in alone confirmed the change")
    elif after.other is not None and not before.answers.get(after.other):
        found.append(f"port {after.other} was silent before the change too: no proof from here that others are dropped")
    return tuple(found)
