"""No identity is left after redaction, one value has one pseudonym everywhere, and what is no identity stays."""

from __future__ import annotations

import io
import json
import os
import re
from dataclasses import replace
from gzip import decompress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee import redaction
from bee.audit import serialise
from bee.machine import Recorded, Run
from bee.placeholders import is_placeholder
from bee.recording import Recording, pack, unpack
from bee.redaction import Redactor
from tests.bee.recorded import LINKS, SYS_FILES, audit, exited, runs, server
from tests.bee.test_audit import errors
from tests.bee.test_cli import run
from tests.bee.test_recording import again, seen

# Every identity of the recorded server, in the spelling that its tools print.
SECRETS = (
    *("rack7", "SYS-4711", "BRD-0815", "CHS-1234", "RACK-7", "CPU-SER-1", "40A1B2C3", "2C0D1E2F", "S64HNE0R000001"),
    *("S45PNA0M000001", "5002538e00000001", "PSU-SN-1", "PSU-SN-3", "CH-SN-1", "1562620014321"),
    *("00112233-4455-6677-8899-aabbccddeeff", "24598a07-f97d-fc79-86de-485c4c82d01c"),
)
CONTENT = serialise(audit(server()))


def left(content: bytes) -> list[str]:
    return [secret for secret in SECRETS if secret.lower().encode() in content.lower()]


def test_the_secrets_are_there_before() -> None:
    assert left(CONTENT) == list(SECRETS)


def test_no_identity_is_left_in_an_audit_and_it_stays_valid() -> None:
    content = redaction.audit(CONTENT, Redactor())
    assert left(content) == []
    assert errors(content) == []


def test_no_identity_is_left_in_a_recording() -> None:
    found, known = seen(server())
    redacted = Redactor().recording(known, json.loads(serialise(found)))
    assert left(decompress(pack(redacted))) == []


def test_the_audit_of_a_redacted_recording_is_the_redacted_audit() -> None:
    found, known = seen(server())
    redactor = Redactor()
    redacted = unpack(io.BytesIO(pack(redactor.recording(known, json.loads(serialise(found))))))
    assert serialise(again(redacted)) == redaction.audit(serialise(found), redactor)


def test_one_value_has_one_pseudonym_and_every_key_another() -> None:
    document: dict[str, Any] = json.loads(redaction.audit(CONTENT, Redactor()))
    serial = document["board"]["system"]["serial"]
    assert re.fullmatch("redacted-[0-9a-f]{12}", serial)
    assert serial in {fru["product"]["serial"] for fru in document["psu"]["frus"] if fru["product"]}
    assert document["nvidia"]["gpus"][0]["uuid"] in {d["gpu_uuid"] for d in document["pcie"]["devices"]}
    assert serial != json.loads(redaction.audit(CONTENT, Redactor()))["board"]["system"]["serial"]


