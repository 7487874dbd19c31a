"""Connections that are kept for a while, so that the next run need not log in, by ssh itself (ControlPersist).

A kept connection answers where a new log-in would not: it is for operations that only need to get to the node, never
for those that tell whether one can. Its socket is named after everything that decides whether a log-in is let in and
where it leads, so that whoever gives another key, pin or way meets nobody else's.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import re
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, SupportsBytes

from busnode.contract import BusnodeError, OperationTimeoutError, UnreachableError
from busnode.records import replace
from busnode.script import END, HELLO, READY
from busnode.transport.configuration import SYSTEM_CONFIGURATION, USER_CONFIGURATION, drop_ins
from busnode.transport.openssh import OpenSsh, Socket, was_dropped
from busnode.transport.process import Greeting, exchange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from busnode.transport import Answer, Family
    from busnode.transport.process import Completed

# sockaddr_un has 108 bytes (unix(7)); ssh makes the socket under another name first, 17 letters longer.
_LONGEST = 108 - 1 - 17
# ssh would expand anything else, or split there.
_PLAIN = re.compile(r"/[A-Za-z0-9._/-]+")
# Of the time that a log-in has to connect, how much a connection that may be dead has to answer.
_SHARE = 3
_STOP_SECONDS = 2.0
# What the client says of a master that does not serve it, before it logs in itself.
_OF_THE_MASTER = re.compile(rb"(mux_client_|ControlSocket |Control socket |muxclient)")
_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
_FILES_CONFIGURED = ("userknownhostsfile", "globalknownhostsfile", "revokedhostkeys")
_KEYS_CONFIGURED = ("identityfile", "certificatefile")
# What ssh looks for beside a private key.
_BESIDE = ("", ".pub", "-cert.pub")
# Names of files that ssh makes of others: tokens, variables, other accounts' homes.
_MADE = re.compile(r"[%$]|~[^/]")


class NoPlaceError(Exception):
    """There is no folder that only this user can write, and whose path is short enough for a socket."""


class KeptSsh:
    """A way to a node as OpenSsh's, whose connection is kept for so many seconds after its last use.

    What cannot be kept is no failure: then each run logs in.
    """

    def __init__(self, ssh: OpenSsh, seconds: int) -> None:
        self._ssh, self._seconds = ssh, seconds

    @property
    def notes(self) -> tuple[str, ...]:
        return self._ssh.notes

    @property
    def gateway(self) -> str:
        return self._ssh.gateway

    def probe(self, port: int, *, time_limit: float, family: Family | None = None) -> Answer:
        return self._ssh.probe(port, time_limit=time_limit, family=family)

    def run(self, bundle: SupportsBytes, *, time_limit: float) -> Completed:
        """Over the kept connection where there is one that lives, else over one that is kept from then on.

        The line without which nothing runs is held back until the node has answered, so that what a dead connection
        swallowed can be sent again.
        """
        sent, begin = bytes(bundle), time.monotonic()
        socket = self._socket()
        if socket is None:
            return self._ssh.run(sent, time_limit=time_limit)
        way = replace(self._ssh, socket=socket)
        if os.path.lexists(socket.path):
            seconds = way.connect_seconds / _SHARE
            all_but_the_end = sent.removesuffix(END)
            greeting = Greeting(HELLO + all_but_the_end, READY, seconds)
            completed = way.attempt(sent[len(all_but_the_end) :], time_limit, greeting)
            if completed.answered or _is_definite(completed):
                return self._judged(way, completed, time_limit)
            # A master that hangs cannot be told to stop, and one whose connection is dead ends by its keep-alives.
            socket.path.unlink(missing_ok=True)
            left = max(1, round(way.connect_seconds - (time.monotonic() - begin)))
            way = replace(way, connect_seconds=left)
        try:
            return way.run(sent, time_limit=time_limit - (time.monotonic() - begin))
        except UnreachableError as error:
            if str(socket.path) not in str(error):
                raise
            # The folder takes no socket: the log-in ended there, before anything was sent.
            return self._ssh.run(sent, time_limit=time_limit - (time.monotonic() - begin))
        except OperationTimeoutError:
            _forget(self._ssh, socket.path)
            raise

    def _judged(self, way: OpenSsh, completed: Completed, time_limit: float) -> Completed:
        try:
            return way.judged(completed, time_limit)
        except BusnodeError:
            assert way.socket is not None
            _forget(self._ssh, way.socket.path)
            raise

    def _socket(self) -> Socket | None:
        if not is_keepable(self._ssh):
            return None
        try:
            return Socket(place(os.environ) / name(self._ssh), self._seconds)
        except (NoPlaceError, OSError):
            return None


def is_keepable(ssh: OpenSsh) -> bool:
    """Not where ssh's configuration leads through another host, whose words would be lost, or has a program of its
    own that tells host keys; nor where it names keys so that only ssh itself finds them."""
    if ssh.configured_jump or ssh.configuration.get("knownhostscommand", "none") != "none":
        return False
    return not any(_MADE.search(each) for way in ssh.ways for each in _keys(way))


def forget(ssh: OpenSsh) -> None:
    """Close what is kept of this host and port, by whatever key and way it was opened; what runs over it goes on."""
    for folder in _folders(os.environ):
        with contextlib.suppress(OSError, NoPlaceError):
            _require_own(folder)
            for path in folder.glob(f"{_host_part(ssh)}-*"):
                _forget(ssh, path)


def _forget(ssh: OpenSsh, path: Path) -> None:
    argv = [ssh.program, "-F", "none", "-O", "stop", "-o", f"ControlPath={path}", "--", ssh.target.host]
    with contextlib.suppress(OSError, BusnodeError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            exchange(argv, time_limit=_STOP_SECONDS)
    # One that is dead, or does not answer, leaves it there.
    with contextlib.suppress(OSError):
        path.unlink()


def _is_definite(completed: Completed) -> bool:
    """Whether ssh, with no answer from a kept connection, logged in itself and was told why it may not."""
    lines = completed.stderr.strip().splitlines()
    said = [line for line in lines if not _OF_THE_MASTER.match(line)]
    return (
        completed.exit_code is not None and bool(said) and not was_dropped(replace(completed, stderr=b"\n".join(said)))
    )


def place(environment: Mapping[str, str]) -> Path:
    """The folder of the sockets, made where it is missing: $XDG_RUNTIME_DIR/busnode, else a temporary one.

    Raises NoPlaceError saying why each of them cannot be taken.
    """
    reasons = []
    for folder in _folders(environment):
        try:
            _require_usable(folder)
            _require_safe(folder.parent)
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            _require_own(folder)
        except OSError as error:
            reasons.append(f"{folder}: {error.strerror}")
        except NoPlaceError as error:
            reasons.append(f"{folder}: {error}")
        else:
            return folder
    raise NoPlaceError("; ".join(reasons))


def _folders(environment: Mapping[str, str]) -> Iterator[Path]:
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        yield Path(runtime) / "busnode"
    yield Path(environment.get("TMPDIR") or "/tmp") / f"busnode-{os.geteuid()}"  # noqa: S108 - it is looked at closely


def _require_usable(folder: Path) -> None:
    """Raises NoPlaceError where ssh could not make a socket below that path."""
    if not _PLAIN.fullmatch(str(folder)):
        raise NoPlaceError("its path has letters that ssh would take for something else")
    if len(str(folder)) + 1 + _NAME_LENGTH > _LONGEST:
        raise NoPlaceError("its path is too long for a socket")


def _require_own(folder: Path) -> None:
    """Raises NoPlaceError where anybody else could put something there."""
    _require_safe(folder.parent)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise NoPlaceError("it is no folder of this user's")
    if stat.S_IMODE(found.st_mode) != 0o700:
        raise NoPlaceError(f"its mode is {stat.S_IMODE(found.st_mode):04o}; run: chmod 0700 {folder}")


def _require_safe(above: Path) -> None:
    """Raises NoPlaceError where others could rename what is in that folder."""
    found = above.stat()
    is_shared = found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX
    if is_shared or found.st_uid not in {0, os.geteuid()}:
        raise NoPlaceError("others can rename it")


def name(ssh: OpenSsh) -> str:
    """What the socket of a way is called: which host and port it is for, then a digest of all the rest."""
    digest = hashlib.sha256("\0".join(ingredients(ssh)).encode("utf-8", "surrogateescape")).hexdigest()
    return f"{_host_part(ssh)}-{digest[:_DIGITS]}"


_HOST_DIGITS, _DIGITS = 10, 32
_NAME_LENGTH = _HOST_DIGITS + 1 + _DIGITS


def _host_part(ssh: OpenSsh) -> str:
    host = f"{_network()}\0{ssh.target.host.lower()}\0{ssh.target.port}"
    return hashlib.sha256(host.encode("utf-8", "surrogateescape")).hexdigest()[:_HOST_DIGITS]


def _network() -> str:
    """The network namespace: equal addresses in two of them are two hosts. A master in it keeps it its number."""
    try:
        return str(Path("/proc/self/ns/net").readlink())
    except OSError:
        return ""


def ingredients(ssh: OpenSsh) -> Iterator[str]:
    """What decides whether a log-in is let in, and where it leads: files as digests of their content.

    What an agent holds is not among it. Raises OSError where the host's name leads to no address.
    """
    yield _network()
    yield str(os.geteuid())
    yield os.environ.get("SSH_AUTH_SOCK", "")
    yield from ssh.addresses
    for beside in _BESIDE:
        yield _digest(Path(f"{ssh.private_key}{beside}"))
    for way in ssh.ways:
        yield from way.command
        yield str(way.target.host_key)
        yield str(way.trust_on_first_use)
        yield from (f"{key} {value}" for key, value in way.configuration.items())
        for path in _files(way):
            yield f"{path} {_digest(path)}"


def _files(way: OpenSsh) -> Iterator[Path]:
    if way.configured:
        yield from (SYSTEM_CONFIGURATION, *_paths(USER_CONFIGURATION), *drop_ins())
        yield from _paths(*(f"{key}{beside}" for key in _keys(way) for beside in _BESIDE))
    if way.target.host_key is not None:
        return
    if way.known_hosts is not None:
        yield way.known_hosts
        return
    yield from _paths(*_KNOWN_HOSTS)
    for key in _FILES_CONFIGURED:
        yield from _paths(*way.configuration.get(key, "").split())


def _keys(way: OpenSsh) -> Iterator[str]:
    """The configuration's own keys and certificates, which ssh offers beside the one that it is given."""
    for key in _KEYS_CONFIGURED:
        yield from way.configuration.get(key, "").splitlines()


def _paths(*names: str) -> Iterator[Path]:
    """With the home folder that ssh takes, the account's own, and the one of the environment."""
    homes = [os.path.expanduser("~")]  # noqa: PTH111 - as text
    with contextlib.suppress(KeyError):
        homes.append(pwd.getpwuid(os.geteuid()).pw_dir)
    for each in names:
        for home in dict.fromkeys(homes) if each.startswith("~") else homes[:1]:
            yield Path(home + each[1:] if each.startswith("~") else each)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return error.strerror or "unread"
