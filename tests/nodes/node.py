"""A real Debian node: a base tree below an overlay, booted by systemd-nspawn at the end of an operator's cable."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import os
import shutil
import subprocess
from pathlib import Path

from tests.nodes import process
from tests.nodes.network import Operator, first_of_namespace, namespace
from tests.nodes.tree import REPOSITORY, USER, USER_ID, Tree

# The document's node.
ADDRESS = "10.0.0.10"
ADDRESS_6 = "fd00:b05::10"

BOOT_SECONDS = 60

CGROUP_PREFIX = "busnode-test-"
_numbers = itertools.count(1)

# Runs as process 1 of the node's namespaces, where its mounts, its /run and its /tmp end with it. It waits for the
# cable before it begins (end of input), and stands in the node's own control groups (0 is the writer itself).
_BOOT = r"""
set -eu
lower=$1 upper=$2 work=$3 packages=$4 repository=$5 name=$6
shift 6
cat
for group; do echo 0 >"$group/cgroup.procs"; done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/root /run/packages
mount -t overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$work" overlay /run/root
mount --bind "$packages" /run/packages
mount -t tmpfs tmpfs /tmp
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
exec systemd-nspawn --quiet --directory=/run/root --machine="$name" --network-namespace-path=/proc/self/ns/net \
    --register=no --keep-unit --capability=CAP_NET_ADMIN --resolv-conf=off --timezone=off --link-journal=no \
    --bind-ro="/run/packages:$repository" --boot