def test_what_is_no_identity_stays() -> None:
    before: dict[str, Any] = json.loads(CONTENT)
    after: dict[str, Any] = json.loads(redaction.audit(CONTENT, Redactor()))
    for document in (before, after):
        document["host"]["hostname"] = None
        for gpu in document["nvidia"]["gpus"]:
            gpu["serial"] = gpu["uuid"] = None
    assert after["host"] == before["host"]
    assert after["nvidia"] == before["nvidia"]
    assert [s["part_number"] for s in after["memory"]["slots"]] == [s["part_number"] for s in before["memory"]["slots"]]


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("ether 3c:ec:ef:12:34:56 up", r"ether 02(:[0-9a-f]{2}){5} up"),
        ("3C-EC-EF-12-34-56", r"02(-[0-9a-f]{2}){5}"),
        ("fe80:0000:0000:0000:3c:ec", r"fe80:0000:0000:0000:3c:ec"),
        ("port 00:02:c9:03:00:11:22:33", r"port 02(:[0-9a-f]{2}){7}"),
        ("at 12:34:56 on 0000:3b:00.0", r"at 12:34:56 on 0000:3b:00\.0"),
        ("wwn-0x5000c500a1b2c3d4", r"wwn-0x5[0-9a-f]{15}"),
        ("WWN 5000C500A1B2C3D4", r"WWN 5[0-9A-F]{15}"),
        ("eui.0025385b71b0c3a2", r"eui\.0[0-9a-f]{15}"),
        ("nvme.144d-533634-53414d-00000001", r"nvme\.144d-[0-9a-f]{32}-00-00000001"),
        ("mask 0x0000000000000001", r"mask 0x0000000000000001"),
        ("bytes 5000123412341234", r"bytes 5000123412341234"),
        ("00000000-0000-0000-0000-000000000000", r"00000000-0000-0000-0000-000000000000"),
        ("80:00:02:08:fe:80" + ":00" * 6 + ":e4:1d:2d:03:00:b3:cd:61", r"02(:[0-9a-f]{2}){19}"),
        ("enx3cecef123456: up", r"enx02[0-9a-f]{10}: up"),
        ("SAS 5000c50-0-8d3e-1ae5", r"SAS 5[0-9a-f]{6}-[0-9a-f]-[0-9a-f]{4}-[0-9a-f]{4}"),
        ("ID 500605b0:0a1b2c3d", r"ID 5[0-9a-f]{7}:[0-9a-f]{8}"),
        ("at 20240101:12345678", r"at 20240101:12345678"),
        ("PSU-0815 and xPSU-0815", r"redacted-[0-9a-f]{12} and xPSU-0815"),
        ("path_psu-0815.log", r"path_redacted-[0-9a-f]{12}\.log"),
    ],
)
def test_forms_are_known_wherever_they_stand(text: str, pattern: str) -> None:
    redactor = Redactor()
    redactor.learn("PSU-0815")
    after = redactor.text(text)
    assert re.fullmatch(pattern, after), after
    # What looks as before is what is to stay.
    assert (after == text) == (re.escape(text) == pattern or "0x0" in text or text[0] in "f0b" or text.startswith("at"))


def test_a_mac_has_one_pseudonym_however_it_is_written() -> None:
    redactor = Redactor()
    redactor.learn("3c:ec:ef:12:34:56")
    mac = redactor.text("3c:ec:ef:12:34:56")
    assert redactor.text("3CECEF123456") == mac.replace(":", "").upper()
    assert redactor.text("enx3cecef123456") == f"enx{mac.replace(':', '')}"
    assert redactor.text("3C-EC-EF-12-34-56") == mac.replace(":", "-")


def test_a_wwn_has_one_pseudonym_however_it_is_written() -> None:
    redactor = Redactor()
    wwn = redactor.text("0x5000c5008d3e1ae5").removeprefix("0x")
    assert re.sub("-", "", redactor.text("5000c50-0-8d3e-1ae5")) == wwn != "5000c5008d3e1ae5"
    assert re.sub(":", "", redactor.text("5000c500:8d3e1ae5")) == wwn


# What tools print of identities beside the fields of the audit: the command, a piece of its output, what must go.
ELSEWHERE = [
    (("sas3ircu", "0", "DISPLAY"), "  SAS Address      : 5000c50-0-8d3e-1ae5\n", ["5000c50-0-8d3e-1ae5"]),
    (("sas3ircu", "0", "DISPLAY"), "  Logical ID       : 500605b0:0a1b2c3d\n", ["500605b0:0a1b2c3d"]),
    (
        ("mstflint", "-d", "0000:5e:00.0", "query"),
        "MACs:                                     e41d2db3cd61     e41d2db3cd62\n",
        ["e41d2db3cd61", "e41d2db3cd62"],
    ),
    (
        ("mstflint", "-d", "0000:5e:00.0", "query"),
        "Base MAC:              506b4b4cd9ee            4\n",
        ["506b4b4cd9ee"],
    ),
    (("storcli64", "/call/eall/sall", "show", "all", "J"), '"SAS address":"5003048012345678"', ["5003048012345678"]),
    (
        ("storcli64", "/call/eall/sall", "show", "all", "J"),
        '"Inquiry Data" : "00 00 06 12 5a 34 44 30 41 42 43 44"',
        ["5a 34 44 30"],
    ),
    (("ipmitool", "fru"), " Product Extra         : 080020FFFFFFFFFFFFFF00144FE79268\n", ["00144FE79268"]),
    (("ipmitool", "fru"), " Board Extra           : site 4\n", ["site 4"]),
]


