"""A guest in QEMU that boots an image through the image's own boot loader, and dies with the test whatever happens."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from iso.tree import file_digest
from tests.boot.command_line import (
    WIRE,
    hardware_arguments,
    medium_arguments,
    nic_arguments,
    serial_arguments,
    start_arguments,
)
from tests.boot.start import NO_NIC, Start

if TYPE_CHECKING:
    from tests.boot.hardware import Hardware
    from tests.boot.lan import Lan

QEMU = "qemu-system-x86_64"
BOOT_LIMIT = 20 * 60  # seconds, from power-on to a log-in
SERIAL_LINES_SHOWN = 60
KVM_PROBE_LIMIT = 20  # seconds; with a KVM that works the kernel is through in two

# Under emulation the rep-string instructions that these flags advertise are slower than plain loops.
EMULATED = ("-accel", "tcg,thread=multi", "-cpu", "max,erms=off,fsrm=off")
ACCELERATED = ("-accel", "kvm", "-cpu", "host")


# ECMA-48: colours, cursor positions. systemd puts them into the middle of its words.
CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-9;?!]*[A-Za-z]")

DEFAULT_START = Start()

# In every guest's command line, by which it is found again.
FOLDER_PREFIX = f"bee-guest-{os.getpid()}-"


class Device(Protocol):
    """What can be put into a machine."""

    def arguments(self) -> list[str]:
        """QEMU's, with it."""
        ...


class GuestError(Exception):
    """The guest did not do what was waited for; the message ends with what its serial line said last."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command in the guest gave."""

    code: int
    stdout: str
    stderr: str


def guests_left() -> list[int]:
    """Processes of guests that this process booted and that still run."""
    left = []
    for command_line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if FOLDER_PREFIX.encode() in command_line.read_bytes():
                left.append(int(command_line.parent.name))
    return left


@functools.cache
def accelerator(iso: Path) -> tuple[str, ...]:
    """QEMU's arguments for the fastest accelerator that runs the image's kernel.

    /dev/kvm may exist and still run no guest, or run one until its first modern instruction: so the kernel itself is
    started, without a root file system, and has to come as far as its panic.
    """
    if not Path("/dev/kvm").exists():
        return EMULATED
    with tempfile.TemporaryDirectory(prefix="bee-kvm-probe-") as folder:
        kernel = f"{folder}/vmlinuz"
        extract = ["xorriso", "-osirrox", "on", "-indev", str(iso), "-extract", "/live/vmlinuz", kernel]
        subprocess.run(extract, capture_output=True, check=True)
        command = [
            *("setpriv", "--pdeathsig", "KILL", QEMU, *ACCELERATED, "-m", "512", "-nodefaults", "-display", "none"),
            *("-no-reboot", "-kernel", kernel, "-append", "panic=-1"),
        ]
        if _ends_well(command, Path(folder) / "errors"):
            return ACCELERATED
    return EMULATED


def _ends_well(command: list[str], errors: Path) -> bool:
    """Whether QEMU ends by itself within KVM_PROBE_LIMIT. It stays, stopped, when KVM gives up."""
    with errors.open("wb") as stderr, subprocess.Popen(command, stderr=stderr) as process:
        try:
            deadline = time.monotonic() + KVM_PROBE_LIMIT
            while process.poll() is None and time.monotonic() < deadline and b"KVM internal" not in errors.read_bytes():
                time.sleep(0.1)
            return process.poll() == 0
        finally:
            process.kill()


