"""The ssh program against a real sshd on a loopback port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from busnode.contract import (
    AuthFailedError,
    BadRequestError,
    HostKeyMismatchError,
    OperationTimeoutError,
    Response,
    StepResult,
    UnreachableError,
)
from busnode.node import Node
from busnode.operations import status
from busnode.script import pack
from busnode.secrets import Secret
from busnode.transport import Answer, Family, addresses, configuration
from busnode.transport.kept import is_keepable
from tests.busnode.sshd import NEEDS_SSHD, Server, keygen

if TYPE_CHECKING:
    from collections.abc import Callable

    from busnode.transport.openssh import OpenSsh

pytestmark = NEEDS_SSHD

ECHO = ': >"$1/begun"; cat "$1/blob.0"\n'


def _says(ssh: OpenSsh) -> bytes:
    return ssh.run(pack(ECHO, time_limit=10, blobs=[Secret(b"\0any\xff")]), time_limit=20).stdout


def test_a_bundle_goes_there_and_its_report_comes_back(server: Server, known: Path) -> None:
    assert _says(server.ssh(known)) == b"\0any\xff"


def test_status_of_a_real_log_in(server: Server, known: Path) -> None:
    answer = status(Node(server.ssh(known).target, server.ssh(known)))
    assert answer.ok
    assert answer.facts["ssh_port"] == server.port


@pytest.mark.parametrize("pin", ["fingerprint", "key", "line"])
def test_a_pinned_host_key_needs_no_file(server: Server, pin: str) -> None:
    pins = {"fingerprint": server.fingerprint, "key": server.host_key, "line": f"some.name {server.host_key} comment"}
    assert _says(server.ssh(None, host_key=pins[pin])) == b"\0any\xff"


@pytest.mark.parametrize("wrong", ["SHA256:" + "A" * 43, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE" + "B" * 40 + "BBB"])
def test_another_pinned_key_is_a_mismatch(server: Server, known: Path, wrong: str) -> None:
    with pytest.raises(HostKeyMismatchError, match="not the known one") as caught:
        _says(server.ssh(known, host_key=wrong))
    assert server.fingerprint in str(caught.value)
    assert f"[127.0.0.1]:{server.port} {server.host_key}" in str(caught.value)


def test_an_unknown_host_key_is_named_with_the_line_to_add(server: Server, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(HostKeyMismatchError) as caught:
        _says(server.ssh(empty))
    assert f"unknown host key ssh-ed25519 {server.fingerprint}" in str(caught.value)
    empty.write_text(str(caught.value).partition(": [")[0] and f"[{str(caught.value).rpartition(': [')[2]}\n")
    assert _says(server.ssh(empty)) == b"\0any\xff"


def test_a_changed_host_key_is_refused_even_on_first_use(server: Server, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(f"[127.0.0.1]:{server.port} {' '.join(keygen(tmp_path / 'another').split()[:2])}\n")
    before = other.read_text()
    with pytest.raises(HostKeyMismatchError, match="not the known one"):
        _says(server.ssh(other, trust_on_first_use=True))
    assert other.read_text() == before


def test_trust_on_first_use_keeps_the_key(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "new"
    assert _says(server.ssh(file, trust_on_first_use=True)) == b"\0any\xff"
    assert server.host_key in file.read_text()
    assert _says(server.ssh(file)) == b"\0any\xff"


def test_a_key_that_is_not_accepted(server: Server, known: Path, tmp_path: Path) -> None:
    keygen(tmp_path / "stranger")
    with pytest.raises(AuthFailedError, match="does not accept"):
        _says(server.ssh(known, private_key=tmp_path / "stranger"))


def test_a_closed_port_and_a_mute_one(server: Server, known: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        ssh = server.ssh(known)
        begin = time.monotonic()
        with pytest.raises(UnreachableError):
            _says(replace(ssh, target=replace(ssh.target, port=port)))
        assert time.monotonic() - begin < 6
    with pytest.raises(UnreachableError, match="refused"):
        _says(replace(ssh, target=replace(ssh.target, port=port)))


def test_through_jump_hosts(server: Server, known: Path) -> None:
    ssh = server.ssh(known)
    hop = replace(ssh.target, id="jump")
    for via in ((hop,), (hop, replace(hop, id="second"))):
        way = replace(ssh, via=via)
        assert _says(way) == b"\0any\xff"
        assert way.notes[0] == "through jump (127.0.0.1)"
        assert way.gateway == "127.0.0.1"
        assert way.probe(1, time_limit=1) is Answer.UNKNOWN


def test_a_jump_host_must_prove_who_it_is(server: Server, known: Path, tmp_path: Path) -> None:
    ssh = server.ssh(known)
    wrong = " ".join(keygen(tmp_path / "other").split()[:2])
    with pytest.raises(HostKeyMismatchError, match="not the known one"):
        _says(replace(ssh, via=(replace(ssh.target, id="jump", host_key=wrong),)))


def test_the_host_that_refuses_the_key_is_named(server: Server, known: Path) -> None:
    ssh = server.ssh(known)
    jump = replace(ssh.target, id="jump", user="nobody")
    with pytest.raises(AuthFailedError, match=r"^nobody@.*authorized_keys of nobody"):
        _says(replace(ssh, via=(jump,)))


def test_a_node_behind_a_jump_host_must_too(server: Server, known: Path, tmp_path: Path) -> None:
    ssh = server.ssh(known)
    wrong = " ".join(keygen(tmp_path / "other").split()[:2])
    way = replace(ssh, target=replace(ssh.target, host_key=wrong), via=(replace(ssh.target, id="jump"),))
    with pytest.raises(HostKeyMismatchError, match="not the known one"):
        _says(way)


@pytest.mark.parametrize(("drops", "works"), [(2, True), (9, False)])
def test_a_log_in_that_sshd_dropped_is_tried_again(
    server: Server, known: Path, tmp_path: Path, drops: int, works: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda *_: 0.01)
    program, calls = tmp_path / "ssh", tmp_path / "calls"
    program.write_text(f"""#!/bin/sh