@pytest.mark.parametrize(("args", "printed", "secrets"), ELSEWHERE)
def test_what_the_tools_print_beside_the_fields_of_the_audit_goes(
    args: tuple[str, ...], printed: str, secrets: list[str]
) -> None:
    assert all(secret in printed for secret in secrets)
    machine = Recorded({args: exited(args, printed.encode(), stderr=secrets[0].encode())})
    after = Redactor().recording(Recording(machine=machine), {}).machine.runs[args]
    assert not [secret for secret in secrets if secret in after.stdout.decode()]
    # A mere word of a FRU's maker is one in its own field alone.
    assert (secrets[0] in after.stderr.decode()) == (secrets[0] in {"site 4", "00144FE79268", "5a 34 44 30"})


def test_an_interface_named_by_its_mac_is_one_in_audit_and_recording_alike() -> None:
    files, links = dict(SYS_FILES), dict(LINKS)
    hardware = "80:00:02:08:fe:80" + ":00" * 6 + ":e4:1d:2d:03:00:b3:cd:61"
    for name, address in (("enx7ed30a5f0102", "7e:d3:0a:5f:01:02"), ("ib0", hardware)):
        files[f"/sys/class/net/{name}/address"] = f"{address}\n"
        links[f"/sys/class/net/{name}/device"] = LINKS["/sys/class/net/enp94s0/device"]
    args = ("ethtool", "-i", "enx7ed30a5f0102")
    found, known = seen(Recorded({**runs(), args: exited(args, b"driver: cdc_ether\n")}, files, links))
    redactor = Redactor()
    redacted = unpack(io.BytesIO(pack(redactor.recording(known, json.loads(serialise(found))))))
    content = redaction.audit(serialise(found), redactor)
    assert serialise(again(redacted)) == content
    assert b"7ed30a5f0102" in serialise(found)
    for secret in (b"7ed30a5f0102", b"00:b3:cd:61"):
        assert secret not in content + decompress(pack(redacted))
    [card] = [device for device in json.loads(content)["pcie"]["devices"] if device["interfaces"]]
    assert [bool(interface["mac"]) for interface in card["interfaces"]] == [True, True, True]


@pytest.mark.parametrize(
    "printed",
    [
        "\tSerial Number: {}\n",
        " Product Serial        : {}\n",
        '  "serial_number": "{}",\n',
        '"serial" : "{}"',
        "<serial>{}</serial>",
        "<chassis_serial_number>{}</chassis_serial_number>",
        "SN = {}\n",
        "Asset Tag: {}\n",
        "Enclosure Serial: {}\n",
    ],
)
@given(value=st.from_regex(r"[A-Z0-9][A-Z0-9/._-]{0,20}[A-Z0-9]", fullmatch=True))
def test_what_a_label_names_is_replaced_also_where_no_field_holds_it(printed: str, value: str) -> None:
    args = ("lsblk", "-J", "-b", "-O")
    text = printed.format(value)
    machine = Recorded({args: exited(args, text.encode(), stderr=f"{value}: open failed\n".encode())})
    after = Redactor().recording(Recording(machine=machine), {}).machine.runs[args]
    kept = is_placeholder(value)
    assert (after.stdout.decode() == text) == kept
    if len(value) >= 4 and not value.isdigit() and not kept:
        assert value not in after.stderr.decode()


def test_smartctls_numbers_become_those_of_the_same_wwn() -> None:
    document = '"wwn": {"naa": 5, "oui": 3152, "id": 2712847316}, "eui64": {"oui": 9528, "ext_id": 4578123}'
    args = ("smartctl", "-j", "-x", "/dev/sda")
    machine = Recorded({args: exited(args, f'{{{document}, "x": "0x5000c500a1b2c3d4"}}'.encode())})
    after = json.loads(Redactor().recording(Recording(machine=machine), {}).machine.runs[args].stdout)
    wwn = after["wwn"]
    assert f"0x{wwn['naa']:x}{wwn['oui']:06x}{wwn['id']:09x}" == after["x"] != "0x5000c500a1b2c3d4"
    assert after["eui64"]["ext_id"] != 4578123


def test_a_number_stays_a_number_since_it_may_be_one_of_json() -> None:
    args = ("tool",)
    text = '{"serial_number": "1562620014321", "short": 2400, "serial": "2400", "same": 1562620014321}'
    after = Redactor().recording(Recording(machine=Recorded({args: exited(args, text.encode())})), {})
    document = json.loads(after.machine.runs[args].stdout)
    assert re.fullmatch("9[0-9]{12}", document["serial_number"])
    assert str(document["same"]) == document["serial_number"]
    assert document["short"] == 2400
    assert document["serial"].startswith("redacted-")


