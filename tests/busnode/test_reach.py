"""verify's look from outside, against networks that are played: what is checked, and what is only said."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, SupportsBytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busnode.inventory import Target
from busnode.reach import MAX_PORTS, View, look, look_at_udp
from busnode.transport import Answer, Family

if TYPE_CHECKING:
    from busnode.transport.process import Completed

V4, V6 = Family.IPV4, Family.IPV6


@dataclass
class Network:
    """What each port answers over each family; `default` where nothing is said."""

    answers: dict[tuple[int, Family], Answer] = field(default_factory=dict)
    default: Answer = Answer.SILENT
    asked: set[tuple[int, Family | None]] = field(default_factory=set)
    notes: tuple[str, ...] = ()
    gateway: str = "here"
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, bundle: SupportsBytes, *, time_limit: float) -> Completed:
        raise AssertionError

    def probe(self, port: int, *, time_limit: float, family: Family | None = None) -> Answer:
        assert 0 < time_limit <= 1
        with self.lock:
            self.asked.add((port, family))
        return self.answers.get((port, family or V4), self.default)


def _target(**more: object) -> Target:
    document = {"host": "10.0.0.10", "user": "bus", "allowed_ports": [22, 80, 8080], **more}
    return Target.from_document("proxy", document)


def _line(address: str, port: int | str, process: str = "site") -> str:
    return f'LISTEN 0 128 {address}:{port} *:* users:(("{process}",pid=7,fd=3))'


def _look(network: Network, *lines: str, target: Target | None = None, **facts: str) -> View:
    told = {"ssh_port": "22", "ssh_address": "10.0.0.10", "listeners": "\n".join(lines), **facts}
    return look(target or _target(), network, told)


def _wrong(view: View) -> list[str]:
    return [check.diagnostic for check in view.checks if not check.ok]


def test_each_listener_is_looked_at_over_the_families_it_serves() -> None:
    network = Network({(8080, V4): Answer.OPEN, (8080, V6): Answer.OPEN, (80, V6): Answer.OPEN})
    view = _look(network, _line("*", 8080), _line("0.0.0.0", 9090), _line("[::]", 80), _line("[::]", 22, "sshd"))
    assert [(check.name, check.ok) for check in view.checks] == [
        ("listener *:8080 (site) from outside over IPv4", True),
        ("listener 0.0.0.0:9090 (site) from outside over IPv4", True),
        ("listener [::]:80 (site) from outside over IPv6", True),
        ("listener *:8080 (site) from outside over IPv6", True),
    ]
    assert [socket.get("outside") for socket in view.listeners] == [
        {"IPv4": "open", "IPv6": "open"},
        {"IPv4": "silent"},
        {"IPv6": "open"},
        None,
    ]
    assert view.notes == ()
    assert (22, V4) not in network.asked
    assert (22, V6) not in network.asked


@pytest.mark.parametrize("answer", [Answer.SILENT, Answer.REFUSED])
def test_an_allowed_listener_that_does_not_answer_is_named(answer: Answer) -> None:
    view = _look(Network({(8080, V4): answer}), _line("0.0.0.0", 8080))
    assert _wrong(view) == [f"listener 0.0.0.0:8080 (site) is not reachable from outside over IPv4: {answer}"]


def test_a_listener_that_should_be_closed_and_answers_is_named() -> None:
    network = Network({(9090, V4): Answer.REFUSED, (9090, V6): Answer.OPEN})
    view = _look(network, _line("*", 9090))
    assert _wrong(view) == [
        "listener *:9090 (site) is reachable from outside over IPv6, and the policy does not allow port 9090"
    ]


def test_a_family_of_which_nothing_gets_here_proves_nothing() -> None:
    view = _look(Network({(8080, V4): Answer.OPEN}), _line("*", 8080))
    assert _wrong(view) == []
    assert len(view.checks) == 1
    assert view.notes == ("over IPv6 nothing of the node answers here, so what it lets in is not proven",)
    # A port that is allowed and that nothing listens on tells that packets get here.
    view = _look(Network({(8080, V4): Answer.OPEN, (80, V6): Answer.REFUSED}), _line("*", 8080))
    assert _wrong(view) == ["listener *:8080 (site) is not reachable from outside over IPv6: silent"]


def test_behind_another_host_it_is_said_that_nothing_was_looked_at() -> None:
    view = _look(Network(default=Answer.UNKNOWN), _line("0.0.0.0", 8080))
    assert view.checks == ()
    assert len(view.notes) == 1
    assert view.notes[0].startswith("listeners are not looked at from outside over IPv4:")
    view = _look(Network(), _line("0.0.0.0", 8080), ssh_port="2222")
    assert view.notes == ("no listener is looked at from outside: port 22 leads to port 2222 of the node",)
    assert (view.checks, len(view.listeners)) == ((), 1)


def test_addresses_that_lead_elsewhere_are_named_and_loopback_is_left_out() -> None:
    network = Network({(8080, V4): Answer.OPEN})
    lines = (
        _line("10.0.0.10", 8080),
        _line("192.168.7.1", 53, "dnsmasq"),
        _line("127.0.0.53%lo", 53),
        _line("[::1]", 631),
        _line("[fe80::1]%eth0", 546),
    )
    view = _look(network, *lines)
    assert [check.ok for check in view.checks] == [True]
    said = "not looked at from outside, the address that is connected to is another: "
    assert view.notes == (f"{said}192.168.7.1:53 (dnsmasq), [fe80::1%eth0]:546 (site)",)
    assert network.asked == {(8080, V4)}


def test_only_the_address_that_is_connected_to_is_judged() -> None:
    """The network answers for 10.0.0.10; what another address of the node lets in, it cannot tell."""
    several = _target(host_candidates=["192.168.1.10", "fd00::10", "fd00::11"])
    lines = (_line("192.168.1.10", 8080), _line("192.168.1.10", 5432), _line("[fd00::10]", 80), _line("[fd00::11]", 80))
    network = Network({(8080, V4): Answer.REFUSED, (80, V6): Answer.OPEN})
    view = _look(network, *lines, target=several)
    assert [(check.name, check.ok) for check in view.checks] == [
        ("listener [fd00::10]:80 (site) from outside over IPv6", True)
    ]
    assert len(view.notes) == 1
    assert "192.168.1.10:5432 (site), 192.168.1.10:8080 (site), [fd00::11]:80 (site)" in view.notes[0]


def test_where_ssh_came_to_another_host_a_silent_one_proves_nothing() -> None:
    several = _target(host_candidates=["192.168.1.10"])
    view = _look(Network(), _line("*", 8080), target=several, ssh_address="192.168.1.10")
    assert view.checks == ()
    assert "over IPv4 nothing of the node answers here, so what it lets in is not proven" in view.notes
    # What answers is open all the same.
    view = _look(Network({(5432, V4): Answer.OPEN}), _line("*", 5432), target=several, ssh_address="192.168.1.10")
    assert len(_wrong(view)) == 1


def test_without_a_policy_or_where_it_denies_nothing_nothing_is_judged() -> None:
    network = Network(default=Answer.OPEN)
    bare = Target.from_document("proxy", {"host": "10.0.0.10", "user": "bus"})
    listed = ({"protocol": "tcp", "address": "*", "port": 9090, "process": "site"},)
    assert _look(network, _line("*", 9090), target=bare) == View(listeners=listed)
    lax = _target(firewall_policy={"allowed_ports": [22], "default_deny_inbound": False}, allowed_ports=[22])
    assert _look(network, _line("*", 9090), target=lax) == View(listeners=listed)


def test_what_sshd_itself_serves_is_never_connected_to() -> None:
    network = Network()
    _look(network, _line("*", 8080, "sshd"), _line("*", 22, "sshd"))
    assert network.asked == set()


def test_a_thousand_listeners_are_looked_at_within_bounds() -> None:
    network = Network()
    view = _look(network, *(_line("0.0.0.0", port) for port in range(10000, 11000)))
    assert len(network.asked) == MAX_PORTS
    assert f"{1000 - MAX_PORTS} more listeners are not looked at from outside over IPv4" in view.notes
    view = _look(network, *(_line(f"10.9.{port // 250}.{port % 250}", 53) for port in range(60000)))
    assert len(view.listeners) == 2000
    assert view.notes[0].endswith(" and 1968 more")


@given(st.lists(st.text(alphabet='LISTEN 0[]:*%.fe80:users(("\n1٣²', max_size=60)), st.sampled_from(Answer))
def test_whatever_a_node_says_listens_only_ports_are_asked(lines: list[str], answer: Answer) -> None:
    network = Network(default=answer)
    _look(network, *lines, _line("*", 70000), _line("*", 0))
    assert all(0 < port < 65536 and port != 22 for port, _ in network.asked)


UDP = 'UNCONN 0 0 {}:{} 0.0.0.0:* users:(("{}",pid=7,fd=3))'


def _udp(in_force: bool | None, *lines: str, target: Target | None = None) -> View:
    return look_at_udp(target or _target(), {"udp_listeners": "\n".join(lines)}, in_force)


def test_udp_listeners_are_shown_and_judged_by_the_rules_in_force() -> None:
    lines = (
        UDP.format("0.0.0.0", 161, "snmpd"),
        UDP.format("[::]", 5353, "avahi"),
        UDP.format("127.0.0.53%lo", 53, "resolved"),
    )
    for in_force in (True, False):
        view = _udp(in_force, *lines)
        assert [(check.name, check.ok) for check in view.checks] == [
            ("UDP listener 0.0.0.0:161 (snmpd) let in by no rule of the policy", in_force),
            ("UDP listener [::]:5353 (avahi) let in by no rule of the policy", in_force),
        ]
        assert view.notes == ("not probed from outside, for they are UDP: 0.0.0.0:161 (snmpd), [::]:5353 (avahi)",)
        assert [(found["protocol"], found["port"]) for found in view.listeners] == [
            ("udp", 161),
            ("udp", 5353),
            ("udp", 53),
        ]
    why = "is not kept from outside: the policy lets no UDP in, and its rules are not in force"
    assert _wrong(_udp(False, *lines))[0] == f"UDP listener 0.0.0.0:161 (snmpd) {why}"


def test_of_a_udp_listener_nothing_is_said_that_is_not_known() -> None:
    line = UDP.format("*", 161, "snmpd")
    bare = Target.from_document("proxy", {"host": "10.0.0.10", "user": "bus"})
    lax = _target(firewall_policy={"allowed_ports": [22], "default_deny_inbound": False}, allowed_ports=[22])
    unasked = _udp(None, line)
    assert unasked.checks == ()
    assert unasked.notes[1] == "nor judged: whether the policy's rules are in force is not among these checks"
    for view in (_udp(False, line, target=bare), _udp(False, line, target=lax), _udp(None, line, target=lax)):
        assert view.checks == ()
        assert view.notes == ("not probed from outside, for they are UDP: *:161 (snmpd)",)
    assert _udp(False, UDP.format("127.0.0.1", 323, "chronyd")).notes == ()


@pytest.mark.parametrize("in_force", [True, False])
def test_what_docker_publishes_is_judged_by_nobody(in_force: bool) -> None:
    """Its packets are sent on to a container before the policy's rules see them: those decide nothing about it."""
    view = _udp(in_force, UDP.format("0.0.0.0", 5300, "docker-proxy"))
    assert view.checks == ()
    assert view.notes == (
        "not probed from outside, for they are UDP: 0.0.0.0:5300 (docker-proxy)",
        "not judged, for docker sends on what comes there past the policy's rules: 0.0.0.0:5300 (docker-proxy)",
    )


def test_the_client_of_dhcp_is_let_in_by_the_policy_itself() -> None:
    view = _udp(False, UDP.format("0.0.0.0", 68, "dhclient"), UDP.format("[fe80::1]%eth0", 546, "networkd"))
    assert _wrong(view) == []


@given(st.lists(st.text(alphabet='UNCON 0[]:*%.fe80:users(("\n1٣²', max_size=60)), st.sampled_from([True, False, None]))
def test_whatever_a_node_says_of_udp_is_taken(lines: list[str], in_force: bool | None) -> None:
    _udp(in_force, *lines)
