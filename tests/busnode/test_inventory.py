"""The targets file: what is taken, and the one line that is said of everything else."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busnode.contract import BadRequestError
from busnode.inventory import Directory, FirewallPolicy, Inventory, Listener, Target
from busnode.plugins import StepKinds

GOOD = {"host": "10.0.0.10", "user": "bus"}


def _refusal(path: Path, text: str | bytes) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadRequestError) as caught:
        Inventory.load(path)
    return str(caught.value)


def test_the_documents_inventory(tmp_path: Path) -> None:
    path = tmp_path / "nodes.json"
    path.write_text('{"proxy":{"host":"10.0.0.10","user":"bus","port":22,"allowed_ports":[22,80,443,8080]}}')
    target = Inventory.load(path)["proxy"]
    assert (target.host, target.user, target.port) == ("10.0.0.10", "bus", 22)
    assert target.firewall_policy == FirewallPolicy((22, 80, 443, 8080))
    assert "nftables" in target.packages
    assert Directory("/etc/bus", "root", "bus-service", "0750") in target.directories
    assert target.authorize_operator


def test_what_a_target_names_takes_the_place_of_the_profile() -> None:
    document = {**GOOD, "packages": ["nginx"], "directories": [], "listeners": [{"port": 80.0}], "credentials": []}
    target = Inventory.from_document({"proxy": document})["proxy"]
    assert (target.packages, target.directories, target.authorize_operator) == (("nginx",), (), False)
    assert target.listeners == (Listener(80),)
    assert [account.name for account in target.service_accounts] == ["bus-service"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", ": not JSON: line 1 column 2: Expecting property name enclosed in double quotes; correct it there"),
        (
            '{"a":{"host":"h","user":"u"},"a":{"host":"h","user":"u"}}',
            ': "a" is there twice in one object; remove one of the two',
        ),
        (b"\xff\xfe", ": not UTF-8 (invalid start byte); save it as UTF-8"),
        ('{"a":{"host":"h","user":"u","port":NaN}}', ": NaN is not JSON; give a number"),
        ("[]", ": [] is not an object; give an object of targets by node id"),
        ('{"a":{"host":"h"}}', ": a: user is missing; give an account name: lower-case letters, digits"),
        (
            '{"proxy":{"host":"h","user":"u","port":70000}}',
            ": proxy.port: 70000 is out of range; give a TCP port from 1 to 65535",
        ),
        (
            '{"proxy":{"host":"-oProxyCommand=x","user":"u"}}',
            ': proxy.host: "-oProxyCommand=x" is not allowed; give a host name, IPv4 or IPv6 address',
        ),
        ('{"a;b":{"host":"h","user":"u"}}', ': "a;b" is not allowed; give a node id of letters, digits, _ and -'),
        ('{"a":{"host":"h","user":"-u"}}', ': a.user: "-u" is not allowed; give an account name'),
        ('{"a":{"host":"h","user":"u","ports":1}}', ": a.ports: unknown key; remove it, or use one of allowed_ports,"),
        ('{"a":{"host":"h","user":"u","port":true}}', ": a.port: true is not a whole number; give a TCP port"),
        ('{"a":{"host":"h","user":"u","allowed_ports":[22,22]}}', ": a.allowed_ports[1]: 22 is there twice"),
        (
            '{"a":{"host":"h","user":"u","allowed_ports":[22],"firewall_policy":{"allowed_ports":[23]}}}',
            ": a.allowed_ports: differs from firewall_policy.allowed_ports; keep one of the two",
        ),
        ('{"a":{"host":"h","user":"bus-service"}}', ": a.user: bus-service is a service account, which never logs in"),
        ('{"a":{"host":"h","user":"u","directories":[{"path":"/a/../b"}]}}', ': a.directories[0].path: "/a/../b" is'),
        ('{"a":{"host":"h","user":"u","packages":["--force"]}}', ': a.packages[0]: "--force" is not allowed; give a'),
        (
            '{"a":{"host":"h","user":"u","packages":["sudo-"]}}',
            ': a.packages[0]: "sudo-" is not allowed; give a Debian',
        ),
        (
            '{"a":{"host":"h","user":"u","packages":["sudo+"]}}',
            ': a.packages[0]: "sudo+" is not allowed; give a Debian',
        ),
        (
            '{"a":{"host":"h","user":"u","service_accounts":[{"name":"root"}]}}',
            ": a.service_accounts: root would lose its shell, and with it sudo; remove it",
        ),
        (
            '{"a":{"host":"h","user":"u","services":[{"unit":"ssh.socket","running":false}]}}',
            ": a.services[0]: without ssh.socket nobody can log in; remove the entry",
        ),
        (
            '{"a":{"host":"h","user":"u","services":[{"unit":"sshd.service","enabled":false}]}}',
            ": a.services[0]: without sshd.service nobody can log in; remove the entry",
        ),
        (
            '{"a":{"host":"h","user":"u","directories":[{"path":"/var/lib/busnode","owner":"bus-service"}]}}',
            ": a.directories[0].path: /var/lib/busnode is busnode's own; give another",
        ),
        (
            '{"a":{"host":"h","user":"u","credentials":[{"source":"s","destination":"/run/busnode/x"}]}}',
            ": a.credentials[0].destination: /run/busnode/x is busnode's own; give another",
        ),
        (
            '{"a":{"host":"h","user":"u","directories":[{"path":"/a"},{"path":"/a","mode":"0700"}]}}',
            ": a.directories[1].path: /a is there twice; keep one of the two",
        ),
        (
            '{"a":{"host":"h","user":"u","services":[{"unit":"x.service"},{"unit":"x.service"}]}}',
            ": a.services[1].unit: x.service is there twice; keep one of the two",
        ),
        ('{"a":{"host":"a..b","user":"u"}}', ": a.host: a part between dots is empty or longer than 63; give a host"),
        ('{"a":{"host":"%s","user":"u"}}' % ("a" * 64), ": a.host: a part between dots is empty or longer than 63"),
        (
            '{"a":{"host":"h","user":"u","become":{"password":"hunter2\\n"}}}',
            ": a.become.password: the value is not allowed; give a file (relative to the targets file)",
        ),
        ('{"a":{"host":"h\\n","user":"u"}}', ': a.host: "h\\n" is not allowed; give a host name'),
        ('{"a":{"host":"\\ud800","user":"u"}}', ": not UTF-8 (surrogates not allowed); save it as UTF-8"),
    ],
)
def test_a_mistake_is_one_line_with_file_path_and_remedy(tmp_path: Path, text: str | bytes, line: str) -> None:
    path = tmp_path / "nodes.json"
    said = _refusal(path, text)
    assert said.startswith(f"{path}{line}")
    assert "\n" not in said


def test_every_mistake_is_said_at_once(tmp_path: Path) -> None:
    said = _refusal(tmp_path / "nodes.json", '{"a":{"host":"","user":"u","port":0},"b":{"host":"h","user":"U"}}')
    assert [line.split(": ")[1] for line in said.splitlines()] == ["a.host", "a.port", "b.user"]


def test_what_no_schema_can_say_is_said_at_once_too(tmp_path: Path) -> None:
    """Unknown step, circular via, duplicate ids, one host key twice; from a file, and nothing was connected to."""
    (tmp_path / "nodes.json").write_text("""{
        "a": {"host": "10.0.0.1", "user": "bus", "via": "b", "steps": [{"step": "motd", "text": "x"}]},
        "b": {"host": "10.0.0.2", "user": "bus", "via": "a"},
        "c": {"host": "10.0.0.3", "user": "bus", "host_key": "ssh-ed25519 AAAAC3Nz"},
        "c": {"host": "10.0.0.4", "user": "bus", "host_key": "ssh-ed25519 AAAAC3Nz"},
        "d": {"host": "10.0.0.5", "user": "bus", "host_key": "ssh-ed25519 AAAAC3Nz d"}
    }""")
    with pytest.raises(BadRequestError) as caught:
        Inventory.load(tmp_path / "nodes.json", StepKinds({}, "site.py"))
    assert [line.removeprefix(f"{tmp_path}/nodes.json: ") for line in str(caught.value).splitlines()] == [
        '"c" is there twice in one object; remove one of the two',
        "a.steps[0].step: there is no step 'motd'; site.py has: none",
        "a.via: the way goes in a circle: a via b via a; break it",
        "b.via: the way goes in a circle: b via a via b; break it",
        "d.host_key: c has the same; make new host keys on one of the two",
    ]


def test_a_file_that_is_missing_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match=r"nodes\.json: No such file or directory; .* BUS_NODE_TARGETS_FILE"):
        Inventory.load(tmp_path / "nodes.json")


def test_an_unknown_id_names_those_there_are() -> None:
    inventory = Inventory.from_document({"proxy": GOOD, "gpu": GOOD})
    with pytest.raises(BadRequestError, match=r'no target "a;b"; add it, or give one of: proxy, gpu'):
        inventory["a;b"]


@given(st.binary(max_size=300))
def test_any_bytes_are_a_target_or_a_refusal(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(data)
    with contextlib.suppress(BadRequestError):
        assert isinstance(Inventory.load(path), Inventory)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=10,
)


@given(host=json_values, user=json_values, port=json_values)
def test_what_reaches_ssh_never_begins_with_a_dash(host: object, user: object, port: object) -> None:
    try:
        targets = list(Inventory.from_document({"a": {"host": host, "user": user, "port": port}}))
    except BadRequestError:
        return
    for target in targets:
        assert target.host[0] != "-"
        assert target.user[0] != "-"
        assert target.host.isprintable()
        assert 1 <= target.port <= 65535


@given(json_values)
def test_any_document_is_targets_or_one_refusal(document: object) -> None:
    with contextlib.suppress(BadRequestError):
        assert all(isinstance(target, Target) for target in Inventory.from_document(document))


def test_a_name_that_really_ends_in_plus_signs_is_a_package() -> None:
    target = Inventory.from_document({"a": {**GOOD, "packages": ["g++", "libstdc++6", "jq"]}})["a"]
    assert target.packages == ("g++", "libstdc++6", "jq")


def test_nesting_without_end_is_refused() -> None:
    document: object = []
    for _ in range(100_000):
        document = [document]
    with pytest.raises(BadRequestError):
        Inventory.from_document({"a": {**GOOD, "packages": document}})


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ({"a": {"via": "b"}}, 'a.via: there is no target "b"'),
        ({"a": {"via": "a"}}, "a.via: the way goes in a circle: a via a"),
        ({"a": {"via": "b"}, "b": {"via": "a"}}, "b.via: the way goes in a circle: b via a via b"),
        (
            {"a": {"host_key": "ssh-ed25519 AAAAC3Nz"}, "b": {"host_key": "b.example ssh-ed25519 AAAAC3Nz"}},
            "b.host_key: a has the same",
        ),
    ],
)
def test_ways_and_host_keys_are_checked_before_any_connection(targets: dict[str, dict[str, str]], said: str) -> None:
    document = {name: {"host": "10.0.0.10", "user": "bus", **more} for name, more in targets.items()}
    with pytest.raises(BadRequestError) as refused:
        Inventory.from_document(document)
    assert said in str(refused.value)


@given(links=st.lists(st.integers(-1, 7), min_size=1, max_size=8))
def test_every_way_ends_or_is_refused(links: list[int]) -> None:
    document = {
        f"n{at}": {"host": "10.0.0.10", "user": "bus", **({} if to < 0 else {"via": f"n{to}"})}
        for at, to in enumerate(links)
    }
    try:
        inventory = Inventory.from_document(document)
    except BadRequestError:
        # Only a circle is refused; a way without one has an end.
        assert any(to >= 0 for to in links)
        return
    for target in inventory:
        way = inventory.way(target)
        assert len(way) < len(links)
        assert (way[-1].id if way else None) == target.via
        assert not way or way[0].via is None
