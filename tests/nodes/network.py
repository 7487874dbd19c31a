"""An operator's network: a namespace with a bridge, nodes attached to it by cables, nothing routed by the machine."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.nodes import process

OPERATOR_ADDRESSES = ("10.0.0.1/24", "fd00:b05::1/64")

# What the operator's namespace begins with: an /etc of its own, in which ~ is not the real user's. (A mount on the
# file alone would be gone as soon as somebody outside adds an account.)
_ENTER = """
mount -t overlay -o "lowerdir=/etc,upperdir=$1,workdir=$2" overlay /etc && ip link set lo up && echo ready &&
    exec sleep infinity
"""

# Connect as any client does; an answer is a connection, a refusal, or silence.
_PROBE = """
import json, socket, sys
def probe(host, port):
    try:
        socket.create_connection((host, port), timeout=1.5).close()
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "silent"
    return "open"
print(json.dumps([probe(host, port) for host, port in json.load(sys.stdin)]))
"""

# One ICMP echo request, as ping(8) sends it; Debian's minimal installation has no ping.
_PING = """
import socket, struct, sys
host = sys.argv[1]
family, protocol, request, reply = (
    (socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129) if ":" in host else (socket.AF_INET, socket.IPPROTO_ICMP, 8, 0)
)
with socket.socket(family, socket.SOCK_RAW, protocol) as wire:
    wire.settimeout(2)
    # The kernel fills in the checksum of ICMPv6; that of ICMPv4 is the complement of the other words' sum.
    checksum = 0 if ":" in host else 0xFFFF - (request << 8) - 2
    wire.sendto(struct.pack("!BBHHH", request, 0, checksum, 1, 1), (host, 0))
    try:
        while True:
            packet, sender = wire.recvfrom(1500)
            answer = packet if ":" in host else packet[20:]
            if sender[0] == host and answer[0] == reply:
                sys.exit(0)
    except TimeoutError:
        sys.exit(1)
"""


def namespace(kind: str, pid: int) -> str:
    """The identity of a process' namespace, such as `net:[4026531840]`; empty once the process is gone."""
    try:
        return str(Path(f"/proc/{pid}/ns/{kind}").readlink())
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Operator:
    """A workstation in namespaces of its own (network, mounts, processes), with its own home and runtime folder."""

    home: Path
    runtime: Path
    pid: int
    _cables: list[str] = field(default_factory=list)

    def command(self, *command: str, cwd: Path | None = None) -> list[str]:
        """The command line that runs a command on the workstation, in the folder `cwd` (default: its home)."""
        spaces = [f"--target={self.pid}", "--net", "--mount", "--pid", f"--wdns={cwd or self.home}"]
        return ["nsenter", *spaces, "--", *command]

    def run(
        self,
        *command: str,
        stdin: str | None = None,
        timeout: float = 60,
        check: bool = True,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the workstation; `env` is added to a clean environment."""
        line = self.command(*command, cwd=cwd)
        return process.run(line, stdin=stdin, timeout=timeout, check=check, env=self.environment(env))

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of the workstation's user: nothing of this process' own but where programs are."""
        path = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {
            "PATH": path,
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "LANG": "C.UTF-8",
            **(extra or {}),
        }

    def attach(self, pid: int, *addresses: str) -> str:
        """Lay a cable from the bridge to the namespace of process `pid`; there it ends as eth0, here as the answer."""
        cable = f"node{len(self._cables)}"
        self._cables.append(cable)
        self._ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        self._ip("link", "set", cable, "master", "bridge", "up")
        inside = ["nsenter", f"--net=/proc/{pid}/ns/net", "--", "ip"]
        for address in addresses:
            process.run([*inside, "address", "add", address, "dev", "eth0", *_no_detection(address)])
        process.run([*inside, "link", "set", "lo", "up"])
        process.run([*inside, "link", "set", "eth0", "up"])
        return cable

    def pull(self, cable: str) -> None:
        """Take a cable out: nothing passes, and neither end is told more than that its link is down."""
        self._ip("link", "set", cable, "down")

    def plug(self, cable: str) -> None:
        """Put it back in."""
        self._ip("link", "set", cable, "up")

    def probe(self, *ends: tuple[str, int]) -> dict[tuple[str, int], str]:
        """What each (address, port) answers to a connection: open, refused or silent."""
        out = self.run("/usr/bin/python3", "-I", "-c", _PROBE, stdin=json.dumps(ends), timeout=10 + 2 * len(ends))
        return dict(zip(ends, json.loads(out.stdout), strict=True))

    def ping(self, address: str) -> bool:
        """Whether the address answers an echo request."""
        return self.run("/usr/bin/python3", "-I", "-c", _PING, address, check=False).returncode == 0

    def _ip(self, *arguments: str) -> None:
        process.run(["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", "ip", *arguments])


def _no_detection(address: str) -> list[str]:
    # Duplicate address detection would hold an IPv6 address back for a second.
    return ["nodad"] if ":" in address else []


def _passwd(home: Path) -> str:
    """The machine's accounts, with this user's home moved."""
    lines = []
    for line in Path("/etc/passwd").read_text().splitlines():
        fields = line.split(":")
        if fields[2] == str(os.getuid()):
            fields[5] = str(home)
        lines.append(":".join(fields))
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def operator(home: Path) -> Iterator[Operator]:
    """A workstation with an empty home and a network that ends at its bridge; gone with everything that it runs."""
    (home / ".ssh").mkdir(mode=0o700, parents=True)
    # Sockets have short paths.
    runtime = Path(tempfile.mkdtemp(prefix="busnode-test-", dir="/run"))
    etc, work = (home.with_name(f"{home.name}.{part}") for part in ("etc", "work"))
    etc.mkdir(mode=0o755)
    work.mkdir()
    (etc / "passwd").write_text(_passwd(home))
    apart = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    holder = process.start([*apart, "sh", "-c", _ENTER, "sh", str(etc), str(work)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n", "no namespaces: are you root?"
        station = Operator(home, runtime, first_of_namespace(holder.pid))
        station._ip("link", "add", "bridge", "type", "bridge", "forward_delay", "0")
        for address in OPERATOR_ADDRESSES:
            station._ip("address", "add", address, "dev", "bridge", *_no_detection(address))
        station._ip("link", "set", "bridge", "up")
        yield station
    finally:
        process.kill(holder)
        shutil.rmtree(runtime)


def first_of_namespace(parent: int) -> int:
    """The child of process `parent` that is process 1 of a namespace."""
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
            if fields["PPid"] == str(parent) and fields["NSpid"].split()[-1] == "1":
                return int(status.parent.name)
    return 0
