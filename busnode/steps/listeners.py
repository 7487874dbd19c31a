"""Listeners: TCP's are looked at, UDP's are told of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from busnode.report import number
from busnode.script import Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from busnode.inventory import Listener, Target


# More than any node has, and less than a node could say.
_MOST = 2000
_FACTS = {"tcp": "listeners", "udp": "udp_listeners"}


def read() -> Step:
    """All that there are."""
    return Step("read-listeners", "listeners", "listeners", ("read_listeners",))


def sockets(facts: Mapping[str, str], protocol: str = "tcp") -> list[dict[str, Any]]:
    """The sockets of `ss -H -tlnp`, a line each: State Recv-Q Send-Q Local:Port Peer:Port users:(("sshd",pid=1,fd=3))

    With the protocol `udp` those of `ss -H -ulnp`, whose lines are alike.

    >>> sockets({"listeners": 'LISTEN 0 128 [::1]:80 [::]:* users:(("nginx",pid=7,fd=3))'})
    [{'protocol': 'tcp', 'address': '::1', 'port': 80, 'process': 'nginx'}]
    """
    lines = facts.get(_FACTS[protocol], "").splitlines()[:_MOST]
    return [_socket(protocol, line) for line in lines if len(line.split()) >= 5]


def _socket(protocol: str, line: str) -> dict[str, Any]:
    words = line.split()
    address, _, port = words[3].rpartition(":")
    process = line.partition('users:(("')[2].partition('"')[0]
    return {
        "protocol": protocol,
        "address": address.replace("[", "").replace("]", ""),
        "port": number(port),
        "process": process or None,
    }


def checks(target: Target) -> list[Step]:
    """sshd's own live listener, then one check a listener of the inventory."""
    live = Step("check-listeners", "listener ssh", "listeners", ("ssh_listener",), check=True)
    return [
        live,
        *(
            Step(
                "check-listeners",
                f"listener {shown(listener)}",
                "listeners",
                ("listener", listener.address or "", str(listener.port), listener.process or ""),
                check=True,
            )
            for listener in target.listeners
        ),
    ]


def shown(listener: Listener) -> str:
    """How a listener is called in names and diagnostics.

    >>> from busnode.inventory import Listener
    >>> shown(Listener(8080, "127.0.0.1")), shown(Listener(443, "::1")), shown(Listener(80))
    ('127.0.0.1:8080', '[::1]:443', 'port 80')
    """
    if listener.address is None:
        return f"port {listener.port}"
    address = f"[{listener.address}]" if ":" in listener.address else listener.address
    return f"{address}:{listener.port}"
