"""Where tools are slow, an audit takes as long as the slowest; and nothing is imported that costs and is not needed."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bee.audit import collect
from bee.machine import Recorded
from tests.bee.rack import Rack
from tests.bee.recorded import LINKS, SYS_FILES, exited, runs, server

ROOT = Path(__file__).parents[2]
DISKS = tuple(f"sd{letter}" for letter in "abcdefghijklmnopqrstuvwx")


def shelf() -> Recorded:
    """24 disks behind one HBA."""
    listed = [{"name": name, "type": "disk", "size": 4_000_787_030_016, "model": "ST4000NM0023"} for name in DISKS]
    commands = {
        ("lsblk", "-J", "-b", "-O"): json.dumps({"blockdevices": listed}).encode(),
        ("smartctl", "-j", "--scan"): b'{"devices": []}',
        **{
            ("smartctl", "-j", "-x", f"/dev/{name}"): json.dumps(
                {"smartctl": {"exit_status": 0}, "serial_number": f"Z1Z{index:05}", "temperature": {"current": 30}}
            ).encode()
            for index, name in enumerate(DISKS)
        },
    }
    return Recorded(
        {args: exited(args, text) for args, text in commands.items()},
        {f"/sys/block/{name}/size": "7814037168\n" for name in DISKS},
    )


def seconds(machine: Rack) -> float:
    """The shortest of three audits: what else this machine is doing is not measured."""
    took = []
    for _ in range(3):
        begin = time.monotonic()
        found = collect(machine, lambda level, text: None)
        took.append(time.monotonic() - begin)
        assert found.storage is not None
        assert all(disk.serial for disk in found.storage.disks)
    return min(took)


@pytest.mark.parametrize("told_by", ["/sys/block", "lsblk"])
def test_24_disks_of_one_second_each_take_less_than_one_and_a_half(tmp_path: Path, told_by: str) -> None:
    recorded = shelf() if told_by == "/sys/block" else replace(shelf(), files={})
    with Rack(tmp_path, recorded, seconds={"smartctl": 1}) as machine:
        assert seconds(machine) < (1.5 if told_by == "/sys/block" else 2.5)


def test_an_audit_takes_as_long_as_its_slowest_tool(tmp_path: Path) -> None:
    disks = {f"/sys/block/{name}/size": "1" for name in ("sda", "nvme0n1", "nvme0n2")}
    # A BMC answers one ipmitool at a time: their sum is one tool.
    one_ipmitool = {args: run for args, run in runs().items() if args[0] != "ipmitool" or args[1:] == ("fru",)}
    # A drive behind a RAID controller is known only once the scan has ended.
    scan = ("smartctl", "-j", "--scan")
    one_ipmitool[scan] = exited(scan, b'{"devices": []}')
    recorded = replace(server(), runs=one_ipmitool, files={**SYS_FILES, **disks}, links=LINKS)
    slow = dict.fromkeys(("dmidecode", "lsblk", "smartctl", "nvme", "lspci", "nvidia-smi"), 1.0) | {"ipmitool": 0.2}
    with Rack(tmp_path, recorded, seconds=slow) as machine:
        assert seconds(machine) < 1.3


# What each of these costs at a start is in docs/benchmarks.md; bee/records.py stands in for dataclasses.
COSTLY = {"dataclasses", "inspect", "pathlib", "tempfile", "importlib.resources", "ast", "urllib.parse", "logging"}


def imported(*arguments: str) -> set[str]:
    """The modules that Python has imported when bee has done what `arguments` say."""
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from bee.cli import main; main();"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", program, str(ROOT), *arguments], capture_output=True, text=True, check=True
    )
    return set(done.stderr.splitlines()[-1].split())


def test_the_version_imports_next_to_nothing() -> None:
    assert {name for name in imported("--version") if name.partition(".")[0] == "bee"} == {"bee", "bee.cli"}
    assert not imported("--version") & {*COSTLY, "typing", "json", "argparse", "re"}


def test_an_audit_imports_nothing_that_costs() -> None:
    assert imported("audit", "--output", "-") & COSTLY == set()
