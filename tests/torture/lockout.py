"""Harden a real node again and again while something befalls it: nobody is locked out, and it ends old or new.

python -m tests.torture.lockout bookworm 'disk full' --runs 32 --seed 1 --place FOLDER
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.nodes import process
from tests.nodes.deployment import NODE_ID, Deployment, deployment
from tests.nodes.network import namespace
from tests.nodes.tree import SUITES, base_tree
from tests.torture.faults import FAULTS, Scene, give_movable_clock
from tests.torture.moments import MARKS, Moments

ROLLBACK_AFTER = 5
# From the end of the timer, or of the fault where that stood in the way, to the old state: a unit that failed is
# started again after 10 s, and the machine has other work.
_BACK_SECONDS = 30.0
# An operator that finds nobody at the other end gives up after its own limits.
_OPERATOR_SECONDS = 150.0
# trixie's sshd keeps a source out for a while after broken log-ins.
_LOGIN_SECONDS = 40.0
_BOOTSTRAP_SECONDS = 900.0
_DISK_BYTES = 192 << 20

# Where a run begins and where it is to go, with the policy that leads there. A key that a policy adds is never taken
# away by another, so that a state is named by the way to it.
_FIRST = {"allowed_ports": [22, 80, 443, 8080], "ssh_policy": {"authorized_key_secret": "../local/second.pub"}}
_SECOND = {"allowed_ports": [22, 443], "ssh_policy": {"allow_root_login": True}}
_CLOSED = {"allowed_ports": [80, 443], "ssh_policy": {}}
_BARE, _HARDENED = "bare", "first"
_WAYS: dict[tuple[str, str], dict[str, Any]] = {
    (_BARE, _HARDENED): _FIRST,
    (_BARE, "second"): _SECOND,
    (_HARDENED, "second after first"): _SECOND,
}

# The state of a node that nobody has hardened, and the way back to it that the product has no part in.
_KEPT = "etc var/lib/busnode home/bus/.ssh"
_KEEP = f"mkdir -p /var/lib/busnode /var/lib/torture; tar -C / -cpf /var/lib/torture/bare.tar {_KEPT}"
_RESET = """
systemctl stop busnode-rollback.timer busnode-firewall.service 2>/dev/null || :
nft delete table inet busnode 2>/dev/null || :
cd /
rm -rf etc/ssh etc/busnode etc/systemd/system var/lib/busnode home/bus/.ssh
tar -xpf /var/lib/torture/bare.tar
systemctl daemon-reload
systemctl reset-failed
systemctl restart ssh.service
"""


@dataclass(slots=True)
class Run:
    """One run: what is to happen, and what was seen."""

    number: int
    begin: str
    goal: str
    mark: str
    delay: float
    lasts: float
    fault: str = ""
    code: int | None = None
    said: str = ""
    wrong: list[str] = field(default_factory=list)
    ended: str = ""
    seconds: float = 0.0
    waited: float | None = None

    def __str__(self) -> str:
        waited = "" if self.waited is None else f", {self.waited:.1f} s armed"
        when = f"{self.delay:.2f} s after {self.mark}, for {self.lasts:.1f} s"
        return (
            f"run {self.number}: {self.begin} to {self.goal}; {self.fault or 'no fault'} {when}: {self.ended}, "
            f"exit {self.code}{waited}, {self.seconds:.1f} s"
        )


class Ordeal:
    """A node, and one kind of fault that befalls it again and again."""

    def __init__(self, made: Deployment, suite: str, fault: str, seed: int) -> None:
        self.made = made
        self.node = made.node
        self.fault = fault
        self.seeds = f"{seed} {suite} {fault}"
        self.states: dict[str, dict[str, str]] = {}
        self.at = _BARE

    def learn(self) -> None:
        """What each state is, from runs that nothing befalls."""
        self.states[_BARE] = self.state()
        for begin, goal in ((_BARE, _HARDENED), (_HARDENED, "second after first"), (_BARE, "second")):
            self.go_to(begin)
            self.harden_undisturbed(begin, goal)
            self.states[goal] = self.state()
            self.at = goal

    def state(self) -> dict[str, str]:
        """The node's state as far as harden manages it, with what it leaves behind."""
        own = "cd /var/lib/busnode; find . -name firewall.live -exec sha256sum {} +"
        state = {name: value for name, value in self.node.state().items() if name != "failed units"}
        failed = self.node.shell("systemctl --failed --no-legend --plain 'busnode*' ssh.service || :")
        return {**state, "firewall.live": self.node.shell(own), "failed units of ours": failed}

    def go_to(self, name: str) -> None:
        """Bring the node to the beginning of a run, past the product where that can be."""
        if self.at == name:
            return
        self.node.shell(_RESET)
        self.at = _BARE
        if name != _BARE:
            self.harden_undisturbed(_BARE, name)
            self.at = name
        different = _difference(self.states[name], self.state())
        assert not different, f"the node is not reset: {different}"

    def harden_undisturbed(self, begin: str, goal: str) -> None:
        self.made.write_target(**_WAYS[begin, goal])
        answer = self.made.operate("harden")
        assert answer.code == 0, answer

    def run(self, number: int) -> Run:
        """One run; everything of it is drawn from the seed and its number."""
        choices = Random(f"{self.seeds} {number}")
        begin, goal = choices.choice(list(_WAYS))
        mark = choices.choice(MARKS)
        run = Run(number, begin, goal, mark, choices.uniform(0, 0.4), choices.uniform(0.3, 9))
        if self.fault == "policy without ssh":
            run.goal = "closed"
        self.go_to(begin)
        self.at = ""
        clock = time.monotonic()
        try:
            self._disturbed(run, choices)
            self._judge(run)
        finally:
            run.seconds = time.monotonic() - clock
        return run

    def _disturbed(self, run: Run, choices: Random) -> None:
        with self._operator(run) as operator:
            moments = Moments(self.node)
            until = time.monotonic() + _OPERATOR_SECONDS
            while operator.poll() is None and not moments.reached(run.mark) and time.monotonic() < until:
                time.sleep(0.005)
            moments.watch(run.delay)
            with FAULTS[self.fault](Scene(self.node, operator, choices)) as run.fault:
                moments.watch(run.lasts)
            healed = time.monotonic()
            while operator.poll() is None and time.monotonic() < until:
                moments.watch(0.1)
            if operator.poll() is None:
                run.wrong.append(f"the operator's program runs on after {_OPERATOR_SECONDS:g} s")
                process.kill(operator)
            run.code = operator.returncode if operator.returncode >= 0 else None
            while not moments.settled() and time.monotonic() < healed + ROLLBACK_AFTER + _BACK_SECONDS:
                moments.watch(0.1)
            run.waited = moments.armed_seconds
            if not moments.settled():
                run.wrong.append(f"neither confirmed nor rolled back: {moments.unsettled()}")

    @contextlib.contextmanager
    def _operator(self, run: Run) -> Iterator[subprocess.Popen[bytes]]:
        """The operator's program at work."""
        self.made.write_target(**(_CLOSED if run.goal == "closed" else _WAYS[run.begin, run.goal]))
        bus = (sys.executable, "-m", "tests.torture.unguarded") if run.goal == "closed" else ("bus",)
        words = ("operator", "node", "harden", "--id", NODE_ID, "--rollback-after", str(ROLLBACK_AFTER))
        command = self.made.station.command(*bus, *words, "--confirm", cwd=self.made.folder)
        environment = self.made.station.environment(self.made.environment)
        log = self.made.folder / "said"
        with log.open("wb") as said:
            operator = process.start(command, stdout=said, stderr=said, env=environment)
        try:
            yield operator
        finally:
            process.kill(operator)
            run.said = log.read_text(errors="replace")

    def _judge(self, run: Run) -> None:
        until = time.monotonic() + _LOGIN_SECONDS
        while (login := self.made.ssh("sudo", "-n", "true")).returncode != 0 and time.monotonic() < until:
            time.sleep(1)
        if login.returncode != 0:
            run.wrong.append(f"LOCKED OUT: {login.stderr.strip()[-200:]}")
        state = self.state()
        possible = [name for name in (run.begin, run.goal) if name in self.states]
        different = {name: _difference(self.states[name], state) for name in possible}
        self.at = next((name for name, those in different.items() if not those), "")
        if self.at == "":
            run.wrong.append(f"neither the old state nor the new: {different}"[:1500])
        elif self.at == run.goal:
            run.ended = "applied"
        elif run.waited is None and run.code != 4:
            run.ended = "untouched"
        else:
            run.ended = "rolled back"
        if (run.code == 0) != (run.ended == "applied") and run.code is not None:
            run.wrong.append(f"it says {run.code} and is {run.ended or 'neither'}: {run.said[-800:]}")
        if "Traceback" in run.said:
            run.wrong.append(f"a traceback: {run.said[-800:]}")
        if run.code == 2:
            run.wrong.append(f"refused as bad input: {run.said[-300:]}")
        left = self.node.shell("ls -d /run/busnode.* 2>/dev/null || :").split()
        if left:
            run.wrong.append(f"left on the node: {' '.join(left)}")


