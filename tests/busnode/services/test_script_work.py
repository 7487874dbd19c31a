"""The ssh runner: what a request may choose, what it may not, and the network before the script."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, SupportsBytes

import pytest

from busnode import schema
from busnode.contract import AuthFailedError, BadRequestError, BusnodeError, UnreachableError
from busnode.events.envelope import Envelope, parse
from busnode.events.scripts import ScriptResult
from busnode.inventory import Inventory, Target
from busnode.services import netplan
from busnode.services.ssh_runner import MAX_OUTPUT, Keys, ScriptWork, over_ssh
from busnode.transport import Answer, Family
from busnode.transport.openssh import OpenSsh
from busnode.transport.process import Bounded, Completed

if TYPE_CHECKING:
    from pathlib import Path

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOk operator"


@dataclass
class Network:
    """The ways that were opened, and what each host and user answers."""

    opened: list[tuple[Target, Keys]] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    fails: dict[tuple[str, str], BusnodeError] = field(default_factory=dict)

    def open(self, target: Target, keys: Keys, via: tuple[Target, ...]) -> _Way:
        self.opened.append((target, keys))
        return _Way(self, target)


@dataclass
class _Way:
    network: Network
    target: Target
    notes: tuple[str, ...] = ("a note",)
    gateway: str = "x"

    def run(self, bundle: SupportsBytes, *, time_limit: float) -> Completed:
        self.network.sent.append(bytes(bundle))
        error = self.network.fails.get((self.target.host, self.target.user))
        if error is not None:
            raise error
        return Completed(b"said", b"", 0)

    def probe(self, port: int, *, time_limit: float, family: Family | None = None) -> Answer:
        return Answer.REFUSED


@dataclass
class Runner:
    work: ScriptWork
    network: Network
    folder: Path

    def ask(self, **payload: Any) -> dict[str, Any]:
        given = {"target": {"node_id": "proxy"}, "time_limit": 5, "script": "true\n", **payload}
        given = {key: value for key, value in given.items() if value is not None}
        answer = self.work.handle(Envelope("bus.ssh.script.run.request", "c-1", given).to_text().encode())
        assert answer.name == "bus.ssh.script.run.response"
        assert answer.correlation_id == "c-1"
        assert list(schema.violations(answer.payload, schema.load("script-result"))) == []
        return answer.payload


def _private(path: Path, content: str = "s3cret") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(content)
    return path


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    folder = tmp_path / "own"
    target = {
        "host": "10.0.0.10",
        "user": "bus",
        "host_candidates": ["10.0.0.11"],
        "user_candidates": ["debian"],
        "host_key": "SHA256:" + "A" * 43,
        "become": {"password": "secret://deployment/sudo"},
        "credentials": [{"source": "token", "destination": "/etc/token"}],
        "ssh_policy": {"authorized_key_secret": "key.pub"},
    }
    for name in ("keys/id", "keys/other", "keys/admin.token", "secrets/sudo", "secrets/others", "deploy/token"):
        _private(folder / name)
    _private(tmp_path / "outside")
    (folder / "keys/link").symlink_to(tmp_path / "outside")
    (folder / "secrets/link").symlink_to(tmp_path / "outside")
    _private(folder / "deploy/key.pub", KEY)
    _private(folder / "deploy/nodes.json")
    _private(folder / "shared/more")
    (folder / "shared/id").symlink_to(folder / "keys/id")
    (folder / "shared/hard").hardlink_to(folder / "keys/id")
    victim = {"host": "10.0.0.12", "user": "bus", "credentials": [{"source": "other", "destination": "/etc/other"}]}
    _private(folder / "deploy/other")
    inventory = Inventory.from_document({"proxy": target, "second": victim}, base=folder / "deploy")
    folders = (folder / "keys", folder / "deploy")
    keys = Keys(folder / "keys/id", None, folder / "secrets", folders, (folder / "shared",))
    network = Network()
    return Runner(ScriptWork(inventory, keys, network.open, lambda _: KEY), network, folder)


def test_a_script_is_run_and_what_it_printed_comes_back(runner: Runner) -> None:
    answer = runner.ask(blobs=["token"], sudo_password_secret="secret://deployment/sudo")
    assert (answer["ok"], answer["exit_code"], answer["stdout"], answer["notes"]) == (True, 0, "said", ["a note"])
    assert runner.network.sent[0].endswith(b"true\ns3cret\ns3cretbusnode1 end\n")
    assert "s3cret" not in json.dumps(answer)
    materials = [{"kind": "key", "reference": "key.pub"}, {"kind": "digest", "reference": "token"}]
    assert runner.ask(blobs=["../shared/more"], materials=materials)["ok"]


def test_a_port_is_looked_at(runner: Runner) -> None:
    assert runner.ask(script=None, port=80)["port_answer"] == "refused"


@pytest.mark.parametrize(
    "attack",
    [
        {"target": {"node_id": "victim"}},
        {"target": {"node_id": "proxy", "host": "203.0.113.7"}},
        {"target": {"node_id": "proxy", "user": "root"}},
        {"ssh_private_key_file": "../../outside"},
        {"ssh_private_key_file": "/etc/ssh/ssh_host_ed25519_key"},
        {"ssh_private_key_file": "../keys/link"},
        {"known_hosts_file": "../../outside"},
        {"blobs": ["../../outside"]},
        {"blobs": ["/etc/shadow"]},
        {"sudo_password_secret": "../../outside"},
        {"materials": [{"kind": "digest", "reference": "/etc/shadow"}]},
        {"blobs": ["../keys/id"]},
        {"blobs": ["../keys/admin.token"]},
        {"blobs": ["../shared/id"]},
        {"blobs": ["../shared/hard"]},
        {"blobs": ["nodes.json"]},
        {"blobs": ["other"]},
        {"blobs": ["secret://deployment/others"]},
        {"sudo_password_secret": "../keys/id"},
        {"sudo_password_secret": "secret://deployment/others"},
        {"materials": [{"kind": "digest", "reference": "../keys/admin.token"}]},
        {"ssh_private_key_file": "../keys/other", "blobs": ["../keys/other"]},
    ],
    ids=json.dumps,
)
def test_what_is_not_the_runners_own_is_refused(runner: Runner, attack: dict[str, Any]) -> None:
    answer = runner.ask(**attack)
    assert answer["error_class"] == "unauthorized"
    assert runner.network.sent == []


@pytest.mark.parametrize(
    "attack",
    [
        {"ssh_private_key_secret": "secret://deployment/../keys/other"},
        {"sudo_password_secret": "secret://deployment/link"},
        {"sudo_password_secret": "secret://elsewhere/sudo"},
        {"materials": [{"kind": "shell", "reference": "token"}]},
        {"target": {"node_id": "proxy", "port": 2222}},
        {"script": None},
        {"port": 22},
        {"options": ["ProxyCommand=x"]},
        {"network_bootstrap": {"netplan_mode": "name-match"}},
    ],
    ids=json.dumps,
)
def test_what_cannot_be_meant_is_a_bad_request(runner: Runner, attack: dict[str, Any]) -> None:
    answer = runner.ask(**attack)
    assert answer["error_class"] == "bad_request"
    assert runner.network.sent == []


def test_not_even_the_inventory_sends_the_key_to_a_node(runner: Runner) -> None:
    private = runner.work.keys.private_key
    target = {"host": "10.0.0.10", "user": "bus", "credentials": [{"source": str(private), "destination": "/etc/id"}]}
    work = replace(runner.work, inventory=Inventory.from_document({"proxy": target}))
    answer = replace(runner, work=work).ask(blobs=[str(private)])
    assert (answer["error_class"], runner.network.sent) == ("unauthorized", [])


def test_another_key_of_its_own_can_be_chosen(runner: Runner) -> None:
    assert runner.ask(ssh_private_key_file="../keys/other", known_hosts_file="../keys/id")["ok"]
    keys = runner.network.opened[0][1]
    assert keys.private_key == runner.folder / "keys/other"
    assert keys.known_hosts == runner.folder / "keys/id"
    assert runner.ask(ssh_private_key_secret="secret://deployment/sudo")["ok"]


def test_candidates_are_tried_in_order_until_one_answers(runner: Runner) -> None:
    runner.network.fails = {
        ("10.0.0.10", "bus"): UnreachableError("no"),
        ("10.0.0.10", "debian"): UnreachableError("no"),
        ("10.0.0.11", "bus"): AuthFailedError("no"),
    }
    assert runner.ask()["ok"]
    tried = [(target.host, target.user) for target, _ in runner.network.opened]
    assert tried == [("10.0.0.10", "bus"), ("10.0.0.10", "debian"), ("10.0.0.11", "bus"), ("10.0.0.11", "debian")]
    assert runner.ask(target={"node_id": "proxy", "host": "10.0.0.10"})["error_class"] == "unreachable"


def test_what_broke_off_is_not_run_again_elsewhere(runner: Runner) -> None:
    runner.network.fails = {("10.0.0.10", "bus"): UnreachableError("broken", output=b"begun")}
    answer = runner.ask()
    assert (answer["error_class"], answer["stdout"]) == ("unreachable", "begun")
    assert len(runner.network.sent) == 1


def test_a_connection_that_broke_before_a_word_is_told_as_one(runner: Runner) -> None:
    broke = UnreachableError("client_loop: send disconnect")
    broke.began = True
    runner.network.fails = {("10.0.0.10", "bus"): broke}
    answer = runner.ask()
    assert len(runner.network.sent) == 1, "it may be running there"
    error = ScriptResult.from_document(answer, "proxy").error
    assert isinstance(error, UnreachableError)
    assert error.began
    runner.network.fails = {("10.0.0.10", user): UnreachableError("no route") for user in ("bus", "debian")}
    answer = runner.ask(target={"node_id": "proxy", "host": "10.0.0.10"})
    assert "began" not in answer


def test_ssh_is_opened_with_nobodys_configuration(runner: Runner) -> None:
    way = over_ssh(runner.work.inventory["proxy"], runner.work.keys, ())
    assert isinstance(way, OpenSsh)
    argv = way._argv([])
    assert argv[1:3] == ["-F", "none"]
    runner.work.keys.private_key.chmod(0o644)
    with pytest.raises(BadRequestError, match="mode 0644"):
        over_ssh(runner.work.inventory["proxy"], runner.work.keys, ())


def test_what_nobody_waits_for_any_more_is_not_run(runner: Runner) -> None:
    late = runner.ask(deadline="2020-01-01T00:00:00Z")
    assert (late["error_class"], runner.network.opened) == ("timeout", [])
    assert "2020-01-01T00:00:00Z" in late["diagnostics"][0]
    assert runner.ask(script=None, port=80, deadline="2020-01-01T00:00:00Z")["error_class"] == "timeout"
    assert runner.ask(deadline="2100-01-01T00:00:00Z")["ok"]
    for wrong in ("tomorrow", "2026-02-30T00:00:00Z", "2026-01-01T00:00:00"):
        assert "payload.deadline" in runner.ask(deadline=wrong)["diagnostics"][0]


def test_a_host_that_took_all_the_time_is_the_last_one_tried(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=2)
    opened = runner.network.open

    def slow(target: Target, keys: Keys, via: tuple[Target, ...]) -> _Way:
        time.sleep(max(0.0, (deadline - datetime.now(UTC)).total_seconds()))
        runner.network.fails[target.host, target.user] = UnreachableError("no answer")
        return opened(target, keys, via)

    answer = replace(runner, work=replace(runner.work, open=slow)).ask(deadline=deadline.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert answer["error_class"] == "timeout"
    assert len(runner.network.sent) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"netplan_mode": "name-match"}, "unsupported runner netplan mode"),
        ({"netplan_mode": "mac-match"}, "runner netplan mode mac-match requires interface MAC"),
        ({"interface_mac": "52:54:00:12:34:56", "dns_servers": ["9.9.9"]}, "no IP address"),
    ],
)
def test_a_network_that_cannot_be_set_up_is_told(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequestError, match=said):
        netplan.script(settings)


@pytest.mark.parametrize("applied", [True, False])
def test_the_network_is_set_up_before_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, applied: bool
) -> None:
    monkeypatch.setattr(netplan, "FILE", str(tmp_path / "60.yaml"))
    settings = {
        "interface_mac": "52:54:00:AB:34:56",
        "dns_servers": ["9.9.9.9", "2620:fe::fe"],
        "apply_netplan": applied,
    }
    program = tmp_path / "netplan"
    program.write_text(f'#!/bin/sh\necho "$1" >>{tmp_path}/calls\n')
    program.chmod(0o755)
    text = netplan.script(settings) + "echo script\n"
    done = subprocess.run(
        ["/bin/sh"], input=text, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "script\n"
    assert (tmp_path / "calls").read_text().split() == ["generate", "apply"] if applied else ["generate"]
    assert json.loads((tmp_path / "60.yaml").read_text())["network"]["ethernets"]["bus-runner"] == {
        "match": {"macaddress": "52:54:00:ab:34:56"},
        "dhcp4": True,
        "nameservers": {"addresses": ["9.9.9.9", "2620:fe::fe"]},
    }
    assert (tmp_path / "60.yaml").stat().st_mode & 0o777 == 0o600


def test_the_network_is_left_alone_where_the_node_looks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netplan, "FILE", str(tmp_path / "60.yaml"))
    text = netplan.script({"interface_mac": "52:54:00:AB:34:56", "apply_netplan": True}) + "echo script\n"
    words = ["/bin/sh", "-c", text, "sh", "box", "connection", "bus", "again"]
    done = subprocess.run(words, env={"PATH": "/nonexistent:/bin"}, capture_output=True, text=True, check=True)
    assert done.stdout == "script\n"
    assert not (tmp_path / "60.yaml").exists()


def test_a_network_that_does_not_come_up_ends_it_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netplan, "FILE", str(tmp_path / "60.yaml"))
    text = netplan.script({"interface_mac": "52:54:00:AB:34:56"}) + "echo script\n"
    done = subprocess.run(
        ["/bin/sh"], input=text, env={"PATH": "/nonexistent:/bin"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"] == "apply_failed"


@pytest.mark.parametrize("chunks", [[b"a" * 50, b"b" * 49], [b"x"] * 3000, [b"a" * 5000]])
def test_output_is_cut_in_the_middle_and_says_how_much(chunks: list[bytes]) -> None:
    stream, whole = Bounded(100), b"".join(chunks)
    for chunk in chunks:
        stream.add(chunk)
    kept = stream.kept()
    if len(whole) <= 100:
        assert kept == whole
        return
    head, mark, tail = kept.split(b"\n")
    assert (head, tail) == (whole[:50], whole[-50:])
    assert mark == f"[{len(whole) - 100} bytes are left out here]".encode()


def test_the_worst_output_fits_into_an_event() -> None:
    stream = Bounded(MAX_OUTPUT)
    stream.add(b"\xff" * 1_000_000)
    worst = ScriptResult("proxy", Completed(stream.kept(), stream.kept(), 0))
    text = Envelope("bus.ssh.script.run.response", "c" * 128, worst.to_document()).to_text()
    assert parse(text).payload == worst.to_document()
