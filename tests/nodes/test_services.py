"""The services as systemd units of a Bus host, at work on a node, on every bus; no secret of the run shows anywhere."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from busnode.inventory import profile
from tests.busnode.services.documented import aclfile, scopes
from tests.busnode.tls import Authority
from tests.house.tree import ROOT
from tests.nodes import process
from tests.nodes.services import PAYLOADS
from tests.nodes.services_host import CONFIGURED, PLACED, PROGRAMS, RUNNER, WORKER, Site, private, services_host
from tests.nodes.tree import SUITES, USER
from tests.secrets_found import found_in

if TYPE_CHECKING:
    from tests.nodes.node import Node
    from tests.nodes.tree import Tree

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400, func_only=True)]

UNITS = tuple(one["unit"] for one in profile("bus-services")["services"] if one["unit"].startswith("bus-"))
MAX_EXPOSURE, MAX_MEGABYTES, MAX_START_SECONDS = 3.0, 60, 1.0
# The best of so many starts counts.
STARTS = 5
SLOW_SECONDS = 6
# Debian's own server of Redis' protocol: the one that the services' profile installs, and the one that took its place.
SERVERS = {"bookworm": "redis-server", "trixie": "valkey-server"}
REDIS_PORT, EVENTS_PORT = 6390, 8443
# Whom the services' other hosts are: neither is loopback, so that TLS and a name or a token are asked for.
HOST_ADDRESS, STATION_ADDRESS = "10.0.0.10", "10.0.0.1"
REDIS_FOLDER, AUTHORITY = "/var/lib/site-redis", "/etc/ssl/certs/site.pem"
REDIS = f"""port 0
bind {HOST_ADDRESS}
tls-port {REDIS_PORT}
tls-cert-file /etc/site/redis.pem
tls-key-file /etc/site/redis.key
tls-ca-cert-file {AUTHORITY}
tls-auth-clients no
aclfile /etc/site/users.acl
dir {REDIS_FOLDER}
loglevel verbose
appendonly yes
appendfsync always
save ""
"""
# Where a secret may be: where it was put, and where systemd hands it to whom it is for.
BELONGS = (f"{CONFIGURED}/", "/etc/site/", "/run/credentials/", PLACED)
SEARCHED = ("etc", "run", "tmp", "var/lib/bus*", "var/lib/private", "var/lib/site-redis", "var/log", "var/tmp")


@pytest.fixture(scope="module", params=SUITES)
def site(
    request: pytest.FixtureRequest, trees: dict[str, Tree], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with services_host(trees[request.param], tmp_path_factory.mktemp(request.param)) as made:
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
        said = _said(site, program)
        lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        ids = {str(line.get("correlation_id")) for line in lines}
        # The runner's have their own, numbered within the operation.
        own = ".script." if program == RUNNER else answer["correlationId"]
        assert any(own in one for one in ids), (program, said)


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
    said = _said(site, RUNNER)
    assert '"event": "stopped", "clean": true' in said, said


def test_a_redis_or_valkey_of_another_host_by_tls_with_a_user_for_each_service(site: Site, tmp_path: Path) -> None:
    authority = Authority.make(tmp_path)
    passwords = {program: site.new_secret(f"redis-{program}") for program in PROGRAMS}
    files = {"settings.env": f"SSL_CERT_FILE={AUTHORITY}\n"}
    for program, password in passwords.items():
        files[f"{program}.env"] = f"BUS_EVENTS_URL=rediss://{program}@{HOST_ADDRESS}:{REDIS_PORT}\n"
        files[f"{program}.redis-password"] = f"{password}\n"
    with _trusted(site, authority):
        _start_redis(site, authority, aclfile(passwords.__getitem__))
        with site.configured(files):
            _becomes_a_host(site)
    kept = b"".join(file.read_bytes() for file in _files(site.host, (REDIS_FOLDER.lstrip("/"),)))
    assert b"bus.node.harden.request" in kept
    assert b"secret://deployment/credential" in kept
    _no_secret_shows(site)


def _start_redis(site: Site, authority: Authority, users: str) -> None:
    server = SERVERS[site.host.tree.suite]
    certificate, key = (file.read_text() for file in authority.issue(f"IP:{HOST_ADDRESS}"))
    contents = {"redis.conf": REDIS, "users.acl": users, "redis.key": key, "redis.pem": certificate}
    for name, content in contents.items():
        private(site.host, f"/etc/site/{name}", content)
    site.host.shell(f"DEBIAN_FRONTEND=noninteractive apt-get install -y {server} && systemctl disable --now {server}")
    site.host.shell(f"mkdir -m 700 {REDIS_FOLDER} && systemd-run --unit=site-redis {server} /etc/site/redis.conf")
    listening = f"{HOST_ADDRESS}:{REDIS_PORT} "
    process.wait_until(server, lambda: listening in site.host.shell("ss -Hltn"), 30)


def test_the_events_api_of_a_deployment(site: Site, tmp_path: Path) -> None:
    authority = Authority.make(tmp_path)
    tokens = {program: site.new_secret(f"token-{program}") for program in PROGRAMS}
    files = {"settings.env": f"BUS_EVENTS_URL=https://{STATION_ADDRESS}:{EVENTS_PORT}\nSSL_CERT_FILE={AUTHORITY}\n"}
    files |= {f"{program}.token": f"{token}\n" for program, token in tokens.items()}
    with _trusted(site, authority), _events_api(site, authority, tokens), site.configured(files):
        _becomes_a_host(site)
        # A token that is none of the deployment's, until the right one is there.
        private(site.host, f"{CONFIGURED}/{RUNNER}.token", f"{tokens[RUNNER][::-1]}\n")
        assert site.host.run("systemctl", "restart", RUNNER, check=False).returncode == 1
        assert "answers 401 invalid_auth" in _said(site, RUNNER)
        private(site.host, f"{CONFIGURED}/{RUNNER}.token", files[f"{RUNNER}.token"])
        process.wait_until("the runner", lambda: site.property(RUNNER, "ActiveState") == "active", 60)
        assert site.ask("status")["payload"]["ok"]
    _no_secret_shows(site)


def _becomes_a_host(site: Site) -> None:
    """The node, by every operation; the change is made once."""
    site.other.shell(f"rm -f {PLACED}")
    for operation in ("bootstrap", "harden", "verify", "status"):
        answer = site.ask(operation, json.dumps(PAYLOADS[operation]), site.secrets["admin"].decode())
        assert answer["payload"]["ok"], answer
    assert (site.other.root / PLACED.lstrip("/")).read_bytes() == site.secrets["credential"]


@contextlib.contextmanager
def _trusted(site: Site, authority: Authority) -> Iterator[None]:
    site.host.run("sh", "-euc", f"cat >{AUTHORITY}", stdin=authority.certificate.read_text())
    yield
    site.host.run("rm", AUTHORITY)


@contextlib.contextmanager
def _events_api(site: Site, authority: Authority, tokens: dict[str, str]) -> Iterator[None]:
    """A server that follows the contract, on the operator's workstation."""
    certificate, key = authority.issue(f"IP:{STATION_ADDRESS}")
    words = (STATION_ADDRESS, str(EVENTS_PORT), str(certificate), str(key))
    station = site.made.station
    command = station.command("python", "-m", "tests.busnode.events.events_server", *words, cwd=ROOT)
    server = process.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=station.environment())
    try:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps({token: [*scopes()[program]] for program, token in tokens.items()}).encode())
        server.stdin.close()
        assert server.stdout.readline() == b"ready\n"
        yield
    finally:
        process.kill(server)


