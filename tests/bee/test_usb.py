"""`bee audit --save-to-usb`: which devices are sticks, what is written on them; nothing else is touched."""

from __future__ import annotations

import json
import os
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee import usb, usb_writer
from tests.house.tree import ROOT

NAME = "SYS-1_2026-11-22T031746Z"
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a mount")


def _device(path: str, **fields: object) -> dict[str, object]:
    blank = {"label": None, "fstype": None, "rm": False, "tran": None, "mountpoints": [None]}
    return {"path": path, **blank, **fields}


def _lsblk(*devices: dict[str, object]) -> bytes:
    return json.dumps({"blockdevices": devices}).encode()


def _usb_disk(**partition: object) -> dict[str, object]:
    """A USB disk with one partition, labelled BEE unless said otherwise."""
    found = _device("/dev/sdb1", **{"label": "BEE", "fstype": "vfat", **partition})
    return _device("/dev/sdb", tran="usb", children=[found])


def test_a_partition_and_a_whole_disk_labelled_bee_are_sticks() -> None:
    whole = _device("/dev/sdc", rm=True, label="BEE", fstype="exfat")
    assert usb.sticks(_lsblk(whole, _usb_disk())) == (
        usb.Stick(device="/dev/sdb1", file_system="vfat"),
        usb.Stick(device="/dev/sdc", file_system="exfat"),
    )


@pytest.mark.parametrize("label", [None, "", "bee", "BEE ", "BEES", "XBEE", 7, ["BEE"]])
def test_another_label_is_not_even_mentioned(label: object) -> None:
    assert usb.sticks(_lsblk(_usb_disk(label=label))) == ()


@pytest.mark.parametrize(
    ("disk", "refusal"),
    [
        (_device("/dev/sda", tran="sata", label="BEE", fstype="ext4"), "it is on no USB and no removable disk"),
        (_usb_disk(mountpoints=[None, "/run/live/medium"]), "it is in use at /run/live/medium"),
        ({**_usb_disk(), "mountpoints": ["/run/live/medium"]}, "it is in use at /run/live/medium"),
        (_usb_disk(fstype="crypto_LUKS"), "its file system, crypto_LUKS, is none of vfat, exfat, ext2, ext3, ext4"),
        (_usb_disk(fstype=None), "its file system, none, is none of vfat, exfat, ext2, ext3, ext4"),
    ],
)
def test_what_bears_the_label_and_is_left_alone_says_why(disk: dict[str, object], refusal: str) -> None:
    [stick] = usb.sticks(_lsblk(disk))
    assert stick.refusal == refusal


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["BEE", "usb", "vfat", "/dev/sdb"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["blockdevices", "children", "label", "path", "tran", "fstype", "mountpoints"]), inner
        )
    ),
    max_leaves=20,
)


@given(document=JSON)
def test_whatever_lsblk_prints_is_taken(document: object) -> None:
    for stick in usb.sticks(json.dumps(document).encode()):
        assert stick.refusal is not None or stick.file_system in usb.FILE_SYSTEMS


@given(output=st.binary(max_size=80))
def test_whatever_is_no_json_is_no_stick(output: bytes) -> None:
    assert usb.sticks(output) == ()


def _document(serial: object) -> dict[str, Any]:
    return {"started_at": "2026-11-22T03:17:46Z", "board": {"system": {"serial": serial}}}


@pytest.mark.parametrize(
    ("serial", "name"),
    [
        ("SYS-0123456789", "SYS-0123456789_2026-11-22T031746Z"),
        (" 12/34:5*6 ", "12-34-5-6_2026-11-22T031746Z"),
        ("../../etc", "etc_2026-11-22T031746Z"),
        ("CON.x", "CON-x_2026-11-22T031746Z"),
        ("…", "no-serial_2026-11-22T031746Z"),
        (None, "no-serial_2026-11-22T031746Z"),
    ],
)
def test_a_folder_is_named_by_serial_and_time(serial: str | None, name: str) -> None:
    assert usb.folder_name(_document(serial)) == name


