"""The bus of a deployment's Events API: nothing lost and nothing handed out twice, whatever its streams do."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busnode.contract import BadRequestError, OperationTimeoutError, UnauthorizedError, UnreachableError
from busnode.events import engine, http_bus, http_inbox, patient_api
from busnode.events.attempts import Attempts
from busnode.events.bus import MAX_ATTEMPTS
from busnode.events.envelope import MAX_BYTES, Envelope, EnvelopeError, parse, response_to
from busnode.events.events_api import Line, split
from busnode.services.worker import Worker
from tests.busnode.events.events_server import ALL_SCOPES, EventsServer
from tests.busnode.tls import Authority

if TYPE_CHECKING:
    from busnode.events.bus import Bus

NAMES = ("bus.node.harden.request", "bus.node.status.request")
TOKEN, READER = "token-of-the-services", "token-of-a-reader"
QUICK = {"BUS_EVENTS_LISTENER_RETRY_MIN": "50ms", "BUS_EVENTS_LISTENER_RETRY_MAX": "200ms"}


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def certificate(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("IP:127.0.0.1")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts are counted there."""
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def server(
    authority: Authority, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[EventsServer]:
    monkeypatch.setattr(http_inbox, "SETTLE_SECONDS", 0.3)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    made = EventsServer({TOKEN: ALL_SCOPES, READER: frozenset({"node:read"})}, certificate)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(f"{TOKEN}\n")
    return file


@pytest.fixture
def bus(server: EventsServer, token_file: Path) -> Iterator[Bus]:
    made = engine.connect(server.url, {"BUS_API_TOKEN_FILE": str(token_file), **QUICK})
    yield made
    made.close()


@dataclass
class Work:
    """What a worker was given; `go` lets it go on, where a test holds it."""

    seconds: float = 0.0
    payload: dict[str, object] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    said: list[dict[str, object]] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)
    workers: list[Worker] = field(default_factory=list)

    def start(self, bus: Bus, slots: int = 4) -> Worker:
        worker = Worker("node", bus.inbox(NAMES, group="g"), self.handle, self.handle, slots, self.say)
        worker.start()
        self.workers.append(worker)
        return worker

    def handle(self, text: bytes) -> Envelope:
        try:
            request = parse(text)
        except EnvelopeError as error:
            self.begun.append(str(error))
            return Envelope("bus.node.status.response", error.correlation_id, {"ok": False})
        self.begun.append(request.correlation_id)
        assert self.go.wait(60)
        time.sleep(self.seconds)
        return response_to(request, {"ok": True, "of": request.correlation_id, **self.payload})

    def say(self, service: str, event: str, **fields: object) -> None:
        self.said.append({"event": event, **fields})


@pytest.fixture
def work() -> Iterator[Work]:
    made = Work()
    made.go.set()
    yield made
    for worker in made.workers:
        assert worker.stop(30)


def _request(node_id: str, number: int, operation: str = "status") -> Envelope:
    return Envelope(f"bus.node.{operation}.request", f"{node_id}-{number}", {"node_id": node_id})


def _until(true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.02)


def test_a_request_is_answered_over_tls(server: EventsServer, bus: Bus, work: Work) -> None:
    work.start(bus)
    assert bus.ask(_request("a", 1), time_limit=30).payload == {"ok": True, "of": "a-1"}
    assert server.authorizations == {f"Bearer {TOKEN}"}
    assert [event["correlationId"] for event in server.of("bus.node.status.response")] == ["a-1"]


def test_a_nodes_requests_come_in_order_and_one_at_a_time(bus: Bus) -> None:
    inbox = bus.inbox(NAMES, group="g")
    for number in (1, 2):
        bus.publish(_request("a", number))
    bus.publish(_request("b", 1))
    first, other = inbox.take(10), inbox.take(10)
    assert first is not None
    assert other is not None
    assert {parse(one.text).correlation_id for one in (first, other)} == {"a-1", "b-1"}
    assert inbox.take(0.2) is None
    of_a = first if b"a-1" in first.text else other
    of_a.answer(response_to(parse(of_a.text), {}))
    third = inbox.take(10)
    assert third is not None
    assert parse(third.text).correlation_id == "a-2"


