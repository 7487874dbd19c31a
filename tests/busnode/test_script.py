"""The compiler and the report: plans in, scripts out; bytes in, records out."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from busnode import commit_confirm, hardening, operations
from busnode.contract import Operation, StepStatus
from busnode.node import Node
from busnode.report import Report, parse_report
from busnode.script import DEBIAN, Plan, Step, compile_script, shell_text
from busnode.steps import facts
from busnode.transport.local import Local
from tests.busnode.conftest import SHELLS, Run

if TYPE_CHECKING:
    from pathlib import Path

    from busnode.inventory import Target

PACKAGES = "ca-certificates iproute2 nftables openssh-server sudo"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE operator"
# What a shell argument can hold at all.
arguments = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]))


def _calls(plan: Plan) -> list[str]:
    """The calls of a compiled script, without the parts of the library before them."""
    script = compile_script(plan, operation_id="0" * 32, by="me@here")
    return script.split(shell_text("prelude.sh"))[1].splitlines()[-len(plan.steps) - len(plan.after) - 1 :]


def test_a_plan_becomes_one_quoted_call_a_step() -> None:
    steps = (
        Step(
            "create-directories",
            "directory /srv/a b",
            "directories",
            ("directory_present", "/srv/a b", "root", "x", "750"),
        ),
        Step("check-services", "service it's", "services", ("unit_active", "it's"), check=True),
    )
    assert _calls(Plan(Operation.BOOTSTRAP, steps)) == [
        "step 'directory /srv/a b' directory_present '/srv/a b' root x 750",
        """check 'service it'"'"'s' unit_active 'it'"'"'s'""",
        "finish",
    ]


def test_the_same_plan_is_the_same_script(target: Target) -> None:
    node = Node(target, Local(), operator_key=lambda: KEY)
    plans = [operations.bootstrap_plan(node), hardening.harden_plan(node)]
    first, second = ([compile_script(plan, operation_id="1", by="me") for plan in plans] for _ in range(2))
    assert first == second


def test_the_bootstrap_of_the_documents_own_target(target: Target) -> None:
    plan = operations.bootstrap_plan(Node(target, Local(), operator_key=lambda: KEY))
    assert _calls(plan) == [
        "once ssh read_ssh",
        "once 'wait for cloud-init' cloud_init_done 300",
        "step time clock_synchronised 90 systemd-timesyncd",
        f"step 'packages {PACKAGES}' packages_installed {PACKAGES}",
        "step 'account bus-service' service_account bus-service /var/lib/bus",
        "step 'directory /etc/bus' directory_present /etc/bus root bus-service 750",
        "step 'directory /var/lib/bus' directory_present /var/lib/bus bus-service bus-service 750",
        "step 'directory /var/log/bus' directory_present /var/log/bus bus-service bus-service 750",
        'step \'authorized key of the operator for bus\' authorized_key bus "$material_0" "$material_1" "$material_2"',
        "step 'service ssh.service' unit_state ssh.service true true",
        "script_kept",
        "finish",
    ]
    assert plan.actions == (
        "check-ssh",
        "wait-cloud-init",
        "synchronise-time",
        "install-packages",
        "create-accounts",
        "create-directories",
        "place-credentials",
        "enable-services",
    )


@pytest.mark.parametrize("name", SHELLS)
def test_every_script_passes_the_shells_own_check(name: str, target: Target, tmp_path: Path) -> None:
    node = Node(target, Local(), operator_key=lambda: KEY)
    plans = [
        operations.bootstrap_plan(node),
        operations.status_plan(target),
        operations.verify_plan(target),
        hardening.harden_plan(node),
        hardening.rollback_plan(node),
        commit_confirm.confirm_plan(Operation.HARDEN, "0" * 32),
        commit_confirm.give_up_plan(Operation.ROLLBACK, "0" * 32),
    ]
    for plan in plans:
        script = tmp_path / f"{plan.operation}.sh"
        script.write_text(compile_script(plan, operation_id="0" * 32, by="me", layout=DEBIAN))
        subprocess.run([*SHELLS[name], "-n", str(script)], check=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(words=st.lists(arguments, min_size=1, max_size=5))
def test_any_word_arrives_as_it_was_and_runs_nothing(run: Run, words: list[str]) -> None:
    report = run(Step("x", "|".join(words), "packages", ("ok", "\n".join(words))))
    assert report.ended == "ok"
    assert report.steps[0].name == "|".join(words)
    # A shell's $( ) and our own strip take white space at the ends.
    assert report.steps[0].detail == "\n".join(words).strip()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(data=st.binary(max_size=300).map(lambda data: data.replace(b"\0", b"")))
def test_any_bytes_of_a_tool_come_back_as_json(run: Run, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "said").write_bytes(data)
    report = run(Step("x", "bytes", "packages", ("fact_file", "bytes", str(tmp_path / "said"))))
    assert report.facts["bytes"] == data.rstrip(b"\n").decode("utf-8", "backslashreplace")


def test_every_single_byte_is_escaped_or_plain(run: Run, tmp_path: Path) -> None:
    every = bytes(range(1, 256)) + b"."
    (tmp_path / "said").write_bytes(every)
    report = run(Step("x", "bytes", "packages", ("fact_file", "bytes", str(tmp_path / "said"))))
    assert report.facts["bytes"] == every.decode("utf-8", "backslashreplace")


def test_after_a_failure_the_rest_is_skipped_and_checks_go_on(run: Run) -> None:
    report = run(
        Step("x", "first", "packages", ("ok",)),
        Step("x", "looked at", "packages", ("failed", "no"), check=True),
        Step("x", "second", "packages", ("failed", "broken")),
        Step("x", "third", "packages", ("changed", "never")),
    )
    assert [(step.name, step.status.value, step.detail) for step in report.steps] == [
        ("first", "ok", ""),
        ("looked at", "failed", "no"),
        ("second", "failed", "broken"),
        ("third", "skipped", "after second"),
    ]
    assert report.ended == "failed"


def test_a_step_that_says_nothing_has_failed(run: Run) -> None:
    assert run(Step("x", "mute", "packages", ("true",))).steps[0].status is StepStatus.FAILED


def test_of_two_operations_one_is_told_who_is_at_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run/holder").write_text("harden of ann@desk since 2026-01-01 00:00:00 UTC\n")
    with subprocess.Popen(["flock", str(tmp_path / "run/lock"), "sleep", "20"]) as holder:
        while subprocess.run(["flock", "-n", str(tmp_path / "run/lock"), "true"], check=False).returncode == 0:
            pass
        report = run(Step("x", "never", "packages", ("ok",)), exclusive=True)
        # The lock is of the open file: flock's child has it too.
        subprocess.run(["pkill", "-P", str(holder.pid)], check=False)
        holder.terminate()
    assert report.error == ("conflict", "the node is held by harden of ann@desk since 2026-01-01 00:00:00 UTC")
    assert report.steps == ()


def test_the_lock_of_an_operation_that_was_killed_is_nobodys(run: Run, tmp_path: Path) -> None:
    """It is of an open file, and dies with whoever held it; what is written of the holder locks nobody."""
    (tmp_path / "run/holder").write_text("harden of ann@desk since 2026-01-01 00:00:00 UTC\n")
    with subprocess.Popen(["flock", "--no-fork", str(tmp_path / "run/lock"), "sleep", "20"]) as holder:
        while subprocess.run(["flock", "-n", str(tmp_path / "run/lock"), "true"], check=False).returncode == 0:
            pass
        holder.kill()
    report = run(Step("x", "mine", "packages", ("ok",)), exclusive=True)
    assert (report.error, report.ended) == (None, "ok")
    assert "bootstrap of tester@here" in (tmp_path / "run/holder").read_text()


def test_what_an_operation_did_is_noted_for_status(run: Run, tmp_path: Path) -> None:
    run(Step("x", "one", "packages", ("ok",)), exclusive=True)
    note = json.loads((tmp_path / "state/last-operation").read_text())
    assert (note["operation"], note["by"], note["ended"]) == ("bootstrap", "tester@here", "ok")


def test_a_dry_run_notes_and_locks_nothing(run: Run, tmp_path: Path) -> None:
    report = run(Step("x", "one", "packages", ("would", "do it")), exclusive=True, dry_run=True)
    assert report.steps[0].status is StepStatus.WOULD_CHANGE
    assert list((tmp_path / "state").iterdir()) == list((tmp_path / "run").iterdir()) == []


@given(st.binary())
def test_a_report_of_any_bytes_is_read_without_complaint(data: bytes) -> None:
    assert isinstance(parse_report(data), Report)


@given(
    st.lists(
        st.one_of(
            st.binary(),
            st.dictionaries(st.sampled_from(["name", "status", "detail", "seconds", "fact", "value", "error", "end"]),
                            st.one_of(st.text(), st.integers(), st.none(), st.lists(st.text())))
            .map(lambda record: json.dumps(record).encode()),
        )
    )
)  # fmt: skip
def test_records_of_any_shape_are_read_without_complaint(lines: list[bytes]) -> None:
    report = parse_report(b"\n".join(lines))
    assert report.ended in {None, "ok", "failed"}


@pytest.mark.parametrize("seconds", ["9" * 400, "9" * 5000, "NaN", "1e999", "-1", "-Infinity", "true"])
def test_a_time_that_is_none_hurts_nobody(seconds: str) -> None:
    line = f'{{"name":"a","status":"ok","detail":"","seconds":{seconds}}}'
    for step in parse_report(line.encode()).steps:
        assert 0 <= step.seconds < 1e6


def test_facts_that_are_no_numbers_are_left_out() -> None:
    found = facts.digest({"uptime_seconds": "9" * 5000, "ssh_port": "\u0662\u0662", "last_operation": '{"at":NaN}'})
    assert found == {"reachable": True, "last_operation": None}
    deep = f'{{"operation":{"[" * 400}{"]" * 400},"by":"me","at":7,"more":1}}'
    assert facts.digest({"last_operation": deep})["last_operation"] == {"by": "me", "at": 7}
    assert facts.digest({"listeners": f"LISTEN 0 1 *:{'9' * 5000} *:*"})["listeners"][0]["port"] is None


def test_a_long_report_is_read_in_one_pass() -> None:
    line = b'{"fact":"%d","value":"x"}\n{"name":"%d","status":"ok","detail":"","seconds":0}\n'
    said = b"".join(line % (number, number) for number in range(20_000))
    began = time.monotonic()
    report = parse_report(said)
    assert (len(report.steps), len(report.facts)) == (20_000, 20_000)
    assert time.monotonic() - began < 5


@given(noise=st.lists(st.binary().filter(lambda line: not line.lstrip().startswith(b"{")), max_size=5))
def test_a_log_in_shells_chatter_hides_nothing(noise: list[bytes]) -> None:
    line = b'{"name":"a","status":"changed","detail":"\\u00c3\\u00a9","seconds":0.25}'
    said = b"\n".join([*noise, line, *noise, b'{"end":"ok"}', b""])
    report = parse_report(said)
    assert [(step.name, step.detail, step.seconds) for step in report.steps] == [("a", "é", 0.25)]
    assert report.ended == "ok"