"""


_STATE = r"""
set -- /etc /home/*/.ssh /root/.ssh
find "$@" -printf '%p\t%y %m %U:%G %l\n' 2>/dev/null || true
find "$@" -type f -exec sha256sum {} + 2>/dev/null | sed 's/^\([0-9a-f]*\)  \(.*\)/\2\t\1/' || true
systemctl list-unit-files --no-legend --plain | sed '/^session-[c0-9]*\.scope /d; s/^\([^ ]*\) */unit \1\t/'
systemctl --failed --no-legend --plain | sed 's/^/failed units\t/'
if command -v nft >/dev/null; then nft --stateless list ruleset | sed 's/^/firewall\t/'; fi
mkdir -p /run/sshd
sshd -T -C user=bus,host=operator,addr=10.0.0.1 | sed 's/^/sshd\t/'
"""


def cgroup_roots() -> list[Path]:
    """Our own place in each hierarchy that systemd uses: the unified one, and on older set-ups name=systemd."""
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        own[controllers] = path
    roots = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, source = line.partition(" - ")
        place, kind, options = mount.split()[4], source.split()[0], source.split()[2].split(",")
        controller = "" if kind == "cgroup2" else "name=systemd"
        if kind == "cgroup2" or (kind == "cgroup" and controller in options):
            roots.append(Path(place + own[controller]))
    return roots


class Node:
    """One machine. What it writes is kept in `disk` from boot to boot, until `close`.

    Its root file system is the base tree, then `disk_below` (of a node that is off), then its own `disk`, which holds
    `disk_bytes` and lies in memory where that is given: in `storage`, beside which nothing else is.
    """

    def __init__(
        self,
        tree: Tree,
        station: Operator,
        folder: Path,
        *,
        address: str = ADDRESS,
        address_6: str = ADDRESS_6,
        disk_below: Path | None = None,
        disk_bytes: int | None = None,
    ) -> None:
        self.tree = tree
        self.station = station
        self.address = address
        self.address_6 = address_6
        self.name = f"{tree.suite}{next(_numbers)}"
        self.folder = folder
        self.console = folder / "console.log"
        self.storage = folder / "storage"
        self.disk = self.storage / "disk"
        self._in_memory = disk_bytes is not None
        self._lower = ":".join(str(layer) for layer in (disk_below, tree.root) if layer)
        self.cable = ""
        self._groups: list[Path] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self.storage.mkdir(parents=True)
        if disk_bytes is not None:
            process.run(["mount", "-t", "tmpfs", "-o", f"size={disk_bytes}", "tmpfs", str(self.storage)])
        for part in (self.disk, self.storage / "work"):
            part.mkdir()
        shutil.copystat(tree.root, self.disk)
        self.place("/etc/hostname", f"{self.name}\n")
        self.place("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n::1 localhost\n")
        self.place("/etc/machine-id", f"{os.urandom(16).hex()}\n", mode=0o444)
        self._make_host_keys()

    # Before it boots

    def place(self, path: str, content: str | bytes, *, mode: int = 0o644, owner: int = 0) -> None:
        """Write a file of a node that is not running; folders above it must be in the base tree."""
        assert self._process is None, "the node is running"
        *folders, name = Path(path).relative_to("/").parts
        below, above = self.tree.root, self.disk
        for folder in folders:
            below, above = below / folder, above / folder
            if not above.exists():
                above.mkdir()
                shutil.copystat(below, above)
                os.chown(above, below.stat().st_uid, below.stat().st_gid)
        file = above / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        file.chmod(mode)
        os.chown(file, owner, owner)

    def authorize(self, public_key: str) -> None:
        """Let the holder of a key log in to the operator's account."""
        self.place(f"/home/{USER}/.ssh/authorized_keys", public_key, mode=0o600, owner=USER_ID)

    def _make_host_keys(self) -> None:
        for kind in ("ed25519", "ecdsa"):
            key = self.folder / f"ssh_host_{kind}_key"
            process.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", f"root@{self.name}", "-f", str(key)])
            self.place(f"/etc/ssh/{key.name}", key.read_text(), mode=0o600)
            self.place(f"/etc/ssh/{key.name}.pub", key.with_suffix(".pub").read_text())

    def host_key(self, kind: str = "ed25519") -> str:
        """The public host key, `TYPE BASE64`."""
        return " ".join((self.folder / f"ssh_host_{kind}_key.pub").read_text().split()[:2])

    def fingerprint(self, kind: str = "ed25519") -> str:
        """The host key's fingerprint as ssh prints it."""
        digest = hashlib.sha256(base64.b64decode(self.host_key(kind).split()[1])).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def known_hosts(self) -> str:
        """The lines that a known_hosts file needs for this node."""
        return "".join(f"{self.address},{self.address_6} {self.host_key(kind)}\n" for kind in ("ed25519", "ecdsa"))

    # Its life

    def start(self) -> None:
        """Switch it on; returns at once, `wait` for it afterwards."""
        assert self._process is None, "the node is running"
        self._groups = [root / f"{CGROUP_PREFIX}{os.getpid()}-{self.name}" for root in cgroup_roots()]
        for group in self._groups:
            group.mkdir()
        parts = (self._lower, self.disk, self.storage / "work", self.tree.packages, REPOSITORY, self.name)
        apart = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
        with self.console.open("ab") as console:
            self._process = process.start(
                [*apart, "sh", "-c", _BOOT, "sh", *map(str, parts), *map(str, self._groups)],
                stdin=subprocess.PIPE,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        pid = self._process.pid
        process.wait_until("a network namespace", lambda: namespace("net", pid) != namespace("net", os.getpid()), 10)
        self.cable = self.station.attach(pid, f"{self.address}/24", f"{self.address_6}/64")
        assert self._process.stdin is not None
        self._process.stdin.close()

    def wait(self) -> None:
        """Until it has booted: every unit that should run does."""
        try:
            self._leader = process.wait_until("the node's process 1", self._find_leader, BOOT_SECONDS)
            process.wait_until("the node's boot", self._is_settled, BOOT_SECONDS)
        except AssertionError as error:
            last = self.console.read_text(errors="replace").splitlines()[-60:]
            raise AssertionError("\n".join([f"{self.name}: {error}", *last])) from None
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        assert state == "running", self.run("systemctl", "--failed", "--plain", "--no-legend").stdout

    def _find_leader(self) -> int:
        assert self._process is not None
        assert self._process.poll() is None, "systemd-nspawn ended"
        nspawn = first_of_namespace(self._process.pid)
        return nspawn and first_of_namespace(nspawn)

    def _is_settled(self) -> bool:
        state = self.run("systemctl", "is-system-running", "--wait", check=False, timeout=BOOT_SECONDS)
        return state.stdout.strip() in {"running", "degraded"}

    def shut_down(self) -> None:
        """Switch it off in order: its disk is complete."""
        assert self._process is not None
        self.run("systemctl", "poweroff", check=False)
        self._process.wait(BOOT_SECONDS)
        self.stop()

    def stop(self) -> None:
        """Pull its plug."""
        if self._process is not None:
            process.kill(self._process)
            self._process, self._leader = None, 0
        for group in self._groups:
            remove_cgroup(group)
        self._groups = []

    def power_cycle(self) -> None:
        """Pull its plug and boot it again: what was in memory is gone, its kernel's firewall rules too."""
        self.stop()
        self.start()
        self.wait()

    def close(self) -> None:
        """Pull its plug and throw its disk away."""
        self.stop()
        if self._in_memory:
            process.run(["umount", str(self.storage)])
        shutil.rmtree(self.folder)

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Looking inside, past ssh

    @property
    def root(self) -> Path:
        """Its root folder as the node itself sees it, for looks that must cost no process; gone when it is off."""
        return Path(f"/proc/{self._leader or 'off'}/root")

    def command(self, *command: str) -> list[str]:
        """The command line that runs a command on the node as root."""
        assert self._leader, "the node is not running"
        spaces = ("--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup", "--root", "--wdns=/")
        return ["nsenter", f"--target={self._leader}", *spaces, "--", *command]

    def run(
        self, *command: str, stdin: str | None = None, timeout: float = 60, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the node as root, as on its console: it needs neither ssh nor a network."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
        return process.run(self.command(*command), stdin=stdin, timeout=timeout, check=check, env=environment)

    def shell(self, script: str, *, timeout: float = 60) -> str:
        """What a sh script prints that runs on the node as root and must succeed."""
        return self.run("sh", "-euc", script, timeout=timeout).stdout

    def state(self) -> dict[str, str]:
        """What makes the node behave as it does: every file, link and folder of /etc and of the homes' .ssh with owner,
        mode and content; unit states, but for the sessions of who is logged in or was just cut off; the kernel's
        firewall rules; what sshd makes of its configuration."""
        found: dict[str, str] = {}
        for line in self.shell(_STATE).splitlines():
            name, _, value = line.partition("\t")
            found[name] = found[name] + "\n" + value if name in found else value
        return found

    def differences(self, before: dict[str, str]) -> dict[str, tuple[str | None, str | None]]:
        """What is not as in an earlier `state`: name -> what it was, what it is."""
        now = self.state()
        names = sorted(before.keys() | now.keys())
        return {name: (before.get(name), now.get(name)) for name in names if before.get(name) != now.get(name)}


def remove_cgroup(group: Path) -> None:
    """Remove a control group whose processes are gone or just going (5 seconds)."""

    def gone() -> bool:
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        return not group.exists()

    process.wait_until(f"an empty {group}", gone, 5)
