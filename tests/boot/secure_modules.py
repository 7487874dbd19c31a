"""Modules of a kernel that takes signed ones alone: keys, a machine that knows one of them, signatures taken away."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.boot.conftest import timed
from tests.boot.hardware import SERVER
from tests.boot.qemu import Guest, boot
from tests.boot.smoke import SMOKE_LIMIT, SMOKETEST, verdicts
from tests.boot.start import CD, SECURE_BOOT, Firmware, Start
from tests.boot.test_starts import FORCED, choose

NVIDIA = "/usr/local/lib/nvidia"
MODULE = f"{NVIDIA}/nvidia.ko"
_OWNER = "605dab50-e046-4300-abb6-3dd810dd8b23"  # shim's GUID; whose certificate it is, nobody asks
# What insmod says of a signature that is missing, or of a key that the kernel does not know, by which of them it is.
REFUSED = re.compile("Operation not permitted|Key was rejected|Required key not available")
# Without what scripts/sign-file appended: the signature, what describes it (its length last), a mark.
STRIP = """
import sys
module = open(sys.argv[1], "rb").read()
mark = b"~Module signature appended~\\n"
assert module.endswith(mark)
end = len(module) - len(mark)
size = int.from_bytes(module[end - 4:end], "big")
open(sys.argv[2], "wb").write(module[:end - 12 - size])
"""


def make_pairs(folder: Path) -> Path:
    """Two pairs of key and certificate in a folder, `ours` and `theirs`, where they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("ours", "theirs"):
        if not (folder / f"{name}.pem").exists():
            # docs/iso.md, "Signed modules"
            subject = ["-subj", f"/CN=bee acceptance, {name}/", "-addext", "keyUsage=digitalSignature"]
            files = ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
            make = ["openssl", "req", "-new", "-x509", "-newkey", "rsa:3072", "-nodes", "-days", "3650", *subject]
            subprocess.run([*make, "-addext", "extendedKeyUsage=codeSigning", *files], check=True, capture_output=True)
    return folder


def that_knows(certificate: Path, variables: Path) -> Firmware:
    """Firmware with Secure Boot in whose `variables` a certificate is enrolled, as MokManager does it: in MokList."""
    command = [f"{Path(sys.executable).parent}/virt-fw-vars", "-i", SECURE_BOOT.variables, "-o", str(variables)]
    subprocess.run([*command, "--add-mok", _OWNER, str(certificate)], check=True, capture_output=True)
    return dataclasses.replace(SECURE_BOOT, variables=str(variables))


@contextmanager
def forced(name: str, image: Path, key: Path, firmware: Firmware, kept: Path) -> Iterator[Guest]:
    """An image on a machine of that firmware, the driver's modules tried though there is no GPU."""
    start = Start(firmware, CD)
    with boot(image, SERVER, key, start) as machine:
        try:
            with timed(f"boot {name} modules, Secure Boot: to a log-in"):
                choose(machine, start, FORCED)
                machine.wait_for_login()
            machine.run("systemctl is-system-running --wait", limit=300, check=False)
            yield machine
        finally:
            (kept / f"serial-{name}.log").write_text(machine.serial)


def tried(guest: Guest) -> str:
    """What bee-nvidia says of a new try to load the modules."""
    guest.run("systemctl restart bee-nvidia", check=False)
    return guest.run("journalctl -b -u bee-nvidia -o cat --no-pager -n 40").stdout.rpartition("Starting ")[2]


def checked(guest: Guest, name: str) -> tuple[str, str]:
    """Word and reason of one check of the smoke test."""
    said = guest.run(f"sh -s -- {name}", stdin=SMOKETEST.read_text(), limit=SMOKE_LIMIT, check=False).stdout
    verdict = verdicts(said)[name]
    return verdict.word, verdict.reason
