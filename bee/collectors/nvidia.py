"""Step 7: NVIDIA GPUs as their driver sees them (nvidia-smi), joined to the PCI devices by address."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bee.collectors import nvlink
from bee.collectors.step import Step, bounded
from bee.gpus import ERROR_NOTE, is_gpu
from bee.model import (
    Gpu,
    GpuEcc,
    GpuLink,
    GpuRemappedRows,
    GpuRetiredPages,
    MigDevice,
    Nvidia,
    PciDevice,
    Pcie,
)
from bee.parsers import nvidia_smi
from bee.parsers.lspci import normalise
from bee.placeholders import known
from bee.quantities import number, size_bytes, whole
from bee.records import replace

if TYPE_CHECKING:
    from bee.parsers.nvlink import Report

# Eight GPUs without the persistence daemon take some seconds each to wake.
NVIDIA_SMI_SECONDS = 120.0
VENDOR_ID = "10de"
QUERY = ("nvidia-smi", "-q", "-x")
# What stands in a field that the driver cannot read; the brackets come and go with the driver.
_ERRORS = {"gpu requires reset", "gpu is lost", "unknown error", "err!"}
# Driver 535 has an error for the addressing mode of GPUs that are well; the processes' names are their own.
_NOT_THE_GPUS = {"addressing_mode", "processes", "accounted_processes"}
_RESETS = {"gpu_recovery_action": {"Reset", "Reboot", "Drain and Reset"}, "gpu_reset_status/reset_required": {"Yes"}}
_YES_NO = {"Yes": True, "No": False}


def collect(step: Step, find_pcie: Callable[[], Pcie | None]) -> Nvidia | None:
    """Skipped where nvidia-smi is absent or the driver not loaded; a GPU on the bus without a driver is always said.

    `find_pcie` waits for the pcie step, which nvidia-smi need not do.
    """
    has_tool = step.machine.has_tool("nvidia-smi")
    has_driver = step.machine.resolve("/sys/module/nvidia") is not None
    if has_tool and has_driver:
        for command in (QUERY, nvlink.STATUS, nvlink.ERRORS):
            step.ahead(*command, limit=NVIDIA_SMI_SECONDS)
    on_bus = _gpus(find_pcie())
    _say_without_driver(step, on_bus, has_driver=has_driver)
    if not has_tool:
        step.absent("nvidia-smi is not installed", silent=not on_bus)
        return None
    if not has_driver:
        step.absent("the nvidia driver is not loaded", silent=not on_bus)
        return None
    output = step.run(*QUERY, limit=NVIDIA_SMI_SECONDS)
    if output is None:
        return None
    report = nvidia_smi.parse(output)
    for note in report.notes:
        step.trouble(f"nvidia-smi: {note}")
    if not report.gpus and not report.driver_version:
        if not step.troubled:
            step.trouble("nvidia-smi shows no GPU")
        return None
    notes: list[str] = []
    links = nvlink.ask(step, NVIDIA_SMI_SECONDS)
    gpus = tuple(_gpu(step, element, frozenset(on_bus), *links) for element in report.gpus)
    for address in sorted(set(on_bus) - {gpu.pci_address for gpu in gpus}):
        step.trouble(f"{address} is on the bus and nvidia-smi does not show it")
    return Nvidia(
        driver_version=known("driver_version", report.driver_version, notes),
        cuda_version=known("cuda_version", report.cuda_version, notes),
        gpus=gpus,
        notes=bounded(notes),
    )


def join(pcie: Pcie | None, nvidia: Nvidia | None) -> Pcie | None:
    """`pcie` with the GPU's UUID on each device that nvidia-smi shows."""
    if pcie is None or nvidia is None:
        return pcie
    uuids = {gpu.pci_address: gpu.uuid for gpu in nvidia.gpus}
    return replace(pcie, devices=tuple(replace(d, gpu_uuid=uuids.get(d.address)) for d in pcie.devices))


def _say_without_driver(step: Step, gpus: dict[str, PciDevice], *, has_driver: bool) -> None:
    version = (step.machine.read("/sys/module/nvidia/version") or "").strip()
    why = f": the nvidia driver {version} is loaded and does not know it, or could not start it" if has_driver else ""
    for device in gpus.values():
        if device.driver is None:
            name = device.device_name or "a GPU that pci.ids does not name"
            step.trouble(f"{device.address} ({name}, {device.vendor_id}:{device.device_id}) has no driver{why}")