def test_workers_share_the_requests(
    server: EventsServer, bus: Bus, work: Work, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than any of the work here: what the one has in hand is not taken by the other.
    monkeypatch.setattr(http_inbox, "SETTLE_SECONDS", 20)
    other = engine.connect(server.url, {"BUS_API_TOKEN_FILE": str(token_file), **QUICK})
    work.start(bus)
    work.start(other)
    requests = [_request(f"n{number}", number) for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda request: bus.ask(request, time_limit=30), requests))
    assert [answer.payload["of"] for answer in answers] == [request.correlation_id for request in requests]
    assert sorted(work.begun) == sorted(request.correlation_id for request in requests)
    other.close()


def test_what_came_while_nobody_listened_is_worked_on(server: EventsServer, bus: Bus, work: Work) -> None:
    for number in range(5):
        bus.publish(_request("a", number))
    server.publish(response_to(_request("a", 3), {"ok": True}).to_document())
    work.start(bus)
    _until(lambda: len(work.begun) == 4)
    time.sleep(0.3)
    assert sorted(work.begun) == ["a-0", "a-1", "a-2", "a-4"]


def test_dropped_streams_lose_nothing_and_repeat_nothing(server: EventsServer, bus: Bus, work: Work) -> None:
    work.seconds = 0.02
    work.start(bus)
    requests = [_request(f"n{number % 5}", number) for number in range(60)]
    done = threading.Event()

    def disturb() -> None:
        while not done.wait(0.15):
            server.drop()

    thread = threading.Thread(target=disturb)
    thread.start()
    with ThreadPoolExecutor(10) as pool:
        try:
            answers = list(pool.map(lambda request: bus.ask(request, time_limit=60), requests))
        finally:
            done.set()
            thread.join()
    assert [answer.payload["of"] for answer in answers] == [request.correlation_id for request in requests]
    assert sorted(work.begun) == sorted(request.correlation_id for request in requests)


@pytest.mark.parametrize("forgets", [False, True], ids=["keeps its events", "loses them"])
def test_a_server_that_starts_again(server: EventsServer, bus: Bus, work: Work, forgets: bool) -> None:
    work.go.clear()
    work.start(bus)
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(bus.ask, _request(f"n{number}", number), time_limit=60) for number in range(4)]
        _until(lambda: len(work.begun) == 4)
        server.stop()
        if forgets:
            server.forget()
        work.go.set()
        time.sleep(0.3)
        server.start()
        assert [answer.result().payload["of"] for answer in answers] == [f"n{number}-{number}" for number in range(4)]
    assert bus.ask(_request("a", 9), time_limit=30).payload["ok"]
    if not forgets:
        assert sorted(work.begun) == ["a-9", *(f"n{number}-{number}" for number in range(4))]


def test_a_request_that_the_server_lost_is_asked_again(server: EventsServer, bus: Bus, work: Work) -> None:
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(bus.ask, _request("a", 1), time_limit=60)
        _until(lambda: server.of("bus.node.status.request"))
        server.stop()
        server.forget()
        server.start()
        work.start(bus)
        assert answer.result().payload["of"] == "a-1"


def test_what_another_worker_took_to_its_grave_is_found(
    server: EventsServer, bus: Bus, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_inbox, "LOOK_SECONDS", 0.3)
    work.start(bus)
    time.sleep(0.1)
    grave = server.subscribe("bus.node.status.request", "g", replay=False)
    for number in range(2):
        server.publish(_request(f"n{number}", number).to_document())
    server.leave(grave)
    _until(lambda: len(work.begun) == 2)
    time.sleep(0.8)
    assert sorted(work.begun) == ["n0-0", "n1-1"]


def test_ids_may_be_of_one_name_only_and_begin_again(server: EventsServer, bus: Bus, work: Work) -> None:
    work.start(bus)
    requests = [_request("a", 1), _request("b", 1, "harden"), _request("c", 1), _request("d", 1, "harden")]
    for number, request in enumerate(requests):
        if number == 2:
            server.forget()
        assert bus.ask(request, time_limit=10).payload["of"] == request.correlation_id
    assert {event["id"] for event in server.events} == {"e-0"}
    assert work.begun == ["a-1", "b-1", "c-1", "d-1"]


def test_a_request_that_was_heard_and_lost_is_found_whatever_its_id(
    server: EventsServer, bus: Bus, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_inbox, "LOOK_SECONDS", 0.3)
    work.start(bus)
    for _ in range(2):
        assert bus.ask(_request("a", 1), time_limit=10).payload["ok"]
        server.forget()
    assert work.begun == ["a-1", "a-1"]


