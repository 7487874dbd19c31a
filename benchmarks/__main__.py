"""Print what bee costs beside its peers, each in one run with them, with the limit it is to keep.

make bench ARGS='--runs 15'
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.command_line import heading, parsed, parser, shown
from benchmarks.timing import Row, in_turn, ratios, spread

ROOT = Path(__file__).resolve().parents[1]
# The interpreter of the live CD, as it is started there.
PYTHON = ("/usr/bin/python3", "-I")
DISKS = 24
# Runs in the interpreter that runs bee on the CD, which is not the one that runs this.
_PEAK = """
import runpy, sys
program, *sys.argv[1:] = sys.argv[1:]
try:
    runpy.run_path(program, run_name="__main__")
finally:
    status = open("/proc/self/status").read()
    print(next(line for line in status.splitlines() if line.startswith("VmHWM:")), file=sys.stderr)
"""
_PARSE = """
import pathlib, sys, time
sys.path.insert(0, sys.argv[1])
from bee.parsers import dmidecode
texts = [path.read_bytes() for path in sorted(pathlib.Path(sys.argv[2]).glob("dmidecode/*.txt"))]
begin = time.process_time()
for text in texts:
    dmidecode.parse(text)
print((time.process_time() - begin) * 1000 / (sum(map(len, texts)) / 1e6))
"""
# What no Python program that asks these tools can go below: its own start, what it needs to run them and read them, and
# the tools themselves, all at once.
_BARE = """
import json, re, subprocess, sys, threading
null = subprocess.DEVNULL
running = [
    subprocess.Popen(command, stdin=null, stdout=subprocess.PIPE, stderr=null) for command in json.loads(sys.argv[1])
]
for process in running:
    process.communicate()
"""


def start(program: Path, runs: int) -> Iterator[Row]:
    """`bee --version` beside Python that does nothing."""
    times = in_turn({"bee": (*PYTHON, str(program), "--version"), "python": (*PYTHON, "-c", "pass")}, runs)
    yield Row("bee --version / python3 -I -c pass", ratios(times["bee"].wall, times["python"].wall), "of its time", 3)


def peers(program: Path, runs: int) -> Iterator[Row]:
    """A whole audit of this machine beside those of lshw and inxi, and beside its tools without bee."""
    with tempfile.TemporaryDirectory() as folder:
        audit = (*PYTHON, str(program), "audit", "--output", f"{folder}/audit.json")
        subprocess.run(audit, stdin=subprocess.DEVNULL, capture_output=True, check=True)
        steps = json.loads(Path(folder, "audit.json").read_bytes())["collectors"]
        tools = [tool["args"] for step in steps for tool in step["tools"] if tool["outcome"] == "exited"]
        commands = {
            "bee audit": audit,
            "its tools alone": (*PYTHON, "-c", _BARE, json.dumps(tools)),
            "lshw -json": ("lshw", "-quiet", "-json"),
            "inxi -Fxxx": ("inxi", "-Fxxx"),
        }
        times = in_turn(commands, runs)
    for name, limit in (("lshw -json", 0.6), ("inxi -Fxxx", 0.2)):
        yield Row(f"bee audit / {name}", ratios(times["bee audit"].wall, times[name].wall), "of its time", limit)
        used = ratios(times["bee audit"].processor, times[name].processor)
        yield Row(f"bee audit / {name}, processor", used, "of its time", None)
        floor = ratios(times["its tools alone"].wall, times[name].wall)
        yield Row(f"its tools alone, started by Python / {name}", floor, "of its time", None)


def slow_tools(program: Path, runs: int) -> Iterator[Row]:
    """Audits whose tools take a second and more, as stubs in their place."""
    with tempfile.TemporaryDirectory() as folder:
        listed = ",".join(f'{{"name": "sdx{n}", "type": "disk", "size": 4000787030016}}' for n in range(DISKS))
        stubs = {
            "lsblk": f"echo '{{\"blockdevices\": [{listed}]}}'",
            "smartctl": 'case "$*" in *--scan*) echo "{}" ;; *) sleep 1; echo "{}" ;; esac',
        }
        shelf = _audit_with(program, Path(folder, "shelf"), stubs)
        slow = {
            "dmidecode": "sleep 1",
            "lspci": "sleep 2",
            "lsblk": "sleep 1; echo '{}'",
            "smartctl": "sleep 1; echo '{}'",
        }
        rack = _audit_with(program, Path(folder, "rack"), slow)
        times = in_turn({"shelf": shelf, "rack": rack}, max(1, runs // 3))
    yield Row(f"bee audit, {DISKS} disks of 1 s each", spread(times["shelf"].wall), "s", 1.5)
    yield Row("bee audit, the slowest tool 2 s, others 1 s", spread(times["rack"].wall), "s", 2.3)


def _audit_with(program: Path, folder: Path, stubs: dict[str, str]) -> Sequence[str]:
    """The command of an audit that runs these shell scripts instead of the tools."""
    folder.mkdir()
    command = [*PYTHON, str(program), "audit", "--output", str(folder / "audit.json")]
    for name, body in stubs.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
        command += ["--tool", f"{name}={folder / name}"]
    return command


def memory(program: Path, runs: int) -> Iterator[Row]:
    """The most memory that bee's own process held during an audit of this machine (VmHWM)."""
    command = (*PYTHON, "-c", _PEAK, str(program), "audit", "--output", "-")
    peaks = []
    for _ in range(max(1, runs // 3)):
        said = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False).stderr.decode()
        peaks.append(next(int(line.split()[1]) / 1024 for line in said.splitlines() if line.startswith("VmHWM:")))
    yield Row("bee audit, peak memory", spread(peaks), "MiB", 40)


def parsing(program: Path, runs: int) -> Iterator[Row]:
    """All dmidecode output of the corpus, in processor time."""
    corpus = os.environ.get("BEE_CORPUS")
    if not corpus:
        print("BEE_CORPUS is not set: the parsing of real dmidecode output is left out", file=sys.stderr)
        return
    command = (*PYTHON, "-c", _PARSE, str(program), corpus)
    seen = [float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout) for _ in range(runs)]
    yield Row("parsing dmidecode", spread(seen), "ms a MB", 50)


BENCHMARKS: dict[str, Callable[[Path, int], Iterator[Row]]] = {
    "start": start,
    "peers": peers,
    "slow-tools": slow_tools,
    "memory": memory,
    "parsing": parsing,
}


def main() -> int:
    """Run what was asked for. Exit code 1 when a limit was missed."""
    what = "every command, after one that is not counted (default: 9)"
    given = parsed(parser("bench", __doc__, BENCHMARKS, 9, what), BENCHMARKS)
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "bee")
        subprocess.run([*PYTHON, str(ROOT / "iso/image/zipapp.py"), str(ROOT / "bee"), str(program)], check=True)
        print(heading(given.runs), flush=True)
        missed = sum(shown(BENCHMARKS[name](program, given.runs)) for name in given.names)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
