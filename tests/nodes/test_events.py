"""Direct mode and event mode on real nodes: the same requests give the same result documents."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from busnode.contract import ERRORS
from tests.nodes.deployment import ALLOWED_PORTS, Deployment, deployment
from tests.nodes.services import BUSES, PAYLOADS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.nodes.tree import Tree

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(500, func_only=True)]

DIRECT = "direct"
MODES = (DIRECT, *BUSES)

# Closes a node to every user at sshd's reload, and opens it again at the next.
CLOSE_ON_RELOAD = """
cat >/usr/local/sbin/on-reload <<'end'
#!/bin/sh
if [ -e /etc/nologin ]; then rm /etc/nologin; else echo closed >/etc/nologin; fi
end
chmod 755 /usr/local/sbin/on-reload
mkdir -p /etc/systemd/system/ssh.service.d
printf '[Service]\\nExecReload=/usr/local/sbin/on-reload\\n' >/etc/systemd/system/ssh.service.d/site.conf
systemctl daemon-reload
"""

Document = dict[str, Any]
# Asks for an operation, with other ports than the inventory's where they are given; a node that is not ok is an answer.
Ask = Callable[..., Document]


def _becomes_a_host(ask: Ask, _: Deployment) -> list[Document]:
    """From bare to verified, with what is refused on the way, and nothing left to do at the end."""
    operations = ("verify", "bootstrap", "status", "harden", "verify", "bootstrap", "harden")
    refused = ask("harden", ports=(80, 443))
    assert refused["error_class"] == "lockout_risk", refused
    said = [refused, *(ask(operation) for operation in operations)]
    assert [document["ok"] for document in said] == [False, False, *[True] * 6], said
    changed = [any(step["status"] == "changed" for step in document["steps"]) for document in said]
    assert changed == [False, False, True, False, True, False, False, False]
    return said


def _is_rolled_back(ask: Ask, made: Deployment) -> list[Document]:
    """A change that cannot be confirmed, and the node after it."""
    made.node.shell(CLOSE_ON_RELOAD)
    said = [ask("bootstrap"), ask("harden"), ask("status")]
    assert said[1]["error_class"] == "rolled_back", said[1]
    assert made.ssh("sudo", "-n", "true").returncode == 0
    return said


@pytest.mark.parametrize(
    ("suite", "scene"), [("bookworm", _becomes_a_host), ("trixie", _becomes_a_host), ("trixie", _is_rolled_back)]
)
def test_every_mode_gives_the_same_documents(
    trees: dict[str, Tree], tmp_path: Path, suite: str, scene: Callable[[Ask, Deployment], list[Document]]
) -> None:
    """A node for each mode, all at once."""

    def one(mode: str) -> list[Document]:
        with deployment(trees[suite], tmp_path / mode) as made:
            made.start()
            with _asked(made, mode) as ask:
                said = scene(ask, made)
            return [_comparable(document) for document in said]

    with ThreadPoolExecutor(len(MODES)) as pool:
        said = dict(zip(MODES, pool.map(one, MODES), strict=True))
    for mode in BUSES:
        for ours, theirs in zip(said[DIRECT], said[mode], strict=True):
            assert ours == theirs, mode


@contextlib.contextmanager
def _asked(made: Deployment, mode: str) -> Iterator[Ask]:
    if mode == DIRECT:
        yield lambda operation, ports=None: _directly(made, operation, ports)
        return
    with BUSES[mode](made) as services:

        def ask(operation: str, ports: tuple[int, ...] | None = None) -> Document:
            given = {} if ports is None else {"firewall_policy": {"allowed_ports": list(ports)}}
            return services.ask(operation, **PAYLOADS[operation], **given)

        yield ask


def _directly(made: Deployment, operation: str, ports: tuple[int, ...] | None) -> Document:
    """By the command line, whose exit code says what the document says."""
    made.write_target(allowed_ports=list(ports or ALLOWED_PORTS))
    answer = made.operate(operation, *(["--confirm"] if operation == "harden" else []))
    document = answer.document
    assert answer.code == (0 if document["ok"] else ERRORS[document["error_class"]].exit_code), answer
    return document


def _comparable(document: Document) -> Document:
    """Without times, and whose the last operations were."""
    steps = [
        {**step, "seconds": 0, "detail": re.sub("up [0-9]+ s$", "up", step["detail"])} for step in document["steps"]
    ]
    facts = {**document.get("facts", {}), "uptime_seconds": 0, "last_operation": None}
    facts["applied"] = [{**one, "operation_id": "", "by": "", "at": 0} for one in facts.get("applied", ())]
    return {**document, "steps": steps, "facts": facts}
