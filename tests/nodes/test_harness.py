"""The nodes themselves, before anything is proved on them: real, apart from the world, and gone afterwards."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.nodes import process
from tests.nodes.leftovers import cgroups, descendants, namespaces, processes
from tests.nodes.node import ADDRESS, ADDRESS_6, CGROUP_PREFIX

if TYPE_CHECKING:
    from tests.nodes.conftest import Deploy
    from tests.nodes.tree import Tree

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300, func_only=True)]

ROOT = Path(__file__).resolve().parents[2]

_ONE_NODE = """
import pathlib, sys, time
from tests.nodes.deployment import deployment
from tests.nodes.tree import base_tree
with deployment(base_tree(sys.argv[1]), pathlib.Path(sys.argv[2])) as made:
    made.start()
    print("up", flush=True)
    time.sleep(600)
"""


def test_a_node_is_a_debian_machine_that_an_operator_logs_in_to(bare: Deploy, suite: str) -> None:
    made = bare(suite)
    made.start()
    login = made.ssh("sudo -n id -u; . /etc/os-release; echo $VERSION_CODENAME; cat /proc/1/comm; ls /srv/repository")
    assert login.returncode == 0, login.stderr
    user, codename, first, *packages = login.stdout.split()
    assert (user, codename, first) == ("0", suite, "systemd")
    assert any(re.match(r"nftables_.*\.deb", package) for package in packages)


def test_a_node_hears_only_its_operator(bare: Deploy) -> None:
    made = bare("trixie")
    made.start()
    ends = [(ADDRESS, 22), (ADDRESS_6, 22), (ADDRESS, 80), (ADDRESS_6, 80), ("10.0.0.99", 22)]
    assert list(made.station.probe(*ends).values()) == ["open", "open", "refused", "refused", "silent"]
    assert made.node.shell("ip route show default; ip -6 route show default") == ""
    assert made.station.run("ip", "route", "show", "default").stdout == ""


def test_a_power_cycle_keeps_the_disk_and_forgets_the_firewall(prepared: Deploy) -> None:
    made = prepared("bookworm")
    made.start()
    made.node.shell("echo kept >/var/kept; sync; echo lost >/run/lost; nft add table inet lost")
    made.node.power_cycle()
    assert made.node.shell("cat /var/kept; ls /run/lost 2>/dev/null || true; nft list tables") == "kept\n"


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_tests(trees: dict[str, Tree], tmp_path: Path, ending: signal.Signals) -> None:
    command = [sys.executable, "-c", _ONE_NODE, "bookworm", str(tmp_path / "made")]
    tests = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert tests.stdout is not None
        assert tests.stdout.readline() == b"up\n"
        family = descendants(tests.pid)
        begun = namespaces(family) - namespaces({os.getpid()})
        assert len(begun) >= 5, begun
        tests.send_signal(ending)
        tests.wait(30)
    finally:
        tests.kill()
        tests.wait()
    process.wait_until("their end", lambda: not begun & namespaces(processes()), 10)
    assert not [pid for pid in family if Path(f"/proc/{pid}").exists()]
    for group in cgroups(f"{CGROUP_PREFIX}{tests.pid}-"):
        assert (group / "cgroup.procs").read_text() == ""
    if ending is signal.SIGINT:
        assert not cgroups(f"{CGROUP_PREFIX}{tests.pid}-")
        assert not (tmp_path / "made/node").exists()
    for folder in (tmp_path / "made").rglob("*"):
        assert not os.path.ismount(folder)
