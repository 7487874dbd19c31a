"""The boot tests' own parts: encoders, expectations, breakages; and that a guest never outlives its test."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.boot import fru, smbios, traffic
from tests.boot.breakages import BREAKAGES
from tests.boot.expectations import differences, expected, facts
from tests.boot.hardware import SERVER
from tests.boot.smoke import CHECKS, verdicts
from tests.boot.test_networks import Reached, _late
from tests.house.tree import ROOT

TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=2, max_size=63)


def test_every_check_of_the_smoke_test_is_broken_once() -> None:
    assert list(BREAKAGES) == list(CHECKS)


def test_a_line_that_is_no_verdict_is_refused() -> None:
    with pytest.raises(ValueError, match="no verdict"):
        verdicts("PASS lan: there\nsh: 1: syntax error\n")


@given(serial=TEXT, part=TEXT)
def test_a_fru_inventory_adds_up_to_zero_in_every_area(serial: str, part: str) -> None:
    unit = fru.Fru(
        name="X",
        chassis=fru.Chassis(part_number=part, serial=serial),
        board=fru.Board(manufacturer="Acme", product="Board", serial=serial, part_number=part),
    )
    data = fru.inventory(unit)
    assert sum(data[:8]) % 256 == 0
    for offset in filter(None, data[2:5]):
        area = data[offset * 8 :]
        assert sum(area[: area[1] * 8]) % 256 == 0
        assert serial.encode() in area[: area[1] * 8]


@pytest.mark.parametrize("serial", ["x", "x" * 64])
def test_a_fru_field_that_cannot_be_encoded_is_refused(serial: str) -> None:
    unit = fru.Fru(name="X", chassis=fru.Chassis(part_number="", serial=serial))
    with pytest.raises(ValueError, match="0 or 2 to 63 characters"):
        fru.inventory(unit)


def test_a_memory_device_is_what_dmidecode_reads(tmp_path: Path) -> None:
    """The structures behind a SMBIOS 3 entry point, in a dump as dmidecode --dump-bin writes it."""
    table = (
        b"".join(smbios.memory_device(dimm, index) for index, dimm in enumerate(SERVER.dimms)) + b"\x7f\4\xff\xff\0\0"
    )
    entry = bytearray(b"_SM3_\0\x18\3\0\0\1\0" + len(table).to_bytes(4, "little") + (32).to_bytes(8, "little"))
    entry[5] = -sum(entry) % 256
    dump = tmp_path / "dump"
    dump.write_bytes(bytes(entry).ljust(32, b"\0") + table)
    read = subprocess.run(["dmidecode", "--from-dump", str(dump)], capture_output=True, text=True, check=True).stdout
    for dimm in SERVER.dimms:
        assert f"Locator: {dimm.locator}" in read
        if dimm.size_mib:
            assert f"Size: {dimm.size_mib // 1024} GB" in read
            assert f"Serial Number: {dimm.serial}" in read
            assert f"Configured Memory Speed: {dimm.configured_speed} MT/s" in read


MAC = "52:54:00:be:e0:01"
OTHER_MAC = "52:54:00:be:e0:02"


def ethernet(ethertype: int, packet: bytes, source: str = MAC) -> bytes:
    return b"\xff" * 6 + bytes.fromhex(source.replace(":", "")) + ethertype.to_bytes(2, "big") + packet


def ipv4(protocol: int, payload: bytes) -> bytes:
    return bytes([0x45, *[0] * 8, protocol, *[0] * 6, 192, 0, 2, 7]) + payload


def ipv6(follows: int, payload: bytes) -> bytes:
    return bytes([0x60, *[0] * 5, follows, 1, *[0] * 16, *[0x20, 1, 0xD, 0xB8, *[0] * 11, 9]]) + payload


def ports(source: int, destination: int) -> bytes:
    return source.to_bytes(2, "big") + destination.to_bytes(2, "big")


FRAMES = {
    "ARP": ethernet(0x0806, b"\0" * 28),
    "DHCP": ethernet(0x0800, ipv4(17, ports(68, 67))),
    "SSH": ethernet(0x0800, ipv4(6, ports(22, 50000))),
    "ICMPv6": ethernet(0x86DD, ipv6(0, bytes([58, 0, *[0] * 6, 143]))),
    "UDP to 192.0.2.7 port 53": ethernet(0x0800, ipv4(17, ports(40000, 53))),
    "TCP to 2001:db8::9 port 80": ethernet(0x86DD, ipv6(6, ports(40000, 80))),
}


def pcap(frames: list[bytes]) -> bytes:
    records = (struct.pack("<IIII", 1, 2, len(frame), len(frame)) + frame for frame in frames)
    return b"\xd4\xc3\xb2\xa1" + bytes(20) + b"".join(records)


@given(st.lists(st.sampled_from(sorted(FRAMES))), st.integers(min_value=0, max_value=15))
def test_what_a_guest_sent_is_told_by_kind_and_destination(kinds: list[str], cut: int) -> None:
    foreign = ethernet(0x0800, ipv4(6, ports(1, 2)), OTHER_MAC)
    recording = pcap([*(FRAMES[kind] for kind in kinds), foreign])
    # QEMU may be writing the last record.
    assert traffic.sent(recording[: len(recording) - cut], MAC) == set(kinds)


def test_a_later_fragment_has_no_ports_to_tell() -> None:
    first = bytearray(FRAMES["SSH"])
    first[20] = 0x20  # more fragments follow
    later = bytearray(ethernet(0x0800, ipv4(6, b"data")))
    later[21] = 0xB9
    assert traffic.sent(pcap([bytes(first), bytes(later)]), MAC) == {"SSH"}


def test_a_recording_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not a little-endian pcap file"):
        traffic.sent(b"", MAC)


def test_a_difference_is_named_by_its_place() -> None:
    assert differences({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}], "d": 3}) == []
    assert differences({"a": [{"b": 1}]}, {"a": [{"b": 2}, {}]}) == ["$.a has 2 entries, not 1", "$.a[0].b is 2, not 1"]
    assert differences({"a": {}}, {}) == ["$.a is missing"]
    assert differences(None, {}) == ["$ is {}, not None"]


def test_a_guest_is_compared_in_far_more_than_sixty_facts() -> None:
    stated = facts(expected(SERVER))
    assert facts({"a": [1, None, {"b": "c"}]}) == {"$.a[0]": 1, "$.a[2].b": "c"}
    parts = {place.split(".")[1].partition("[")[0] for place in stated}
    assert parts == {"host", "board", "cpu", "memory", "storage", "psu", "collectors"}
    # Each of them is seen when the audit has it otherwise.
    assert len(stated) >= 100
    assert len(differences(expected(SERVER), _without_values(expected(SERVER)))) >= len(stated)


def _without_values(wanted: object) -> object:
    if isinstance(wanted, dict):
        return {key: _without_values(value) for key, value in wanted.items()}
    return [_without_values(value) for value in wanted] if isinstance(wanted, list) else "something else"


def test_the_expectation_names_every_serial_that_the_guest_is_given() -> None:
    told = repr(expected(SERVER))
    serials = {
        SERVER.system.serial,
        SERVER.baseboard.serial,
        SERVER.chassis.serial,
        SERVER.processor.serial,
        *(dimm.serial for dimm in SERVER.dimms),
        *(disk.serial for disk in SERVER.disks),
        *(unit.product.serial for unit in SERVER.frus if unit.product),
    }
    assert not [serial for serial in serials if serial not in told]


POWER_ON = """
import signal, sys, time
from pathlib import Path
from tests.boot.hardware import SERVER
from tests.boot.qemu import boot, guests_left
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits it ignored
iso = Path(sys.argv[1])
with boot(iso, SERVER, iso):
    print(*guests_left(), flush=True)
    time.sleep(600)
"""


@pytest.mark.acceptance
@pytest.mark.parametrize("signal", ["INT", "TERM", "KILL"])
def test_a_guest_ends_with_the_process_that_booted_it(iso: Path, signal: str) -> None:
    command = [sys.executable, "-c", POWER_ON, str(iso)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as tester:
        try:
            assert tester.stdout
            guests = tester.stdout.readline().split()
            subprocess.run(["kill", f"-{signal}", str(tester.pid)], check=True)
            tester.wait(10)
        finally:
            tester.kill()
    assert guests
    deadline = time.monotonic() + 10
    while running := [pid for pid in guests if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, running
        time.sleep(0.1)


def test_a_network_is_late_when_one_thing_comes_later_there_than_elsewhere() -> None:
    soon, busy, waiting = Reached(50, 70, {"ARP"}), Reached(60, 90, set()), Reached(50, 130, set())
    assert _late({"a": soon, "b": busy}) == []
    assert _late({"a": soon, "b": busy, "c": waiting}) == ["c"]
    assert waiting.fastest(soon) == soon