def _gpus(pcie: Pcie | None) -> dict[str, PciDevice]:
    """The NVIDIA GPUs on the bus, by address."""
    devices = pcie.devices if pcie else ()
    return {d.address: d for d in devices if d.vendor_id == VENDOR_ID and is_gpu(d)}


def _gpu(step: Step, element: nvidia_smi.Element, addresses: frozenset[str], states: Report, errors: Report) -> Gpu:
    """One GPU; `states` and `errors` are of all GPUs' NVLinks."""
    notes: list[str] = []

    def text(name: str, *paths: str) -> str | None:
        value = element.value(*paths)
        return None if _error(value) else known(name, value, notes)

    address = normalise(element.attributes.get("id", "")) or normalise(element.value("pci/pci_bus_id"))
    for said, places in _errors_said(element).items():
        step.trouble(f"{address}: {ERROR_NOTE}{said!r}")
        notes.append(f"{ERROR_NOTE}{said!r} of {places[0]}{f' and {len(places) - 1} more' if places[1:] else ''}")
    for place, resets in _RESETS.items():
        if (said := element.value(place)) in resets:
            notes.append(f"{ERROR_NOTE}{said!r} of {place}")
    power = ("gpu_power_readings", "module_power_readings", "power_readings")
    return Gpu(
        pci_address=address,
        on_bus=address in addresses,
        name=text("name", "product_name"),
        uuid=text("uuid", "uuid"),
        serial=text("serial", "serial"),
        part_number=text("part_number", "board_part_number", "gpu_part_number"),
        vbios=text("vbios", "vbios_version"),
        architecture=text("architecture", "product_architecture"),
        memory_bytes=size_bytes(element.value("fb_memory_usage/total")),
        memory_used_bytes=size_bytes(element.value("fb_memory_usage/used")),
        temperature_celsius=_celsius(element, "gpu_temp"),
        memory_temperature_celsius=_celsius(element, "memory_temp"),
        slowdown_temperature_celsius=_celsius(element, "gpu_temp_slow_threshold"),
        shutdown_temperature_celsius=_celsius(element, "gpu_temp_max_threshold"),
        power_draw_watts=_watts(
            element, *(f"{p}/{n}" for p in power for n in ("instant_power_draw", "power_draw", "average_power_draw"))
        ),
        power_limit_watts=_watts(element, *(f"{p}/{n}" for p in power for n in ("current_power_limit", "power_limit"))),
        power_limit_default_watts=_watts(element, *(f"{p}/default_power_limit" for p in power)),
        power_limit_max_watts=_watts(element, *(f"{p}/max_power_limit" for p in power)),
        throttle_reasons=_throttle_reasons(element),
        performance_state=text("performance_state", "performance_state"),
        persistence_mode=_enabled(element.value("persistence_mode")),
        mig_enabled=_enabled(element.value("mig_mode/current_mig")),
        mig_devices=_mig_devices(element),
        ecc=_ecc(element),
        remapped_rows=_remapped_rows(element),
        retired_pages=_retired_pages(element),
        link=_link(element),
        nvlinks=nvlink.of_gpu(element.value("uuid"), states, errors, notes),
        notes=tuple(notes),
    )


def _error(value: str) -> str | None:
    bare = value.strip().strip("[]")
    return bare if bare.casefold() in _ERRORS else None


def _errors_said(element: nvidia_smi.Element, above: str = "") -> dict[str, list[str]]:
    """Each error below `element`, and the paths of the fields that have it."""
    found: dict[str, list[str]] = {}
    for child in element.children:
        if child.tag not in _NOT_THE_GPUS:
            if said := _error(child.text):
                found.setdefault(said, []).append(f"{above}{child.tag}")
            for said, places in _errors_said(child, f"{above}{child.tag}/").items():
                found.setdefault(said, []).extend(places)
    return found