@given(serial=st.none() | st.text(max_size=60) | st.integers() | st.lists(st.text()))
def test_every_file_system_takes_the_folders_name(serial: object) -> None:
    name = usb.folder_name(_document(serial))
    assert set(name) <= set(string.ascii_letters + string.digits + "-_")
    assert 0 < len(name.split("_")[0]) <= 40


# --- what is written


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for name in ("audit.json", "report.txt"):
        (folder / name).write_text(name * 1000)
    return folder


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


def _tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_nothing_that_is_there_is_ever_overwritten(source: Path, stick: Path) -> None:
    taken = stick / usb.FOLDER
    taken.mkdir()
    (taken / NAME).mkdir()
    (taken / NAME / "audit.json").write_text("mine")
    (taken / f"{NAME}-2").write_text("a file")
    assert usb_writer.copy(source, stick, NAME) == f"{usb.FOLDER}/{NAME}-3"
    assert usb_writer.copy(source, stick, NAME) == f"{usb.FOLDER}/{NAME}-4"
    copies = {f"{usb.FOLDER}/{NAME}-{n}/{name}": text for n in (3, 4) for name, text in _tree(source).items()}
    assert _tree(stick) == {
        f"{usb.FOLDER}/{NAME}/audit.json": "mine",
        f"{usb.FOLDER}/{NAME}-2": "a file",
        **copies,
    }


def test_a_link_on_the_stick_leads_nowhere(source: Path, stick: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (stick / usb.FOLDER).symlink_to(elsewhere)
    with pytest.raises(usb_writer.StickError, match="bee-audits on it is no folder"):
        usb_writer.copy(source, stick, NAME)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("call", ["os.fsync", "os.rename"])
def test_a_failure_leaves_nothing_of_ours(
    source: Path, stick: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stick / usb.FOLDER).mkdir()

    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(call, fail)
    with pytest.raises(usb_writer.StickError, match="it is damaged, or was pulled out"):
        usb_writer.copy(source, stick, NAME)
    assert _tree(stick) == {}
    assert list((stick / usb.FOLDER).iterdir()) == []


@NEEDS_ROOT
@pytest.mark.parametrize(("options", "said"), [("size=8k", "it is full"), ("ro", "it can only be read, or")])
def test_a_file_system_that_takes_nothing(source: Path, stick: Path, options: str, said: str) -> None:
    code = (
        "import sys; from pathlib import Path; from bee import usb_writer\n"
        f"usb_writer.copy(Path({str(source)!r}), Path({str(stick)!r}), {NAME!r})"
    )
    script = f'mount -t tmpfs -o {options} tmpfs {stick} && {sys.executable} -c "{code}"; find {stick} -type f'
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, cwd=ROOT, check=True)
    assert f"StickError: {said}" in done.stderr.decode().splitlines()[-1]
    assert done.stdout == b""


# --- the command

# Stand-ins where a stick would be needed: lsblk and blkid tell of one, and mount puts a folder there in its place.
STAND_INS = {
    "lsblk": "cat {folder}/lsblk.json",
    "blkid": "echo {label}",
    "mount": 'echo "$*" >>{folder}/calls; for last; do :; done; exec {folder}/mount.real --bind {folder}/stick "$last"',
}


def _save(folder: Path, lsblk: bytes, *, label: str = "BEE", flags: str = "") -> subprocess.CompletedProcess[bytes]:
    """`bee audit --save-to-usb` on a machine with these devices; /var/log is its own."""
    (folder / "stick").mkdir(exist_ok=True)
    (folder / "lsblk.json").write_bytes(lsblk)
    script = ["set -e", "mount -t tmpfs tmpfs /var/log", f"cp /usr/bin/mount {folder}/mount.real"]
    for name, body in STAND_INS.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\n{body.format(folder=folder, label=label)}\n")
        program.chmod(0o755)
        place = "/usr/sbin" if name == "blkid" else "/usr/bin"
        script.append(f"{folder}/mount.real --bind {program} {place}/{name}")
    script.append(f"exec {sys.executable} -m bee audit --skip memory,storage,pcie,psu,nvidia --save-to-usb {flags}")
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", "\n".join(script)], capture_output=True, cwd=ROOT, timeout=60, check=False
    )


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stdout.decode().splitlines()[0]


