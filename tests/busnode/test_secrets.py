"""Secrets and settings: where they come from, and that they go nowhere else."""

from __future__ import annotations

import copy
import hashlib
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busnode.contract import BadRequestError
from busnode.inventory import Target
from busnode.job import Job, Vault
from busnode.node import Node
from busnode.operations import bootstrap_plan
from busnode.script import compile_script
from busnode.secrets import Secret, read_private
from busnode.settings import Settings, parse_env
from busnode.transport.local import Local


def _private(path: Path, content: bytes = b"s3cret", mode: int = 0o600) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    path.chmod(mode)
    return path


@given(st.binary(min_size=8))
def test_a_secret_shows_in_no_text(value: bytes) -> None:
    secret = Secret(value)
    assert {repr(secret), str(secret), f"{secret}", f"{[secret]}"} <= {"Secret(…)", "[Secret(…)]"}
    for lend in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            lend(secret)


def test_references(tmp_path: Path) -> None:
    base, secrets = tmp_path / "deploy", tmp_path / "secrets"
    base.mkdir()
    secrets.mkdir()
    _private(base / "token")
    _private(secrets / "sudo", b"other")
    assert Vault(base, None).secret("token").reveal() == b"s3cret"
    assert Vault(base, None).secret("../secrets/sudo").reveal() == b"other"
    assert Vault(base, secrets).secret("secret://deployment/sudo").reveal() == b"other"


@pytest.mark.parametrize(
    ("reference", "mode", "message"),
    [
        ("token", 0o640, "mode 0640 lets others read it; run: chmod 600"),
        ("nothing", 0o600, "No such file or directory; create it"),
        (".", 0o600, "not a regular file; give the path of a file"),
        ("fifo", 0o600, "not a regular file; give the path of a file"),
        ("secret://deployment/out", 0o600, "leads out of"),
        ("secret://deployment/none", 0o600, "No such file"),
    ],
)
def test_a_bad_reference_is_refused_with_its_remedy(tmp_path: Path, reference: str, mode: int, message: str) -> None:
    _private(tmp_path / "token", mode=mode)
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/out").symlink_to(tmp_path / "token")
    with pytest.raises(BadRequestError, match=message):
        Vault(tmp_path, tmp_path / "secrets").secret(reference)


def test_secret_references_need_their_folder(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="BUS_NODE_SECRETS_DIR is not set"):
        Vault(tmp_path, None).secret("secret://deployment/sudo")


def test_a_credential_goes_into_the_bundle_and_into_no_plan_or_script(tmp_path: Path) -> None:
    _private(tmp_path / "token", b"correct horse battery")
    document = {
        "host": "h",
        "user": "bus",
        "credentials": [{"source": "token", "destination": "/srv/token"}],
    }
    node = Node(Target.from_document("proxy", document, tmp_path), Local())
    plan = bootstrap_plan(node)
    assert plan.blobs == ("token",)
    job = Job(compile_script(plan, operation_id="1", by="me"), 60, plan.materials, plan.blobs)
    digest = hashlib.sha256(b"correct horse battery").hexdigest()
    assert job.text(Vault(tmp_path)).startswith(f"material_0={digest}\n")
    assert job.pack(Vault(tmp_path)).endswith(b"correct horse batterybusnode1 end\n")
    assert "correct" not in compile_script(plan, operation_id="1", by="me") + repr(plan) + repr(node)
    assert bootstrap_plan(node, dry_run=True).blobs == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("BUS_A=x", {"BUS_A": "x"}),
        ("export BUS_A=x # y", {"BUS_A": "x"}),
        ("BUS_A='x # y'", {"BUS_A": "x # y"}),
        ('BUS_A="x y"', {"BUS_A": "x y"}),
        ("BUS_A=$(touch x)", {}),
        ("BUS_A=", {"BUS_A": ""}),
        ("LD_PRELOAD=x", {}),
        ("# BUS_A=x", {}),
    ],
)
def test_a_line_of_the_env_file(line: str, expected: dict[str, str]) -> None:
    assert parse_env(line) == expected


@given(st.text())
def test_any_env_file_gives_bus_names_only(text: str) -> None:
    assert all(name.startswith("BUS_") for name in parse_env(text))


@pytest.mark.parametrize(("mode", "taken"), [(0o600, True), (0o644, True), (0o664, False), (0o646, False)])
def test_an_env_file_that_others_can_write_is_not_taken(tmp_path: Path, mode: int, taken: bool) -> None:
    file = _private(tmp_path / ".env", b"BUS_NODE_TARGETS_FILE=a.json\n", mode)
    said: list[str] = []
    assert (Settings.read({}, said.append, file).targets_file is not None) is taken
    assert len(said) == (not taken)
    assert Settings.read({"BUS_NODE_TARGETS_FILE": "b.json"}, said.append, file).targets_file == Path("b.json")


def test_a_fifo_is_no_env_file_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env", 0o600)
    assert Settings.read({}, lambda _: None, tmp_path / ".env") == Settings()


def test_a_value_with_a_nul_byte_is_not_taken(tmp_path: Path) -> None:
    file = _private(tmp_path / ".env", b"BUS_SSH_PRIVATE_KEY_FILE=a\0b\n")
    said: list[str] = []
    assert Settings.read({}, said.append, file) == Settings()
    assert "BUS_SSH_PRIVATE_KEY_FILE ignored: its value holds a NUL byte" in said[0]


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sudo").symlink_to("sudo")
    with pytest.raises(BadRequestError, match="secret://deployment/sudo"):
        Vault(tmp_path, tmp_path).secret("secret://deployment/sudo")


def test_a_credential_of_systemds_is_private_and_no_other_file_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd gives them mode 0440, where the group's bit is the mask of an ACL."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    if os.geteuid() == 0:
        assert _refused(_private(folder / "token", mode=0o440))
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
        assert not _refused(folder / "token")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    assert _refused(_private(folder / "wide", mode=0o444))
    assert _refused(_private(folder / "writable", mode=0o660))
    assert _refused(_private(tmp_path / "elsewhere", mode=0o440))


def _refused(path: Path) -> bool:
    try:
        read_private(path)
    except BadRequestError:
        return True
    return False
