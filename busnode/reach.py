"""verify's look from outside: each listener of a node answers this side or does not, as its firewall policy says."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from busnode.contract import Check
from busnode.outside import Look
from busnode.records import dataclass
from busnode.steps import listeners
from busnode.transport import Answer, Family

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from busnode.inventory import FirewallPolicy, Target
    from busnode.transport import Transport

# So many at once, over each family.
MAX_PORTS = 32
# Allowed ports, listening or not, that tell whether anything of a family gets here at all.
_TELLING = 8
_MAX_PORT = 65535
_THERE = (Answer.OPEN, Answer.REFUSED)
_EVERYWHERE = {"*": tuple(Family), "0.0.0.0": (Family.IPV4,), "::": (Family.IPV6,)}  # noqa: S104 - what ss says
_DHCP_CLIENTS = (68, 546)
# What listens for a port that docker publishes: packets from outside seldom get to it, for DNAT leads them elsewhere.
_DOCKER = "docker-proxy"
_LOOPBACK = ("127.", "::ffff:127.")


@dataclass(frozen=True, slots=True)
class View:
    """A check a listener and address family, and what could not be looked at.

    `listeners` are all that the node told of, as the response document has them.
    """

    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
    listeners: tuple[dict[str, Any], ...] = ()


def look(target: Target, transport: Transport, facts: Mapping[str, str]) -> View:
    """Every TCP listener that the node told of (`facts` of a report), as this side sees it; takes about a second.

    sshd's own port is left out, for the report came through it, and so are loopback addresses. Connected to are
    addresses of the inventory alone: a node could name any.
    """
    told = listeners.sockets(facts)
    policy, live = target.firewall_policy, facts.get("ssh_port", "")
    if policy is None:
        return View(listeners=tuple(told))
    if live and live != str(target.port):
        why = f"no listener is looked at from outside: port {target.port} leads to port {live} of the node"
        return View(notes=(why,), listeners=tuple(told))
    came_to = facts.get("ssh_address", "")
    # ssh may have come to another of several hosts than the one that is connected to here.
    is_same = came_to == target.host or not target.host_candidates
    here = _connected_to(target) | ({came_to} if is_same and came_to else set())
    sockets = [socket for socket in told if _counts(socket, target, policy)]
    first = (Family.IPV6 if ":" in came_to else Family.IPV4) if is_same else None
    # Bare connects to sshd count against their source.
    of_sshd = {socket["port"] for socket in told if socket["process"] == "sshd"} | {target.port}
    telling = [port for port in policy.allowed_ports if port not in of_sshd][:_TELLING]
    seen = [
        _Seen(transport, policy, family, _by_port(sockets, family, here), None if family is first else telling)
        for family in Family
    ]
    for each in seen:
        each.tell()
    notes = [note for each in seen for note in each.notes()]
    elsewhere = sorted({_shown(socket) for socket in sockets if not _families(socket["address"], here)})
    if elsewhere:
        more = f" and {len(elsewhere) - MAX_PORTS} more" if len(elsewhere) > MAX_PORTS else ""
        shown = ", ".join(elsewhere[:MAX_PORTS]) + more
        notes.append(f"not looked at from outside, the address that is connected to is another: {shown}")
    return View(tuple(check for each in seen for check in each.checks()), tuple(notes), tuple(told))


def look_at_udp(target: Target, facts: Mapping[str, str], in_force: bool | None) -> View:
    """Every UDP listener that the node told of, by what its firewall does to it.

    None is asked: a port that says nothing may be open, for whoever listens answers its own protocol alone. So it is
    the node's rules that tell: `in_force` is whether those of the policy are loaded, None where nobody looked.
    """
    told = tuple(listeners.sockets(facts, "udp"))
    outside = [socket for socket in told if not _is_loopback(socket["address"])]
    if not outside:
        return View(listeners=told)
    notes = [f"not probed from outside, for they are UDP: {_all_shown(outside)}"]
    policy = target.firewall_policy
    if policy is None or not policy.default_deny_inbound:
        return View(notes=tuple(notes), listeners=told)
    if in_force is None:
        notes.append("nor judged: whether the policy's rules are in force is not among these checks")
        return View(notes=tuple(notes), listeners=told)
    if sent_on := [socket for socket in outside if socket["process"] == _DOCKER]:
        why = "docker sends on what comes there past the policy's rules"
        notes.append(f"not judged, for {why}: {_all_shown(sent_on)}")
    checks = []
    for socket in outside:
        if socket["process"] == _DOCKER:
            continue
        name = f"UDP listener {_shown(socket)}"
        wrong = f"{name} is not kept from outside: the policy lets no UDP in, and its rules are not in force"
        # The answers that a DHCP client waits for are let in from its servers alone.
        is_closed = in_force or socket["port"] in _DHCP_CLIENTS
        checks.append(Check(f"{name} let in by no rule of the policy", is_closed, "" if is_closed else wrong))
    return View(tuple(checks), tuple(notes), told)


def _all_shown(sockets: list[dict[str, Any]]) -> str:
    return ", ".join(map(_shown, sockets[:MAX_PORTS])) + (" and more" if len(sockets) > MAX_PORTS else "")


def _is_loopback(address: str) -> bool:
    return address == "::1" or address.startswith(_LOOPBACK)


def _connected_to(target: Target) -> set[str]:
    """The addresses that are connected to, by the inventory: the first of each family, unless a name is first."""
    found: dict[Family, str] = {}
    for host in (target.host, *target.host_candidates):
        if ":" not in host and not host.replace(".", "").isdecimal():
            break
        found.setdefault(Family.IPV6 if ":" in host else Family.IPV4, host)
    return set(found.values())


def _counts(socket: dict[str, Any], target: Target, policy: FirewallPolicy) -> bool:
    """Whether a policy says anything of it."""
    address, port = socket["address"], socket["port"]
    if port is None or not 0 < port <= _MAX_PORT or port == target.port:
        return False
    if _is_loopback(address):
        return False
    if port in policy.allowed_ports:
        # Another port of sshd's: bare connects count against their source there too.
        return bool(socket["process"] != "sshd")
    return policy.default_deny_inbound


def _families(address: str, here: Iterable[str]) -> tuple[Family, ...]:
    """Over which families a listener on `address` would answer at the addresses that lead `here`."""
    if address in here:
        return (Family.IPV6 if ":" in address else Family.IPV4,)
    return _EVERYWHERE.get(address.partition("%")[0], ())


def _by_port(sockets: Iterable[dict[str, Any]], family: Family, here: Iterable[str]) -> dict[int, list[dict[str, Any]]]:
    found: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for socket in sockets:
        if family in _families(socket["address"], here):
            found[socket["port"]].append(socket)
    return dict(sorted(found.items()))


def _shown(socket: dict[str, Any]) -> str:
    """A listener with its process: `*:8080 (nginx)`, `[::]:53`."""
    address = f"[{socket['address']}]" if ":" in socket["address"] else socket["address"]
    return f"{address}:{socket['port']}" + (f" ({socket['process']})" if socket["process"] else "")


class _Seen:
    """The look over one family, begun when made.

    `telling` are ports of which one must answer, or nothing is proven; None for the family that ssh itself came over.
    """

    def __init__(
        self,
        transport: Transport,
        policy: FirewallPolicy,
        family: Family,
        sockets: dict[int, list[dict[str, Any]]],
        telling: Iterable[int] | None,
    ) -> None:
        self._policy, self._family, self._needs_proof = policy, family, telling is not None
        self._left_out = len(sockets) - MAX_PORTS
        self._sockets = dict(list(sockets.items())[:MAX_PORTS])
        ports = {*self._sockets, *(telling or ())} if self._sockets else ()
        self._look = Look(transport, sorted(ports), family)
        self._answers: dict[int, Answer] | None = None

    @property
    def answers(self) -> dict[int, Answer]:
        if self._answers is None:
            self._answers = self._look.answers()
        return self._answers

    @property
    def _is_proven(self) -> bool:
        return not self._needs_proof or any(answer in _THERE for answer in self.answers.values())

    def tell(self) -> None:
        """Write into each listener what it answered."""
        for port, sockets in self._sockets.items():
            if self.answers[port] is not Answer.UNKNOWN:
                for socket in sockets:
                    socket.setdefault("outside", {})[self._family.value] = self.answers[port].value

    def checks(self) -> Iterator[Check]:
        """One a listener whose answer says anything."""
        if not self._is_proven:
            return
        for port, sockets in self._sockets.items():
            answer = self.answers[port]
            if answer is Answer.UNKNOWN:
                continue
            shown = ", ".join(dict.fromkeys(map(_shown, sockets)))
            wrong = ""
            if port in self._policy.allowed_ports:
                if answer is not Answer.OPEN:
                    wrong = f"listener {shown} is not reachable from outside over {self._family}: {answer}"
            elif answer is Answer.OPEN:
                wrong = (
                    f"listener {shown} is reachable from outside over {self._family}, "
                    f"and the policy does not allow port {port}"
                )
            yield Check(f"listener {shown} from outside over {self._family}", not wrong, wrong)

    def notes(self) -> Iterator[str]:
        """What the look could not show."""
        if not self._sockets:
            return
        if Answer.UNKNOWN in self.answers.values():
            yield (
                f"listeners are not looked at from outside over {self._family}: no such address of the node is in "
                "the inventory (host, host_candidates), or the way leads through another host"
            )
        elif not self._is_proven:
            yield f"over {self._family} nothing of the node answers here, so what it lets in is not proven"
        if self._left_out > 0:
            yield f"{self._left_out} more listeners are not looked at from outside over {self._family}"