def test_a_response_that_the_api_refuses_is_told_in_short(server: EventsServer, bus: Bus, work: Work) -> None:
    work.payload = {"node_id": "a", "exit_code": 0, "stdout": "x" * 1000, "steps": [1], "facts": {"a": 1}}
    work.start(bus)
    server.refused = "bus.node.status.response", [413]
    told = "the work was done, and the bus does not take what came of it"
    assert bus.ask(_request("a", 1), time_limit=10).payload == {
        "ok": False,
        "of": "a-1",
        "node_id": "a",
        "exit_code": 0,
        "stdout": "x" * 200,
        "steps": [],
        "error_class": "apply_failed",
        "diagnostics": [
            f"{told}: the Events API answers 413 unavailable to bus.node.status.response; correct the request"
        ],
    }
    assert work.begun == ["a-1"]


def test_an_attempt_whose_response_is_never_taken_counts(
    server: EventsServer, bus: Bus, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_inbox, "LOOK_SECONDS", 0.2)
    worker = work.start(bus)
    server.refused = "bus.node.status.response", [400, 400] * 3
    bus.publish(_request("a", 1))
    _until(lambda: server.of("bus.node.status.response"))
    assert work.begun == ["a-1"] * (MAX_ATTEMPTS + 1)
    assert worker.failure is None


