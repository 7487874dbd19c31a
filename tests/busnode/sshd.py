"""A real sshd on a loopback port, for tests of what logs in."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from busnode.inventory import Target
from busnode.transport.openssh import OpenSsh

SSHD = "/usr/sbin/sshd"

NEEDS_SSHD = [
    pytest.mark.skipif(os.getuid() != 0, reason="an sshd that logs in is started by root only"),
    pytest.mark.skipif(not Path(SSHD).exists(), reason="sshd is not installed: apt install openssh-server"),
]


@dataclass(frozen=True, slots=True)
class Server:
    """An sshd: its port, its host key, the key that it accepts for root, and its log."""

    port: int
    host_key: str
    fingerprint: str
    key: Path
    log: Path

    @property
    def known_hosts(self) -> str:
        return f"[127.0.0.1]:{self.port} {self.host_key}\n"

    @property
    def logins(self) -> int:
        """How often it has let somebody in."""
        return self.log.read_text(errors="replace").count("Accepted publickey for ")

    def ssh(self, known_hosts: Path | None, **changes: Any) -> OpenSsh:
        names = {name: changes.pop(name) for name in ("host", "user", "host_key") if name in changes}
        target = replace(Target("here", "127.0.0.1", "root", self.port), **names)
        return replace(OpenSsh(target, self.key, known_hosts, connect_seconds=3), **changes)


def keygen(path: Path) -> str:
    """A new key in `path`; gives its public half."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path.with_suffix(".pub").read_text()


@contextmanager
def running(*more: str) -> Iterator[Server]:
    """An sshd with `more` lines of configuration, until the end."""
    # StrictModes looks at every folder above: root's own /run has no others' hands in it.
    folder = Path(tempfile.mkdtemp(prefix="busnode-sshd-", dir="/run"))
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    host_key = keygen(folder / "host")
    (folder / "authorized").write_text(keygen(folder / "key"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = (
        f"ListenAddress 127.0.0.1:{port}",
        f"HostKey {folder}/host",
        f"AuthorizedKeysFile {folder}/authorized",
        "PermitRootLogin prohibit-password",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PidFile none",
        "UsePAM no",
        *more,
    )
    (folder / "config").write_text("\n".join(settings) + "\n")
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(folder / "host.pub")], capture_output=True, text=True, check=True
    ).stdout
    command = [SSHD, "-D", "-E", str(folder / "log"), "-f", str(folder / "config")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 10
            while time.monotonic() < end and not _listens(port):
                time.sleep(0.05)
            yield Server(port, " ".join(host_key.split()[:2]), shown.split()[1], folder / "key", folder / "log")
        finally:
            process.terminate()
            process.wait(10)
            shutil.rmtree(folder)


def _listens(port: int) -> bool:
    with socket.socket() as end:
        return end.connect_ex(("127.0.0.1", port)) == 0
