"""Whatever an inventory holds: its scripts are sh, every shell runs them to one result, nothing of it is ever run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from busnode import hardening, history, operations, schema
from busnode.contract import ApplyFailedError, BusnodeError, Operation
from busnode.inventory import Inventory
from busnode.job import Job, Vault
from busnode.node import Node
from busnode.report import Report, parse_report
from busnode.script import DEBIAN, Layout, Plan, compile_script
from busnode.steps import credentials, directories, paths
from busnode.transport.local import Local
from tests.busnode.conftest import SHELLS

SCHEMA = schema.load("targets")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE operator"


def _given(*names: str) -> st.SearchStrategy[str]:
    """Text by the schema's own pattern of a definition, or of a property of one; hostile where that allows it."""
    found: Any = SCHEMA["$defs"]
    for name in names:
        found = found[name]
    # In ECMA-262 a $ is the very end.
    pattern = found["pattern"].replace("$)", r"\Z)").removesuffix("$") + r"\Z"
    return st.from_regex(pattern).filter(lambda text: len(text) <= min(found.get("maxLength", 60), 60))


hosts = _given("host")
packages = _given("target", "properties", "packages", "items")
accounts = _given("account")
modes = _given("mode")
places = st.one_of(
    _given("path"),
    st.sampled_from(
        ["/$(touch x)", "/`id`", "/a b/it's", '/"; reboot; "', "/-rf", "/a\\", "/*", "/é/ü", "/&|;<>()#~!"]
    ),
)


@st.composite
def inventories(draw: st.DrawFn) -> dict[str, Any]:
    """A document of one target that the schema takes, with every key that holds text."""
    target: dict[str, Any] = {
        "host": draw(hosts),
        "user": draw(accounts),
        "allowed_ports": draw(st.lists(st.integers(1, 65535), unique=True, max_size=4)),
        "packages": draw(st.lists(packages, max_size=3, unique=True)),
        "service_accounts": draw(
            st.lists(
                st.fixed_dictionaries({"name": accounts, "home": places}), max_size=2, unique_by=lambda a: a["name"]
            )
        ),
        "directories": draw(
            st.lists(
                st.fixed_dictionaries({"path": places, "owner": accounts, "group": accounts, "mode": modes}),
                max_size=3,
                unique_by=lambda item: item["path"],
            )
        ),
        "credentials": draw(
            st.lists(
                st.fixed_dictionaries(
                    {"source": st.just("secret"), "destination": places, "owner": accounts, "mode": modes}
                ),
                max_size=2,
                unique_by=lambda item: item["destination"],
            )
        ),
        "services": draw(
            st.lists(st.fixed_dictionaries({"unit": _given("unit")}), max_size=2, unique_by=lambda item: item["unit"])
        ),
        "listeners": draw(
            st.lists(
                st.fixed_dictionaries(
                    {
                        "port": st.integers(1, 65535),
                        "address": _given("listener", "properties", "address"),
                        "process": _given("listener", "properties", "process"),
                    }
                ),
                max_size=2,
            )
        ),
    }
    jsonschema.validate({"node": target}, SCHEMA)
    return {"node": target}


def _plans(node: Node) -> list[Plan]:
    return [
        operations.bootstrap_plan(node),
        operations.bootstrap_plan(node, dry_run=True),
        operations.status_plan(node.target),
        operations.verify_plan(node.target),
        hardening.harden_plan(node),
        hardening.rollback_plan(node),
    ]


@settings(suppress_health_check=list(HealthCheck), max_examples=15)
@given(document=inventories(), secret=st.binary(max_size=40), by=st.text())
def test_what_is_compiled_is_sh_and_no_argument_is_an_option(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any], secret: bytes, by: str
) -> None:
    try:
        target = Inventory.from_document(document)["node"]
    except BusnodeError:
        return
    folder = tmp_path_factory.mktemp("any")
    (folder / "secret").touch(mode=0o600)
    (folder / "secret").write_bytes(secret)
    vault = Vault(folder, None, lambda: KEY)
    texts = []
    for plan in _plans(Node(target, Local(), operator_key=lambda: KEY)):
        words = [word for step in plan.steps for word in step.call if isinstance(word, str)]
        assert not [word for word in words if word.startswith("-")]
        by_text = "".join(letter if letter.isprintable() else "?" for letter in by)
        script = compile_script(plan, operation_id="0" * 32, by=by_text)
        texts.append(Job(script, 60, plan.materials, plan.blobs).text(vault))
    # One file for all of them: each begins with settings alone.
    file = folder / "script"
    file.write_text("\n".join(texts))
    for shell in SHELLS.values():
        subprocess.run([*shell, "-n", str(file)], check=True)
    shutil.rmtree(folder)