case "$*" in *-G*) exec ssh "$@" ;; esac
echo >>{calls}
[ "$(wc -l <{calls})" -gt {drops} ] && exec ssh "$@"
echo 'kex_exchange_identification: read: Connection reset by peer' >&2
exit 255
""")
    program.chmod(0o755)
    way = replace(server.ssh(known), program=str(program))
    if works:
        assert _says(way) == b"\0any\xff"
    else:
        with pytest.raises(UnreachableError, match="reset by peer"):
            _says(way)
    assert len(calls.read_text()) == min(drops, 3) + 1


def test_a_node_that_hangs_is_left_with_what_it_said(server: Server, known: Path) -> None:
    ssh = server.ssh(known)
    with pytest.raises(OperationTimeoutError) as caught:
        ssh.run(pack(': >"$1/begun"; echo so far; exec sleep 30\n', time_limit=60), time_limit=5)
    assert caught.value.output == b"so far\n"
    # Nothing of ours is left on this side.
    children = subprocess.run(
        ["pgrep", "-x", "-P", str(os.getpid()), "ssh"], capture_output=True, text=True, check=False
    )
    assert children.stdout.split() == []


@pytest.mark.parametrize(("place", "answer"), [("listening", Answer.OPEN), ("closed", Answer.REFUSED)])
def test_a_probe_says_what_a_port_answers(server: Server, known: Path, place: str, answer: Answer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if place == "listening":
            assert server.ssh(known).probe(port, time_limit=1) is answer
            return
    assert server.ssh(known).probe(port, time_limit=1) is answer


# Ends the sshd that the script came through: its nearest ancestor of that name.
CUT = r"""p=$$
until case $(cat "/proc/$p/comm") in sshd*) true ;; *) false ;; esac; do
    p=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$p/status")
