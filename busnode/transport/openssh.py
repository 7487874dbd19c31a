"""OpenSSH's client as the way to a node: strict host keys, no prompt, no option from anybody's data, always bounded."""

from __future__ import annotations

import errno
import random
import re
import shlex
import time
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, SupportsBytes

from busnode.contract import (
    AuthFailedError,
    BadRequestError,
    BusnodeError,
    HostKeyMismatchError,
    OperationTimeoutError,
    UnreachableError,
)
from busnode.records import dataclass, replace
from busnode.script import loader
from busnode.transport import Answer, Family, host_keys
from busnode.transport.addresses import Addresses, answer
from busnode.transport.configuration import is_configured, quoted
from busnode.transport.keys import fingerprint
from busnode.transport.process import MAX_OUTPUT, Completed, Greeting, exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from busnode.inventory import Target

CONNECT_SECONDS = 10
_MAX_LOG = 10_000
_MORE_ATTEMPTS = 3
_DROPPED = re.compile(rb"((kex|ssh)_exchange_identification: .*)?Connection (closed|reset) by ")
# What ssh says of a connection that had come about: client_loop(), and its keep-alives.
_BROKE_OFF = re.compile(r"^(client_loop: |Timeout, server |Connection to \S+ closed)", re.MULTILINE)
# ssh's own code for "no session"; the loader never ends with it.
_SSH_FAILED = 255

OPTIONS = (
    "BatchMode=yes",
    "IdentitiesOnly=yes",
    "PreferredAuthentications=publickey",
    # A multiplexed connection still answers after a change that locks out new log-ins; ssh takes what stands first, and
    # a Socket's options stand before these.
    "ControlMaster=no",
    "ControlPath=none",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "EscapeChar=none",
    "UpdateHostKeys=no",
    # What a user's configuration may have loosened.
    "VerifyHostKeyDNS=no",
    "NoHostAuthenticationForLocalhost=no",
    "AddKeysToAgent=no",
    "LogLevel=ERROR",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=6",
    "ConnectionAttempts=1",
)


@dataclass(frozen=True, slots=True)
class Socket:
    """Where ssh's master process of a kept connection listens, and how many seconds after its last use it ends."""

    path: Path
    seconds: int

    @property
    def options(self) -> list[str]:
        """Those of ssh that use the connection, and make one where there is none."""
        return ["ControlMaster=auto", f"ControlPath={self.path}", f"ControlPersist={self.seconds}"]

    @property
    def log(self) -> Path:
        """What the jump hosts' ssh say: a master that is kept must not hold a pipe of ours."""
        return self.path.with_suffix(".log")


class _Remembering:
    """A record of this kind has room for what cached_property keeps, beside its fields."""