@NEEDS_ROOT
def test_a_stick_gets_the_audit_its_report_and_a_recording_that_gives_the_same_audit(tmp_path: Path) -> None:
    done = _save(tmp_path, _lsblk(_usb_disk()))
    assert done.returncode == 0, done
    [folder] = (tmp_path / "stick" / usb.FOLDER).iterdir()
    assert _said(done) == f"saved on /dev/sdb1: {usb.FOLDER}/{folder.name}"
    audit_file = folder / "audit.json"
    again = subprocess.run(
        [sys.executable, "-m", "bee", "audit", "--from", str(folder / "recording.tar.gz")],
        capture_output=True,
        cwd=ROOT,
        check=True,
    )
    assert again.stdout == audit_file.read_bytes()
    reported = subprocess.run(
        [sys.executable, "-m", "bee", "report", str(audit_file)], capture_output=True, cwd=ROOT, check=True
    )
    assert (folder / "report.txt").read_bytes() == reported.stdout
    assert (folder / "report.html").read_text().startswith("<!DOCTYPE html>")
    [call] = (tmp_path / "calls").read_text().splitlines()
    assert call.startswith("-i -w -t vfat -o nosuid,nodev,noexec,noatime -- /dev/sdb1 ")


@NEEDS_ROOT
def test_without_a_stick_the_audit_is_written_and_exit_3_says_the_rest(tmp_path: Path) -> None:
    done = _save(tmp_path, _lsblk(_device("/dev/sda", tran="sata", fstype="ext4")))
    assert (done.returncode, _said(done)) == (3, "nothing saved: no USB stick labelled BEE")
    assert not (tmp_path / "calls").exists()


@NEEDS_ROOT
def test_of_several_sticks_each_has_its_own_line(tmp_path: Path) -> None:
    internal = _device("/dev/sda", tran="sata", label="BEE", fstype="ext4")
    done = _save(tmp_path, _lsblk(internal, _usb_disk()))
    assert done.returncode == 3
    saved, not_saved = done.stdout.decode().splitlines()[:2]
    assert saved.startswith("saved on /dev/sdb1: bee-audits/")
    assert not_saved == "not saved on /dev/sda: it is on no USB and no removable disk; left alone"
    assert len((tmp_path / "calls").read_text().splitlines()) == 1


@NEEDS_ROOT
def test_a_device_that_changed_its_label_since_is_not_mounted(tmp_path: Path) -> None:
    done = _save(tmp_path, _lsblk(_usb_disk()), label="DATA")
    assert (done.returncode, _said(done)) == (3, "not saved on /dev/sdb1: it is not labelled BEE any more")
    assert not (tmp_path / "calls").exists()


@NEEDS_ROOT
def test_a_folder_for_what_is_temporary_that_is_full_costs_the_copies_alone(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    code = (
        "import sys; from bee import usb; from bee.machine import Recorded, Run\n"
        "lsblk = Run(args=usb._LSBLK, outcome='exited', exit_code=0, stdout=sys.stdin.buffer.read())\n"
        "print(usb.save({'audit.json': bytes(10**6)}, 'name', Recorded({usb._LSBLK: lsblk})))"
    )
    script = f'mount -t tmpfs -o size=64k tmpfs {temporary} && {sys.executable} -c "{code}"; find {temporary} -type f'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        input=_lsblk(_usb_disk()),
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        cwd=ROOT,
        check=True,
    )
    said = "nothing saved: cannot prepare the copies in a temporary folder: No space left on device"
    assert (done.stderr, done.stdout.decode()) == (b"", f"{([], [said])}\n")


def test_with_a_recording_there_is_nothing_to_save() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bee", "audit", "--from", "x.tar.gz", "--save-to-usb"],
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == b"bee: --save-to-usb has no meaning with --from: it saves what this machine is\n"
