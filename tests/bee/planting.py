"""Records as each tool prints them, with known content, buried in noise: strategies for the parsers' properties."""

from __future__ import annotations

import datetime
import json
import unicodedata
from dataclasses import dataclass

from hypothesis import strategies as st


@dataclass(frozen=True, slots=True)
class Planted:
    """What a tool may print, and what must be read out of it."""

    text: str
    expected: object


# Letters, digits and what stands in part numbers; never the marks that a format gives a meaning to.
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
word = st.text(_LETTERS + " ._/()-", min_size=1, max_size=18).map("x{}y".format)
byte = st.integers(0, 0xFF)
double_byte = st.integers(0, 0xFFFF)
large = st.integers(0, 2**48)
address = st.builds("{:04x}:{:02x}:{:02x}.{}".format, double_byte, byte, st.integers(0, 31), st.integers(0, 7))

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
# Marks that a format gives a meaning to, and what stands for bytes that are no text.
_MARKS = frozenset(':|{[<&-="\ufffd')


def _lines(text: str) -> list[str]:
    marks = (char if unicodedata.category(char)[0] in "LNPS" and char not in _MARKS else " " for char in text)
    return "".join(marks).split(" ") if text else []


# Lines that no format takes for a record's beginning or for a field, such as warnings of the tool. One draw of text
# and not one a line: what hypothesis takes for a draw decides how many examples there can be.
noise = st.text(max_size=40).map(_lines)


def _bury(records: list[Planted], lines: list[str]) -> str:
    """Records with noise before, between and after them."""
    gaps = [lines[at :: len(records) + 1] for at in range(len(records) + 1)]
    texts = (line for record, gap in zip(records, gaps[1:], strict=True) for line in (record.text, *gap))
    return "\n".join([*gaps[0], *texts])


def many(record: st.SearchStrategy[Planted]) -> st.SearchStrategy[Planted]:
    """Some records, noise before, between and after them; what is expected is the list of all."""
    return st.builds(
        lambda records, lines: Planted(_bury(records, lines), [planted.expected for planted in records]),
        st.lists(record, min_size=1, max_size=4),
        noise,
    )


def one(record: st.SearchStrategy[Planted]) -> st.SearchStrategy[Planted]:
    """One record between noise."""
    return st.builds(lambda planted, lines: Planted(_bury([planted], lines), planted.expected), record, noise)


def document(contents: st.SearchStrategy[tuple[dict[str, object], object]]) -> st.SearchStrategy[Planted]:
    """A JSON object, of any layout and with keys that no version has printed yet, between noise."""
    unknown = st.dictionaries(word.map("key {}".format), st.none() | word | st.lists(large, max_size=3), max_size=2)
    return one(
        st.builds(
            lambda pair, extra, indent: Planted(json.dumps({**extra, **pair[0]}, indent=indent), pair[1]),
            contents,
            unknown,
            st.sampled_from([None, 0, 2]),
        )
    )


def _dimm(handle: int, locator: str, gigabytes: int, part: str) -> Planted:
    return Planted(
        f"Handle 0x{handle:04X}, DMI type 17, 84 bytes\nMemory Device\n\tSize: {gigabytes} GB\n\tLocator: {locator}\n"
        f"\tCharacteristics:\n\t\tone line\n\t\tanother line\n\tPart Number: {part}    \n",
        (f"0x{handle:04X}", f"{gigabytes} GB", locator, part, ("one line", "another line")),
    )


dimm = st.builds(_dimm, double_byte, word, st.integers(1, 4096), word)


def _function(place: str, numbers: tuple[int, int, int], vendor: str, device: str, slot: int) -> Planted:
    class_id, vendor_id, device_id = (f"{number:04x}" for number in numbers)
    return Planted(
        f"Slot:\t{place}\nClass:\tAny class [{class_id}]\nVendor:\tV {vendor} [{vendor_id}]\n"
        f"Device:\tD {device} [quad {slot}] [{device_id}]\nPhySlot:\t{slot}\nDriver:\t{vendor}\n",
        (place, class_id, f"V {vendor}", vendor_id, f"D {device} [quad {slot}]", device_id, str(slot), vendor),
    )


function = st.builds(_function, address, st.tuples(double_byte, double_byte, double_byte), word, word, byte)


def _fru(description: str, number: int, serial: str, part: str) -> Planted:
    return Planted(
        f"FRU Device Description : {description} (ID {number})\n Board Serial          : {serial}\n"
        f" Product Part Number   : {part}\0\0  \n",
        (description, number, serial, part),
    )


fru = st.builds(_fru, word, byte, word, word)


