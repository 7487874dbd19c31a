"""harden's way through its states, against a node that is played line by line; the real ones are in tests/nodes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import SupportsBytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busnode import commit_confirm
from busnode.contract import (
    ApplyFailedError,
    AuthFailedError,
    BadRequestError,
    BusnodeError,
    ConfirmationRequiredError,
    LockoutRiskError,
    OperationTimeoutError,
    RolledBackError,
    UnreachableError,
)
from busnode.hardening import harden
from busnode.inventory import Target
from busnode.node import Node
from busnode.outside import Watch
from busnode.script import MAGIC
from busnode.transport import Answer, Family
from busnode.transport.process import Completed

Line = dict[str, object]


def _step(name: str, status: str = "ok", detail: str = "") -> Line:
    return {"name": name, "status": status, "detail": detail, "seconds": 0.0}


@dataclass
class PlayedNode:
    """What a node would do: its state changes as its scripts say, its network as the test says.

    `lost` are the connections, counted from 0, that fail, with the error each; of those in `unheard` the node acts on
    the script, and its answer is lost. `breaks_off` is the last line of a report that ends once the rollback is armed:
    with {} it is just cut. `heard` is all that came through of an answer that is lost; with `absent` the node never
    got to the script.
    """

    state: str = "old"
    already: bool = False
    apply_fails: bool = False
    lost: dict[int, type[BusnodeError]] = field(default_factory=dict)
    unheard: set[int] = field(default_factory=set)
    before: Answer = Answer.REFUSED
    allowed: Answer = Answer.REFUSED
    other: Answer = Answer.SILENT
    refusal: str | None = None
    breaks_off: Line | None = None
    cannot_go_back: bool = False
    heard: bytes | None = None
    absent: bool = False
    connections: int = 0
    notes: tuple[str, ...] = ()

    def run(self, bundle: SupportsBytes, *, time_limit: float) -> Completed:
        number, self.connections = self.connections, self.connections + 1
        error = self.lost.get(number)
        if error is not None and number not in self.unheard:
            raise error(f"connection {number} lost")
        if self.absent and not number:
            raise UnreachableError("answer 0 lost", output=self.heard or b"")
        said = "".join(
            json.dumps(line) + "\n" for line in self._act(bytes(bundle).decode().removesuffix(f"{MAGIC} end\n"))
        ).encode()
        if error is not None:
            raise error(f"answer {number} lost", output=said if self.heard is None else self.heard)
        return Completed(said, b"", 0)

    def _act(self, script: str) -> list[Line]:
        operation_id = re.findall(r"operation_id=(\w+)", script)[0]
        if "change_confirmed " in script.splitlines()[-2]:
            return self._confirm()
        if "change_given_up " in script.splitlines()[-2]:
            return self._give_up()
        if self.refusal is not None:
            return [{"error": self.refusal, "detail": "no"}, _step("lockout guards", "failed", "no"), {"end": "failed"}]
        if self.already:
            return [_step("sshd drop-in"), {"end": "ok"}]
        armed: Line = {"fact": "armed", "value": operation_id}
        if self.apply_fails:
            return [
                armed,
                _step("sshd policy", "failed"),
                {"error": "rolled_back", "detail": "not in force"},
                {"end": "failed"},
            ]
        self.state = "pending"
        if self.breaks_off is None:
            last: list[Line] = [{"end": "ok"}]
        else:
            last = [self.breaks_off] if self.breaks_off else []
        return [armed, _step("sshd drop-in", "changed"), *last]

    def _confirm(self) -> list[Line]:
        if self.state not in {"pending", "confirmed"}:
            return [{"error": "rolled_back", "detail": "too late"}, _step("confirmation", "failed"), {"end": "failed"}]
        self.state = "confirmed"
        return [_step("confirmation", "changed"), {"end": "ok"}]

    def _give_up(self) -> list[Line]:
        if self.cannot_go_back:
            return [_step("roll back", "failed", "nft does not load the old rules"), {"end": "failed"}]
        if self.state == "pending":
            self.state = "old"
        outcome = "confirmed" if self.state == "confirmed" else "absent" if self.absent else "rolled_back"
        return [{"fact": "outcome", "value": outcome}, _step("roll back", "changed"), {"end": "ok"}]

    def probe(self, port: int, *, time_limit: float, family: Family | None = None) -> Answer:
        if self.state == "old" and not self.connections:
            return self.before
        return self.allowed if port == 80 else self.other


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(commit_confirm, "time", made)
    return made


def _node(played: PlayedNode, **target: object) -> Node:
    document = {"host": "10.0.0.10", "user": "bus", "allowed_ports": [22, 80], **target}
    return Node(Target.from_document("proxy", document), played, by="tester@here")


def test_a_change_is_confirmed_over_a_second_connection(clock: Clock) -> None:
    played = PlayedNode()
    response = harden(_node(played))
    assert (played.state, played.connections) == ("confirmed", 2)
    assert response.ok
    assert response.changed
    assert response.actions[-1] == "confirm"
    assert response.diagnostics == ()


def test_nothing_to_do_is_one_connection(clock: Clock) -> None:
    played = PlayedNode(already=True)
    assert not harden(_node(played)).changed
    assert played.connections == 1


def test_a_dry_run_is_one_connection_and_no_probe(clock: Clock) -> None:
    played = PlayedNode(already=True)
    assert harden(_node(played), dry_run=True).dry_run
    assert played.connections == 1


@pytest.mark.parametrize(
    ("refusal", "error"),
    [("lockout_risk", LockoutRiskError), ("confirmation_required", ConfirmationRequiredError)],
)
def test_a_refusal_is_its_error_and_ends_there(clock: Clock, refusal: str, error: type[BusnodeError]) -> None:
    played = PlayedNode(refusal=refusal)
    with pytest.raises(error) as caught:
        harden(_node(played))
    assert played.connections == 1
    assert caught.value.response is not None
    assert not caught.value.response.ok


def test_without_ports_there_is_no_connection(clock: Clock) -> None:
    played = PlayedNode()
    node = Node(Target.from_document("proxy", {"host": "h", "user": "bus"}), played)
    with pytest.raises(BadRequestError, match=r"proxy\.allowed_ports: missing"):
        harden(node)
    assert played.connections == 0


def test_a_step_that_fails_is_already_rolled_back_by_the_node(clock: Clock) -> None:
    played = PlayedNode(apply_fails=True)
    with pytest.raises(RolledBackError, match="not in force"):
        harden(_node(played))
    assert played.connections == 1


@pytest.mark.parametrize(
    ("allowed", "other", "why"),
    [
        (Answer.SILENT, Answer.SILENT, "port 80 is allowed and no longer answers"),
        (Answer.REFUSED, Answer.REFUSED, "port 50001 is not allowed and still answers"),
        (Answer.OPEN, Answer.OPEN, "port 50001 is not allowed and still answers"),
    ],
)
def test_a_firewall_that_is_wrong_from_outside_is_taken_back(
    clock: Clock, allowed: Answer, other: Answer, why: str
) -> None:
    played = PlayedNode(allowed=allowed, other=other)
    with pytest.raises(RolledBackError, match=why) as caught:
        harden(_node(played))
    assert played.state == "old"
    assert caught.value.response is not None
    assert caught.value.response.checks[0].ok is False


def test_what_was_silent_before_proves_nothing_and_is_said(clock: Clock) -> None:
    played = PlayedNode(before=Answer.SILENT, allowed=Answer.SILENT)
    response = harden(_node(played))
    assert response.ok
    assert "dropped on the way here" in response.diagnostics[0]
    assert "not proven" in response.diagnostics[1]


def test_a_log_in_that_fails_at_first_is_tried_again(clock: Clock) -> None:
    played = PlayedNode(lost={1: UnreachableError, 2: AuthFailedError})
    assert harden(_node(played)).ok
    assert played.connections == 4


def test_an_answer_that_was_lost_is_learnt_of(clock: Clock) -> None:
    played = PlayedNode(lost=dict.fromkeys(range(1, 200), UnreachableError), unheard={1})
    del played.lost[20]
    response = harden(_node(played))
    assert response.ok
    assert played.state == "confirmed"


def test_no_fresh_log_in_is_rolled_back_and_refused_ones_are_far_apart(clock: Clock) -> None:
    played = PlayedNode(lost=dict.fromkeys(range(1, 14), AuthFailedError))
    begin = clock.now
    with pytest.raises(RolledBackError, match="connection 12 lost; the node is back in its old state"):
        harden(_node(played), rollback_after=60)
    # Each refused log-in costs its source 5 s with sshd, and beyond 15 s it is shut out.
    assert played.connections - 2 <= (clock.now - begin) / 5 + 1


def test_a_node_that_never_answers_again_is_not_called_well(clock: Clock) -> None:
    played = PlayedNode(lost=dict.fromkeys(range(1, 10000), UnreachableError))
    with pytest.raises(RolledBackError, match="did not yet answer whether it has"):
        harden(_node(played), rollback_after=5)
    assert clock.now < 1000 + 5 + 30 + 6


def test_a_change_whose_report_is_lost_is_taken_back(clock: Clock) -> None:
    played = PlayedNode(lost={0: OperationTimeoutError}, unheard={0})
    with pytest.raises(RolledBackError, match="answer 0 lost"):
        harden(_node(played))
    assert played.state == "old"


@pytest.mark.parametrize(
    "last",
    [
        {},
        {"error": "timeout", "detail": "the node stopped the operation after 120 s"},
        {"error": "apply_failed", "detail": "and its way back failed too"},
    ],
)
def test_a_report_that_breaks_off_after_arming_is_given_up(clock: Clock, last: Line) -> None:
    played = PlayedNode(breaks_off=last)
    with pytest.raises(RolledBackError, match="back in its old state") as caught:
        harden(_node(played))
    assert caught.value.exit_code == 4
    assert played.state == "old"


def test_a_way_back_that_fails_is_not_called_rolled_back(clock: Clock) -> None:
    with pytest.raises(ApplyFailedError, match=r"not taken back: .*nft does not load.*tries again by itself"):
        harden(_node(PlayedNode(breaks_off={}, cannot_go_back=True)))


# Lost before the node told of the armed rollback: what it does from there on is not heard.
FIRST_WORDS = json.dumps(_step("ssh")).encode() + b"\n"


@pytest.mark.parametrize(("error", "heard"), [(UnreachableError, FIRST_WORDS), (OperationTimeoutError, b"")])
def test_a_change_of_which_nothing_was_heard_is_taken_back(
    clock: Clock, error: type[BusnodeError], heard: bytes
) -> None:
    played = PlayedNode(lost={0: error, 1: UnreachableError}, unheard={0}, heard=heard)
    with pytest.raises(RolledBackError, match="answer 0 lost; the node is back in its old state") as caught:
        harden(_node(played))
    assert played.state == "old"
    assert caught.value.response is not None
    assert caught.value.response.error_class == "rolled_back"


def test_a_script_that_never_began_has_changed_nothing_and_that_is_said(clock: Clock) -> None:
    played = PlayedNode(absent=True, heard=FIRST_WORDS)
    with pytest.raises(UnreachableError, match="answer 0 lost; nothing was changed") as caught:
        harden(_node(played))
    assert caught.value.exit_code == 3
    assert caught.value.response is not None
    assert "nothing was changed" in caught.value.response.diagnostics[0]


def test_what_cannot_be_learnt_is_not_called_nothing(clock: Clock) -> None:
    played = PlayedNode(lost=dict.fromkeys(range(1000), UnreachableError), unheard={0}, heard=FIRST_WORDS)
    with pytest.raises(UnreachableError, match="whether anything was changed is not known: the node takes back by its"):
        harden(_node(played))
    assert clock.now < 1000 + 30 + 6


def test_of_a_dry_run_that_is_cut_off_nothing_is_asked(clock: Clock) -> None:
    played = PlayedNode(lost={0: UnreachableError}, unheard={0}, heard=FIRST_WORDS)
    with pytest.raises(UnreachableError, match=r"answer 0 lost$"):
        harden(_node(played), dry_run=True)
    assert played.connections == 1


def test_a_connection_that_never_was_is_just_unreachable(clock: Clock) -> None:
    with pytest.raises(UnreachableError):
        harden(_node(PlayedNode(lost={0: UnreachableError})))


errors = st.sampled_from([UnreachableError, AuthFailedError, OperationTimeoutError])


@given(
    played=st.builds(
        PlayedNode,
        lost=st.dictionaries(st.integers(0, 6), errors),
        unheard=st.sets(st.integers(0, 6)),
        heard=st.sampled_from([None, b"", FIRST_WORDS]),
        absent=st.booleans(),
        before=st.sampled_from(Answer),
        allowed=st.sampled_from(Answer),
        other=st.sampled_from(Answer),
    )
)
def test_whatever_is_lost_the_answer_is_the_truth(played: PlayedNode) -> None:
    said = ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commit_confirm, "time", Clock())
        try:
            response = harden(_node(played))
        except RolledBackError:
            assert played.state == "old"
        except (UnreachableError, AuthFailedError, OperationTimeoutError) as error:
            said = str(error)
            # Not a word of an armed rollback was heard: the node takes back by itself what may have been done.
            assert played.state in {"old", "pending"}
        else:
            assert response.ok
            assert played.state == "confirmed"
    assert "nothing was changed" not in said or played.state == "old"


@pytest.mark.parametrize("ports", [range(1, 65536), range(50000, 60000), (), (22,)])
def test_the_watched_ports_are_few_and_never_sshs(ports: range | tuple[int, ...]) -> None:
    policy = replace(_node(PlayedNode()).target.firewall_policy, allowed_ports=tuple(ports))  # type: ignore[type-var]
    watch = Watch.of(policy, 22)  # type: ignore[arg-type]
    assert 22 not in watch.ports
    assert len(watch.ports) <= 9
    assert watch.other not in set(ports)
