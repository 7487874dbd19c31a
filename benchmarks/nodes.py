"""Print what busnode costs beside bare ssh, pyinfra and ansible-core, on real nodes, with the limit it is to keep.

make bench-nodes ARGS='--runs 5 status'
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import peers
from benchmarks.command_line import heading, parsed, parser, shown
from benchmarks.timing import Row, Spread, Times, in_turn, ratios
from tests.nodes import process
from tests.nodes.deployment import Deployment, deployment
from tests.nodes.network import operator
from tests.nodes.node import ADDRESS, Node
from tests.nodes.tree import USER, base_tree

FLEET = 50
# As many at once as busnode works on where nobody says otherwise.
PARALLEL = 16
# As many nodes boot at once; each has a minute for it.
_BOOTING = 4
_RELEASE = "bookworm"
_DELAYED_PORT = 2222
_ONE_WAY_SECONDS = 0.010
_PACKAGES = ("ca-certificates", "iproute2", "nftables", "openssh-server", "sudo")
# What ansible-core's modules need on the node.
_ANSIBLES = ("python3-apt", "python-apt-common", "distro-info-data")
# ssh, but for keeping what it was given: the words, and what came on its standard input.
_LISTENER = """#!/bin/sh
printf '%s\\0' "$@" >{folder}/words
cat >{folder}/bundle
exec /usr/bin/ssh "$@" <{folder}/bundle
"""


def status(runs: int) -> Iterator[Row]:
    """`status` beside Python that does nothing and then ssh with the very script that status sends."""
    with _one_node() as made:
        script = _same_by_ssh(made)
        ours = _command(made, "bus", "operator", "node", "status", "--id", "proxy")
        bare = _command(made, "sh", "-c", f"{shlex.quote(sys.executable)} -c pass; {script}")
        times = in_turn({"busnode": ours, "ssh": bare}, runs)
    what = "status / python and ssh with the same script"
    yield Row(what, _walls(times, "busnode", "ssh"), "of its time", 1.25)
    yield Row(what, _processors(times, "busnode", "ssh"), "processor time", None)


def converged(runs: int) -> Iterator[Row]:
    """A bootstrap with nothing left to do: 10 folders, 5 packages, 3 files; without delay and at 20 ms a round trip."""
    programs = peers.installed()
    with _one_node() as made:
        _prepare_for_ansible(made)
        wanted = _wanted(made)
        _want(made, wanted)
        with _delay(made):
            for host, port, shown in ((ADDRESS, 22, "0 ms"), ("127.0.0.1", _DELAYED_PORT, "20 ms")):
                made.write_target(host=host, port=port)
                key = made.folder / "local/id_ed25519"
                bootstrap = ("bus", "operator", "node", "bootstrap", "--id", "proxy")
                login = ("-i", str(key), "-o", "BatchMode=yes", "-p", str(port), f"{USER}@{host}", "true")
                commands = {
                    # What nobody who logs in anew can go below.
                    "ssh node true": _command(made, "ssh", *login),
                    # Over the connection of the run before it, as ansible-core does; pyinfra logs in.
                    "busnode": _command(made, *bootstrap),
                    "logging in": _command(made, *bootstrap, "--keep-connection", "0"),
                    "pyinfra": _command(made, *peers.pyinfra(programs, wanted, host, port, USER, key)),
                    "ansible-core": _command(made, *peers.ansible(programs, wanted, host, port, USER, key)),
                }
                times = in_turn(commands, runs)
                for name, limit in (("pyinfra", 1 / 8), ("ansible-core", 1 / 15)):
                    what = f"converged bootstrap / {name}, {shown}"
                    yield Row(what, _walls(times, "busnode", name), "of its time", round(limit, 4))
                    yield Row(what, _processors(times, "busnode", name), "processor time", None)
                    for more in ("logging in", "ssh node true"):
                        yield Row(f"{more} / {name}, {shown}", _walls(times, more, name), "of its time", None)


def fleet(runs: int) -> Iterator[Row]:
    """`status` of many nodes beside `xargs -P` over bare ssh with the same script."""
    with tempfile.TemporaryDirectory() as folder, _many_nodes(Path(folder)) as made:
        script = _same_by_ssh(made, "--id", "node10")
        assert ADDRESS in script
        listed = "\n".join(_address(number) for number in range(FLEET))
        each = made.folder / "each"
        each.write_text("#!/bin/sh\n" + script.replace(ADDRESS, '"$1"') + "\n")
        each.chmod(0o755)
        ours = _command(made, "bus", "operator", "node", "status", "--all", "--parallel", str(PARALLEL))
        pipe = f"printf '%s\\n' {shlex.quote(listed)} | xargs -P {PARALLEL} -n 1 {shlex.quote(str(each))}"
        times = in_turn({"busnode": ours, "xargs": _command(made, "sh", "-c", pipe)}, runs)
    what = f"status of {FLEET} nodes / xargs -P {PARALLEL} ssh"
    yield Row(what, _walls(times, "busnode", "xargs"), "of its time", 1.3)
    yield Row(what, _processors(times, "busnode", "xargs"), "processor time", None)


BENCHMARKS: dict[str, Callable[[int], Iterator[Row]]] = {"status": status, "converged": converged, "fleet": fleet}


def _walls(times: dict[str, Times], ours: str, theirs: str) -> Spread:
    return ratios(times[ours].wall, times[theirs].wall)


def _processors(times: dict[str, Times], ours: str, theirs: str) -> Spread:
    """The operator's side alone: what a node's processes take is not counted."""
    return ratios(times[ours].processor, times[theirs].processor)


@contextlib.contextmanager
def _one_node() -> Iterator[Deployment]:
    """An operator and a bootstrapped node."""
    with tempfile.TemporaryDirectory() as folder, deployment(base_tree(_RELEASE), Path(folder)) as made:
        made.node.start()
        made.node.wait()
        answer = made.operate("bootstrap")
        assert answer.code == 0, answer
        yield made


@contextlib.contextmanager
def _many_nodes(folder: Path) -> Iterator[Deployment]:
    """An operator and FLEET nodes, their ids after the last number of their addresses."""
    tree, work, targets = base_tree(_RELEASE), folder / "work", {}
    with operator(folder / "home") as station, _inotify_instances(), contextlib.ExitStack() as stack:
        for part in ("deploy", "local"):
            (work / part).mkdir(mode=0o700, parents=True)
        key = work / "local/id_ed25519"
        station.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
        known, nodes = "", []
        for number in range(FLEET):
            place = folder / f"node{number}"
            node = Node(tree, station, place, address=_address(number), address_6=f"fd00:b05::{number + 16:x}")
            nodes.append(stack.enter_context(node))
            node.authorize(key.with_suffix(".pub").read_text())
            known += node.known_hosts()
            targets[f"node{number + 10}"] = {"host": node.address, "user": USER, "port": 22, "allowed_ports": [22]}
        for start in range(0, FLEET, _BOOTING):
            for node in nodes[start : start + _BOOTING]:
                node.start()
            for node in nodes[start : start + _BOOTING]:
                node.wait()
        (station.home / ".ssh/known_hosts").write_text(known)
        (work / "deploy/nodes.json").write_text(json.dumps(targets))
        yield Deployment(station, nodes[0], work)


@contextlib.contextmanager
def _inotify_instances() -> Iterator[None]:
    """As many as that many systemds need, all one user's; the usual 128 are enough for about fifteen nodes."""
    setting = Path("/proc/sys/fs/inotify/max_user_instances")
    before = setting.read_text()
    setting.write_text(str(max(int(before), FLEET * 20)))
    try:
        yield
    finally:
        setting.write_text(before)