def free_port() -> int:
    """A loopback port that the kernel chose."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _answer(command: list[str], stdin: str, limit: float, variables: Mapping[str, str] | None = None) -> Answer:
    try:
        done = subprocess.run(
            command,
            input=stdin,
            env=os.environ | (variables or {}),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise GuestError(f"{command[-1]!r} did not end within {limit:.0f} s") from None
    return Answer(done.returncode, done.stdout, done.stderr)


class Guest:
    """A running machine. Use `boot`, which also takes it down."""

    def __init__(self, folder: Path, key: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self._folder = folder
        self._key = key
        self.port = port
        self._through: tuple[str, ...] = ()
        self._address = "127.0.0.1"
        self._process = process
        self._disks = self._digests()
        self._began = time.monotonic()

    # -- the serial line

    @property
    def serial(self) -> str:
        """All that the first serial line has said, without the terminal's control sequences."""
        return self.said()

    def said(self, line: int = 0) -> str:
        """The same of any serial line."""
        log = self._folder / f"serial{line}.log"
        return CONTROL_SEQUENCE.sub("", log.read_text(errors="replace")) if log.exists() else ""

    def wait_for(self, happened: Callable[[], bool], what: str, limit: float) -> None:
        """Wait until something is so; `what` names it.

        Raises:
            GuestError: it is not within `limit` seconds, or the guest stopped.
        """
        self._wait(happened, what, limit, pause=0.2)

    def wait_for_serial(self, text: str, limit: float, line: int = 0) -> float:
        """Wait until a serial line has said `text`; seconds from power-on until then.

        Raises:
            GuestError: it has not within `limit` seconds, or the guest stopped.
        """
        self._wait(lambda: text in self.said(line), f"serial line {line} to say {text!r}", limit, pause=0.1)
        return time.monotonic() - self._began

    def type_on_serial(self, text: str, line: int = 0) -> None:
        """Type `text` on a serial line."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._folder / f"serial{line}.sock"))
            connection.sendall(text.encode("ascii"))
            time.sleep(1)  # QEMU drops what its emulated UART has not taken when the peer leaves

    # -- what it costs

    @property
    def processor_seconds(self) -> float:
        """Processor time that the machine has used since power-on: unlike the clock's, nobody else's work is in it."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")  # utime and stime, proc_pid_stat(5)

    # -- the screen

    def picture(self) -> bytes:
        """What the graphics card shows, as a PPM (netpbm's P6)."""
        shot = self._folder / "screen.ppm"
        self._monitor("screendump", filename=str(shot))
        return shot.read_bytes()

    # -- what can be pulled out

    def pull_the_stick(self) -> None:
        """Pull the USB stick that it was booted from."""
        self._monitor("device_del", id="stick")

    @property
    def wire(self) -> Path:
        """What passed the network card, as a pcap file."""
        return self._folder / WIRE

    # -- its disks

    def changed_disks(self) -> list[str]:
        """Files of the machine's disks that something was written to since power-on."""
        found = self._digests()
        return [name for name in found if found[name] != self._disks[name]]

    def _digests(self) -> dict[str, str]:
        return {file.name: file_digest(file) for file in sorted(self._folder.glob("disk*.img"))}

    # -- the network card's cable

    def set_cable(self, *, plugged: bool) -> None:
        """Plug or unplug the network card's cable."""
        self._monitor("set_link", name="nic0", up=plugged)

    def plug_in_a_network_card(self, name: str) -> None:
        """Put one into a USB socket, on a network of its own with DHCP."""
        self._monitor("netdev_add", type="user", id=name, restrict=True)
        self._monitor("device_add", driver="usb-net", id=f"{name}-card", netdev=name)

    # -- power, keyboard and USB

    def power_off(self) -> None:
        """Cut the power."""
        self._process.kill()
        self._process.wait()

    def type_on_keyboard(self, keys: Iterable[str]) -> None:
        """Press keys, by QEMU's names of them (`a`, `spc`, `shift-dot`, `ret`)."""
        for key in keys:
            pressed = [{"type": "qcode", "data": name} for name in key.split("-")]
            self._monitor("send-key", keys=pressed)
            time.sleep(0.1)

    def throttle(self, drive: str, bytes_per_second: int) -> None:
        """Let a drive read and write no faster."""
        no_limit = dict.fromkeys(("bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0)
        self._monitor("block_set_io_throttle", device=f"{drive}-image", bps=bytes_per_second, **no_limit)

    def pull_out(self, device: str) -> None:
        """Take a USB device away, whatever it is being used for."""
        self._monitor("device_del", id=device)

    # -- a shell in the guest

    def log_in_at(self, address: str, lan: Lan) -> None:
        """From now on commands go to that address, from the other end of the guest's cable."""
        self._address, self.port, self._through = address, 22, tuple(lan.inside())

    def run(self, command: str, *, stdin: str = "", limit: float = 120, check: bool = True) -> Answer:
        """Run a shell command as root over SSH, with the key that was built into the image.

        Raises:
            GuestError: it did not end within `limit` seconds, or (with `check`) not with exit code 0.
        """
        answer = _answer([*self.ssh_command("-i", str(self._key), "-o", "BatchMode=yes"), command], stdin, limit)
        if check and answer.code:
            raise GuestError(f"{command!r} ended with {answer.code}: {answer.stderr or answer.stdout}")
        return answer

    def run_by_password(self, password: str, command: str, *, stdin: str = "", limit: float = 120) -> Answer:
        """The same with a password in the place of the key; ssh's exit code is 255 where that is refused.

        Raises:
            GuestError: it did not end within `limit` seconds.
        """
        askpass = self._folder / "askpass"
        askpass.write_text("#!/bin/sh\nprintf '%s\\n' \"$BEE_PASSWORD\"\n")
        askpass.chmod(0o700)
        options = ("-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1")
        asked = {"SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force", "BEE_PASSWORD": password}
        return _answer([*self.ssh_command(*options), command], stdin, limit, asked)

    def ssh_command(self, *options: str) -> list[str]:
        """ssh to this guest, independent of the user's own configuration and agent."""
        settings = {
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": str(self._folder / "known_hosts"),
            "ConnectTimeout": "20",
            "ServerAliveInterval": "15",
            "LogLevel": "ERROR",
        }
        configured = [argument for name, value in settings.items() for argument in ("-o", f"{name}={value}")]
        ssh = ["ssh", "-F", "none", *configured, *options, "-p", str(self.port), f"root@{self._address}"]
        return [*self._through, *ssh]

    def wait_for_login(self, limit: float = BOOT_LIMIT, password: str = "") -> None:
        """Wait until a command runs over SSH: the forwarded port accepts long before anything listens behind it.

        Raises:
            GuestError: nobody could log in, with the key or that password, within `limit` seconds after power-on.
        """
        left = limit - (time.monotonic() - self._began)
        self._wait(lambda: self.answers(password), "a log-in over SSH", left, pause=2)

    def answers(self, password: str = "") -> bool:
        """Whether a command runs over SSH, with the key or that password, and ends within 30 seconds."""
        with contextlib.suppress(GuestError):
            if password:
                return self.run_by_password(password, "true", limit=30).code == 0
            return self.run("true", limit=30, check=False).code == 0
        return False

    # --

    def _wait(self, happened: Callable[[], bool], what: str, limit: float, pause: float) -> None:
        deadline = time.monotonic() + limit
        while not happened():
            if self._process.poll() is not None:
                errors = (self._folder / "qemu.log").read_text(errors="replace")
                raise GuestError(f"QEMU ended with {self._process.returncode} before {what}: {errors}")
            if time.monotonic() > deadline:
                last = "\n".join(self.serial.splitlines()[-SERIAL_LINES_SHOWN:])
                raise GuestError(f"waited {limit:.0f} s in vain for {what}; the serial line's last lines:\n{last}")
            time.sleep(pause)

    def _monitor(self, command: str, **arguments: object) -> None:
        """One QMP command (QEMU Machine Protocol), on a connection of its own."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(str(self._folder / "monitor.sock"))
            with connection.makefile("rwb") as stream:
                stream.readline()  # the greeting
                for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                    stream.write(json.dumps(request).encode() + b"\n")
                    stream.flush()
                    answer = json.loads(stream.readline())
                    while "event" in answer:
                        answer = json.loads(stream.readline())
                    if "error" in answer:
                        raise GuestError(f"{command}: {answer['error']['desc']}")


@contextlib.contextmanager
def boot(
    iso: Path,
    hardware: Hardware,
    key: Path,
    start: Start = DEFAULT_START,
    *,
    cable: bool = True,
    lan: Lan | None = None,
    stick: Device | None = None,
) -> Iterator[Guest]:
    """Power a machine on with the image as its medium; at the end it and its files are gone.

    Args:
        iso: the image; its own boot loader starts it.
        hardware: what the machine is made of.
        key: private key of root's account in the image.
        start: firmware, medium and network.
        cable: whether the network card's cable is plugged in from the start.
        lan: what is at the other end of the cable; without it a network of QEMU's own, with DHCP.
        stick: something more that is in it from the start, such as a stick in a USB socket.
    """
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))  # short: a socket's path has at most 107 bytes
    try:
        port = free_port()
        with (folder / "qemu.log").open("wb") as log:
            network = lan.nic_arguments(hardware.nic) if lan else nic_arguments(hardware.nic, start, port, folder)
            command = [
                # The kernel kills QEMU when the test's process dies, however it dies.
                *("setpriv", "--pdeathsig", "KILL", *(lan.inside() if lan else ())),
                *_command(iso, hardware, start, folder),
                *network,
                *(stick.arguments() if stick else ()),
            ]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            guest = Guest(folder, key, port, process)
            _await_monitor(folder, process)
            if start.network != NO_NIC:
                guest.set_cable(plugged=cable)
            guest._monitor("cont")
            yield guest
        finally:
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(folder)


def _sweep() -> None:
    """Remove what runs left that were killed: a folder each is all that can outlive them."""
    for folder in Path(tempfile.gettempdir()).glob("bee-guest-*-*"):
        owner = folder.name.split("-")[2]
        if not Path(f"/proc/{owner}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def _await_monitor(folder: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while not (folder / "monitor.sock").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise GuestError(f"QEMU does not start: {(folder / 'qemu.log').read_text(errors='replace')}")
        time.sleep(0.05)


def _command(iso: Path, hardware: Hardware, start: Start, folder: Path) -> list[str]:
    # -S: nothing runs before `cont`.
    return [
        *(QEMU, *accelerator(iso)),
        *("-nodefaults", "-vga", "std", "-display", "none", "-no-reboot", "-S"),
        *start_arguments(start, folder),
        *hardware_arguments(hardware, folder),
        *medium_arguments(start, iso),
        *serial_arguments(folder),
        *("-qmp", f"unix:{folder}/monitor.sock,server=on,wait=off"),
    ]
