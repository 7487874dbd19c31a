"""What goes wrong in the field, on real nodes; docs/field.md names the test of each."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.nodes.tree import USER

if TYPE_CHECKING:
    from tests.nodes.conftest import Deploy
    from tests.nodes.deployment import Deployment

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300, func_only=True)]

PASSWORD = "correct horse battery"
CONTENT = "s3cret of the site"


def _private(made: Deployment, name: str, text: str) -> str:
    file = made.folder / "local" / name
    file.touch(mode=0o600)
    file.write_text(text)
    return f"../local/{name}"


class Watching:
    """Reads, as long as it is entered, what every process of the machine shows: nodes and operators are among them."""

    def __init__(self, *words: str) -> None:
        self._words = [word.encode() for word in words]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.scripts: set[str] = set()
        self.found: set[bytes] = set()

    def _watch(self) -> None:
        while not self._over.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    shown = (process / "cmdline").read_bytes() + b"\0" + (process / "environ").read_bytes()
                except OSError:
                    continue
                if b"/busnode." in shown:
                    self.scripts.add(process.name)
                self.found |= {shown for word in self._words if word in shown}

    def __enter__(self) -> Watching:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def test_no_process_ever_shows_a_secret(prepared: Deploy) -> None:
    """A sudo password and a credential, on their way through a real bootstrap and harden."""
    made = prepared("bookworm")
    made.node.place(f"/etc/sudoers.d/{USER}", f"{USER} ALL=(ALL:ALL) ALL\n", mode=0o440)
    made.start()
    made.node.run("chpasswd", stdin=f"{USER}:{PASSWORD}\n")
    made.write_target(
        become={"password": _private(made, "sudo", PASSWORD + "\n")},
        credentials=[
            {"authorized_key": "operator"},
            {"source": _private(made, "token", CONTENT), "destination": "/etc/bus/token"},
        ],
    )
    with Watching(PASSWORD, CONTENT) as watching:
        answers = [made.operate(operation) for operation in ("bootstrap", "harden")]
    assert [answer.code for answer in answers] == [0, 0], answers
    assert made.node.run("cat", "/etc/bus/token").stdout == CONTENT
    assert watching.scripts, "the script was seen while it ran"
    assert watching.found == set()
    kept = made.node.shell("journalctl --no-pager; cat /var/lib/busnode/last-operation; ls -R /run/busnode* || :")
    history = "".join(file.read_text() for file in made.station.home.rglob("history.jsonl"))
    assert history
    for word in (PASSWORD, CONTENT):
        assert word not in f"{answers}{kept}{history}"


def test_a_password_that_sudo_does_not_ask_for_is_nobodys_input(prepared: Deploy) -> None:
    made = prepared("trixie")
    made.start()
    made.write_target(become={"password": _private(made, "sudo", "touch /run/eaten\n")})
    for _ in range(2):
        answer = made.operate("bootstrap")
        assert (answer.code, answer.changed) == (0, []), answer
    assert made.node.run("test", "-e", "/run/eaten", check=False).returncode == 1


def test_an_sshd_that_its_socket_starts_is_hardened_and_stays_so(prepared: Deploy, suite: str) -> None:
    """ssh.socket listens where it says itself, whatever sshd's Port; the sshd that it has started runs on."""
    made = prepared(suite)
    made.start()
    made.node.shell("systemctl disable --now ssh.service; systemctl enable --now ssh.socket")
    again = made.operate("bootstrap")
    assert (again.code, again.changed) == (0, []), again
    assert {step["name"]: step["detail"] for step in again.document["steps"]}["service ssh.service"] == (
        "ssh.socket serves it"
    )
    hardened = made.operate("harden")
    assert hardened.code == 0, hardened
    assert "sshd reload" in hardened.changed
    methods = made.ssh("true", options=("-o", "PreferredAuthentications=none")).stderr
    assert "(publickey)" in methods
    assert made.operate("verify").code == 0
    assert made.operate("rollback").code == 0
    methods = made.ssh("true", options=("-o", "PreferredAuthentications=none")).stderr
    assert "password" in methods, "the sshd that runs reads the old state too"
    assert made.operate("harden").code == 0
    made.node.power_cycle()
    assert made.ssh("sudo", "-n", "true").returncode == 0