def _address(number: int) -> str:
    return f"10.0.0.{number + 10}"


def _command(made: Deployment, *command: str) -> list[str]:
    """The command line that runs a command as the operator, with nothing else in its environment."""
    environment = made.station.environment(made.environment)
    words = [f"{name}={value}" for name, value in environment.items()]
    return made.station.command("env", "-i", *words, *command, cwd=made.folder)


def _same_by_ssh(made: Deployment, *options: str) -> str:
    """The shell command that sends by bare ssh what busnode's status sends, word for word."""
    folder = made.folder / "heard"
    folder.mkdir()
    (folder / "ssh").write_text(_LISTENER.format(folder=folder))
    (folder / "ssh").chmod(0o755)
    environment = {**made.environment, "PATH": f"{folder}:{made.station.environment()['PATH']}"}
    bus = shlex.split(made.station.run("sh", "-c", "command -v bus").stdout)
    words = ("operator", "node", "status", *(options or ("--id", "proxy")))
    made.station.run(*bus, *words, cwd=made.folder, env=environment)
    heard = (folder / "words").read_bytes().decode().split("\0")[:-1]
    return f"/usr/bin/ssh {shlex.join(heard)} <{shlex.quote(str(folder / 'bundle'))}"


def _wanted(made: Deployment) -> peers.Wanted:
    folder = made.folder / "local"
    names = tuple(f"secret{number}" for number in range(3))
    for name in names:
        (folder / name).touch(mode=0o600)
        (folder / name).write_bytes(os.urandom(600).hex().encode())
    directories = ("/etc/bench", *(f"/var/lib/bench{number}" for number in range(9)))
    return peers.Wanted(_PACKAGES, directories, names, folder)


