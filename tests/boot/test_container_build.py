"""A build in a real container: the same bytes as on this machine where the tools have the same versions."""

from __future__ import annotations

import json
import os
import platform
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from iso.paths import Paths
from iso.stages.image_base import TOOLS
from iso.tree import file_digest
from tests.house.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.boot.conftest import Builder

ENGINE = "podman"
pytestmark = [
    pytest.mark.acceptance_full,
    pytest.mark.skipif(shutil.which(ENGINE) is None, reason=f"not installed here: {ENGINE}"),
]
SETTINGS = {"nvidia": "none", "abi": "pin-or-newest"}
# A machine that is itself a container of somebody's has no systemd to make control groups, and its own limits.
CONFIGURATION = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
"""
# crun refuses control groups of both versions side by side.
RUNTIME = 'runtime = "runc"\n' if shutil.which("runc") else ""


@dataclass(frozen=True, slots=True)
class Built:
    """The same image, built twice.

    Attributes:
        host: on this machine.
        inside: in a container of this machine's release.
    """

    host: Path
    inside: Path

    @property
    def machine(self) -> dict[str, Any]:
        """What the container's report says of where it was made."""
        found: dict[str, Any] = json.loads((self.inside.parent / "build.json").read_bytes())["machine"]
        return found


@pytest.fixture(scope="module")
def built(build_another: Builder, tmp_path_factory: pytest.TempPathFactory) -> Built:
    file = tmp_path_factory.mktemp("podman") / "containers.conf"
    file.write_text(CONFIGURATION + RUNTIME)
    # This machine's own release: its tools then have the same versions, but for what was not updated for a while.
    variables = {
        "BEE_BUILDER_SUITE": platform.freedesktop_os_release()["VERSION_CODENAME"],
        "CONTAINERS_CONF": str(file),
        # A copy of a checkout has its commits there.
        "BEE_CONTAINER_OPTIONS": f"-v {ROOT}/.git:{ROOT}/.git:ro",
    }
    inside = build_another("container", SETTINGS | {"container": ENGINE}, variables)
    return Built(build_another("host", SETTINGS), inside)


def test_the_report_is_valid_and_says_what_was_around_the_container(built: Built) -> None:
    report = json.loads((built.inside.parent / "build.json").read_bytes())
    schema = json.loads((ROOT / "schemas/build.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(report)
    around = report["machine"]["container_on"]
    assert around["system"] == platform.freedesktop_os_release()["PRETTY_NAME"]
    assert json.loads((built.host.parent / "build.json").read_bytes())["machine"].get("container_on") is None


def test_the_bytes_are_the_same_or_the_report_names_what_is_not(built: Built) -> None:
    other = built.machine["container_on"]["other_versions"]
    # Other versions of what shapes an image may make other bytes; of the rest, such as openssl, they must not.
    assert file_digest(built.inside) == file_digest(built.host) or other.keys() & set(TOOLS), other
    for versions in other.values():
        assert versions["host"] != versions["container"]


def test_what_it_left_belongs_to_who_built_it(built: Built) -> None:
    owners = {file.lstat().st_uid for file in built.inside.parent.rglob("*")}
    assert owners == {os.getuid()}
    assert Paths.of(built.inside.parents[1]).report.is_file()
