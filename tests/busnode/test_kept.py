"""Connections that are kept: what they spare, whom they never answer, and what becomes of them when anything dies."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from busnode.contract import AuthFailedError, HostKeyMismatchError, OperationTimeoutError, UnreachableError
from busnode.node import Node
from busnode.operations import status, verify
from busnode.script import pack
from busnode.secrets import Secret
from busnode.transport import kept
from busnode.transport.kept import KeptSsh, NoPlaceError, ingredients, name, place
from busnode.transport.process import Greeting, exchange
from tests.busnode.sshd import NEEDS_SSHD, Server, keygen, running

if TYPE_CHECKING:
    from busnode.transport.openssh import OpenSsh

pytestmark = NEEDS_SSHD

LIMIT = 20.0


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the sockets of a test lie: in a runtime folder of its own; no master is left at its end."""
    runtime = Path(tempfile.mkdtemp(prefix="kept-", dir="/run"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    try:
        yield runtime / "busnode"
    finally:
        for pid in _masters(runtime):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(runtime)


def _processes(wanted: Callable[[str], bool]) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted((process / "cmdline").read_text(errors="replace")):
                found.append(int(process.name))
    return found


def _masters(folder: Path) -> list[int]:
    return _processes(lambda command: command.startswith(f"ssh: {folder}/") and "[mux]" in command)


def _until(is_so: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def _noted(file: Path, more: str = "") -> bytes:
    """A bundle whose script leaves a line in a file."""
    return pack(f': >"$1/begun"; echo ran >>{file}; {more}\n', time_limit=LIMIT)


def _say(ssh: OpenSsh, seconds: int = 30) -> bytes:
    """What the way says over a connection that is kept, but for the greeting."""
    done = KeptSsh(ssh, seconds).run(pack(': >"$1/begun"; echo said\n', time_limit=LIMIT), time_limit=LIMIT)
    return done.stdout.removeprefix(b"busnode1 ready\n")


def test_the_next_run_needs_no_log_in(server: Server, known: Path, folder: Path) -> None:
    before = server.logins
    for _ in range(3):
        assert _say(server.ssh(known)) == b"said\n"
    assert server.logins == before + 1
    assert len(_masters(folder)) == 1
    # What logs in anew is let in anew.
    server.ssh(known).run(pack(': >"$1/begun"\n', time_limit=LIMIT), time_limit=LIMIT)
    assert server.logins == before + 2


def test_a_bundle_of_many_megabytes_arrives_whole(server: Server, known: Path) -> None:
    """Its greeting is answered long before the last of it is written."""
    before = server.logins
    for _ in range(2):
        bundle = pack(': >"$1/begun"; echo said\n', time_limit=LIMIT, blobs=[Secret(b"x" * 5_000_000)])
        done = KeptSsh(server.ssh(known), 30).run(bundle, time_limit=LIMIT)
        assert (done.exit_code, done.stdout.removeprefix(b"busnode1 ready\n")) == (0, b"said\n")
    assert server.logins == before + 1


def test_an_answer_may_come_before_all_of_the_greeting_is_written() -> None:
    command = ["sh", "-c", "read line; echo ready; sleep 0.2; wc -c"]
    greeting = Greeting(b"hello\n" + b"x" * 500_000, b"ready\n", 5)
    assert exchange(command, b"end\n", time_limit=LIMIT, greeting=greeting).stdout.split() == [b"ready", b"500004"]


def test_whoever_has_another_key_or_pin_is_never_answered_by_it(server: Server, known: Path, tmp_path: Path) -> None:
    ssh = server.ssh(known)
    _say(ssh)
    stranger = tmp_path / "stranger"
    keygen(stranger)
    with pytest.raises(AuthFailedError):
        _say(replace(ssh, private_key=stranger))
    with pytest.raises(HostKeyMismatchError):
        _say(server.ssh(known, host_key="SHA256:" + "A" * 43))
    # The same file, with another content.
    mine = tmp_path / "mine"
    shutil.copy(server.key, mine)
    _say(replace(ssh, private_key=mine))
    shutil.copy(stranger, mine)
    with pytest.raises(AuthFailedError):
        _say(replace(ssh, private_key=mine))
    known.write_text(f"[127.0.0.1]:{server.port} {' '.join(keygen(tmp_path / 'other').split()[:2])}\n")
    with pytest.raises(HostKeyMismatchError):
        _say(ssh)


def test_what_tells_whether_one_can_log_in_never_uses_it(server: Server, known: Path) -> None:
    target = server.ssh(known).target
    node = Node.over_ssh(target, server.key, known_hosts=known, keep_connection=30)
    assert node.kept is not None
    node.kept.run(pack(': >"$1/begun"\n', time_limit=LIMIT), time_limit=LIMIT)
    before = server.logins
    status(node)
    status(node)
    with suppress(Exception):
        verify(node)
    assert server.logins == before + 3


# The ways to die


def _kill_masters(folder: Path, _: Server) -> None:
    for pid in _masters(folder):
        os.kill(pid, signal.SIGKILL)


def _stop_masters(folder: Path, _: Server) -> None:
    for pid in _masters(folder):
        os.kill(pid, signal.SIGSTOP)


def _sessions(server: Server) -> list[int]:
    """The processes of sshd's that serve a connection to this port."""
    listener = _processes(lambda command: f"-f\0{server.log.parent}/config" in command or str(server.log) in command)
    return [pid for pid in _processes(lambda command: command.startswith("sshd: root")) if _parent(pid) in listener]


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _signal_sessions(number: int, _: Path, server: Server) -> None:
    """As a node that was restarted, or a cable that was cut: the connection is dead, its client does not know."""
    found = _sessions(server)
    assert found
    for pid in found:
        os.kill(pid, number)


@pytest.mark.parametrize(
    "die",
    [
        _kill_masters,
        _stop_masters,
        partial(_signal_sessions, signal.SIGKILL),
        partial(_signal_sessions, signal.SIGSTOP),
    ],
    ids=["master killed", "master hangs", "sshd gone", "sshd silent"],
)
def test_a_dead_connection_costs_a_log_in_and_nothing_runs_twice(
    server: Server, known: Path, folder: Path, tmp_path: Path, die: Callable[[Path, Server], None]
) -> None:
    way, ran = KeptSsh(server.ssh(known), 30), tmp_path / "ran"
    way.run(_noted(ran), time_limit=LIMIT)
    before, silent = server.logins, _sessions(server)
    die(folder, server)
    begin = time.monotonic()
    try:
        way.run(_noted(ran), time_limit=LIMIT)
        assert time.monotonic() - begin < 7, "a third of the time for a connect, and a log-in"
        assert server.logins == before + 1
        way.run(_noted(ran), time_limit=LIMIT)
        assert server.logins == before + 1, "the new one is kept"
    finally:
        for pid in silent:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    time.sleep(0.3)
    assert ran.read_text() == "ran\n" * 3


def test_a_node_that_is_gone_costs_no_more_than_a_log_in_that_fails(server: Server, known: Path) -> None:
    """The master lives, its node is silent, and nobody accepts new connections: one limit for both attempts."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        ssh = server.ssh(known)
        ssh = replace(ssh, target=replace(ssh.target, port=mute.getsockname()[1]), connect_seconds=6)
        path = place(os.environ) / name(ssh)
        with socket.socket(socket.AF_UNIX) as master:
            master.bind(str(path))
            master.listen()
            begin = time.monotonic()
            with pytest.raises(UnreachableError):
                _say(ssh)
            assert time.monotonic() - begin < 6 + 2.5


def test_a_connection_that_is_cut_at_work_is_said_and_nothing_is_sent_again(
    server: Server, known: Path, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    way = KeptSsh(server.ssh(known), 30)
    for kept_before in (False, True):
        if kept_before:
            way.run(_noted(ran), time_limit=LIMIT)
        count = ran.read_text().count("ran") if ran.exists() else 0
        go = partial(_cut_once, server, ran, count + 1)
        threading.Thread(target=go).start()
        with pytest.raises(UnreachableError) as cut:
            way.run(_noted(ran, "sleep 30"), time_limit=LIMIT)
        assert cut.value.began, "what was sent may have arrived"
        assert ran.read_text().count("ran") == count + 1


def _cut_once(server: Server, ran: Path, count: int) -> None:
    _until(lambda: ran.exists() and ran.read_text().count("ran") == count)
    _signal_sessions(signal.SIGKILL, ran, server)


@pytest.mark.parametrize("is_kept", [False, True])
def test_after_a_time_out_the_node_goes_on_as_it_does_without(
    server: Server, known: Path, folder: Path, tmp_path: Path, is_kept: bool
) -> None:
    """The client is killed: whatever its connection was, the script runs to its end, and leaves nothing."""
    ran, go = tmp_path / "ran", tmp_path / "go"
    ssh = server.ssh(known)
    way = KeptSsh(ssh, 1) if is_kept else ssh
    if is_kept:
        way.run(_noted(ran), time_limit=LIMIT)
    wait = f"trap '' PIPE; until [ -e {go} ]; do sleep 0.1; echo waiting; done; echo $1 >{ran}.end"
    with pytest.raises(OperationTimeoutError):
        way.run(_noted(ran, wait), time_limit=2)
    assert not Path(f"{ran}.end").exists()
    go.touch()
    _until(Path(f"{ran}.end").exists)
    _until(lambda: not Path(Path(f"{ran}.end").read_text().strip()).exists())
    # What hangs is not used again, and the connection ends with what ran there.
    assert not list(folder.glob("*")) if is_kept else True
    _until(lambda: not _masters(folder))


def test_the_master_holds_nothing_of_ours_and_ends_by_itself(server: Server, known: Path, folder: Path) -> None:
    _say(server.ssh(known), seconds=1)
    (master,) = _masters(folder)
    held = {str(file.readlink()) for file in Path(f"/proc/{master}/fd").iterdir()}
    assert not {place for place in held if place.startswith("pipe:")}, "whoever reads ours would wait for it"
    assert os.getsid(master) == master != os.getsid(0)
    _until(lambda: not _masters(folder))
    assert list(folder.iterdir()) == []


def test_more_runs_than_a_connection_takes_log_in(known: Path, tmp_path: Path) -> None:
    with running("MaxSessions 1") as server:
        known.write_text(server.known_hosts)
        way, ran = KeptSsh(server.ssh(known), 30), tmp_path / "ran"
        way.run(_noted(ran), time_limit=LIMIT)
        threads = [threading.Thread(target=lambda: way.run(_noted(ran, "sleep 1"), time_limit=LIMIT)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ran.read_text() == "ran\n" * 4
        assert server.logins == 3, "one over the kept connection, two of their own"


def test_through_a_jump_host(server: Server, known: Path, folder: Path) -> None:
    ssh = server.ssh(known)
    way = replace(ssh, via=(replace(ssh.target, id="jump"),))
    before = server.logins
    for _ in range(2):
        assert _say(way) == b"said\n"
    assert server.logins == before + 2, "one at each host"
    assert not list(folder.glob("*.log"))
    with pytest.raises(AuthFailedError, match=r"^nobody@.*authorized_keys of nobody"):
        _say(replace(ssh, via=(replace(ssh.target, id="jump", user="nobody"),)))


def test_what_is_forgotten_is_logged_in_to_anew_and_what_runs_goes_on(
    server: Server, known: Path, folder: Path, tmp_path: Path
) -> None:
    way, ran = KeptSsh(server.ssh(known), 30), tmp_path / "ran"
    way.run(_noted(ran), time_limit=LIMIT)
    ended: list[int | None] = []
    run = threading.Thread(target=lambda: ended.append(way.run(_noted(ran, "sleep 1"), time_limit=LIMIT).exit_code))
    run.start()
    _until(lambda: ran.read_text().count("ran") == 2)
    # Another operator's key, the same node.
    kept.forget(replace(server.ssh(known), private_key=tmp_path / "another"))
    assert list(folder.iterdir()) == []
    run.join()
    assert ended == [0]
    _until(lambda: not _masters(folder))
    before = server.logins
    way.run(_noted(ran), time_limit=LIMIT)
    assert server.logins == before + 1


# The folder


def test_nothing_is_taken_away_in_a_folder_of_others(server: Server, known: Path, folder: Path) -> None:
    _elsewhere(folder)
    theirs = folder / name(server.ssh(known))
    theirs.touch()
    kept.forget(server.ssh(known))
    assert theirs.exists()


def _open_to_others(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    folder.chmod(0o750)


def _elsewhere(folder: Path) -> None:
    (folder.parent / "other").mkdir(mode=0o700)
    folder.symlink_to(folder.parent / "other")


def _anothers(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)


def _a_file(folder: Path) -> None:
    folder.touch(mode=0o700)


def _below_anybodys(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    folder.parent.chmod(0o777)


@pytest.mark.parametrize("spoil", [_open_to_others, _elsewhere, _anothers, _a_file, _below_anybodys])
def test_a_folder_that_others_have_a_hand_in_is_not_used(
    server: Server,
    known: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], None],
) -> None:
    spoil(folder)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    with pytest.raises(NoPlaceError, match=str(folder)):
        place(os.environ)
    assert _say(server.ssh(known)) == b"said\n", "then each run logs in"
    assert _masters(folder) == []


def test_nothing_is_made_in_another_users_runtime_folder(folder: Path) -> None:
    os.chown(folder.parent, 65534, 65534)
    assert place(os.environ) != folder
    assert not folder.exists()


def test_the_second_folder_is_below_the_temporary_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for runtime in (str(folder / "absent"), f"/{'long/' * 20}", "relative", ""):
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        monkeypatch.setenv("TMPDIR", str(folder.parent))
        assert place(os.environ) == folder.parent / f"busnode-{os.geteuid()}"
    assert place(os.environ).stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("TMPDIR", str(tmp_path / "x" / ("y" * 80)))
    with pytest.raises(NoPlaceError, match="too long for a socket"):
        place(os.environ)


def test_a_folder_that_takes_no_socket_fails_nothing(
    server: Server, known: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "place", lambda _: folder / "absent")
    assert _say(server.ssh(known)) == b"said\n"


# The name


CHANGES: dict[str, Callable[[OpenSsh], OpenSsh]] = {
    "host": lambda ssh: replace(ssh, target=replace(ssh.target, host="10.0.0.11")),
    "port": lambda ssh: replace(ssh, target=replace(ssh.target, port=23)),
    "user": lambda ssh: replace(ssh, target=replace(ssh.target, user="other")),
    "pin": lambda ssh: replace(ssh, target=replace(ssh.target, host_key="SHA256:" + "A" * 43)),
    "jump host": lambda ssh: replace(ssh, via=(ssh.target,)),
    "two jump hosts": lambda ssh: replace(ssh, via=(ssh.target, ssh.target)),
    "jump host's pin": lambda ssh: replace(ssh, via=(replace(ssh.target, host_key="SHA256:" + "A" * 43),)),
    "jump host's user": lambda ssh: replace(ssh, via=(replace(ssh.target, user="other"),)),
    "key file": lambda ssh: replace(ssh, private_key=ssh.private_key.with_name("key2")),
    "known_hosts file": lambda ssh: replace(ssh, known_hosts=ssh.private_key.with_name("known2")),
    "trust": lambda ssh: replace(ssh, trust_on_first_use=True),
    "program": lambda ssh: replace(ssh, program="/usr/bin/ssh"),
    "configuration": lambda ssh: replace(ssh, configured=False),
}


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenSsh:
    """A way that nobody goes."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for file in ("key", "known"):
        (tmp_path / file).write_text(file)
    return Server(22, "", "", tmp_path / "key", tmp_path).ssh(tmp_path / "known")


def test_the_name_is_short_says_nothing_and_is_the_same_for_the_same_way(plain: OpenSsh) -> None:
    assert name(plain) == name(replace(plain))
    assert re.fullmatch(r"[0-9a-f]{10}-[0-9a-f]{32}", name(plain))


def test_everything_that_decides_about_a_log_in_makes_another_name(plain: OpenSsh) -> None:
    names = {what: name(change(plain)) for what, change in CHANGES.items()} | {"": name(plain)}
    assert len(set(names.values())) == len(CHANGES) + 1, names


@pytest.mark.parametrize("file", ["key", "key.pub", "key-cert.pub", "known"])
def test_another_content_of_a_file_makes_another_name(plain: OpenSsh, tmp_path: Path, file: str) -> None:
    before = name(plain)
    (tmp_path / file).write_text("other")
    assert name(plain) != before


@pytest.mark.parametrize("file", ["known_hosts", "config"])
def test_another_content_of_the_users_own_files_makes_another_name(plain: OpenSsh, tmp_path: Path, file: str) -> None:
    by_default = replace(plain, known_hosts=None)
    before = name(by_default)
    (tmp_path / "home/.ssh").mkdir(parents=True)
    (tmp_path / "home/.ssh" / file).write_text("# other\n")
    assert name(replace(by_default)) != before


@pytest.mark.parametrize(
    ("keyword", "file"),
    [
        ("IdentityFile", "first"),
        ("IdentityFile", "second"),
        ("IdentityFile", "second.pub"),
        ("IdentityFile", "second-cert.pub"),
        ("CertificateFile", "first"),
        ("CertificateFile", "second"),
    ],
)
def test_another_content_of_a_configured_key_makes_another_name(
    plain: OpenSsh, tmp_path: Path, keyword: str, file: str
) -> None:
    ssh = _configured(plain, tmp_path, f"{keyword} {tmp_path}/first", f"{keyword} {tmp_path}/second")
    before = name(ssh)
    (tmp_path / file).write_text("other")
    assert name(replace(ssh)) != before


def test_where_a_configured_key_is_not_known_by_its_name_nothing_is_kept(plain: OpenSsh, tmp_path: Path) -> None:
    assert kept.is_keepable(_configured(plain, tmp_path, f"IdentityFile {tmp_path}/first"))
    assert not kept.is_keepable(_configured(plain, tmp_path, "IdentityFile ~/.ssh/%h"))
    assert not kept.is_keepable(_configured(plain, tmp_path, "CertificateFile ${HOME}/cert"))


def _configured(plain: OpenSsh, tmp_path: Path, *lines: str) -> OpenSsh:
    """A way whose ssh reads these lines as the user's own configuration."""
    (tmp_path / "home/.ssh").mkdir(parents=True, exist_ok=True)
    file, program = tmp_path / "home/.ssh/config", tmp_path / "ssh"
    file.write_text("Host *\n" + "".join(f"    {line}\n" for line in lines))
    program.write_text(f'#!/bin/sh\nexec ssh -F {file} "$@"\n')
    program.chmod(0o755)
    return replace(plain, program=str(program))


@pytest.mark.parametrize("is_jump_host", [False, True])
def test_a_host_whose_name_leads_elsewhere_makes_another_name(
    plain: OpenSsh, monkeypatch: pytest.MonkeyPatch, is_jump_host: bool
) -> None:
    named = replace(plain.target, host="proxy.example")
    ssh = replace(plain, via=(named,)) if is_jump_host else replace(plain, target=named)
    leads_to = ["10.0.0.1", "10.0.0.2"]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [_found(each) for each in leads_to])
    before = name(ssh)
    leads_to.reverse()
    assert name(ssh) == before, "a name that leads to several is told in any order"
    leads_to[0] = "10.0.0.3"
    assert name(ssh) != before


def _found(address: str) -> tuple[object, ...]:
    return socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)


def test_of_a_host_whose_name_leads_nowhere_nothing_is_kept(
    plain: OpenSsh, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UnreachableError):
        _say(replace(plain, target=replace(plain.target, host="nowhere.invalid")))
    assert list(folder.glob("*")) == []


@pytest.mark.parametrize("what", ["_network", "geteuid"])
def test_another_user_or_network_makes_another_name(plain: OpenSsh, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    before = name(plain)
    if what == "_network":
        monkeypatch.setattr(kept, what, lambda: "net:[1]")
    else:
        monkeypatch.setattr(kept.os, what, lambda: 12345)
    assert name(plain) != before


def test_ingredients_hold_no_content_of_a_key(plain: OpenSsh) -> None:
    plain.private_key.write_text("the secret itself")
    assert not any("the secret itself" in each for each in ingredients(plain))
