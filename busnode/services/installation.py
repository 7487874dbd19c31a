"""Install the services on this machine: what the profile `bus-services` places, without configuration and keys.

python3 -m busnode.services.installation [--destdir DIR]

It can be repeated; a file that is there already is replaced in one step.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from busnode import shipped
from busnode.inventory import CredentialFile, Directory, profile

if TYPE_CHECKING:
    from collections.abc import Sequence

PROFILE = "bus-services"
_ACCOUNTS = Path("usr/lib/sysusers.d/bus-services.conf")
_CONFIGURED = "/etc/bus/services"
# The folders of the services alone; those of a Bus host are bootstrap's.
_FOLDERS = (_CONFIGURED, "/usr/local/lib/bus-node")
_NEXT = """installed; now
  put targets.json, ssh-key, known_hosts, read.token and admin.token into {folder} (root, mode 0600), then
  systemctl enable --now {units}"""


def install(destdir: Path) -> tuple[str, ...]:
    """Write programs, units and accounts below `destdir`; the names of the units. Raises OSError."""
    given = profile(PROFILE)
    for folder in (Directory(**one) for one in given["directories"]):
        if folder.path in _FOLDERS:
            place = destdir / folder.path.lstrip("/")
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(int(folder.mode, 8))
    own = [CredentialFile(**one) for one in given["credentials"] if one.get("source", "").startswith(shipped.SCHEME)]
    for file in own:
        _write(destdir / file.destination.lstrip("/"), shipped.referred(file.source), int(file.mode, 8))
    accounts = (account["name"] for account in given["service_accounts"] if account["name"].startswith("bus-"))
    lines = "".join(f"u {name} - - /nonexistent\n" for name in accounts if name != "bus-service")
    _write(destdir / _ACCOUNTS, lines.encode(), 0o644)
    return tuple(Path(file.destination).name for file in own if file.destination.endswith(".service"))


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_bytes(content)
        new.chmod(mode)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def main(words: Sequence[str] | None = None) -> int:
    """Install, and say what is left to do. Exit code 1 where a file cannot be written or systemd refuses."""
    parser = argparse.ArgumentParser(prog="make install-services", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--destdir", type=Path, default=Path("/"), help="the root of the system to install into (/)")
    given = parser.parse_args(words)
    try:
        units = install(given.destdir)
        if given.destdir == Path("/"):
            subprocess.run(["systemd-sysusers", f"/{_ACCOUNTS}"], check=True)  # noqa: S607 - root's own PATH
            if Path("/run/systemd/system").is_dir():
                subprocess.run(["systemctl", "daemon-reload"], check=True)  # noqa: S607
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"make install-services: {error}", file=sys.stderr)
        return 1
    print(_NEXT.format(folder=given.destdir / _CONFIGURED.lstrip("/"), units=" ".join(units)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
