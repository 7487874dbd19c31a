"""pyinfra and ansible-core, installed apart from everything else, and the same bootstrap written for each of them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_LOCK = ROOT / "requirements-peers.lock"

_ANSIBLE_CONFIGURATION = """\
[defaults]
gathering = explicit
retry_files_enabled = false
interpreter_python = /usr/bin/python3
[ssh_connection]
pipelining = true
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the node is to have: Debian packages, folders, and of the operator's `folder` some files in /etc/bench."""

    packages: tuple[str, ...]
    directories: tuple[str, ...]
    contents: tuple[str, ...]
    folder: Path


def installed() -> Path:
    """The peers' programs: in a virtual environment of their own below the user's cache, made when missing."""
    digest = hashlib.sha256(_LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bee-busnode"
    place = cache / f"bench-{digest}"
    if not (place / "complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run(["/usr/bin/python3", "-m", "venv", str(place)], check=True)
        pip = [str(place / "bin/python"), "-m", "pip", "-qq", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(_LOCK)], check=True)
        (place / "complete").touch()
    return place / "bin"


def pyinfra(programs: Path, wanted: Wanted, host: str, port: int, user: str, key: Path) -> tuple[str, ...]:
    """The command that does it with pyinfra."""
    data = {
        "ssh_user": user,
        "ssh_port": port,
        "ssh_key": str(key),
        "packages": wanted.packages,
        "directories": wanted.directories,
        "contents": wanted.contents,
        "folder": str(wanted.folder),
    }
    inventory = wanted.folder / f"pyinfra_{port}.py"
    inventory.write_text(f"nodes = [({host!r}, {data!r})]\n")
    return (str(programs / "pyinfra"), "-y", str(inventory), str(Path(__file__).with_name("pyinfra_deploy.py")))


def ansible(programs: Path, wanted: Wanted, host: str, port: int, user: str, key: Path) -> tuple[str, ...]:
    """The command that does it with ansible-core, with pipelining and without gathering facts."""
    owned = {"owner": "root", "group": "root"}
    tasks = [
        {"ansible.builtin.apt": {"name": list(wanted.packages), "state": "present"}},
        {
            "ansible.builtin.file": {"path": "{{ item }}", "state": "directory", "mode": "0750", **owned},
            "loop": list(wanted.directories),
        },
        {
            "ansible.builtin.copy": {
                "src": f"{wanted.folder}/{{{{ item }}}}",
                "dest": "/etc/bench/{{ item }}",
                "mode": "0600",
                **owned,
            },
            "loop": list(wanted.contents),
        },
    ]
    # JSON is YAML.
    playbook = wanted.folder / "playbook.json"
    playbook.write_text(json.dumps([{"hosts": "all", "become": True, "gather_facts": False, "tasks": tasks}]))
    (wanted.folder / "ansible.cfg").write_text(_ANSIBLE_CONFIGURATION)
    program = str(programs / "ansible-playbook")
    login = ("-u", user, "--private-key", str(key), "-e", f"ansible_port={port}")
    return ("env", f"ANSIBLE_CONFIG={wanted.folder}/ansible.cfg", program, "-i", f"{host},", *login, str(playbook))