def _fields(firmware: str, product: str) -> Planted:
    return Planted(
        f"Firmware Revision         : {firmware}\nAdditional Device Support :\n    Sensor Device\n"
        f"Product Name              : {product}\n",
        (firmware, product),
    )


bmc_fields = st.builds(_fields, word, word)


def _sensor(label: str, status: str, entity: tuple[int, int], reading: str) -> Planted:
    at = f"{entity[0]}.{entity[1]}"
    return Planted(f"{label:<16} | 71h | {status:<3} | {at:>5} | {reading}", (label, status, at, reading))


sensor = st.builds(_sensor, word, st.sampled_from(["ok", "ns", "nc", "cr", "nr"]), st.tuples(byte, byte), word)


def _event(number: int, when: datetime.datetime, watched: str, said: str, asserted: bool) -> Planted:
    return Planted(
        f"{number:4x} | {when:%m/%d/%Y | %H:%M:%S} | {watched} | {said} | {'Asserted' if asserted else 'Deasserted'}",
        (number, when.replace(microsecond=0).isoformat(), watched, said, asserted),
    )


event = st.builds(_event, double_byte, st.datetimes(min_value=datetime.datetime(1970, 1, 1)), word, word, st.booleans())


def _adapter(version: str, psid: str, driver: str) -> Planted:
    return Planted(
        f"FW Version:            {version}\nPSID:                  {psid}\nImage VSD:             N/A\n"
        f"driver: {driver}\nfirmware-version: {version}\nexpansion-rom-version: \n",
        (version, psid, driver),
    )


adapter = st.builds(_adapter, word, word, word)


def _gpu(place: str, uuid: str, mebibytes: int) -> Planted:
    return Planted(
        f'\t<gpu id="0000{place}">\n\t\t<uuid>GPU-{uuid}</uuid>\n\t\t<new_in_this_driver>{uuid}</new_in_this_driver>\n'
        f"\t\t<fb_memory_usage>\n\t\t\t<total>{mebibytes} MiB</total>\n\t\t</fb_memory_usage>\n\t</gpu>",
        (f"0000{place}", f"GPU-{uuid}", f"{mebibytes} MiB"),
    )


gpu = st.builds(_gpu, address, word, large)


@st.composite
def gpu_log(draw: st.DrawFn) -> Planted:
    """A whole nvidia-smi -q -x: GPUs with unknown elements between them, warnings around the document."""
    gpus = draw(st.lists(gpu, max_size=4))
    before, after = draw(noise), draw(noise)
    unknown = [f"\t<new_element>{draw(word)}</new_element>" for _ in range(draw(st.integers(0, 2)))]
    log = [
        '<?xml version="1.0" ?>\n<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">\n<nvidia_smi_log>',
        *unknown,
        "\n".join(planted.text for planted in gpus),
        "</nvidia_smi_log>",
    ]
    return Planted("\n".join([*before, *log, *after]), [planted.expected for planted in gpus])


def _nvlink_gpu(uuid: int, links: list[tuple[int, int, int]]) -> Planted:
    head = f"GPU 0: NVIDIA H100 (80GB) HBM3 (UUID: GPU-{uuid:x})"
    lines = [f"\t Link {n}: {speed}.5 GB/s\n\t Link {n}: CRC Errors: {errors}\n" for n, speed, errors in links]
    read = [row for n, speed, errors in links for row in ((n, "", f"{speed}.5 GB/s"), (n, "CRC Errors", str(errors)))]
    return Planted("\n".join([head, *lines]), (f"GPU-{uuid:x}", tuple(read)))


nvlink_gpu = st.builds(_nvlink_gpu, large, st.lists(st.tuples(byte, byte, large), max_size=3))


def _listed_controller(number: int, model: str, place: tuple[int, int]) -> Planted:
    return Planted(
        f"   {number}  {model}  1000h  97h  00h:{place[0]:02x}h:{place[1]:02x}h:00h  15d9h  0808h",
        number,
    )


listed_controller = st.builds(
    _listed_controller, st.integers(0, 15), st.sampled_from(["SAS2008", "SAS3008"]), st.tuples(byte, byte)
)


def _ir_drive(enclosure: int, slot: int, model: str, serial: str, megabytes: int) -> Planted:
    return Planted(
        f"Device is a Hard disk\n  Enclosure #                             : {enclosure}\n"
        f"  Slot #                                  : {slot}\n  State                                   : Ready (RDY)\n"
        f"  Size (in MB)/(in sectors)               : {megabytes}/{megabytes * 2048 - 1}\n"
        f"  Model Number                            : {model}\n  Unit Serial No(VPD)                     : {serial}\n",
        (enclosure, slot, model, serial, megabytes << 20),
    )