done
kill -KILL "$p"
"""


def test_a_connection_that_had_come_about_is_told_from_one_that_never_did(server: Server, known: Path) -> None:
    with pytest.raises(UnreachableError) as cut:
        server.ssh(known).run(pack(CUT, time_limit=10), time_limit=20)
    assert (cut.value.began, cut.value.output) == (True, b""), cut.value
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    nobody = server.ssh(known)
    with pytest.raises(UnreachableError) as never:
        replace(nobody, target=replace(nobody.target, port=port)).run(b"", time_limit=20)
    assert never.value.began is False


def test_a_name_that_no_server_answers_for_costs_its_limit_once(
    server: Server, known: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def mute(host: object, *_: object, **__: object) -> list[object]:
        asked.append(host)
        time.sleep(30)
        return []

    monkeypatch.setattr(addresses.socket, "getaddrinfo", mute)
    monkeypatch.setattr(addresses, "_DNS_SECONDS", 0.2)
    one, begin = server.ssh(known), time.monotonic()
    assert {one.probe(port, time_limit=1, family=Family.IPV4) for port in range(5000, 5010)} == {Answer.UNKNOWN}
    assert time.monotonic() - begin < 5
    assert len(asked) == 1


def test_a_probe_over_a_family_goes_to_what_the_inventory_names(server: Server, known: Path) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]
        one = server.ssh(known)
        assert one.probe(port, time_limit=1, family=Family.IPV4) is Answer.REFUSED
        assert one.probe(port, time_limit=1, family=Family.IPV6) is Answer.UNKNOWN, "no such address is known"
        both = replace(one, target=replace(one.target, host_candidates=("no such host", "::1")))
        assert both.probe(port, time_limit=1, family=Family.IPV4) is Answer.REFUSED
        assert both.probe(port, time_limit=1, family=Family.IPV6) is Answer.OPEN


def test_options_end_before_the_host(server: Server, known: Path, tmp_path: Path) -> None:
    """Whatever a host is called, ssh takes it for a host: the schema refuses it, and the argument list would too."""
    ran = tmp_path / "ran"
    seen = tmp_path / "seen"
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\nprintf \'%s\\n\' "$@" >{seen}\nexec ssh "$@"\n')
    program.chmod(0o755)
    host = f"-oProxyCommand=touch {ran}"
    with pytest.raises(UnreachableError):
        _says(server.ssh(known, host=host, program=str(program)))
    assert not ran.exists()
    assert f"--\n{host}\nexec sh -c " in seen.read_text()


def test_a_key_file_may_have_any_name(server: Server, known: Path, tmp_path: Path) -> None:
    key = tmp_path / "my key%h"
    key.write_bytes(server.key.read_bytes())
    key.chmod(0o600)
    assert _says(replace(server.ssh(known), private_key=key)) == b"\0any\xff"


def test_one_node_is_used_from_several_threads_at_once(server: Server, known: Path) -> None:
    """Each operation is answered with its own report, and its steps are told of in its own thread."""
    told: defaultdict[int, list[str]] = defaultdict(list)

    def tell(step: StepResult) -> None:
        told[threading.get_ident()].append(step.name)

    target = server.ssh(known).target
    node = Node.over_ssh(target, server.key, known_hosts=known, progress=tell)

    def look(_: int) -> tuple[int, Response]:
        return threading.get_ident(), status(node)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(look, range(8)))
    names = [step.name for step in answers[0][1].steps]
    assert len(names) >= 4
    assert all(answer.ok and [step.name for step in answer.steps] == names for _, answer in answers)
    for thread, steps in told.items():
        assert steps == names * sum(ran == thread for ran, _ in answers)


def test_what_a_listener_raises_is_its_callers(server: Server, known: Path) -> None:
    def fail(_: StepResult) -> None:
        raise ZeroDivisionError

    node = Node.over_ssh(server.ssh(known).target, server.key, known_hosts=known, progress=fail)
    with pytest.raises(ZeroDivisionError):
        status(node)


def test_what_this_side_lacks_is_an_error_of_the_one_tree(server: Server, known: Path, tmp_path: Path) -> None:
    (tmp_path / "ssh").write_text("#!/bin/sh\n")
    with pytest.raises(BadRequestError, match="cannot be started here: Permission denied; nothing was sent"):
        _says(server.ssh(known, program=str(tmp_path / "ssh")))
    with pytest.raises(BadRequestError, match="not installed here"):
        _says(server.ssh(known, program=str(tmp_path / "none")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path / "none"))
        with pytest.raises(BadRequestError, match="no temporary file can be made here"):
            _says(server.ssh(known, host_key=server.host_key))


def _wrapped(folder: Path, body: str) -> str:
    """An ssh that is started as the user's own configuration or agent would have it."""
    program = folder / "ssh"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return str(program)