def test_a_nodes_turn_ends_whatever_its_attempts_file_does(
    bus: Bus, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only file system")

    work.start(bus)
    monkeypatch.setattr(Path, "unlink", refuse)
    for number in range(3):
        assert bus.ask(_request("a", number), time_limit=10).payload["ok"]


def test_who_asks_waits_for_a_bus_that_was_there(
    server: EventsServer, bus: Bus, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.start(bus)
    assert bus.ask(_request("a", 1), time_limit=30).payload["ok"]
    monkeypatch.setattr(http_bus, "_OPEN_SECONDS", 0.1)
    monkeypatch.setattr(patient_api, "_PUBLISH_SECONDS", 0.1)
    server.stop()
    with ThreadPoolExecutor(1) as pool:
        begin = time.monotonic()
        with pytest.raises(UnreachableError):
            bus.ask(_request("a", 2), time_limit=60, is_wanted=lambda: time.monotonic() < begin + 0.2)
        answer = pool.submit(bus.ask, _request("a", 3), time_limit=60)
        time.sleep(1)
        server.start()
        assert answer.result().payload["ok"]


def test_a_request_in_hand_is_not_handed_out_again(server: EventsServer, bus: Bus, work: Work) -> None:
    work.go.clear()
    work.start(bus)
    for _ in range(5):
        server.publish(_request("a", 1).to_document())
    _until(lambda: work.begun)
    server.drop()
    time.sleep(0.3)
    assert work.begun == ["a-1"]
    work.go.set()
    _until(lambda: server.of("bus.node.status.response"))


def test_a_request_that_ends_its_workers_is_set_aside(
    server: EventsServer, bus: Bus, token_file: Path, tmp_path: Path
) -> None:
    """Real processes: the request n-poison kills whoever handles it, also after a restart."""
    environment = {"PATH": os.environ["PATH"], "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"], **QUICK}
    environment |= {"BUS_API_TOKEN_FILE": str(token_file), "XDG_STATE_HOME": str(tmp_path / "state")}
    worker = Path(__file__).with_name("http_worker.py")
    poison = _request("n", 0).to_document() | {"correlationId": "n-poison"}
    bus.publish(parse(json.dumps(poison)))
    ended = 0
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(bus.ask, _request("other", 1), time_limit=100)
        while not [one for one in server.of("bus.node.status.response") if one["correlationId"] == "n-poison"]:
            with subprocess.Popen([sys.executable, str(worker), server.url], env=environment) as process:
                while process.poll() is None and len(server.of("bus.node.status.response")) < 2:
                    time.sleep(0.02)
                process.kill()
            ended += process.returncode == 9
            assert ended <= MAX_ATTEMPTS
        assert answer.result().payload == {"ok": True}
    assert ended == MAX_ATTEMPTS
    [said] = [one["payload"] for one in server.of("bus.node.status.response") if one["correlationId"] == "n-poison"]
    assert said == {"error_class": "bad_request", "attempt": MAX_ATTEMPTS + 1}


def test_attempts_are_counted_beyond_the_life_of_a_worker(tmp_path: Path) -> None:
    folder = tmp_path / "attempts"
    first = Attempts(folder)
    assert first.begin("n", "c") == 1
    # Another worker that is given it meanwhile, for nobody knows that this one is at it.
    assert Attempts(folder).begin("n", "c") == 1
    for attempt in (2, 3):
        os.close(first._held.pop(("n", "c")))
        first = Attempts(folder)
        assert first.begin("n", "c") == attempt
    assert first.begin("n", "other") == 1
    first.end("n", "c")
    assert first.begin("n", "c") == 1
    (tmp_path / "file").touch()
    assert Attempts(tmp_path / "file").begin("n", "c") == 1


def test_attempts_of_long_ago_are_forgotten(tmp_path: Path) -> None:
    Attempts(tmp_path).begin("n", "c")
    [file] = tmp_path.iterdir()
    os.utime(file, (0, 0))
    Attempts(tmp_path)
    assert not file.exists()


def test_garbage_is_answered_by_nobody_and_stops_nothing(server: EventsServer, bus: Bus, work: Work) -> None:
    worker = work.start(bus)
    _until(lambda: all(server.streams(name) for name in NAMES))
    noise = [b"no json\n", b"\xff\xfe\n", b"\n\n", b"[]\n", b'{"name":7}\n', b"[" * 100_000 + b"\n"]
    giant = (
        b'{"name":"bus.node.status.request","correlationId":"g","payload":{"x":"' + b"x" * (MAX_BYTES + 10) + b'"}}\n'
    )
    for line in (*noise, giant):
        server.inject(NAMES[1], line)
    assert bus.ask(_request("a", 1), time_limit=30).payload["ok"]
    assert [event["correlationId"] for event in server.events] == ["a-1", "a-1"]
    assert any(f"larger than {MAX_BYTES} bytes" in text for text in work.begun)
    assert not [line for line in work.said if line["event"] == "mistake"]
    assert worker.failure is None


@pytest.mark.parametrize("where", [b'"payload":{"node_id":"a","node_id":"b"}', b'"payload":{},"payload":{"a":1}'])
def test_a_key_that_is_there_twice_is_told(server: EventsServer, bus: Bus, work: Work, where: bytes) -> None:
    work.start(bus)
    _until(lambda: server.streams(NAMES[1]))
    server.inject(NAMES[1], b'{"name":"%s","correlationId":"c-1",%s,"id":"x"}\n' % (NAMES[1].encode(), where))
    _until(lambda: server.of("bus.node.status.response"))
    [said] = server.of("bus.node.status.response")
    assert (said["correlationId"], said["payload"]["ok"]) == ("c-1", False)
    assert "a key is there twice" in work.begun[0]


def test_a_stream_outlives_whatever_its_hearer_raises(server: EventsServer, bus: Bus) -> None:
    assert isinstance(bus, http_bus.HttpBus)
    heard: list[str] = []

    def hear(line: Line) -> None:
        heard.append(line.correlation_id)
        if len(heard) == 1:
            raise ZeroDivisionError("oops")

    follower = bus._patient.follow({"name": NAMES[1], "delivery": "broadcast"}, hear, lambda: None)
    assert follower.wait(30)
    server.publish(_request("a", 1).to_document())
    _until(lambda: heard == ["a-1"])
    _until(lambda: server.publish(_request("a", 2).to_document()) and "a-2" in heard)
    follower.stop()


def test_garbage_among_the_responses_is_passed_over(server: EventsServer, bus: Bus, work: Work) -> None:
    work.go.clear()
    work.start(bus)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(bus.ask, _request("a", 1), time_limit=30)
        _until(lambda: work.begun)
        name = "bus.node.status.response"
        for line in (b"{\n", b'{"name":"%s","correlationId":"a-1","payload":7}\n' % name.encode()):
            server.inject(name, line)
        work.go.set()
        assert answer.result().payload["of"] == "a-1"


def test_a_slow_stream_only_takes_its_time(server: EventsServer, bus: Bus, work: Work) -> None:
    server.delay = 0.2
    work.start(bus)
    with ThreadPoolExecutor(5) as pool:
        asked = [_request(f"n{number}", number) for number in range(5)]
        answers = list(pool.map(lambda request: bus.ask(request, time_limit=60), asked))
    assert [answer.correlation_id for answer in answers] == [request.correlation_id for request in asked]
    assert len(work.begun) == 5


def test_no_more_is_read_than_there_are_hands_for(server: EventsServer, bus: Bus, work: Work) -> None:
    work.go.clear()
    work.start(bus, slots=2)
    for number in range(150):
        server.publish(_request(f"n{number}", number).to_document())
    _until(lambda: len(work.begun) == 2)
    time.sleep(0.3)
    inbox = work.workers[0].inbox
    assert isinstance(inbox, http_inbox.HttpInbox)
    assert len(inbox._turns) == http_inbox.MAX_HELD
    work.go.set()
    _until(lambda: len(server.of("bus.node.status.response")) == 150)
    assert len(work.begun) == 150


def test_a_publication_that_failed_is_tried_again(server: EventsServer, bus: Bus, work: Work) -> None:
    work.start(bus)
    server.failures += [503, 500, 429]
    assert bus.ask(_request("a", 1), time_limit=30).payload["ok"]
    assert work.begun == ["a-1"]


def test_a_correlation_id_is_one_requests(bus: Bus, work: Work) -> None:
    work.start(bus)
    assert bus.ask(_request("a", 1), time_limit=30).payload["ok"]
    assert bus.ask(_request("a", 1), time_limit=30).payload["ok"]
    with pytest.raises(BadRequestError, match="correlationId: used for another request"):
        bus.ask(Envelope("bus.node.status.request", "a-1", {"node_id": "b"}), time_limit=1)


def test_nobody_waits_for_ever(server: EventsServer, bus: Bus) -> None:
    with pytest.raises(OperationTimeoutError, match="is its service running"):
        bus.ask(_request("a", 1), time_limit=0.5)
    inbox = bus.inbox(NAMES, group="g")
    bus.close()
    assert inbox.take(60) is None
    with pytest.raises(UnreachableError):
        bus.publish(_request("a", 2))
    _until(lambda: not any(server.streams(name) for name in NAMES))


def test_a_static_token_that_is_refused_ends_it_at_once(server: EventsServer) -> None:
    for token, code in (("nobodys", "401 invalid_auth"), (READER, "403 forbidden")):
        bus = engine.connect(server.url, {"BUS_API_TOKEN": token, **QUICK})
        with pytest.raises(UnauthorizedError, match=code) as caught:
            bus.inbox(NAMES, group="g")
        assert token not in str(caught.value)
        with pytest.raises(UnauthorizedError, match=code):
            bus.publish(_request("a", 1, "harden"))
        bus.close()


def test_a_static_token_that_is_revoked_ends_its_worker(server: EventsServer, work: Work) -> None:
    bus = engine.connect(server.url, {"BUS_API_TOKEN": TOKEN, **QUICK})
    worker = work.start(bus)
    del server.tokens[TOKEN]
    server.drop()
    _until(lambda: worker.failure)
    bus.close()


def test_a_token_file_is_read_again(server: EventsServer, bus: Bus, work: Work, token_file: Path) -> None:
    worker = work.start(bus)
    server.tokens["the-next-token"] = server.tokens.pop(TOKEN)
    server.drop()
    time.sleep(0.3)
    assert worker.failure is None
    token_file.write_text("the-next-token\n")
    assert bus.ask(_request("a", 1), time_limit=30).payload["ok"]


def test_a_token_that_systemd_loaded_never_changes(server: EventsServer, token_file: Path, tmp_path: Path) -> None:
    del server.tokens[TOKEN]
    environment = {"BUS_API_TOKEN_FILE": str(token_file), "CREDENTIALS_DIRECTORY": str(tmp_path), **QUICK}
    bus = engine.connect(server.url, environment)
    assert bus.failure is None
    with pytest.raises(UnauthorizedError, match="401"):
        bus.inbox(NAMES, group="g")
    assert isinstance(bus.failure, UnauthorizedError)
    bus.close()
    server.tokens[TOKEN] = frozenset({"node:read"})
    bus = engine.connect(server.url, environment)
    with pytest.raises(UnauthorizedError, match="403"):
        bus.publish(_request("a", 1, "harden"))
    # Others can still be sent.
    assert bus.failure is None
    bus.close()


def test_why_a_stream_cannot_be_opened_is_told_once(server: EventsServer, token_file: Path) -> None:
    told: list[str] = []
    bus = engine.connect(server.url, {"BUS_API_TOKEN_FILE": str(token_file), **QUICK}, told.append)
    token_file.write_text("nobodys")
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(bus.inbox, NAMES[1:], group="g")
        _until(lambda: told)
        time.sleep(0.5)
        assert len(told) == 1
        assert "answers 401" in told[0]
        server.tokens["nobodys"] = frozenset()
        _until(lambda: told[1:])
        assert "answers 403" in told[1]
        token_file.write_text(TOKEN)
        opened.result(30)
    server.drop()
    _until(lambda: server.streams(NAMES[1]))
    assert len(told) == 2
    assert "nobodys" not in "".join(told)
    bus.close()


def test_a_worker_waits_for_a_bus_that_is_not_there_yet(server: EventsServer, bus: Bus, work: Work) -> None:
    server.stop()
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(work.start, bus)
        time.sleep(0.3)
        assert not started.done()
        server.start()
        started.result(30)
    assert bus.ask(_request("a", 1), time_limit=30).payload["ok"]


def test_streams_that_are_not_to_be_opened_again_are_not(server: EventsServer) -> None:
    server.stop()
    bus = engine.connect(server.url, {"BUS_API_TOKEN": TOKEN, "BUS_EVENTS_LISTENER_RETRY": "false"})
    with pytest.raises(UnreachableError, match="see that the Events API runs there"):
        bus.inbox(NAMES, group="g")
    bus.close()
    server.start()


@pytest.mark.parametrize("name", ["IP:127.0.0.2", "DNS:localhost"])
def test_a_certificate_of_another_host_is_refused(server: EventsServer, authority: Authority, name: str) -> None:
    other = EventsServer({TOKEN: ALL_SCOPES}, authority.issue(name))
    other.start()
    _is_not_told_the_token(other)
    other.stop()


def test_a_certificate_of_another_authority_is_refused(server: EventsServer, tmp_path: Path) -> None:
    other = EventsServer({TOKEN: ALL_SCOPES}, Authority.make(tmp_path).issue("IP:127.0.0.1"))
    other.start()
    _is_not_told_the_token(other)
    other.stop()


def _is_not_told_the_token(server: EventsServer) -> None:
    bus = engine.connect(server.url, {"BUS_API_TOKEN": TOKEN, "BUS_EVENTS_LISTENER_RETRY": "false"})
    with pytest.raises(UnreachableError, match="certificate"):
        bus.inbox(NAMES, group="g")
    bus.close()
    assert server.authorizations == set()


def test_a_redirect_is_not_followed(bus: Bus, server: EventsServer) -> None:
    server.failures += [302]
    with pytest.raises(BadRequestError, match="it is elsewhere"):
        bus.publish(_request("a", 1))


def test_what_is_no_events_api_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<p>\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        bus = engine.connect(url, {"BUS_API_TOKEN": TOKEN, "BUS_EVENTS_LISTENER_RETRY": "0"})
        with pytest.raises(UnreachableError, match="answers text/html; is it an Events API"):
            bus.inbox(NAMES[:1], group="g")
        bus.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://10.0.0.5", "not loopback, and http:// shows the token"),
        ("http://bus.example", "not loopback"),
        ("https://user:hunter2@bus.example", "holds a password"),
        ("https://hunter2@bus.example", "not a host and a port"),
        ("https://bus.example?token=hunter2", "a query or a fragment"),
        ("https:///x", "not a host and a port"),
        ("https://127.0.0.1:1", "BUS_API_TOKEN_FILE: not set"),
    ],
)
def test_a_bus_that_is_not_safe_is_refused(url: str, said: str) -> None:
    with pytest.raises(BadRequestError, match=said) as caught:
        engine.connect(url, {})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (TOKEN, 0o644, "mode 0644"),
        ("", 0o600, "not one word"),
        ("two words", 0o600, "not one word"),
        ("é", 0o600, "not"),
    ],
)
def test_a_token_file_that_is_not_good_is_told(token_file: Path, content: str, mode: int, said: str) -> None:
    token_file.write_text(content)
    token_file.chmod(mode)
    with pytest.raises(BadRequestError, match=said) as caught:
        engine.connect("https://127.0.0.1:1", {"BUS_API_TOKEN_FILE": str(token_file), "BUS_API_TOKEN": TOKEN})
    assert not content or content not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("RETRY", "maybe"), ("RETRY_MIN", "x"), ("RETRY_MAX", "-1s"), ("RETRY_MAX", "1ms"), ("RETRY_MIN", "nan")],
)
def test_a_setting_that_is_none_is_told(name: str, value: str) -> None:
    with pytest.raises(BadRequestError, match=f"BUS_EVENTS_LISTENER_{name}: "):
        engine.connect("https://127.0.0.1:1", {"BUS_API_TOKEN": TOKEN, f"BUS_EVENTS_LISTENER_{name}": value})


@given(lines=st.lists(st.binary(max_size=12).filter(lambda line: b"\n" not in line), max_size=6), data=st.data())
def test_lines_are_the_same_however_they_come(lines: list[bytes], data: st.DataObject) -> None:
    text = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    chunks = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert list(split(chunks, 8)) == [line[:9] for line in lines]
