"""A machine as large as they come (4 processors, 64 DIMMs, 60 disks, 8 GPUs), with defects of both severities.

Its records are those of the recorded server, multiplied and changed, so that they always have every field of the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from bee.health import judged
from bee.model import Interface, Link, Nvidia, NvLink, Pcie
from tests.bee.recorded import audit, server

if TYPE_CHECKING:
    from bee.model import Audit, Cpu, Disk, Gpu, Memory, PciDevice, Psu, Slot, Storage

SOCKETS, CHANNELS, GPUS, NVME, SAS = 4, 8, 8, 24, 36
_GIB = 2**30


def rich() -> Audit:
    """The audit of the machine, judged."""
    seen = audit(server())
    assert seen.board
    assert seen.board.system
    board = replace(seen.board, system=replace(seen.board.system, manufacturer="Supermicro", product="SYS-841GE-TNHR"))
    cpu, memory, storage, psu = _cpu(seen), _memory(seen), _storage(seen), _psu(seen)
    nvidia = Nvidia(driver_version="550.90.07", cuda_version="12.4", gpus=tuple(_gpus(seen)), notes=())
    pcie = Pcie(devices=tuple(_devices(seen)), notes=())
    host = replace(seen.host, memory_bytes=memory.total_bytes - 40 * _GIB, hostname="rack7-node12")
    parts = {"board": board, "cpu": cpu, "memory": memory, "storage": storage, "psu": psu}
    whole = replace(seen, **parts, nvidia=nvidia, pcie=pcie, host=host, findings=())
    return judged(replace(whole, started_at="2026-03-14T09:26:53Z", seconds=7.412))


def _cpu(seen: Audit) -> Cpu:
    assert seen.cpu
    model = next(socket for socket in seen.cpu.sockets if socket.populated)
    sockets = tuple(
        replace(
            model,
            socket=f"CPU{i + 1}",
            enabled=True,
            model="Intel(R) Xeon(R) Platinum 8490H",
            cores=60,
            cores_enabled=60,
            threads=120,
            current_speed_mhz=1900,
            max_speed_mhz=3500,
            notes=(),
        )
        for i in range(SOCKETS)
    )
    counts = {"populated": SOCKETS, "unpopulated": 0, "disabled": 0, "cores": 240, "cores_enabled": 240, "threads": 480}
    return replace(seen.cpu, sockets=sockets, microcodes=("0x2b000590",), notes=(), **counts)


def _memory(seen: Audit) -> Memory:
    assert seen.memory
    model = next(slot for slot in seen.memory.slots if slot.populated)
    slots = tuple(_slots(model))
    held = [slot for slot in slots if slot.populated]
    total = sum(slot.size_bytes or 0 for slot in held)
    return replace(seen.memory, slots=slots, populated=len(held), total_bytes=total, notes=())


def _slots(model: Slot) -> Iterator[Slot]:
    for socket in range(SOCKETS):
        for channel in range(CHANNELS):
            for dimm in range(2):
                filled = dimm == 0 or socket < 2
                # One module of another size than its neighbour's.
                odd = (socket, channel, dimm) == (1, 3, 1)
                slot = replace(
                    model,
                    locator=f"P{socket + 1}-DIMM{'ABCDEFGH'[channel]}{dimm + 1}",
                    bank=f"P{socket}_Node0_Channel{channel}_Dimm{dimm}",
                    populated=filled,
                )
                if filled:
                    yield replace(
                        slot,
                        size_bytes=(32 if odd else 64) * _GIB,
                        type="DDR5",
                        speed_mts=4800,
                        configured_speed_mts=4400 if socket < 2 else 4800,
                        manufacturer="Samsung",
                        part_number="M321R4GA3BB6-CQK" if odd else "M321R8GA0BB0-CQK",
                        serial=f"80CE{socket}{channel}{dimm}1F",
                        asset_tag=None,
                        ranks=1 if odd else 2,
                        ecc=True,
                        notes=(),
                    )
                else:
                    empty = dict.fromkeys(("size_bytes", "speed_mts", "configured_speed_mts", "serial", "ecc"))
                    unknown = dict.fromkeys(("type", "manufacturer", "part_number", "ranks", "asset_tag"))
                    yield replace(slot, jedec_id=None, configured_voltage_volts=None, notes=(), **empty, **unknown)


def _storage(seen: Audit) -> Storage:
    assert seen.storage
    disks = {disk.name: disk for disk in seen.storage.disks}
    return replace(seen.storage, disks=(*_nvmes(disks["nvme0n1"]), *_sas(disks["sda"])), notes=())


def _nvmes(model: Disk) -> Iterator[Disk]:
    assert model.nvme
    assert model.smart
    for i in range(NVME):
        wear = (3, 12, 84, 5, 104)[i] if i < 5 else i
        yield replace(
            model,
            name=f"nvme{i}n1",
            slot=str(100 + i),
            model="SAMSUNG MZWLR3T8HBLS-00007",
            serial=f"S5G0NE0T{i:06}",
            size_bytes=3_840_755_982_336,
            nvme=replace(
                model.nvme,
                controller=f"nvme{i}",
                wear_percent=wear,
                critical_warning=0,
                temperature_celsius=31 + i % 9,
                power_on_hours=21_000 + 37 * i,
                media_errors=0,
            ),
            smart=replace(model.smart, passed=True, self_tests=(), media_errors=0),
            notes=(),
        )


def _sas(model: Disk) -> Iterator[Disk]:
    assert model.smart
    for i in range(SAS):
        pending, reallocated = (8, 120) if i == 7 else (0, 0)
        yield replace(
            model,
            name=f"sd{'abcdefghijklmnopqrstuvwxyz'[i]}" if i < 26 else f"sda{'abcdefghij'[i - 26]}",
            model="ST18000NM004J",
            serial=f"ZR5{i:05}",
            size_bytes=18_000_207_937_536,
            transport="sas",
            rotational=True,
            smart=replace(
                model.smart,
                passed=i != 7,
                wear_percent=None,
                pending_sectors=pending,
                reallocated_sectors=reallocated,
                temperature_celsius=28 + i % 12,
                power_on_hours=30_100 + 11 * i,
                self_tests=(),
                crc_errors=0,
                uncorrected_errors=0,
            ),
            notes=(),
        )


def _gpus(seen: Audit) -> Iterator[Gpu]:
    assert seen.nvidia
    model = seen.nvidia.gpus[0]
    assert model.remapped_rows
    for i in range(GPUS):
        yield replace(
            model,
            pci_address=_gpu_address(i),
            name="NVIDIA H100 80GB HBM3",
            uuid=f"GPU-7c0f2f8e-12f3-4b1e-9a55-0000000000{i:02}",
            serial=f"16526230{i:05}",
            memory_bytes=81_559 * 2**20,
            memory_used_bytes=(i * 9_000 + 4) * 2**20,
            temperature_celsius=34 + 4 * i,
            memory_temperature_celsius=41 + 3 * i,
            slowdown_temperature_celsius=87,
            shutdown_temperature_celsius=92,
            power_draw_watts=71.5 + 60 * i,
            power_limit_watts=700.0,
            throttle_reasons=("hw_thermal_slowdown",) if i == 6 else ("gpu_idle",),
            ecc=replace(
                model.ecc,
                enabled=True,
                volatile_uncorrected=3 if i == 2 else 0,
                aggregate_uncorrected=3 if i == 2 else 0,
            ),
            remapped_rows=replace(
                model.remapped_rows, corrected=0, uncorrected=int(i == 2), pending=i == 2, failed=False
            ),
            retired_pages=None,
            nvlinks=tuple(_nvlinks(17 if i == 3 else 18)),
            mig_enabled=i == 7,
            mig_devices=model.mig_devices if i == 7 else (),
            link=replace(model.link, width=8 if i == 5 else 16, max_width=16, generation=1, max_generation=5),
            notes=(),
        )


def _nvlinks(up: int) -> Iterator[NvLink]:
    for number in range(18):
        yield NvLink(
            number=number,
            active=number < up,
            speed_gigabytes_per_second=26.562 if number < up else None,
            replay_errors=0,
            recovery_errors=0,
            crc_errors=5 if number == 4 else 0,
        )


def _gpu_address(i: int) -> str:
    return f"0000:{0x19 + 0x11 * i:02x}:00.0"


def _devices(seen: Audit) -> Iterator[PciDevice]:
    assert seen.pcie
    bare = replace(seen.pcie.devices[0], interfaces=(), firmware=None, gpu_uuid=None, physical_slot=None, revision=None)
    uncore = {"class_id": "0880", "class_name": "System peripheral", "vendor_id": "8086", "vendor_name": "Intel"}
    for i in range(SOCKETS * 12):
        yield replace(
            bare,
            **uncore,
            address=f"0000:{0xF0 + i // 12:02x}:{i % 12:02x}.0",
            device_id="3251",
            device_name="Ice Lake Mesh 2 PCIe",
            driver=None,
            upstream_port=None,
            link=None,
            numa_node=i // 12,
        )
    port = {"class_id": "0604", "class_name": "PCI bridge", "vendor_id": "8086", "vendor_name": "Intel Corporation"}
    for i in range(GPUS):
        bus = 0x15 + 0x11 * i
        up, switch, down = f"0000:{bus:02x}:01.0", f"0000:{bus + 1:02x}:00.0", f"0000:{bus + 2:02x}:00.0"
        narrow = i == 5
        full = Link(width=16, max_width=16, speed_gts=32.0, max_speed_gts=32.0)
        node = i * SOCKETS // GPUS
        yield replace(
            bare,
            **port,
            address=up,
            device_id="352a",
            device_name="Sapphire Rapids PCIe root port",
            driver="pcieport",
            upstream_port=None,
            link=full,
            numa_node=node,
        )
        pex = {**port, "vendor_id": "1000", "vendor_name": "Broadcom / LSI", "driver": "pcieport", "numa_node": node}
        name = "PEX890xx PCIe Gen 5 Switch"
        yield replace(bare, **pex, address=switch, device_id="c030", device_name=name, upstream_port=up, link=full)
        yield replace(bare, **pex, address=down, device_id="c030", device_name=name, upstream_port=switch, link=full)
        yield replace(
            bare,
            address=_gpu_address(i),
            class_id="0302",
            class_name="3D controller",
            vendor_id="10de",
            vendor_name="NVIDIA Corporation",
            device_id="2330",
            device_name="GH100 [H100 SXM5 80GB]",
            driver="nvidia",
            upstream_port=down,
            numa_node=node,
            gpu_uuid=f"GPU-7c0f2f8e-12f3-4b1e-9a55-0000000000{i:02}",
            link=Link(width=8 if narrow else 16, max_width=16, speed_gts=2.5, max_speed_gts=32.0),
        )
    for i in range(2):
        slot = f"0000:a{i}:00.0"
        yield replace(
            bare,
            **port,
            address=f"0000:9{i}:01.0",
            device_id="352a",
            device_name="Sapphire Rapids PCIe root port",
            driver="pcieport",
            upstream_port=None,
            numa_node=2,
            link=Link(width=16, max_width=16, speed_gts=16.0, max_speed_gts=32.0),
        )
        yield replace(
            bare,
            address=slot,
            class_id="0200",
            class_name="Ethernet controller",
            vendor_id="15b3",
            vendor_name="Mellanox Technologies",
            device_id="101d",
            device_name="MT2892 Family [ConnectX-6 Dx]",
            driver="mlx5_core",
            upstream_port=f"0000:9{i}:01.0",
            numa_node=2,
            physical_slot=str(4 + i),
            link=Link(width=16, max_width=16, speed_gts=16.0, max_speed_gts=16.0),
            interfaces=(
                Interface(
                    name=f"ens{4 + i}np0",
                    mac=f"b8:3f:d2:00:1c:{i:02x}",
                    state="up" if i == 0 else "down",
                    carrier=i == 0,
                    speed_mbps=100_000 if i == 0 else None,
                    firmware="22.39.2048 (MT_0000000359)",
                ),
            ),
        )


def _psu(seen: Audit) -> Psu:
    assert seen.psu
    model = next(supply for supply in seen.psu.supplies if supply.present)
    filled = tuple(
        replace(
            model,
            name=f"PSU{i + 1}",
            serial=f"P3K0ACL{i:04}",
            capacity_watts=3000,
            manufacturer="SUPERMICRO",
            model="PWS-3K06G-2R",
            plugged=i != 4,
            notes=(),
        )
        for i in range(5)
    )
    empty = replace(model, name="PSU6", present=False, serial=None, model=None, manufacturer=None, capacity_watts=None)
    return replace(seen.psu, supplies=(*filled, replace(empty, part_number=None, plugged=None, notes=())))