def test_a_multiplexed_connection_is_no_fresh_log_in(server: Server, known: Path, tmp_path: Path) -> None:
    """A master still answers when new log-ins are refused: the confirmation must not go through it."""
    config, hosts = tmp_path / "config", tmp_path / "hosts"
    hosts.write_text(server.known_hosts)
    config.write_text(
        f"Host *\nControlMaster auto\nControlPath {tmp_path}/m\nUserKnownHostsFile {hosts}\nIdentityFile {server.key}\n"
    )
    base, where = ["ssh", "-F", str(config)], ["-o", "BatchMode=yes", "-p", str(server.port), "root@127.0.0.1"]
    allowed = server.key.with_name("authorized")
    keys = allowed.read_text()
    silent = subprocess.DEVNULL
    subprocess.run([*base, "-M", "-N", "-f", *where], check=True, stdin=silent, stdout=silent, stderr=silent)
    try:
        way = replace(server.ssh(known), program=_wrapped(tmp_path, f'exec ssh -F {config} "$@"'))
        assert _says(way) == b"\0any\xff"
        allowed.write_text("")
        assert subprocess.run([*base, *where, "true"], check=False).returncode == 0, "the master answers"
        with pytest.raises(AuthFailedError):
            _says(way)
    finally:
        allowed.write_text(keys)
        subprocess.run([*base, "-O", "exit", *where], check=False, stderr=silent)