def _said(site: Site, unit: str) -> str:
    return site.host.run("journalctl", "-u", unit, "--since", "-1h", "--output=cat", "--no-pager").stdout


def _no_secret_shows(site: Site) -> None:
    """In the journals of the host and of the node, and in their files but for those that hold it."""
    canary = site.new_secret("canary").encode()
    for machine in (site.host, site.other):
        # What is looked for could be seen.
        machine.run("logger", canary.decode())
        machine.shell("journalctl --sync; journalctl --no-pager --output=export >/tmp/journal")
        journal = machine.root / "tmp/journal"
        assert found_in(journal.read_bytes(), site.secrets) == ["canary"], machine.name
        journal.unlink()
    del site.secrets["canary"]
    seen = {
        (machine.name, str(file))
        for machine in (site.host, site.other)
        for file in _files(machine, SEARCHED)
        if found_in(file.read_bytes(), site.secrets)
    }
    assert seen == set()


def _files(machine: Node, patterns: tuple[str, ...]) -> Iterator[Path]:
    """Its files below these folders where no secret belongs."""
    for folder in (one for pattern in patterns for one in machine.root.glob(pattern)):
        for file in folder.rglob("*"):
            place = f"/{file.relative_to(machine.root)}"
            if file.is_file() and not file.is_symlink() and not place.startswith(BELONGS):
                yield file


def test_nothing_is_lost_when_the_hosts_power_is(site: Site) -> None:
    site.host.power_cycle()
    assert site.ask("status")["payload"]["ok"]