@dataclass(frozen=True)
class OpenSsh(_Remembering):
    """A target reached by the ssh program.

    ssh's configuration files are honoured, for jump hosts, unless `configured` is false. `listener` makes, for each
    connection, what is told the node's words as they come. Of what is printed beyond `max_output` bytes the middle is
    left out. With a `socket` the connection is one that is kept (see busnode.transport.kept).
    A `log` has ssh's own words in place of its standard error.
    """

    target: Target
    private_key: Path
    known_hosts: Path | None = None
    trust_on_first_use: bool = False
    via: tuple[Target, ...] = ()
    connect_seconds: int = CONNECT_SECONDS
    program: str = "ssh"
    listener: Callable[[], Callable[[bytes], None]] | None = None
    configured: bool = True
    max_output: int = MAX_OUTPUT
    socket: Socket | None = None
    log: Path | None = None

    def run(self, bundle: SupportsBytes, *, time_limit: float) -> Completed:
        """One connection, one run of the loader; see Transport.run for what is raised."""
        deadline = time.monotonic() + time_limit
        sent = bytes(bundle)
        completed = self.attempt(sent, time_limit)
        for attempt in range(_MORE_ATTEMPTS):
            pause = random.uniform(0.5, 1.5) * 2**attempt  # noqa: S311 - so that not all come back at once
            if not was_dropped(completed) or time.monotonic() + pause >= deadline:
                break
            time.sleep(pause)
            completed = self.attempt(sent, deadline - time.monotonic())
        return self.judged(completed, time_limit)

    def attempt(self, sent: bytes, time_limit: float, greeting: Greeting | None = None) -> Completed:
        """One run of ssh, however it ends; with a `greeting` `sent` goes only once the node has answered that."""
        with self._way() as options:
            argv = [*self._argv(options), f"exec sh -c {shlex.quote(loader())}"]
            hear = None if self.listener is None else self.listener()
            completed = self._exchange(argv, sent, time_limit, hear, greeting)
        return completed if self.socket is None else _with_log(completed, self.socket.log)

    def judged(self, completed: Completed, time_limit: float) -> Completed:
        """What came of a run; raises what Transport.run does where that is no run to its end."""
        if completed.exit_code is None:
            message = f"{self.target.log_in}: not done after {time_limit:g} s; give more with --timeout"
            raise OperationTimeoutError(message, output=completed.stdout)
        if completed.exit_code == _SSH_FAILED:
            error = self._explain(completed.stderr.decode("utf-8", "replace"))
            error.output = completed.stdout
            raise error
        return completed

    @property
    def gateway(self) -> str:
        """The first jump host, else the host itself."""
        return self.via[0].host if self.via else self.configured_jump or self.target.host

    @property
    def notes(self) -> tuple[str, ...]:
        """Says so where ssh's configuration leads through another host, or to another."""
        found = [f"through {hop.id} ({hop.host})" for hop in self.via]
        if not self.via and self.configured_jump:
            found.append(f"through {self.configured_jump}, as ssh's configuration says")
        name = self.configuration.get("hostname", self.target.host)
        if name.lower() != self.target.host.lower():
            found.append(f"{self.target.host} is {name}, as ssh's configuration says")
        return tuple(found)

    def probe(self, port: int, *, time_limit: float, family: Family | None = None) -> Answer:
        """A bare TCP connect; never asked of sshd's own port, which counts such connects against their source."""
        if self.via or self.configured_jump:
            return Answer.UNKNOWN
        host = self._host if family is None else self._addresses.of(family)
        return Answer.UNKNOWN if host is None else answer(host, port, time_limit)

    @property
    def _host(self) -> str:
        return self.configuration.get("hostname", self.target.host)

    @cached_property
    def _addresses(self) -> Addresses:
        """Of the inventory's own names for the host; none that a node names."""
        return Addresses((self._host, *self.target.host_candidates))

    @property
    def addresses(self) -> tuple[str, ...]:
        """All that the name of the first host on the way leads to by now, in their order as text.

        Raises OSError where there is none in 5 s.
        """
        found = Addresses((self.ways[-1]._host,)).all()
        if not found:
            raise OSError(errno.EADDRNOTAVAIL, "no address is known")
        return found

    @property
    def configured_jump(self) -> str | None:
        """Where ssh's configuration leads through another host."""
        return self.configuration.get("proxyjump") or self.configuration.get("proxycommand")

    def _argv(self, options: list[str], key: bool = True, forward: str | None = None) -> list[str]:
        given = [*options, *OPTIONS, f"ConnectTimeout={self.connect_seconds}"]
        if key:
            given.append(f"IdentityFile={quoted(self.private_key)}")
        words = [word for option in given for word in ("-o", option)]
        more = [] if forward is None else ["-W", forward]
        more += [] if self.log is None else ["-E", str(self.log)]
        # What /etc and the home folder say of ssh.
        none = [] if self.configured else ["-F", "none"]
        return [
            self.program, *none, "-T", "-x", "-a", *words, *more,
            "-p", str(self.target.port), "-l", self.target.user, "--", self.target.host,
        ]  # fmt: skip

    def _exchange(
        self,
        argv: list[str],
        stdin: bytes,
        time_limit: float,
        hear: Callable[[bytes], None] | None = None,
        greeting: Greeting | None = None,
    ) -> Completed:
        try:
            return exchange(
                argv, stdin, time_limit=time_limit, hear=hear, max_output=self.max_output, greeting=greeting
            )
        except FileNotFoundError:
            message = f"{self.program}: not installed here; run: apt-get install openssh-client"
            raise BadRequestError(message) from None

    @cached_property
    def configuration(self) -> dict[str, str]:
        """What ssh -G says of this host, read only where somebody configured anything; several words a line each."""
        if not self.configured or not is_configured():
            return {}
        argv = [self.program, "-G", "-p", str(self.target.port), "-l", self.target.user, "--", self.target.host]
        text = self._exchange(argv, b"", 10).stdout.decode("utf-8", "replace")
        found: dict[str, str] = {}
        for key, value in (line.split(" ", 1) for line in text.splitlines() if " " in line):
            found[key] = f"{found[key]}\n{value}" if key in found else value
        return found

    @contextmanager
    def _way(self) -> Iterator[list[str]]:
        """The options that lead to this host, its own key's and its jump hosts', whose keys are checked as strictly."""
        trust = self.trust_on_first_use
        with host_keys.options(self.target, self.known_hosts, trust_on_first_use=trust) as host_key_options:
            options = host_key_options if self.socket is None else [*self.socket.options, *host_key_options]
            if not self.via:
                yield options
                return
            last = self._hop
            with last._way() as hop_options:
                host = f"[{self.target.host}]" if ":" in self.target.host else self.target.host
                command = last._argv(hop_options, forward=f"{host}:{self.target.port}")
                # ssh expands % in it, and a shell of the user's runs it.
                yield [*options, "ProxyCommand=" + shlex.join(command).replace("%", "%%")]

    @property
    def ways(self) -> tuple[OpenSsh, ...]:
        """This way and those to the jump hosts before it."""
        return (self, *self._hop.ways) if self.via else (self,)

    @property
    def command(self) -> list[str]:
        """ssh's words, but for those that tell the host key and the way through others."""
        return self._argv([])

    @property
    def _hop(self) -> OpenSsh:
        """The way to the last jump host."""
        log = self.log if self.socket is None else self.socket.log
        return replace(self, target=self.via[-1], via=self.via[:-1], socket=None, log=log)

    def _explain(self, stderr: str) -> BusnodeError:
        """Which of the ways to fail it was, from ssh's own words."""
        said = " ".join(stderr.split())
        if re.search(r"Host key verification failed|host key is known for|REMOTE HOST IDENTIFICATION", stderr):
            return self._host_key_error("HAS CHANGED" in stderr)
        if re.search(r"Permission denied \(|Too many authentication failures", stderr):
            where = self._refused_by(stderr)
            return AuthFailedError(
                f"{where.log_in}: the node does not accept {self.private_key}; put its public half into "
                f"authorized_keys of {where.user}, or set BUS_SSH_PRIVATE_KEY_FILE to the right key; "
                f"give one with a passphrase to your agent ({said})"
            )
        last = stderr.strip().splitlines()[-1:] or ["the connection was closed"]
        remedy = "see that the node is up, and that host and port are right"
        lost = UnreachableError(f"{self.target.log_in}: {last[0].strip()}; {remedy}")
        # A log-in that fails says why; of a kept connection that breaks off nothing is said.
        lost.began = _BROKE_OFF.search(stderr) is not None or (self.socket is not None and not said)
        return lost

    def _refused_by(self, stderr: str) -> Target:
        """Which of the hosts on the way ssh says it was: `user@host: Permission denied (publickey).`"""
        refused = re.findall(r"^(\S+)@(\S+): Permission denied \(", stderr, re.MULTILINE)
        hops = (hop for hop in self.via if (hop.user, hop.host) in refused)
        return self.target if (self.target.user, self.target.host) in refused else next(hops, self.target)

    def _host_key_error(self, has_changed: bool) -> HostKeyMismatchError:
        where, presented = self.target.log_in, self._presented_key()
        if presented is None and self.via:
            # What could not be asked through the jump host is the jump host's own key.
            return self._hop._host_key_error(has_changed)
        if presented is None:
            return HostKeyMismatchError(f"{where}: the host key is not the one that is known")
        line, kind, mark = presented
        file = self.known_hosts or Path("~/.ssh/known_hosts")
        if has_changed or self.target.host_key is not None:
            source = "the target's host_key" if self.target.host_key is not None else str(file)
            remedy = f"if the node was really set up anew, put the new key into {source}: {line}"
            return HostKeyMismatchError(f"{where}: the host key is {kind} {mark}, not the known one; {remedy}")
        remedy = f"if the node's console shows that fingerprint, add this line to {file}: {line}"
        return HostKeyMismatchError(f"{where}: unknown host key {kind} {mark}; {remedy}")

    def _presented_key(self) -> tuple[str, str, str] | None:
        """(known_hosts line, type, fingerprint) of the key that the node shows, with no log-in tried."""
        import tempfile  # noqa: PLC0415 - only an unknown host key needs it

        with tempfile.TemporaryDirectory(prefix="busnode-") as folder:
            file = Path(folder) / "seen"
            options = [*host_keys.only_of(file), "StrictHostKeyChecking=accept-new", "HashKnownHosts=no"]
            with self._way() as way:
                proxy = [option for option in way if option.startswith("ProxyCommand=")]
                argv = self._argv(["PreferredAuthentications=none", *options, *proxy], key=False)
                self._exchange(argv, b"", self.connect_seconds + 5)
            words = file.read_text().split() if file.exists() else []
        if len(words) < 3:
            return None
        return " ".join(words[:3]), words[1], fingerprint(words[2])


def _with_log(completed: Completed, log: Path) -> Completed:
    """With what the jump hosts' ssh said, which is read once."""
    try:
        said = log.read_bytes()[-_MAX_LOG:]
        log.unlink()
    except OSError:
        return completed
    return replace(completed, stderr=said + completed.stderr)


def was_dropped(completed: Completed) -> bool:
    """Whether sshd hung up before a key was exchanged, as it does at random when many log in: nothing ran there."""
    said = completed.stderr.strip().splitlines()
    return completed.exit_code == _SSH_FAILED and not completed.stdout and bool(said) and all(map(_DROPPED.match, said))
