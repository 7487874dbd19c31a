"""What of the machine that built an image must never be in it, and where such things hide."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

# In PEM and in OpenSSH's form; programs that handle keys have the first line alone.
PRIVATE_KEY = re.compile(
    rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----\r?\n(?:[A-Za-z-]+: .*\r?\n|\r?\n)*[A-Za-z0-9+/=]{16,}"
)
USERINFO = re.compile(rb"\b(?:https?|ftp)://[!#-.0-9;=?A-Z_a-z~%]+:[!#-.0-9;=?A-Z_a-z~%]+@[A-Za-z0-9.-]+")
# What a system makes for itself when it starts, or its user while working: none of it is an image's to bring.
OWN = (
    *("etc/ssh/ssh_host_*", "etc/apt/sources.list", "etc/apt/sources.list.d/*", "etc/apt/auth.conf"),
    *("etc/apt/auth.conf.d/*", "etc/nvme/hostid", "etc/nvme/hostnqn", "var/lib/dbus/machine-id"),
    *("var/lib/systemd/random-seed", "var/lib/systemd/credential.secret", "var/lib/apt/lists/*_*", "var/log/apt/*"),
    *("var/cache/apt/*.bin", "var/cache/apt/archives/*.deb", "home/*", "tmp/*", "var/tmp/*"),
)
# In root's home an image has these alone.
ROOTS = {".bashrc", ".profile", ".ssh"}
# Where an image's own settings are: nothing there has to name the archive that it was built from.
SETTINGS = ("etc", "root", "var")


def complaints(tree: Path, secrets: Mapping[str, bytes], archives: set[str]) -> list[str]:
    """What a system's tree has of its builder, a line each.

    Args:
        tree: where the image was unpacked.
        secrets: by what they are called, what must be in none of its files.
        archives: hosts of the archives and proxies that it was built from.
    """
    own = (path for pattern in OWN for path in sorted(tree.glob(pattern)))
    # live-build empties logs and leaves their names.
    found = [f"{path.relative_to(tree)} is in it" for path in own if path.is_dir() or path.lstat().st_size]
    found += [f"root/{path.name} is in it" for path in sorted((tree / "root").iterdir()) if path.name not in ROOTS]
    machine_id = tree / "etc/machine-id"
    if machine_id.exists() and machine_id.read_text().strip() not in {"", "uninitialized"}:
        found.append("etc/machine-id is some machine's")
    packaged = _packaged(tree)
    for path in _files(tree):
        name, content = str(path.relative_to(tree)), path.read_bytes()
        found += [f"{name} has {what}" for what, secret in secrets.items() if secret in content]
        # What everybody has from Debian, such as a library's self-tests with their keys, is nobody's secret.
        if (suspect := list(_in_content(content))) and packaged.get(name) != _md5(content):
            found += [f"{name} has {what}" for what in suspect]
        if name.partition("/")[0] in SETTINGS:
            found += [f"{name} names the archive {host}" for host in sorted(archives) if _names(content, host)]
    return found


def _names(content: bytes, host: str) -> bool:
    """Whether a URL of that host is in it: a host may be called as something else, as `localhost` is."""
    url = rb"//(?:[^/\s@]*@)?" + re.escape(host.encode()) + rb"(?![A-Za-z0-9.-])"
    return re.search(url, content) is not None


def _files(tree: Path) -> Iterator[Path]:
    return (path for path in sorted(tree.rglob("*")) if path.is_file() and not path.is_symlink())


def _packaged(tree: Path) -> dict[str, str]:
    """Files to their digests, as the packages in it have them (deb-md5sums(5))."""
    found = {}
    for listing in tree.glob("var/lib/dpkg/info/*.md5sums"):
        for line in listing.read_text(errors="replace").splitlines():
            digest, _, name = line.partition("  ")
            # Debian moved these folders into /usr, and packages still name the old ones.
            found[f"usr/{name}" if name.startswith(("bin/", "lib/", "lib64/", "sbin/")) else name] = digest
    return found


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _in_content(content: bytes) -> Iterator[str]:
    # A plain search first: it is what most files need.
    if b"PRIVATE KEY-----" in content and PRIVATE_KEY.search(content):
        yield "a private key"
    if b"://" in content and USERINFO.search(content):
        yield "a URL with a password"
