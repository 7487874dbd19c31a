"""What a real build says of itself beside its image is true, and it changed nothing of the sources."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.house.sources import changes, git_status
from tests.house.tree import ROOT

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def report(iso: Path) -> dict[str, Any]:
    """The report beside the image."""
    value: dict[str, Any] = json.loads(iso.with_name("build.json").read_bytes())
    return value


def test_it_is_valid_and_of_this_image(iso: Path, report: dict[str, Any]) -> None:
    schema = json.loads((ROOT / "schemas/build.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(report)
    (last,) = (stage for stage in report["stages"] if stage["name"] == "live_build")
    with iso.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    assert last["outputs"][f"dist/{iso.name}"] == {"sha256": digest, "size": iso.stat().st_size}
    assert report["tools"].keys() >= {"live-build", "mmdebstrap", "squashfs-tools", "xorriso"}
    assert any("assemble.sh" in word for command in last["commands"] for word in command)


def test_the_build_changed_nothing_of_the_sources(
    iso: Path, sources_before: tuple[list[str], dict[str, tuple[int, int, int, int]]]
) -> None:
    said, before = sources_before
    assert git_status(ROOT) == said
    assert changes(before, ROOT) == []


def test_nothing_that_firmware_reads_is_as_young_as_the_build(
    iso: Path, report: dict[str, Any], tmp_path: Path
) -> None:
    """A time of the build itself would make another image of the next one."""
    fat = tmp_path / "efi.img"
    extract = ["xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/boot/grub/efi.img", fat]
    subprocess.run(extract, check=True, capture_output=True)
    listing = subprocess.run(["mdir", "-/", "-i", fat, "::"], check=True, capture_output=True, text=True).stdout
    days = re.findall(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", listing)
    (last,) = (stage for stage in report["stages"] if stage["name"] == "live_build")
    assert len(days) > 5
    assert max(days) <= time.strftime("%Y-%m-%d", time.gmtime(int(last["inputs"]["settings"]["date"]))), listing
