"""What a schema cannot say of a targets file: entries that contradict each other, their profile or good sense."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from busnode.contract import BadRequestError
from busnode.script import DEBIAN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from busnode.plugins import StepKinds

# RFC 1035, section 2.3.4.
_LABEL_LENGTH = 63
# Units by which an operator logs in, under each of their names.
_SSH_UNITS = frozenset({"ssh.service", "ssh.socket", "sshd.service", "sshd.socket"})
# The key by which two entries of a list are about the same thing.
_NAMED_BY = {"directories": "path", "service_accounts": "name", "credentials": "destination", "services": "unit"}


def mistakes(
    document: dict[str, Any], completed: Mapping[str, dict[str, Any]], kinds: StepKinds | None
) -> Iterator[str]:
    """One line a mistake, each beginning with the path of what it is about.

    Args:
        document: the targets by their ids, as a schema accepts them.
        completed: the same with what their profiles say.
        kinds: the classes of the operator's own steps; None where they were not given.
    """
    for node_id, target in document.items():
        given = target.get("firewall_policy", {}).get("allowed_ports")
        if given is not None and "allowed_ports" in target and sorted(given) != sorted(target["allowed_ports"]):
            yield f"{node_id}.allowed_ports: differs from firewall_policy.allowed_ports; keep one of the two"
        settings = completed[node_id]
        accounts = [account["name"] for account in settings["service_accounts"]]
        if target["user"] in accounts:
            # harden denies log-ins to service accounts.
            yield f"{node_id}.user: {target['user']} is a service account, which never logs in; use another"
        if any(not 1 <= len(label) <= _LABEL_LENGTH for label in target["host"].removesuffix(".").split(".")):
            yield f"{node_id}.host: a part between dots is empty or longer than {_LABEL_LENGTH}; give a host name"
        if "root" in accounts:
            yield f"{node_id}.service_accounts: root would lose its shell, and with it sudo; remove it"
        for index, service in enumerate(settings["services"]):
            if service["unit"] in _SSH_UNITS and not (service.get("enabled", True) and service.get("running", True)):
                yield f"{node_id}.services[{index}]: without {service['unit']} nobody can log in; remove the entry"
        yield from _repeated(node_id, settings)
        yield from _in_our_folders(node_id, settings)
        if kinds is not None:
            yield from _wrong_steps(node_id, target.get("steps", ()), kinds)
    yield from _wrong_ways(document)
    yield from _shared_host_keys(document)


def _in_our_folders(node_id: str, settings: dict[str, Any]) -> Iterator[str]:
    """Root runs what busnode keeps on the node: nobody else may come to write there."""
    for name, key in (("directories", "path"), ("credentials", "destination")):
        for index, item in enumerate(settings[name]):
            path = f"{item.get(key, '')}/"
            if any(path.startswith(f"{ours}/") for ours in (DEBIAN.state_dir, DEBIAN.run_dir)):
                yield f"{node_id}.{name}[{index}].{key}: {item[key]} is busnode's own; give another"


def _wrong_ways(document: dict[str, Any]) -> Iterator[str]:
    """A jump host must be a target, and the way must come to an end."""
    for node_id in document:
        passed, at = [node_id], node_id
        while (via := document[at].get("via")) is not None:
            if via not in document:
                if at == node_id:
                    yield f"{node_id}.via: there is no target {json.dumps(via)}; add it, or correct the name"
                break
            if via in passed:
                if via == node_id:
                    yield f"{node_id}.via: the way goes in a circle: {' via '.join([*passed, via])}; break it"
                break
            passed.append(via)
            at = via


def _shared_host_keys(document: dict[str, Any]) -> Iterator[str]:
    """Two nodes with one key are a copied machine: who has the key of one can pass for the other."""
    seen: dict[str, str] = {}
    for node_id, target in document.items():
        key = target.get("host_key")
        if key is None:
            continue
        # What identifies it: the fingerprint, or the base64 part wherever it stands in the line.
        mark = next((word for word in key.split() if word.startswith(("SHA256:", "AAAA"))), key)
        if mark in seen:
            yield f"{node_id}.host_key: {seen[mark]} has the same; make new host keys on one of the two"
        seen.setdefault(mark, node_id)


def _repeated(node_id: str, settings: dict[str, Any]) -> Iterator[str]:
    """Entries that are about one thing: the later would undo the earlier, at every run."""
    for name, key in _NAMED_BY.items():
        seen: set[str] = set()
        for index, item in enumerate(settings[name]):
            value = item.get(key)
            if value in seen:
                yield f"{node_id}.{name}[{index}].{key}: {value} is there twice; keep one of the two"
            if value is not None:
                seen.add(value)


def _wrong_steps(node_id: str, items: Sequence[dict[str, Any]], kinds: StepKinds) -> Iterator[str]:
    """Steps of the operator's own that no class is given for, or that their classes do not take."""
    names: set[str] = set()
    for index, item in enumerate(items):
        try:
            name = kinds.record(item).name
        except BadRequestError as error:
            yield from (f"{node_id}.steps[{index}].{line}" for line in str(error).splitlines())
            continue
        if name in names:
            yield f"{node_id}.steps[{index}]: a step called {json.dumps(name)} is there twice; keep one of the two"
        names.add(name)
