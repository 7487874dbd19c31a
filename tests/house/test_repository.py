"""What must hold for the repository as a whole."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import jsonschema
import pytest

from tests.house.tree import ROOT, files

if TYPE_CHECKING:
    from pathlib import Path

SCHEMAS = sorted((ROOT / "schemas").glob("*.json"))
JUDGES = ("hypothesis", "mypy", "playwright", "pytest", "pytest-timeout", "ruff", "schemathesis")


def _mirror_hosts() -> set[str]:
    try:
        listing = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(SITE)"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("apt is not here: run this on Debian")
    return {host for line in listing.split() if (host := urlsplit(line).hostname)}


def test_no_file_names_a_mirror_of_this_machine() -> None:
    hosts = [host.encode() for host in _mirror_hosts() if host not in {"localhost", "127.0.0.1"}]
    found = [str(path.relative_to(ROOT)) for path in files() if any(host in path.read_bytes() for host in hosts)]
    assert not found


def test_no_merge_was_left_undone() -> None:
    marks = re.compile(rb"^(<{7} |>{7} |={7}$)", re.MULTILINE)
    assert [str(path.relative_to(ROOT)) for path in files() if marks.search(path.read_bytes())] == []


def test_what_judges_is_pinned_exactly_and_locked_as_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = (ROOT / "requirements.lock").read_text()
    pinned = dict(line.split("==") for line in project["optional-dependencies"]["dev"] if "==" in line)
    assert set(pinned) == set(JUDGES)
    for name, version in pinned.items():
        assert re.search(rf"^{name}=={re.escape(version)} ", lock, re.MULTILINE), name


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_a_schema_is_draft_2020_12(path: Path) -> None:
    schema = json.loads(path.read_text())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


def _objects(schema: object, where: str = "#") -> list[tuple[str, dict[str, object]]]:
    """Every sub-schema that describes an object's properties, with its place."""
    found: list[tuple[str, dict[str, object]]] = []
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            found.append((where, schema))
        for key, value in schema.items():
            found += _objects(value, f"{where}/{key}")
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            found += _objects(value, f"{where}/{index}")
    return found


def test_the_audit_schema_is_closed_and_describes_every_field() -> None:
    schema = json.loads((ROOT / "schemas/audit.schema.json").read_text())
    for where, described in _objects(schema):
        assert described.get("additionalProperties") is False, where
        properties = described["properties"]
        assert isinstance(properties, dict)
        for name, field in properties.items():
            assert "description" in field or "$ref" in field, f"{where}/properties/{name}"


@pytest.mark.parametrize("package", ["bee", "busnode"])
def test_schemas_in_a_package_are_links_to_the_one_copy(package: str) -> None:
    inside = sorted((ROOT / package / "schemas").glob("*.json"))
    assert inside
    for path in inside:
        assert path.is_symlink()
        assert path.resolve() == ROOT / "schemas" / path.name


def test_links_in_documents_lead_somewhere() -> None:
    documents = [path for path in files() if path.suffix == ".md"]
    dead = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in documents
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
        if not (path.parent / target).exists()
    ]
    assert not dead


@pytest.mark.parametrize("name", ["dist", ".venv"])
def test_a_folder_kept_on_another_disk_is_no_change_of_the_commit(name: str, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    (tmp_path / name).symlink_to("/nonexistent")
    assert subprocess.run(["git", "check-ignore", "-q", name], cwd=tmp_path, check=False).returncode == 0
