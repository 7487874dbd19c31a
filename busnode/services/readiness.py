"""What a service tells systemd: that it is ready, and that it stops (sd_notify(3))."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """Send `READY=1` or `STOPPING=1` to the socket of $NOTIFY_SOCKET; nothing where systemd gave none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    # An abstract name is written with @ in the place of its NUL byte.
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto(state.encode(), name)