def test_a_users_own_jump_host_is_used_and_said(
    server: Server, known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ~/.ssh/config says of a host holds here too, and nobody has to guess that it does."""
    (tmp_path / "hosts").write_text(server.known_hosts)
    hop = f"ssh -F none -i {server.key} -o UserKnownHostsFile={tmp_path}/hosts -p {server.port} -W $1 root@127.0.0.1"
    (tmp_path / "hop").write_text(f"#!/bin/sh\n: >{tmp_path}/used\nexec {hop}\n")
    (tmp_path / "hop").chmod(0o755)
    config = tmp_path / ".ssh/config"
    config.parent.mkdir()
    config.write_text(f"Host 127.0.0.1\nProxyCommand {tmp_path}/hop [%h]:%p\n")
    # ssh itself asks the account's entry for its home; the wrapper stands in for that.
    monkeypatch.setenv("HOME", str(tmp_path))
    way = replace(server.ssh(known), program=_wrapped(tmp_path, f'exec ssh -F {config} "$@"'))
    assert _says(way) == b"\0any\xff"
    assert (tmp_path / "used").exists()
    assert way.notes == (f"through {tmp_path}/hop [%h]:%p, as ssh's configuration says",)
    assert way.probe(80, time_limit=1) is Answer.UNKNOWN


DEBIANS_OWN = """\
# This is the ssh client system-wide configuration file.
Include /etc/ssh/ssh_config.d/*.conf

Host *
#   ProxyCommand ssh -q -W %h:%p gateway.example.com
    SendEnv LANG LC_*
    HashKnownHosts yes
    GSSAPIAuthentication yes
"""


@pytest.fixture
def system_wide(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], OpenSsh]:
    """A way whose ssh reads what it is given in the place of /etc/ssh/ssh_config, and nothing of the user's."""
    monkeypatch.setenv("HOME", str(tmp_path / "none"))
    file = tmp_path / "ssh_config"
    monkeypatch.setattr(configuration, "SYSTEM_CONFIGURATION", file)

    def way(text: str) -> OpenSsh:
        file.write_text(text)
        return server.ssh(None, program=_wrapped(tmp_path, f': >{tmp_path}/asked; exec ssh -F {file} "$@"'))

    return way


@pytest.mark.parametrize(
    "line",
    [
        "ProxyCommand /opt/hop %h",
        "proxyjump=gateway",
        "Match all\n ProxyJump gateway",
        "Include {folder}/more",
        '"ProxyJump" gateway',
        "\tProxyJump\tgateway",
    ],
)
def test_a_jump_host_of_the_system_wide_configuration_is_said(
    system_wide: Callable[[str], OpenSsh], tmp_path: Path, line: str
) -> None:
    (tmp_path / "more").write_text("ProxyJump gateway\n")
    way = system_wide(DEBIANS_OWN + line.format(folder=tmp_path) + "\n")
    assert way.configured_jump in {"gateway", "/opt/hop %h"}
    assert not is_keepable(way)


def test_a_program_that_tells_host_keys_system_wide_is_seen(system_wide: Callable[[str], OpenSsh]) -> None:
    assert not is_keepable(system_wide(f"{DEBIANS_OWN}KnownHostsCommand /opt/keys\n"))


@pytest.mark.parametrize("text", [DEBIANS_OWN, DEBIANS_OWN.replace(" yes", "=no"), "", "# nothing\n\n"])
def test_of_debians_own_configuration_ssh_is_not_asked(
    system_wide: Callable[[str], OpenSsh], tmp_path: Path, text: str
) -> None:
    """Each question costs a process; what Debian sets decides nothing that is asked here."""
    way = system_wide(text)
    assert way.configuration == {}
    assert not (tmp_path / "asked").exists()
    assert is_keepable(way)


def test_an_agent_with_many_keys_locks_nobody_out(server: Server, known: Path, tmp_path: Path) -> None:
    """More keys than sshd takes tries (MaxAuthTries, 6): only the one that was named is offered."""
    hosts, agent = tmp_path / "hosts", tmp_path / "agent"
    hosts.write_text(server.known_hosts)
    environment = {**os.environ, "SSH_AUTH_SOCK": str(agent)}
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(agent)], stdout=subprocess.DEVNULL) as running:
        try:
            while not agent.exists():
                time.sleep(0.05)
            for number in range(8):
                keygen(tmp_path / f"key{number}")
                subprocess.run(["ssh-add", "-q", str(tmp_path / f"key{number}")], env=environment, check=True)
            options = ["-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={hosts}", "-p", str(server.port)]
            plain = subprocess.run(
                ["ssh", *options, "root@127.0.0.1", "true"],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert "Too many authentication failures" in plain.stderr
            lent = _wrapped(tmp_path, f'SSH_AUTH_SOCK={agent} exec ssh "$@"')
            assert _says(replace(server.ssh(known), program=lent)) == b"\0any\xff"
        finally:
            running.terminate()


def test_a_name_that_is_none_of_the_dns_is_unknown(server: Server, known: Path) -> None:
    assert server.ssh(known, host="a..b").probe(80, time_limit=1) is Answer.UNKNOWN


def test_nothing_of_the_users_environment_or_agent_is_lent(
    known: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nonexistent")
    assert _says(server.ssh(known)) == b"\0any\xff"


def test_a_key_with_a_passphrase_is_used_through_the_agent(server: Server, known: Path, tmp_path: Path) -> None:
    """Nobody is asked for it: the agent has it open, or the log-in is refused."""
    key, agent = tmp_path / "key", tmp_path / "agent"
    shutil.copy(server.key, key)
    change = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret words", "-f", str(key)]
    subprocess.run(change, check=True)
    environment = {**os.environ, "SSH_AUTH_SOCK": str(agent)}
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(agent)], stdout=subprocess.DEVNULL) as running:
        try:
            while not agent.exists():
                time.sleep(0.05)
            lent = replace(
                server.ssh(known), private_key=key, program=_wrapped(tmp_path, f'SSH_AUTH_SOCK={agent} exec ssh "$@"')
            )
            with pytest.raises(AuthFailedError, match="give one with a passphrase to your agent"):
                _says(lent)
            subprocess.run(["ssh-add", "-q", str(server.key)], env=environment, check=True)
            assert _says(lent) == b"\0any\xff"
        finally:
            running.terminate()