def _want(made: Deployment, wanted: peers.Wanted) -> None:
    made.write_target(
        packages=list(wanted.packages),
        directories=[{"path": path, "owner": "root", "group": "root", "mode": "0750"} for path in wanted.directories],
        credentials=[
            {"source": f"../local/{name}", "destination": f"/etc/bench/{name}", "mode": "0600"}
            for name in wanted.contents
        ],
        service_accounts=[],
        services=[],
    )


def _prepare_for_ansible(made: Deployment) -> None:
    """Python and what ansible's apt module needs, which the nodes of the tests do without."""
    made.node.shell("DEBIAN_FRONTEND=noninteractive apt-get -qq install python3 </dev/null >&2", timeout=300)
    with tempfile.TemporaryDirectory() as folder:
        process.run(["apt-get", "-qq", "download", *_ANSIBLES], cwd=Path(folder))
        for file in sorted(Path(folder).iterdir()):
            into = ["sh", "-c", 'exec cat >"$0"', f"/root/{file.name}"]
            subprocess.run(made.node.command(*into), input=file.read_bytes(), check=True)
    made.node.shell("dpkg -i /root/*.deb >&2", timeout=300)


@contextlib.contextmanager
def _delay(made: Deployment) -> Iterator[None]:
    """A port of the operator's own that leads to the node's sshd, with the time that a far node takes."""
    words = (str(_DELAYED_PORT), ADDRESS, "22", str(_ONE_WAY_SECONDS))
    command = made.station.command(sys.executable, "-m", "benchmarks.delay", *words, cwd=peers.ROOT)
    proxy = process.start(command, stdout=subprocess.PIPE)
    try:
        assert proxy.stdout is not None
        assert proxy.stdout.readline() == b"ready\n"
        with (made.station.home / ".ssh/known_hosts").open("a") as known:
            known.write(f"[127.0.0.1]:{_DELAYED_PORT} {made.node.host_key()}\n")
        yield
    finally:
        process.kill(proxy)


def main() -> int:
    """Run what was asked for. Exit code 1 when a limit was missed."""
    what = "every command, after one that is not counted (default: 5)"
    given = parsed(parser("bench-nodes", __doc__, BENCHMARKS, 5, what), BENCHMARKS)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(heading(given.runs), flush=True)
    return 1 if sum(shown(BENCHMARKS[name](given.runs)) for name in given.names) else 0


if __name__ == "__main__":
    raise SystemExit(main())
