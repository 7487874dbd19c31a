"""TCP listeners."""

from __future__ import annotations

from typing import TYPE_CHECKING

from busnode.script import Step

if TYPE_CHECKING:
    from busnode.inventory import Listener, Target


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