ir_drive = st.builds(_ir_drive, byte, byte, word, word, st.integers(1, 2**30))


@st.composite
def ir_controller(draw: st.DrawFn) -> Planted:
    """`sas3ircu 0 DISPLAY` with drives, noise before it and between the drives."""
    rule = "-" * 72
    drives = draw(many(ir_drive))
    firmware = draw(word)
    begin = (
        f"{rule}\nController information\n{rule}\n  Firmware version                        : {firmware}\n"
        "  Segment                                 : 0\n  Bus                                     : 175\n"
        "  Device                                  : 3\n  Function                                : 1\n"
        f"{rule}\nPhysical device information\n{rule}"
    )
    lines = [*draw(noise), begin, drives.text, rule]
    return Planted("\n".join(lines), (firmware, "0000:af:03.1", drives.expected))


block_devices = document(
    st.lists(
        st.tuples(st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=3).map("sd{}".format), large, word),
        max_size=4,
    ).map(
        lambda rows: (
            {
                "blockdevices": [
                    {"name": name, "size": size, "serial": serial, "rota": True, "children": [{"name": f"{name}1"}]}
                    for name, size, serial in rows
                ]
            },
            [row for name, size, serial in rows for row in ((name, size, serial), (f"{name}1", None, None))],
        )
    )
)
nvme_identity = document(
    st.tuples(double_byte, word, word, st.integers(1, 2**80)).map(
        lambda row: (
            {"vid": row[0], "sn": f"{row[1]}    ", "mn": row[2], "tnvmcap": row[3]},
            (f"{row[0]:04x}", row[1], row[2], row[3]),
        )
    )
)
nvme_health = document(
    st.tuples(byte, st.integers(1, 400), byte, large).map(
        lambda row: (
            {"critical_warning": row[0], "temperature": row[1], "percent_used": row[2], "media_errors": row[3]},
            (row[0], row[1] - 273, row[2], row[3]),
        )
    )
)


def _nvme_health_text(warning: int, celsius: int, wear: int, errors: int) -> Planted:
    return Planted(
        f"Smart Log for NVME device:nvme0 namespace-id:ffffffff\ncritical_warning                    : {warning:#x}\n"
        f"temperature                         : {celsius} °C ({celsius + 273} K)\npercentage_used  : {wear}%\n"
        f"media_errors                        : {errors:,}",
        (warning, celsius, wear, errors),
    )


nvme_health_text = one(st.builds(_nvme_health_text, byte, st.integers(-40, 120), byte, large))
drive_health = document(
    st.tuples(word, word, st.integers(1, 2**60), st.booleans(), large).map(
        lambda row: (
            {
                "model_name": row[0],
                "serial_number": row[1],
                "user_capacity": {"bytes": row[2]},
                "smart_status": {"passed": row[3]},
                "ata_smart_attributes": {"table": [{"id": 5, "raw": {"value": row[4], "string": str(row[4])}}]},
            },
            row,
        )
    )
)
scanned = document(
    st.lists(st.tuples(word.map("/dev/{}".format), word), max_size=4).map(
        lambda rows: ({"devices": [{"name": name, "type": kind} for name, kind in rows]}, rows)
    )
)
_bays = st.lists(st.tuples(byte, byte), unique=True, max_size=3)


def raid(*, detailed: bool) -> st.SearchStrategy[Planted]:
    """storcli's `/call show all J` (a row a drive), or `/call/eall/sall show all J` (its serial number and errors)."""

    def build(bays: list[tuple[int, int]], model: str, errors: int) -> tuple[dict[str, object], object]:
        rows: dict[str, object] = {"PD LIST": [{"EID:Slt": f"{e}:{s}", "Model": model} for e, s in bays]}
        for enclosure, slot in bays if detailed else []:
            key = f"Drive /c0/e{enclosure}/s{slot}"
            rows[key] = [{"EID:Slt": f"{enclosure}:{slot}", "Model": model}]
            rows[f"{key} - Detailed Information"] = {
                f"{key} State": {"Media Error Count": errors},
                f"{key} Device attributes": {"SN": f"  {model}-{slot}"},
            }
        details = [(e, s, model, f"{model}-{s}", errors) if detailed else (e, s, model, None, None) for e, s in bays]
        response = {"Basics": {"Model": model}, **rows}
        return {"Controllers": [{"Command Status": {"Controller": 0}, "Response Data": response}]}, (model, details)

    return document(st.builds(build, _bays, word, large))
