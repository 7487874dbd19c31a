"""What is wrong with the machine: one table of rules, each a pure look at the audit (docs/audit.md lists them all)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bee import defects, disk_defects
from bee.model import Finding
from bee.records import dataclass, replace

if TYPE_CHECKING:
    from bee.model import Audit

SEVERITIES = ("critical", "warning")
WORN_PERCENT = 100
WEAR_PERCENT = 80


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `finds` and `action` are what people read; `check` gives what the rule finds in an audit."""

    id: str
    severity: str
    finds: str
    action: str
    check: Callable[[Audit], Iterator[defects.Found]]


def judged(audit: Audit) -> Audit:
    """`audit` with its findings, the critical ones first. A rule that fails costs its own findings and is noted."""
    findings: list[Finding] = []
    notes: list[str] = []
    for rule in RULES:
        try:
            findings += [_finding(rule, component, evidence) for component, evidence in rule.check(audit)]
        except Exception as error:  # an audit without a verdict is worth more than no audit
            notes.append(f"bee itself failed in the rule {rule.id}: {type(error).__name__}: {error}")
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return replace(audit, findings=tuple(findings), notes=(*audit.notes, *notes))


def _finding(rule: Rule, component: str, evidence: str) -> Finding:
    return Finding(severity=rule.severity, component=component, rule=rule.id, evidence=evidence, action=rule.action)