def test_what_only_looks_like_a_label_stays() -> None:
    text = "Serial Port A: Enabled\nSerial Attached SCSI: yes\nMachine: x86\n"
    args = ("tool",)
    after = Redactor().recording(Recording(machine=Recorded({args: exited(args, text.encode())})), {})
    assert after.machine.runs[args].stdout.decode() == text


def test_paths_stay_where_the_kernel_would_look() -> None:
    variable = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    files = {"/proc/sys/kernel/hostname": "block\n", variable: "\x06\0\0\0\x01", "/sys/block/sda/size": "1"}
    links = {"/dev/disk/by-id/ata-X_S45PNA0M000001": "/dev/sda"}
    known = Recording(machine=replace(server(), files=files, links=links))
    after = Redactor().recording(known, json.loads(CONTENT)).machine
    assert set(after.files) == set(files)
    assert after.files["/proc/sys/kernel/hostname"].startswith("redacted-")
    assert re.fullmatch(r"/dev/disk/by-id/ata-X_redacted-[0-9a-f]{12}", next(iter(after.links)))


@given(st.binary(max_size=400))
def test_any_output_can_be_redacted(output: bytes) -> None:
    args = ("lspci", "-vmm", "-D", "-nn", "-k")
    noisy = Run(args=args, outcome="exited", exit_code=0, stdout=output, stderr=output)
    machine = Recorded({**runs(), args: noisy}, SYS_FILES, LINKS)
    after = Redactor().recording(Recording(machine=machine), json.loads(CONTENT))
    assert left(after.machine.runs[args].stdout) == []


@pytest.mark.skipif("BEE_CORPUS" not in os.environ, reason="BEE_CORPUS is not set: no corpus to read")
@pytest.mark.parametrize("folder", ["dmidecode", "smartctl"])
def test_what_real_machines_printed_is_read_after_redaction_as_before(folder: str) -> None:
    for path in sorted((Path(os.environ["BEE_CORPUS"]) / folder).iterdir()):
        args = ("dmidecode", "-t", "16,17") if folder == "dmidecode" else ("smartctl", "-j", "-x", "/dev/sda")
        found, known = seen(Recorded({**runs(), args: exited(args, path.read_bytes())}, SYS_FILES, LINKS))
        redactor = Redactor()
        redacted = redactor.recording(known, json.loads(serialise(found)))
        assert serialise(again(redacted)) == redaction.audit(serialise(found), redactor), path.name


def test_redacting_commands(tmp_path: Path) -> None:
    (tmp_path / "audit.json").write_bytes(CONTENT)
    (tmp_path / "seen.tar.gz").write_bytes(pack(seen(server())[1]))
    for arguments in (
        ("report", "--redact", str(tmp_path / "audit.json")),
        ("qr", "--redact", str(tmp_path / "audit.json")),
        ("audit", "--redact", "--verbose", "--from", str(tmp_path / "seen.tar.gz")),
    ):
        done = run(*arguments, env={"PYTHONIOENCODING": "ascii"})
        assert done.returncode == 0, done.stderr
        assert b"redacted-" in done.stdout + done.stderr
        assert left(done.stdout + done.stderr) == []
    assert b"storage: lsblk" in done.stderr
    assert run("record", "--redact", str(tmp_path / "out.tar.gz")).returncode == 0
    hostname = Path("/proc/sys/kernel/hostname").read_text().strip()
    audited = json.loads(run("audit", "--from", str(tmp_path / "out.tar.gz")).stdout)
    assert audited["host"]["hostname"].startswith("redacted-") == (not is_placeholder(hostname))


@pytest.mark.parametrize("value", ['"\\ud800"', "[" * 600 + "]" * 600])
def test_a_document_that_cannot_be_redacted_is_one_line_and_exit_2(tmp_path: Path, value: str) -> None:
    path = tmp_path / "audit.json"
    path.write_text(f'{{"schema_version": 1, "collectors": [], "x": {value}}}')
    done = run("report", "--redact", str(path))
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().startswith(f"bee: {path} is no audit that bee wrote: ")
    assert done.stderr.count(b"\n") == 1
