"""All that can be wrong with what a build is given: refused before any work, all of it at once, a line each."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.iso.test_graph import doit, project, runs

__all__ = ["project"]


def certificate(folder: Path, name: str) -> None:
    """A key with its certificate."""
    command = ["openssl", "req", "-new", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    files = ["-subj", f"/CN={name}", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"]
    subprocess.run([*command, *files], check=True, capture_output=True)


def test_everything_wrong_is_said_at_once_and_nothing_is_begun(project: Path) -> None:
    for name in ("ours", "theirs"):
        certificate(project, name)
    versions = project / "iso/builder/VERSIONS"
    versions.write_text(f"{versions.read_text()}NVIDIA VERSION = 1\n")
    vendor = project / "iso/vendor"
    vendor.mkdir()
    (vendor / "storcli64").write_text("#!/bin/sh\n")
    (vendor / "sas3ircu").write_bytes(Path("/bin/true").read_bytes())
    (vendor / "SHA256SUMS").write_text("")
    done = doit(
        project,
        *("iso", "colour=blue", "suite=potato", f"nvidia_sha256={'ab' * 31}"),
        *(f"sign_key={project}/ours.key", f"sign_cert={project}/theirs.pem"),
    )
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    number = len(versions.read_text().splitlines())
    wanted = (
        f"iso/builder/VERSIONS:{number}: not KEY=value without quotes or blanks: 'NVIDIA VERSION = 1'",
        "colour=blue: no such setting",
        "suite=potato: must be one of trixie, bookworm",
        f"nvidia_sha256={'ab' * 31}: not a sha256: 62 digits in place of 64",
        "this certificate is not of the key",
        "not an x86-64",
        "SHA256SUMS",
    )
    missing = [said for said in wanted if not any(said in line for line in lines)]
    assert not missing, done.stderr
    assert {name for name in ("storcli64", "sas3ircu") if any(name in line for line in lines)} == {
        "storcli64",
        "sas3ircu",
    }
    assert runs(project) == []
    assert not (project / "dist/stamps").exists()
    assert not (project / "dist/.lock").exists()
