"""A Bus host that runs the services as systemd units, made by busnode's own bootstrap, and a node that it works on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from busnode.inventory import profile
from tests.nodes import process
from tests.nodes.deployment import NODE_ID, Deployment, deployment
from tests.nodes.node import Node
from tests.nodes.services import POST
from tests.nodes.tree import SUITES, USER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.nodes.tree import Tree

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400, func_only=True)]

API, WORKER, RUNNER = "bus-api-provider-node", "bus-integration-node", "bus-integration-ssh-runner"
PROGRAMS = (RUNNER, WORKER, API)
UNITS = tuple(one["unit"] for one in profile("bus-services")["services"] if one["unit"].startswith("bus-"))
READ, ADMIN = "reader-0123456789abcdef", "admin-0123456789abcdef"
MAX_EXPOSURE, MAX_MEGABYTES, MAX_START_SECONDS = 3.0, 60, 1.0
# The best of so many starts counts.
STARTS = 5
SLOW_SECONDS = 6


@dataclass(frozen=True, slots=True)
class Site:
    """The host of the services, and the node."""

    made: Deployment
    other: Node

    @property
    def host(self) -> Node:
        return self.made.node

    def ask(self, operation: str, payload: str = "{}", token: str = READ) -> dict[str, Any]:
        """What the API answers to who asks on its host."""
        url = f"http://127.0.0.1:8093/api/internal/node/{NODE_ID}/{operation}"
        said = self.host.run("python3", "-I", "-c", POST, url, token, "100", stdin=payload, timeout=110).stdout
        answer: dict[str, Any] = json.loads(said)
        return answer

    def property(self, unit: str, name: str) -> str:
        return self.host.run("systemctl", "show", "--value", f"--property={name}", unit).stdout.strip()

    def megabytes(self, unit: str) -> float:
        """What its main process has in memory."""
        status = (self.host.root / f"proc/{self.property(unit, 'MainPID')}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def start_seconds(self, unit: str) -> float:
        """From its process' start to its word that it is ready, but for the time that it waited for a processor."""
        self.host.run("systemctl", "restart", unit)
        start, ready = (
            int(self.property(unit, f"{name}TimestampMonotonic")) for name in ("ExecMainStart", "ActiveEnter")
        )
        # sched(7), schedstat: nanoseconds on a processor, then waiting for one.
        waited = int((self.host.root / f"proc/{self.property(unit, 'MainPID')}/schedstat").read_text().split()[1])
        return (ready - start) / 1e6 - waited / 1e9


@contextmanager
def _site(tree: Tree, folder: Path) -> Iterator[Site]:
    with (
        deployment(tree, folder) as made,
        Node(tree, made.station, folder / "other", address="10.0.0.11", address_6="fd00:b05::11") as other,
    ):
        key = made.folder / "local/id_ed25519"
        other.authorize(key.with_suffix(".pub").read_text())
        files = made.folder / "deploy/services"
        files.mkdir(mode=0o700)
        targets = {NODE_ID: {"host": other.address, "user": USER, "allowed_ports": [22]}}
        contents = {"targets.json": json.dumps(targets), "known_hosts": other.known_hosts()}
        for name, content in {**contents, "ssh-key": key.read_text(), "read.token": READ, "admin.token": ADMIN}.items():
            (files / name).touch(mode=0o600)
            (files / name).write_text(content)
        made.write_target(profile="bus-services")
        for machine in (made.node, other):
            machine.start()
        for machine in (made.node, other):
            machine.wait()
        answer = made.operate("bootstrap")
        assert answer.code == 0, (answer, made.node.run("journalctl", "--no-pager", "-n", "100").stdout)
        yield Site(made, other)


@pytest.fixture(scope="module", params=SUITES)
def site(
    request: pytest.FixtureRequest, trees: dict[str, Tree], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with _site(trees[request.param], tmp_path_factory.mktemp(request.param)) as made:
        yield made


def test_bootstrap_knows_what_it_did(site: Site) -> None:
    again = site.made.operate("bootstrap")
    assert (again.code, again.changed) == (0, []), again
    assert site.made.operate("verify").document["error_class"] == "verify_failed"
    assert site.made.operate("harden", "--confirm").code == 0
    assert site.made.operate("verify").code == 0


def test_the_units_are_hardened_small_and_ready_soon(site: Site) -> None:
    for unit in UNITS:
        said = site.host.run("systemd-analyze", "security", "--no-pager", unit).stdout
        exposure = float(re.findall(r"exposure level for .*: ([0-9.]+)", said)[0])
        assert exposure <= MAX_EXPOSURE, said
        assert site.property(unit, "User") == unit.removesuffix(".service")
        seconds = min(site.start_seconds(unit) for _ in range(STARTS))
        assert seconds < MAX_START_SECONDS, (unit, seconds)
        assert site.megabytes(unit) < MAX_MEGABYTES
        seen = f"exposure {exposure}, ready after {seconds:.2f} s, {site.megabytes(unit):.0f} MB"
        print(f"{site.host.tree.suite} {unit}: {seen}")


def test_a_request_goes_through_the_units_and_their_journals_tell_of_it(site: Site) -> None:
    answer = site.ask("status")
    assert answer["payload"]["ok"], answer
    assert answer["payload"]["facts"]["ssh_port"] == 22
    refused = site.ask("harden")
    assert refused["error"] == "forbidden", refused
    assert not site.ask("harden", json.dumps({"confirm": True, "dry_run": False}), "nobody").get("payload")
    for program in PROGRAMS:
        said = site.host.run("journalctl", "-u", program, "--since", "-1h", "--output=cat", "--no-pager").stdout
        lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        ids = {str(line.get("correlation_id")) for line in lines}
        # The runner's have their own, numbered within the operation.
        own = ".script." if program == RUNNER else answer["correlationId"]
        assert any(own in one for one in ids), (program, said)
    journal = site.host.run("journalctl", "--no-pager", "--output=verbose").stdout
    key = (site.made.folder / "local/id_ed25519").read_text().splitlines()[1:-1]
    assert not [secret for secret in (READ, ADMIN, *key) if secret in journal]


def test_a_stop_finishes_what_is_under_way_and_hands_back_what_waits(site: Site) -> None:
    bashrc = f"/home/{USER}/.bashrc"
    site.other.shell(f"echo 'echo >>/tmp/logged-in; sleep {SLOW_SECONDS}' >{bashrc}")
    try:
        with ThreadPoolExecutor() as pool:
            under_way = pool.submit(site.ask, "status")
            process.wait_until("the log-in", (site.other.root / "tmp/logged-in").exists, 60)
            # One that asks in other words waits for its turn.
            waiting = pool.submit(site.ask, "verify", '{"checks": ["ssh"]}')
            site.host.run("systemctl", "stop", RUNNER, WORKER, timeout=115)
            assert [site.property(program, "Result") for program in (RUNNER, WORKER)] == ["success"] * 2
            assert under_way.result(1)["payload"]["ok"]
            assert not waiting.done()
            site.host.run("systemctl", "start", RUNNER, WORKER)
            assert waiting.result(60)["payload"]["operation"] == "verify"
    finally:
        site.other.shell(f"rm -f {bashrc}")
    said = site.host.run("journalctl", "-u", RUNNER, "--output=cat", "--no-pager").stdout
    assert '"event": "stopped", "clean": true' in said, said


def test_nothing_is_lost_when_the_hosts_power_is(site: Site) -> None:
    site.host.power_cycle()
    assert site.ask("status")["payload"]["ok"]
