"""What each subcommand does: nodes of the inventory, the operation on one or on many, the result shown once."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from busnode import fleet, history, operations, view
from busnode.contract import BadRequestError, ConfirmationRequiredError, Operation
from busnode.inventory import Inventory
from busnode.node import Node, whoami
from busnode.operations import MISSING_STEPS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from busnode.console import Console
    from busnode.contract import Response
    from busnode.inventory import Target
    from busnode.plugins import StepKinds
    from busnode.script import Plan
    from busnode.settings import Settings


def operate(operation: Operation, command: argparse.Namespace, settings: Settings, console: Console) -> int:
    """One of the operations, on the nodes that were named."""
    inventory = Inventory.load(settings.require_targets_file(), _kinds(command))
    targets = _chosen(inventory, command)
    if operation is Operation.BOOTSTRAP:
        _require_steps(inventory, targets)
    nodes = [_node(target, command, settings, inventory) for target in targets]
    if console.verbose and any(node.kept for node in nodes):
        _say_if_none_is_kept(console)
    record = history.History(history.place(os.environ), whoami(), console.say)
    run = _OPERATIONS[operation](command)

    def noted(node: Node) -> Response:
        with record.run(node.target.id, operation.value, dry_run=getattr(command, "dry_run", False)) as made:
            made.response = run(node)
            return made.response

    batch = None if command.serial is None else fleet.batch_size(command.serial, len(nodes))
    if command.id is not None and len(nodes) == 1:
        return _one(operation, noted, nodes[0], command, console)
    from busnode.following import Following  # noqa: PLC0415 - one node alone is not followed

    found = fleet.each(
        nodes,
        operation,
        noted,
        parallel=command.parallel,
        batch=batch,
        fail_fast=command.fail_fast,
        progress=Following(console, len(nodes), command.progress),
    )
    console.show(found.to_document(), view.fleet(found, console.color))
    return found.exit_code


def _one(
    operation: Operation,
    run: Callable[[Node], Response],
    node: Node,
    command: argparse.Namespace,
    console: Console,
) -> int:
    try:
        response = run(node)
    except ConfirmationRequiredError as error:
        if operation is not Operation.HARDEN or not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        console.complain(str(error))
        print("Drop them? [yes/no] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() != "yes":
            raise
        # The operation reads it when it runs.
        command.confirm = True
        response = run(node)
    for line in response.diagnostics:
        console.say(line)
    if console.verbose and console.json:
        console.say(view.response(response, color=False))
    console.show(response.to_document(), view.response(response, console.color))
    return 0


def _chosen(inventory: Inventory, command: argparse.Namespace) -> list[Target]:
    """The targets that were named, in the inventory's order for tags and all, each once."""
    if command.all:
        chosen = list(inventory)
    elif command.tag is not None:
        known = {tag for target in inventory for tag in target.tags}
        unknown = [tag for tag in command.tag if tag not in known]
        if unknown:
            message = (
                f"{inventory.source}: no target has the tag {unknown[0]!r}; tags: {', '.join(sorted(known)) or 'none'}"
            )
            raise BadRequestError(message)
        chosen = [target for target in inventory if set(command.tag) & set(target.tags)]
    else:
        chosen = [inventory[node_id] for node_id in dict.fromkeys(command.id)]
    if not chosen:
        raise BadRequestError(f"{inventory.source}: no targets; add one")
    return chosen


def _kinds(command: argparse.Namespace) -> StepKinds | None:
    """The classes of the operator's own steps, where a file of them was given."""
    path = getattr(command, "steps", None)
    if path is None:
        return None
    from busnode.plugins import StepKinds  # noqa: PLC0415 - the other commands do not pay for it

    return StepKinds.load(path)


def _require_steps(inventory: Inventory, targets: Iterable[Target]) -> None:
    """Raises BadRequestError where targets name steps of the operator's own and no file of them was given."""
    without = [f"{inventory.source}: {target.id}.{MISSING_STEPS}" for target in targets if target.own_steps is None]
    if without:
        raise BadRequestError("\n".join(without))


def _node(target: Target, command: argparse.Namespace, settings: Settings, inventory: Inventory) -> Node:
    return Node.over_ssh(
        target,
        settings.require_private_key(),
        known_hosts=settings.known_hosts,
        trust_on_first_use=getattr(command, "trust_on_first_use", False),
        secrets_dir=settings.secrets_dir,
        via=inventory.way(target),
        keep_connection=getattr(command, "keep_connection", 0),
    )