RULES = (
    Rule(
        "disk-failing",
        "critical",
        "a disk's own verdict is failing: SMART, or an NVMe critical warning",
        "Copy the data off it and replace it.",
        disk_defects.smart,
    ),
    Rule(
        "disk-self-test-failed",
        "critical",
        "a disk's newest self-test failed",
        "Copy the data off it and replace it.",
        disk_defects.self_test,
    ),
    Rule(
        "disk-no-health",
        "warning",
        "smartctl could not read a SATA or SAS disk's health; RAID controllers' volumes and virtual disks are left out",
        "Reseat the disk and its cable and look again; replace it when it still does not answer.",
        disk_defects.no_health,
    ),
    Rule(
        "raid-volume-degraded",
        "critical",
        "a RAID volume is not in order",
        "Replace the drive that failed; see that the volume is being rebuilt.",
        defects.bad_volume,
    ),
    Rule(
        "raid-drive-failed",
        "critical",
        "a RAID controller calls one of its drives failed, missing, or about to fail",
        "Replace the drive.",
        defects.bad_raid_drive,
    ),
    Rule(
        "raid-controller",
        "warning",
        "a RAID controller, or the battery of its cache, is not in order",
        "Look at the controller with its vendor's tool; replace the battery.",
        defects.bad_raid_controller,
    ),
    Rule(
        "disk-worn-out",
        "critical",
        f"a disk has used {WORN_PERCENT} % or more of its rated endurance",
        "Replace it; it may turn read-only.",
        disk_defects.wear(WORN_PERCENT),
    ),
    Rule(
        "disk-spare-low",
        "critical",
        "an NVMe disk has fewer spare blocks left than its own limit",
        "Replace it.",
        disk_defects.spare,
    ),
    Rule(
        "disk-pending",
        "critical",
        "a disk has sectors that it cannot read and has not replaced",
        "Copy the data off it; write it whole once and look again, replace it if any come back.",
        disk_defects.counter("pending_sectors"),
    ),
    Rule(
        "disk-offline-uncorrectable",
        "warning",
        "a disk's own scan found sectors that it could not read or correct",
        "Have it test itself (smartctl -t long); replace it when the number grows.",
        disk_defects.counter("offline_uncorrectable_sectors"),
    ),
    Rule(
        "disk-media-errors",
        "warning",
        "a disk, or a RAID controller's drive, could not read or correct data",
        "Replace it when the number grows.",
        disk_defects.media_errors,
    ),
    Rule(
        "disk-uncorrected-errors",
        "warning",
        "a disk has reported errors to the host that it could not correct",
        "Replace it when the number grows.",
        disk_defects.counter("uncorrected_errors"),
    ),
    Rule(
        "disk-reallocated",
        "warning",
        "a disk has replaced bad sectors",
        "Replace it when the number grows.",
        disk_defects.counter("reallocated_sectors"),
    ),
    Rule(
        "disk-grown-defects",
        "warning",
        "a SAS disk has added to its list of defects since it was made",
        "Replace it when the number grows.",
        disk_defects.counter("grown_defects"),
    ),
    Rule(
        "disk-wear",
        "warning",
        f"a disk has used {WEAR_PERCENT} % or more of its rated endurance",
        "Plan its replacement.",
        disk_defects.wear(WEAR_PERCENT, below=WORN_PERCENT),
    ),
    Rule(
        "disk-crc-errors",
        "warning",
        "transfers between a disk and its controller were damaged on the way",
        "Reseat or change its cable, and look whether the number grows.",
        disk_defects.counter("crc_errors"),
    ),
    Rule(
        "memory-missing",
        "critical",
        "the kernel can use less memory than the modules hold, by a module or more; high-bandwidth memory is left out",
        "Reseat the modules; look in the BIOS for one that is disabled or mapped out.",
        defects.missing_memory,
    ),
    Rule(
        "memory-unlisted",
        "warning",
        "the kernel can use more memory than the firmware's list of modules holds",
        "Count the modules by eye; the firmware's table is wrong.",
        defects.unlisted_memory,
    ),
    Rule(
        "memory-mixed-channel",
        "warning",
        "modules of DRAM known to differ in size, type, speed or ranks share a channel",
        "Sort the modules, so that each channel holds equal ones.",
        defects.mixed_channel,
    ),
    Rule(
        "memory-ecc-off",
        "warning",
        "the modules carry ECC and the machine does not use it",
        "Turn ECC on in the BIOS.",
        defects.ecc_off,
    ),
    Rule(
        "cpu-disabled",
        "warning",
        "the processor of one socket is disabled while another works; guests of VMware are left out",
        "Look in the BIOS set-up and the BMC's log for why.",
        defects.disabled_cpu,
    ),
    Rule(
        "cpu-microcode-unequal",
        "warning",
        "the processors run different microcode",
        "Update the BIOS; look whether the processors are of one stepping.",
        defects.unequal_microcode,
    ),
    Rule(
        "pcie-link-narrow",
        "warning",
        "a PCI Express link has fewer lanes than both its ends can",
        "Reseat the card or riser; clean its contacts; look for a bifurcation setting.",
        defects.narrow_link,
    ),
    Rule(
        "pcie-link-slow",
        "warning",
        "a PCI Express link runs slower than both its ends can; GPUs' cards, which slow down when idle, are left out",
        "Reseat the card or riser; look for a link speed set in the BIOS.",
        defects.slow_link,
    ),
    Rule(
        "psu-failed",
        "critical",
        "a power supply has failed, is about to, or has lost its input",
        "Check its cable and its outlet, then replace it.",
        defects.failed_supply,
    ),
    Rule(
        "psu-absent",
        "warning",
        "a bay for a power supply is empty, and another is not",
        "Fit one, where the machine is meant to have it.",
        defects.absent_supply,
    ),
    Rule(
        "psu-unplugged",
        "warning",
        "a power supply is there and was not plugged in at boot",
        "Plug it in.",
        defects.unplugged_supply,
    ),
    Rule(
        "redundancy-lost",
        "warning",
        "the BMC says that power, fans or another group is no longer redundant",
        "Look for the member that is missing or has failed.",
        defects.redundancy,
    ),
    Rule(
        "sensor-critical",
        "critical",
        "the BMC calls a sensor critical or non-recoverable, or the state that it is in means a defect",
        "Look at what the sensor watches.",
        defects.bad_sensor,
    ),
    Rule(
        "sel-critical",
        "warning",
        "the BMC's event log holds entries that mean a defect",
        "Read `ipmitool sel elist`; when it is dealt with, save the log and clear it.",
        defects.event_log,
    ),
    Rule(
        "gpu-in-error",
        "critical",
        "nvidia-smi has errors in place of a GPU's values, or says that it must be reset",
        "Look for `NVRM: Xid` in the kernel's log; reset it or restart the machine, replace it if that is no help.",
        defects.gpu_in_error,
    ),
    Rule(
        "gpu-ecc-uncorrected",
        "critical",
        "a GPU's memory had errors that ECC could not correct",
        "Run NVIDIA's field diagnostics; replace the GPU when they come back.",
        defects.gpu_ecc,
    ),
    Rule(
        "gpu-remap-failed",
        "critical",
        "a GPU has no spare rows left for a bad one of its memory",
        "Replace the GPU.",
        defects.gpu_remap_failed,
    ),
    Rule(
        "gpu-remap-pending",
        "warning",
        "a GPU has a bad row or page that it replaces at its next reset",
        "Reset the GPU or restart the machine, then look again.",
        defects.gpu_pending,
    ),
    Rule(
        "gpu-slowed-down",
        "warning",
        "a GPU's clocks are held down by heat or by its power supply",
        "Look at its airflow and its power cables.",
        defects.gpu_slowed,
    ),
    Rule(
        "gpu-nvlink-down",
        "warning",
        "a GPU has fewer NVLinks up than another of its model",
        "Reseat the NVLink bridge or the GPU's module; look at the fabric manager's log.",
        defects.nvlink_down,
    ),
    Rule(
        "gpu-nvlink-errors",
        "warning",
        "an NVLink had to send again or to be trained again since the driver was loaded",
        "Reseat the NVLink bridge or the GPU's module, and look whether the numbers grow.",
        defects.nvlink_errors,
    ),
    Rule(
        "clock-unset",
        "warning",
        "the machine's clock stands at 1970",
        "Set the clock; replace the battery when it does not keep it.",
        defects.clock,
    ),
)
