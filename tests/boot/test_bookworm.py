"""The other release: the image that docs/iso.md's command for bookworm builds boots, and audits the same hardware."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from iso.mounts import remove_tree
from tests.boot.conftest import Builder, timed
from tests.boot.expectations import differences, expected
from tests.boot.hardware import SERVER
from tests.boot.leaks import complaints
from tests.boot.qemu import Guest, boot
from tests.boot.smoke import SMOKE_LIMIT, SMOKETEST, verdicts
from tests.boot.start import CD, SECURE_BOOT, Start
from tests.boot.test_image import unpack
from tests.house.tree import ROOT

pytestmark = [pytest.mark.acceptance_full, pytest.mark.timeout(900)]

DOCUMENTED = re.search(r"^For bookworm: `doit iso ([^`]+)`", (ROOT / "docs/iso.md").read_text(), re.MULTILINE)


def _settings() -> dict[str, str]:
    assert DOCUMENTED
    return dict(word.split("=", 1) for word in DOCUMENTED[1].split())


@pytest.fixture(scope="module")
def image(build_another: Builder, key: Path) -> Path:
    return build_another("bookworm", _settings() | {"authorized_keys": f"{key}.pub"})


@pytest.fixture(scope="module")
def guest(image: Path, key: Path, kept: Path) -> Iterator[Guest]:
    """It, booted with Secure Boot, its audit made."""
    with boot(image, SERVER, key, Start(SECURE_BOOT, CD)) as machine:
        try:
            with timed("boot bookworm: to a log-in"):
                machine.wait_for_login()
            with timed("boot bookworm: from the log-in to the audit"):
                machine.run("systemctl is-system-running --wait", limit=300, check=False)
            yield machine
        finally:
            (kept / "serial-bookworm.log").write_text(machine.serial)


def test_it_is_the_release_that_was_asked_for(guest: Guest) -> None:
    said = guest.run(". /etc/bee-release; . /etc/os-release; echo $SUITE $VERSION_CODENAME $KERNEL_ABI $NVIDIA_VERSION")
    settings = _settings()
    assert said.stdout.split() == ["bookworm", "bookworm", settings["abi"], settings["nvidia_version"]]
    assert guest.run("uname -r").stdout.strip() == settings["abi"]


def test_the_system_runs_and_no_unit_failed(guest: Guest) -> None:
    assert guest.run("systemctl is-system-running", check=False).stdout == "running\n"


def test_the_smoke_test_passes(guest: Guest) -> None:
    answer = guest.run("sh -s", stdin=SMOKETEST.read_text(), limit=SMOKE_LIMIT, check=False)
    assert answer.code == 0, answer
    skipped = {verdict.reason for verdict in verdicts(answer.stdout).values() if verdict.word == "SKIP"}
    assert all("no NVIDIA GPU on the bus" in reason for reason in skipped), answer


def test_the_audit_says_what_the_guest_was_given(guest: Guest, kept: Path) -> None:
    text = guest.run("cat /var/log/bee-audit.json").stdout
    (kept / "audit-bookworm.json").write_text(text)
    assert differences(expected(SERVER, SECURE_BOOT), json.loads(text)) == []


def test_its_bill_of_materials_is_valid(image: Path) -> None:
    document = parse_file(str(image.with_suffix(".spdx.json")))
    assert [message.validation_message for message in validate_full_spdx_document(document)] == []


def test_no_secret_of_the_builder_is_in_it(image: Path, key: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    unpack(image, tree)
    try:
        assert complaints(tree, {"the operator's private key": key.read_bytes().splitlines()[3]}, set()) == []
    finally:
        remove_tree(tree)
