"""lynis and ssh-audit on hardened nodes: what they still find is what docs/policy.md answers."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.nodes.node import ADDRESS, ADDRESS_6

if TYPE_CHECKING:
    from tests.nodes.conftest import Deploy
    from tests.nodes.deployment import Deployment

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(1500, func_only=True)]

PAGE = Path(__file__).resolve().parents[2] / "docs/policy.md"
RELEASES = {"bookworm": "12", "trixie": "13"}
# What one audit of a whole machine takes where everything else runs beside it.
LYNIS_SECONDS = 1000


def answered(suite: str) -> set[str]:
    """The findings that the page answers for a release."""
    rows = re.findall(
        r"^\| ((?:ssh-audit|lynis) [^|]+) \| ([0-9 ]+) \| [^|]+ \| [^|]+ \|$", PAGE.read_text(), re.MULTILINE
    )
    return {finding for finding, releases in rows if RELEASES[suite] in releases.split()}


@pytest.fixture
def hardened(prepared: Deploy, suite: str) -> Deployment:
    """A hardened node with every kind of host key that an installation makes."""
    made = prepared(suite)
    made.start()
    made.node.shell("ssh-keygen -A")
    answer = made.operate("harden")
    assert answer.code == 0, answer
    return made


def test_what_the_auditors_still_find_is_answered(hardened: Deployment, suite: str) -> None:
    if shutil.which("ssh-audit", path=Path(sys.executable).parent) is None:
        pytest.skip("ssh-audit is not installed: iso/builder/setup-builder.sh acceptance")
    found = {address: _ssh_audit(hardened, address) for address in (ADDRESS, ADDRESS_6)}
    assert found[ADDRESS] == found[ADDRESS_6]
    assert found[ADDRESS] | _lynis(hardened) == answered(suite)


def _ssh_audit(made: Deployment, address: str) -> set[str]:
    """What ssh-audit warns of, seen from the operator's side."""
    # Its rate test leaves dozens of connections, for which trixie's sshd shuts this source out.
    said = made.station.run("ssh-audit", "--json", "--skip-rate-test", address, check=False, timeout=120)
    audit = json.loads(said.stdout)
    assert audit["kex"], said
    found = {f"ssh-audit {weakness['name']} cve" for weakness in audit["cves"]}
    for kind in ("kex", "key", "enc", "mac"):
        for algorithm in audit[kind]:
            levels = algorithm.get("notes", {}).keys() - {"info"}
            found |= {f"ssh-audit {kind} {algorithm['algorithm']} {level}" for level in levels}
    for note in audit["additional_notes"]:
        found.add(f"ssh-audit note {' '.join(re.findall('CVE-[0-9-]+[0-9]', note)) or note}")
    return found


def _lynis(made: Deployment) -> set[str]:
    """What lynis warns of or suggests, on the node itself."""
    made.node.shell("apt-get -q update; apt-get -qy install lynis </dev/null", timeout=170)
    made.node.run("lynis", "audit", "system", "--quick", "--no-colors", check=False, timeout=LYNIS_SECONDS)
    report = made.node.run("cat", "/var/log/lynis-report.dat").stdout
    found = set()
    for line in re.findall(r"^(?:warning|suggestion)\[\]=(.*)$", report, re.MULTILINE):
        name, _, detail, *_ = line.split("|")
        # The one test of many settings names each in its detail.
        found.add(f"lynis {name} {detail.split()[0]}" if name == "SSH-7408" else f"lynis {name}")
    assert found, report
    return found
