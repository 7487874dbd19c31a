"""The servers that speak Redis' protocol, for the tests of the bus on it: this machine's Redis, and a node's Valkey."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.nodes import process
from tests.nodes.tree import base_tree

# Debian has Valkey from trixie on. Its libraries that a node without it has not are in packages of these names.
_RELEASE = "trixie"
_PACKAGES = ("valkey-server_*.deb", "valkey-tools_*.deb", "lib*.deb")
# Started by its own release's loader, with that release's libraries: it runs beside this machine's, on the same paths.
_PROGRAM = """#!/bin/sh
libraries={own}/usr/lib/x86_64-linux-gnu:{tree}/usr/lib/x86_64-linux-gnu
exec {tree}/usr/lib64/ld-linux-x86-64.so.2 --library-path "$libraries" {own}/usr/bin/valkey-server "$@"
"""


@pytest.fixture(params=["redis", pytest.param("valkey", marks=pytest.mark.acceptance)])
def redis_server(request: pytest.FixtureRequest) -> str:
    """The program of each server in turn; Valkey's in the runs that make nodes, for it is one's."""
    if request.param == "valkey":
        program: Path = request.getfixturevalue("valkey_server")
        return str(program)
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("redis-server is not installed: apt install redis-server")
    return found


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Debian's valkey-server, unpacked; not installed."""
    if os.getuid() != 0:
        pytest.skip("the nodes' trees, out of which Valkey is taken, are made by root only")
    tree, own = base_tree(_RELEASE), tmp_path_factory.mktemp("valkey")
    for package in (one for name in _PACKAGES for one in tree.packages.glob(name)):
        process.run(["dpkg-deb", "--extract", str(package), str(own)])
    program = own / "valkey-server"
    program.write_text(_PROGRAM.format(tree=tree.root, own=own))
    program.chmod(0o755)
    assert process.run([str(program), "--version"]).stdout.startswith("Valkey server ")
    return program