def _difference(before: dict[str, str], now: dict[str, str]) -> dict[str, tuple[str | None, str | None]]:
    names = sorted(before.keys() | now.keys())
    return {name: (before.get(name), now.get(name)) for name in names if before.get(name) != now.get(name)}


@contextlib.contextmanager
def _prepared(suite: str, place: Path) -> Iterator[Deployment]:
    """A bootstrapped node that runs, with a disk of its own that can be filled and a clock that can jump."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    below = _bootstrapped(suite, place.with_name(f"{suite}-bootstrapped"))
    with deployment(base_tree(suite), place / "deployment", disk_below=below, disk_bytes=_DISK_BYTES) as made:
        give_movable_clock(made.node, place)
        second = made.folder / "local/second"
        made.station.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "second", "-f", str(second))
        second.with_suffix(".pub").chmod(0o600)
        made.node.start()
        made.node.wait()
        made.node.shell(_KEEP)
        yield made


def _bootstrapped(suite: str, kept: Path) -> Path:
    """The disk of a node that was bootstrapped and shut down, made once and kept beside the places of the runs."""
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            making = kept.with_suffix(".making")
            shutil.rmtree(making, ignore_errors=True)
            with deployment(base_tree(suite), making) as made:
                made.node.start()
                made.node.wait()
                answer = made.operate("bootstrap", timeout=_BOOTSTRAP_SECONDS)
                assert answer.code == 0, answer
                made.node.shut_down()
                # With all that an overlay keeps in attributes and devices.
                process.run(["cp", "-a", str(made.node.disk), str(kept.with_suffix(".copied"))])
                kept.with_suffix(".copied").rename(kept)
            shutil.rmtree(making)
    return kept


def _ordeal(suite: str, faults: list[str], numbers: range, seed: int, place: Path) -> Counter[str]:
    """Run all of it on one node, and print what was seen."""
    seen: Counter[str] = Counter()
    with _prepared(suite, place) as made:
        ordeals = [Ordeal(made, suite, fault, seed) for fault in faults]
        ordeals[0].learn()
        for ordeal in ordeals:
            ordeal.states, ordeal.at = ordeals[0].states, ""
            for number in numbers:
                run = ordeal.run(number)
                print(f"{ordeal.fault}, {run}", flush=True)
                for wrong in run.wrong:
                    print(f"FINDING {ordeal.fault}, {run}: {wrong}".replace("\n", "\\n"), flush=True)
                seen[(run.ended or "neither").replace(" ", "_")] += 1
                seen["executions"] += 1
                if run.waited is not None:
                    seen["slowest"] = max(seen["slowest"], round(run.waited))
    return seen


def main() -> int:
    """Run what was asked for; findings and numbers go to stdout."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("fault", nargs="+", choices=FAULTS)
    parser.add_argument("--runs", type=int, required=True, help="of each fault")
    parser.add_argument("--first", type=int, default=1, help="the number of the first run (default: 1)")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--place", type=Path, required=True, help="a folder, emptied first")
    arguments = parser.parse_args()
    if namespace("mnt", os.getpid()) == namespace("mnt", os.getppid()):
        # Mounts of our own, which end with us however we end.
        apart = ["unshare", "--mount", "--propagation", "private", "--"]
        os.execvp(apart[0], [*apart, sys.executable, "-m", "tests.torture.lockout", *sys.argv[1:]])
    # The torture's lowest priority would make a node that is late for everything, and prove its rollback alone.
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    numbers = range(arguments.first, arguments.first + arguments.runs)
    for name, number in _ordeal(
        arguments.suite, arguments.fault, numbers, arguments.seed, arguments.place.resolve()
    ).items():
        print(f"{name}: {number}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