def _watts(element: nvidia_smi.Element, *paths: str) -> float | None:
    """The first of `paths` with a number of watts in it: which of them holds it depends on the driver."""
    return next((w for path in paths if (w := number(element.value(path), "W")) is not None), None)


def _celsius(element: nvidia_smi.Element, name: str) -> int | None:
    return whole(element.value(f"temperature/{name}"), "C")


def _throttle_reasons(element: nvidia_smi.Element) -> tuple[str, ...]:
    """The reasons that are active; drivers from 535 on call them `clocks_event_reasons`."""
    for kind in ("clocks_event_reason", "clocks_throttle_reason"):
        if (reasons := element.find(f"{kind}s")) is not None:
            return tuple(r.tag.removeprefix(f"{kind}_") for r in reasons.children if r.text.strip() == "Active")
    return ()


def _mig_devices(element: nvidia_smi.Element) -> tuple[MigDevice, ...]:
    devices = element.find("mig_devices")
    return tuple(
        MigDevice(
            index=whole(device.value("index"), ""),
            gpu_instance=whole(device.value("gpu_instance_id"), ""),
            compute_instance=whole(device.value("compute_instance_id"), ""),
            memory_bytes=size_bytes(device.value("fb_memory_usage/total")),
        )
        for device in (devices.children if devices else ())
        if device.tag == "mig_device"
    )


def _remapped_rows(element: nvidia_smi.Element) -> GpuRemappedRows | None:
    at = "remapped_rows/remapped_row"
    rows = GpuRemappedRows(
        corrected=whole(element.value(f"{at}_corr"), ""),
        uncorrected=whole(element.value(f"{at}_unc"), ""),
        pending=_YES_NO.get(element.value(f"{at}_pending")),
        failed=_YES_NO.get(element.value(f"{at}_failure")),
    )
    return None if rows == GpuRemappedRows(corrected=None, uncorrected=None, pending=None, failed=None) else rows


def _retired_pages(element: nvidia_smi.Element) -> GpuRetiredPages | None:
    pages = GpuRetiredPages(
        single_bit=whole(element.value("retired_pages/multiple_single_bit_retirement/retired_count"), ""),
        double_bit=whole(element.value("retired_pages/double_bit_retirement/retired_count"), ""),
        pending=_YES_NO.get(element.value("retired_pages/pending_retirement", "retired_pages/pending_blacklist")),
    )
    return None if pages == GpuRetiredPages(single_bit=None, double_bit=None, pending=None) else pages


def _enabled(text: str) -> bool | None:
    return {"Enabled": True, "Disabled": False}.get(text)


def _ecc(element: nvidia_smi.Element) -> GpuEcc:
    return GpuEcc(
        enabled=_enabled(element.value("ecc_mode/current_ecc")),
        volatile_corrected=_errors(element, "volatile", corrected=True),
        volatile_uncorrected=_errors(element, "volatile", corrected=False),
        aggregate_corrected=_errors(element, "aggregate", corrected=True),
        aggregate_uncorrected=_errors(element, "aggregate", corrected=False),
    )


def _errors(element: nvidia_smi.Element, span: str, *, corrected: bool) -> int | None:
    """The sum over SRAM and DRAM. Before Turing there are totals (`single_bit/total`); later SRAM's kinds are split."""
    total = whole(element.value(f"ecc_errors/{span}/{'single_bit' if corrected else 'double_bit'}/total"), "")
    if total is not None:
        return total
    span_element = element.find(f"ecc_errors/{span}")
    kind = "_correctable" if corrected else "_uncorrectable"
    counts = [
        count
        for child in (span_element.children if span_element else [])
        if child.tag.startswith(("sram" + kind, "dram" + kind)) and (count := whole(child.text, "")) is not None
    ]
    return sum(counts) if counts else None


def _link(element: nvidia_smi.Element) -> GpuLink:
    at = "pci/pci_gpu_link_info"
    return GpuLink(
        width=whole(element.value(f"{at}/link_widths/current_link_width"), "x"),
        max_width=whole(element.value(f"{at}/link_widths/max_link_width"), "x"),
        generation=whole(element.value(f"{at}/pcie_gen/current_link_gen"), ""),
        max_generation=whole(element.value(f"{at}/pcie_gen/max_link_gen"), ""),
    )
