"""What a start of busnode costs, as far as no clock is needed: the modules that it imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Each costs a start between 2 and 60 ms, and none is needed to send a script and to read what it said.
DEAR = {
    "asyncio",
    "bz2",
    "concurrent.futures",
    "dataclasses",
    "http.client",
    "importlib.resources",
    "inspect",
    "jsonschema",
    "logging",
    "lzma",
    "shutil",
    "tempfile",
    "urllib.request",
    "uuid",
    "zipfile",
}
_RUN = """
import sys
from busnode.cli import bus
try:
    bus()
finally:
    print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("operation", ["status", "verify", "bootstrap", "harden"])
def test_an_operation_imports_nothing_dear(operation: str, tmp_path: Path) -> None:
    key, targets = tmp_path / "key", tmp_path / "nodes.json"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    targets.write_text('{"proxy": {"host": "127.0.0.1", "user": "bus", "port": 9, "allowed_ports": [9]}}')
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "BUS_NODE_TARGETS_FILE": str(targets),
        "BUS_SSH_PRIVATE_KEY_FILE": str(key),
    }
    command = [sys.executable, "-c", _RUN, "operator", "node", operation, "--id", "proxy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    # Nothing answers on that port; all has been imported by then.
    assert done.returncode == 3, done.stderr
    imported = set(done.stderr.splitlines()[-1].split())
    assert imported & DEAR == set()
    assert ("busnode.hardening" in imported) == (operation == "harden")
    assert ("busnode.transport.kept" in imported) == (operation in {"bootstrap", "harden"})
