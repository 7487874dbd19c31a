"""status of a node that does not come to its end: what was read is told, and the rest is named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from busnode import schema
from busnode.contract import (
    ApplyFailedError,
    BusnodeError,
    OperationTimeoutError,
    SudoRequiredError,
    UnreachableError,
)
from busnode.node import Node
from busnode.operations import status
from busnode.transport.local import Local

if TYPE_CHECKING:
    from busnode.inventory import Target
    from busnode.script import Layout

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="root's way through the loader needs root")

Program = Callable[[str, str], Path]


def _broken_off(target: Target, layout: Layout, kind: type[BusnodeError]) -> BusnodeError:
    with pytest.raises(kind) as caught:
        status(Node(target, Local(), layout=layout), time_limit=2)
    assert caught.value.response is not None
    document = caught.value.response.to_document()
    assert list(schema.violations(document, schema.load("node-response"))) == []
    assert (document["ok"], document["error_class"]) == (False, kind.error_class)
    return caught.value


def test_a_node_that_uses_its_whole_time_is_told_as_far_as_it_was_read(
    target: Target, layout: Layout, program: Program
) -> None:
    program("systemctl", "sleep 30")
    response = _broken_off(target, layout, OperationTimeoutError).response
    assert response is not None
    assert response.facts["reachable"] is True
    assert response.facts["kernel"] == os.uname().release
    assert not {"units", "listeners", "last_operation", "applied"} & set(response.facts)
    assert [step.name for step in response.steps if step.status == "ok"] == ["ssh", "release"]
    assert response.diagnostics[-1] == (
        "not read: units, listeners, firewall counters, pending reboot, last operation, what was set"
    )


def test_a_node_that_says_nothing_is_not_reachable(target: Target, layout: Layout, tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\ncat >/dev/null\nexit 255\n")
    silent.chmod(0o755)
    with pytest.raises(UnreachableError) as caught:
        status(Node(target, Local(shell=(str(silent),)), layout=layout), time_limit=2)
    assert caught.value.response is not None
    assert caught.value.response.facts == {"reachable": False}
    assert not any("not read" in line for line in caught.value.response.diagnostics)


@pytest.mark.parametrize(
    ("kind", "why"),
    [(SudoRequiredError, "sudo asks for a password"), (ApplyFailedError, "no folder for temporary files")],
)
def test_a_log_in_that_came_to_no_step_is_not_reachable(
    target: Target, layout: Layout, tmp_path: Path, kind: type[BusnodeError], why: str
) -> None:
    refusing = tmp_path / "refusing"
    said = json.dumps({"error": kind.error_class, "detail": why})
    refusing.write_text(f"#!/bin/sh\ncat >/dev/null\necho '{said}'\nexit 1\n")
    refusing.chmod(0o755)
    with pytest.raises(kind, match=why) as caught:
        status(Node(target, Local(shell=(str(refusing),)), layout=layout), time_limit=2)
    assert caught.value.response is not None
    assert caught.value.response.facts == {"reachable": False}
    assert not any("not read" in line for line in caught.value.response.diagnostics)


def test_a_node_that_was_read_whole_names_nothing(target: Target) -> None:
    response = status(Node(target, Local()))
    assert response.facts["reachable"] is True
    assert not any("not read" in line for line in response.diagnostics)
