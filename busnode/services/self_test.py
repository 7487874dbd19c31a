"""`bus-integration-node --self-test`: all four requests through the bus of one process, and a dry run here."""

from __future__ import annotations

import getpass
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, SupportsBytes

from busnode import schema
from busnode.contract import ApplyFailedError
from busnode.events.envelope import NODE_OPERATIONS, NODE_REQUESTS, SCRIPT_REQUEST, Envelope, response_name
from busnode.events.memory import Memory
from busnode.inventory import Inventory
from busnode.script import Layout
from busnode.services.node_worker import NodeWork
from busnode.services.ssh_runner import Keys, ScriptWork
from busnode.services.worker import Worker
from busnode.transport import Answer, Family
from busnode.transport.process import Completed, exchange

if TYPE_CHECKING:
    from collections.abc import Sequence

PASSED = "OK bus-integration-node self-test"
_NODE = "self-test"
_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINotAKeyOfAnybodyAtAllButOfTheSelfTestAA self-test"
_LIMIT_SECONDS = 30.0


def run() -> None:
    """Raises ApplyFailedError with the first thing that is not as the contract has it. Changes nothing."""
    with tempfile.TemporaryDirectory(prefix="bus-self-test-") as folder:
        _all_requests(Path(folder))


def _all_requests(folder: Path) -> None:
    target = {
        "host": "localhost",
        "user": "nobody",
        "allowed_ports": [22],
        "packages": [],
        "credentials": [],
        "directories": [{"path": str(folder / "directory")}],
    }
    inventory = Inventory.from_document({_NODE: target})
    bus = Memory()
    nodes = NodeWork(inventory, lambda request, limit: bus.ask(request, time_limit=limit), layout=_layout(folder))
    scripts = ScriptWork(inventory, Keys(folder / "none"), lambda *_: _DryRun(folder), lambda _: _KEY)
    workers = [
        Worker("self-test", bus.inbox(NODE_REQUESTS, group="node"), nodes.handle, nodes.set_aside, 4, _silent),
        Worker("self-test", bus.inbox((SCRIPT_REQUEST,), group="ssh"), scripts.handle, scripts.set_aside, 4, _silent),
    ]
    for worker in workers:
        worker.start()
    try:
        for operation in NODE_OPERATIONS:
            _one_request(bus, operation)
    finally:
        for worker in workers:
            worker.stop(_LIMIT_SECONDS)


def _one_request(bus: Memory, operation: str) -> None:
    payload: dict[str, object] = {"node_id": _NODE}
    if operation in {"bootstrap", "harden"}:
        payload |= {"transport": "ssh-runner", "target_ref": f"nodes.{_NODE}", "confirm": False}
    if operation == "verify":
        payload["checks"] = ["ssh", "systemd", "listeners"]
    request = Envelope(f"bus.node.{operation}.request", f"self-test-{operation}", payload)
    answer = bus.ask(request, time_limit=_LIMIT_SECONDS)
    said = answer.payload
    wrong = list(schema.violations(said, schema.load("node-response")))
    # Whether this machine is as a node should be is not asked: that its script ran, was heard and answered is.
    if (answer.name, answer.correlation_id) != (response_name(request.name), request.correlation_id):
        wrong.append(f"{operation}: answered as {answer.name} {answer.correlation_id}")
    if said.get("operation") != operation or said.get("error_class") in {"bad_request", "unauthorized", "unreachable"}:
        wrong.append(f"{operation}: {said.get('error_class')}: {'; '.join(said.get('diagnostics', ()))}")
    if not any(step["status"] != "skipped" for step in said.get("steps", ())):
        wrong.append(f"{operation}: no step was run")
    if any(step["status"] == "changed" for step in said.get("steps", ())):
        wrong.append(f"{operation}: a step changed something")
    if wrong:
        raise ApplyFailedError(wrong[0])


def _layout(folder: Path) -> Layout:
    return Layout(*(str(folder / name) for name in ("state", "run", "00-busnode.conf", "firewall.nft", "units")))


@dataclass(frozen=True)
class _DryRun:
    """Runs scripts here as whoever asks, without becoming root."""

    folder: Path
    notes: tuple[str, ...] = ()
    gateway: str = "here"

    def run(self, bundle: SupportsBytes, *, time_limit: float) -> Completed:
        header, _, content = bytes(bundle).partition(b"\n")
        script = content[: int(header.split()[2])]
        with tempfile.TemporaryDirectory(dir=self.folder) as box:
            argv: Sequence[str] = ("/bin/sh", "-c", 'cat >"$0/script" && exec sh "$0/script" "$0" "" "$1" </dev/null')
            return exchange([*argv, box, _user()], script, time_limit=time_limit)

    def probe(self, port: int, *, time_limit: float, family: Family | None = None) -> Answer:  # noqa: ARG002
        """Unknown: nothing is outside of this machine."""
        return Answer.UNKNOWN


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _silent(_: str, __: str, **___: object) -> None:
    """The self-test prints its one line, and no log."""