def _say_if_none_is_kept(console: Console) -> None:
    from busnode.transport import kept  # noqa: PLC0415 - most operations log in anew

    try:
        kept.place(os.environ)
    except kept.NoPlaceError as error:
        console.say(f"no connection is kept, there is no folder for it: {error}")


def _limits(command: argparse.Namespace) -> dict[str, Any]:
    found = {"time_limit": command.timeout, "rollback_after": getattr(command, "rollback_after", None)}
    return {name: value for name, value in found.items() if value is not None}


def _harden(given: argparse.Namespace, node: Node) -> Response:
    from busnode import hardening  # noqa: PLC0415 - the other operations do not pay for it

    return hardening.harden(node, dry_run=given.dry_run, confirm=given.confirm, **_limits(given))


def _rollback(given: argparse.Namespace, node: Node) -> Response:
    from busnode import hardening  # noqa: PLC0415 - the other operations do not pay for it

    return hardening.rollback(node, dry_run=given.dry_run, **_limits(given))


def _hardening_plan(name: str, node: Node) -> Plan:
    from busnode import hardening  # noqa: PLC0415 - the other operations do not pay for it

    return hardening.harden_plan(node) if name == "harden" else hardening.rollback_plan(node)


_OPERATIONS: dict[Operation, Callable[[argparse.Namespace], Callable[[Node], Response]]] = {
    Operation.BOOTSTRAP: lambda given: partial(operations.bootstrap, dry_run=given.dry_run, **_limits(given)),
    Operation.STATUS: lambda given: partial(operations.status, updates=given.updates, **_limits(given)),
    Operation.VERIFY: lambda given: partial(operations.verify, **_limits(given)),
    Operation.HARDEN: lambda given: partial(_harden, given),
    Operation.ROLLBACK: lambda given: partial(_rollback, given),
}


def show_list(_: argparse.Namespace, settings: Settings, console: Console) -> int:
    """`list`: the inventory."""
    inventory = Inventory.load(settings.require_targets_file())
    rows = [
        {"node_id": target.id, "host": target.host, "port": target.port, "user": target.user, "tags": list(target.tags)}
        for target in inventory
    ]
    console.show({"targets": rows}, view.targets(rows))
    return 0


def show_plan(command: argparse.Namespace, settings: Settings, console: Console) -> int:
    """`plan`: the steps of the operations, without a connection."""
    inventory = Inventory.load(settings.require_targets_file(), _kinds(command))
    node = _node(inventory[command.id], command, settings, inventory)
    wanted = [command.operation] if command.operation else list(_PLANS)
    plans = {name: [(step.action, step.name) for step in _PLANS[name](node).steps] for name in wanted}
    document = {
        "node_id": node.target.id,
        "plan": {name: [{"action": action, "name": step} for action, step in found] for name, found in plans.items()},
    }
    console.show(document, view.plans(plans))
    return 0


def show_history(command: argparse.Namespace, settings: Settings, console: Console) -> int:
    """`history`: what was done to the nodes from this account."""
    chosen = None
    if command.tag is not None:
        chosen = frozenset(t.id for t in _chosen(Inventory.load(settings.require_targets_file()), command))
    elif command.id is not None:
        # A node that has left the inventory keeps its history.
        chosen = frozenset(command.id)
    record = history.History(history.place(os.environ), whoami(), console.say)
    entries = record.entries(chosen)[-command.last :]
    console.show({"entries": entries}, view.history(entries))
    return 0


def serve(command: argparse.Namespace, settings: Settings, _: Console) -> int:
    """`serve`: the services of a deployment in this process."""
    from busnode.services import programs  # noqa: PLC0415 - no other command needs a bus

    return programs.serve(command, settings)


_PLANS: dict[str, Callable[[Node], Plan]] = {
    "bootstrap": operations.bootstrap_plan,
    "status": lambda node: operations.status_plan(node.target),
    "harden": partial(_hardening_plan, "harden"),
    "verify": lambda node: operations.verify_plan(node.target),
    "rollback": partial(_hardening_plan, "rollback"),
}

COMMANDS: dict[str, Callable[[argparse.Namespace, Settings, Console], int]] = {
    **{operation.value: partial(operate, operation) for operation in Operation},
    "list": show_list,
    "plan": show_plan,
    "history": show_history,
    "serve": serve,
}