# A name in a folder: anything but the two that the schema refuses, and what no path holds.
names = st.text(
    st.characters(blacklist_characters="/", blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=12
).filter(lambda name: name not in {".", ".."})
hostile = st.one_of(
    names,
    st.sampled_from(["-rf", "--help", "$(touch ran)", "`touch ran`", "a;touch ran", "'", '"', "\\", "*", "~", " "]),
)
ugly_modes = st.integers(0, 0o7777).map(lambda number: format(number | 0o700, "04o"))


@pytest.mark.skipif(os.getuid() != 0, reason="owners are changed by root only")
@settings(suppress_health_check=list(HealthCheck), max_examples=8)
@given(
    folders=st.lists(st.tuples(hostile, hostile, ugly_modes), min_size=1, max_size=3, unique_by=lambda item: item[0]),
    name=hostile,
    mode=ugly_modes,
    content=st.binary(max_size=200),
)
def test_every_shell_runs_it_to_the_same_result_and_nothing_else_happens(
    folders: list[tuple[str, str, str]], name: str, mode: str, content: bytes
) -> None:
    seen = [_applied(shell, folders, name, mode, content) for shell in SHELLS.values()]
    assert seen[0] == seen[1] == seen[2]
    report, tree = seen[0]
    assert {step.status.value for step in report.steps} == {"changed"}
    wanted = {f"{first}/{second}" for first, second, _ in folders} | {first for first, _, _ in folders}
    place = f"{folders[0][0]}/{folders[0][1]}/{name}"
    assert set(tree) == wanted | {place}
    assert tree[place] == (format(int(mode, 8), "o"), content)


def _applied(
    shell: tuple[str, ...], folders: list[tuple[str, str, str]], name: str, mode: str, content: bytes
) -> tuple[Report, dict[str, tuple[str, bytes | None]]]:
    """What a script says and what is then in its root, in folders of the same name for each shell."""
    base = Path("/run/busnode-any")
    base.mkdir(mode=0o700)
    try:
        root = base / "root"
        root.mkdir()
        (base / "secret").touch(mode=0o600)
        (base / "secret").write_bytes(content)
        document = {
            "host": "h",
            "user": "bus",
            "directories": [{"path": f"{root}/{a}/{b}", "owner": "daemon", "mode": mode} for a, b, mode in folders],
            "credentials": [
                {"source": "secret", "destination": f"{root}/{folders[0][0]}/{folders[0][1]}/{name}", "mode": mode}
            ],
        }
        target = Inventory.from_document({"a": document}, base=base)["a"]
        steps = (*directories.steps(target), *credentials.steps(target, authorize_operator=False))
        plan = Plan(Operation.BOOTSTRAP, steps, blobs=("secret",), parts=(paths.PART,), before=(paths.look(target),))
        layout = replace(DEBIAN, state_dir=str(base / "state"), run_dir=str(base / "lock"))
        node = Node(target, Local(shell), layout=layout, by="me")
        report = node.run(plan, 60)
        tree = {str(path.relative_to(root)): _shown(path) for path in root.rglob("*")}
        still = tuple(replace(step, seconds=0.0) for step in report.steps)
        return replace(report, steps=still), tree
    finally:
        shutil.rmtree(base)


def _shown(path: Path) -> tuple[str, bytes | None]:
    return format(path.lstat().st_mode & 0o7777, "o"), path.read_bytes() if path.is_file() else None


@pytest.mark.skipif(os.getuid() != 0, reason="root's way through the loader needs root")
@settings(suppress_health_check=list(HealthCheck), max_examples=8)
@given(tail=st.binary(max_size=60), fails=st.booleans())
def test_a_secret_is_in_no_result_log_or_exception(tail: bytes, fails: bool) -> None:
    mark = b"S3CRET-"
    with tempfile.TemporaryDirectory(dir="/run") as folder:
        base = Path(folder)
        for name in ("secret", "sudo"):
            (base / name).touch(mode=0o600)
            (base / name).write_bytes(mark + tail.replace(b"\n", b"."))
        destination = base / ("none/token" if fails else "token")
        document = {
            "host": "h",
            "user": "bus",
            "become": {"password": "sudo"},
            "credentials": [{"source": "secret", "destination": str(destination)}],
        }
        target = Inventory.from_document({"a": document}, base=base)["a"]
        layout = Layout(state_dir=str(base / "state"), run_dir=str(base / "lock"), unit_dir=str(base))
        node = Node(target, Local(), layout=layout, by="me")
        plan = Plan(
            Operation.BOOTSTRAP,
            tuple(credentials.steps(target, authorize_operator=False)),
            blobs=("secret",),
            exclusive=True,
            parts=(paths.PART,),
        )
        said: list[object] = [repr(node), repr(plan), repr(target)]
        record = history.History(base / "history", "me", said.append)
        try:
            with record.run("a", "bootstrap", dry_run=False) as made:
                made.response = node.response(plan, node.run(plan, 60))
                said.append(json.dumps(made.response.to_document()))
        except ApplyFailedError as error:
            said += [repr(error), str(error), error.output, json.dumps(error.response and error.response.to_document())]
        else:
            assert destination.read_bytes().startswith(mark)
        assert destination.exists() != fails
        said += [path.read_bytes() for path in (base / "history", *(base / "state").iterdir())]
        assert "S3CRET" not in str(said)


def test_a_report_of_a_step_that_shows_its_blob_would_be_seen() -> None:
    """That the mark above could be found at all: what a script prints is in the report."""
    line = json.dumps({"name": "a", "status": "ok", "detail": "S3CRET-x", "seconds": 0})
    assert "S3CRET" in str(parse_report(line.encode()))
