"""The addresses that names lead to, and what answers there: always bounded, and no name is asked for twice."""

from __future__ import annotations

import errno
import socket
import threading
from typing import TYPE_CHECKING

from busnode.transport import Answer, Family

if TYPE_CHECKING:
    from collections.abc import Iterable

_DNS_SECONDS = 5.0
_FAMILIES: dict[int, Family] = {socket.AF_INET: Family.IPV4, socket.AF_INET6: Family.IPV6}


class Addresses:
    """The addresses that names lead to, asked for once; a DNS that never answers costs its limit.

    No further name is asked for once there is one of each family.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._found: list[tuple[Family, str]] = []
        self._asked = False
        self._lock = threading.Lock()

    def of(self, family: Family) -> str | None:
        """Its first address, None where no name leads to one."""
        return next((address for kind, address in self._known() if kind is family), None)

    def all(self) -> tuple[str, ...]:
        """Every address, in their order as text."""
        return tuple(sorted({address for _, address in self._known()}))

    def _known(self) -> tuple[tuple[Family, str], ...]:
        with self._lock:
            if not self._asked:
                self._asked = True
                asking = threading.Thread(target=self._ask, daemon=True)
                asking.start()
                asking.join(_DNS_SECONDS)
        return tuple(self._found)

    def _ask(self) -> None:
        for name in self._names:
            if len({family for family, _ in self._found}) == len(_FAMILIES):
                return
            try:
                # Bytes, where they will do: Python loads its codec of international names for any text.
                host = name.encode() if name.isascii() else name
                known = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError):
                continue
            told = ((_FAMILIES[family], str(address[0])) for family, *_, address in known if family in _FAMILIES)
            self._found.extend(told)


def answer(host: str, port: int, time_limit: float) -> Answer:
    """What a TCP connect comes to within so many seconds; UNKNOWN where the name leads nowhere."""
    try:
        with socket.create_connection((host, port), timeout=time_limit):
            return Answer.OPEN
    except ConnectionRefusedError:
        return Answer.REFUSED
    except TimeoutError:
        return Answer.SILENT
    except OSError as error:
        rejected = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES}
        return Answer.SILENT if error.errno in rejected else Answer.UNKNOWN
    except UnicodeError:
        # No name of the DNS, as ssh's configuration may have it.
        return Answer.UNKNOWN
