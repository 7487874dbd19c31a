"""Base trees of the nodes: a small Debian as installed, and beside it the repository that its apt installs from.

A tree is made once per suite and recipe and kept below the user's cache folder: complete or absent (it is made beside
its place and renamed), and safe to lose.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from iso.archive import sources as apt_sources
from tests.nodes import process

SUITES = ("bookworm", "trixie")

# What a Debian server has before anybody prepared it.
INSTALLED = (
    "dbus",
    "iproute2",
    "libpam-systemd",
    "openssh-server",
    "procps",
    "sudo",
    "systemd",
    "systemd-sysv",
)
# What the nodes may install, with all that it depends on.
OFFERED = (
    "ca-certificates",
    "fail2ban",
    "firewalld",
    "iptables",
    "less",
    "lynis",
    "nftables",
    "python3-httpx",
    "python3-prometheus-client",
    "python3-redis",
    "python3-starlette",
    "python3-systemd",
    "python3-uvicorn",
    "redis-server",
    "ufw",
)
# What one release alone has.
OFFERED_BY = {"bookworm": (), "trixie": ("valkey-server",)}

# Where a node finds its repository.
REPOSITORY = "/srv/repository"

# The account that an operator logs in to.
USER = "bus"
USER_ID = 1000

# A tree that no test took for this long belongs to an older recipe.
UNUSED_SECONDS = 7 * 24 * 3600

_UNREAD = ("doc", "info", "locale", "man")

_CUSTOMIZE = (
    # The repository: fetched with the new system's own view of what is installed.
    (
        'mkdir "$1.debs" && APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -y -qq --no-install-recommends --download-only'
        ' -o Dir::Cache::Archives="$1.debs" install {offered}'
    ),
    # Each node gets host keys and a machine id of its own.
    'rm -f "$1"/etc/ssh/ssh_host_* && : >"$1/etc/machine-id"',
    f'chroot "$1" useradd --create-home --uid {USER_ID} --shell /bin/bash {USER}',
    f'install -d -m 700 -o {USER_ID} -g {USER_ID} "$1/home/{USER}/.ssh"',
    f'echo "{USER} ALL=(ALL:ALL) NOPASSWD: ALL" >"$1/etc/sudoers.d/{USER}" && chmod 440 "$1/etc/sudoers.d/{USER}"',
    f'echo "deb [trusted=yes] file:{REPOSITORY} ./" >"$1/etc/apt/sources.list"',
    f'mkdir -p "$1{REPOSITORY}"',
)


@dataclass(frozen=True, slots=True)
class Tree:
    """A made tree: the root file system and the folder of packages with its index, both only read."""

    suite: str
    root: Path
    packages: Path


def mirror() -> str:
    """The Debian mirror that this machine's apt uses."""
    listing = process.run(["apt-get", "indextargets", "--format", apt_sources.FORMAT, "Created-By: Packages"]).stdout
    archive, _ = apt_sources.parse_index_targets(listing)
    assert archive, "apt knows no Debian mirror here: run apt-get update"
    return archive


def cache() -> Path:
    """The folder that the trees are kept in."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bee-busnode" / "nodes"


def recipe(suite: str, address: str) -> list[str]:
    """The command that makes a tree, but for its place."""
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _UNREAD]
    offered = " ".join((*OFFERED, *OFFERED_BY[suite]))
    hooks = [f"--customize-hook={hook.format(offered=offered)}" for hook in _CUSTOMIZE]
    return [
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        f"--include={','.join(INSTALLED)}",
        '--aptopt=Acquire::Retries "5"',
        *excluded,
        *hooks,
        suite,
        "{root}",
        address,
    ]


def _key(command: list[str]) -> str:
    # The mirror is a place, not content: the same tree comes from each.
    return hashlib.sha256("\0".join(command[:-1]).encode()).hexdigest()[:16]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(command: list[str], place: Path) -> None:
    """Make the tree in a new folder beside `place` and rename it there."""
    making = Path(tempfile.mkdtemp(prefix=f"{place.name}.making-", dir=place.parent))
    try:
        root = making / "root"
        # Mounts and processes of the making live and die in namespaces of their own.
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
        process.run([*apart, *(word.replace("{root}", str(root)) for word in command)], timeout=600)
        packages = (making / "root.debs").rename(making / "packages")
        shutil.rmtree(packages / "partial")
        (packages / "lock").unlink()
        index = process.run(["dpkg-scanpackages", "--multiversion", "."], cwd=packages).stdout
        (packages / "Packages").write_text(index)
        making.chmod(0o755)
        making.rename(place)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _forget_unused(suite: str) -> None:
    """Remove trees of older recipes, and what was left of makings that were killed."""
    for place in cache().glob(f"{suite}-*"):
        if time.time() - place.stat().st_mtime > UNUSED_SECONDS:
            shutil.rmtree(place)


def base_tree(suite: str) -> Tree:
    """The tree of a suite, made now (half a minute) when the cache has none of this recipe."""
    place = cache() / f"{suite}-{_key(recipe(suite, ''))}"
    with _locked(cache() / f"{suite}.lock"):
        if not place.exists():
            _make(recipe(suite, mirror()), place)
        os.utime(place)
        _forget_unused(suite)
    return Tree(suite, place / "root", place / "packages")
