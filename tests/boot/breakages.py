"""For each check of the smoke test one way to break the live system that it must notice, and the way back.

Both are pieces of shell, run as root in the guest: broken, checked and restored over one connection, so that breaking
sshd or the network does not lock the test out.
"""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote

AUDIT = "/var/log/bee-audit.json"
RELEASE = "/etc/bee-release"
SAVED = "/run/saved"

# A machine has no GPU to break: one is put onto the bus that has no driver, no nodes and is not seen by nvidia-smi.
BUS = "/sys/bus/pci/devices"
PLUG_A_GPU_IN = (
    f"mount -t tmpfs none {BUS}; mkdir {BUS}/0000:41:00.0; cd {BUS}/0000:41:00.0; "
    "echo 0x10de >vendor; echo 0x030200 >class; cd /"
)
UNPLUG_IT = f"umount {BUS}"


@dataclass(frozen=True, slots=True)
class Breakage:
    """`reason` is a piece of what the check must say."""

    broken: str
    restored: str
    reason: str


def _without(path: str, reason: str) -> Breakage:
    """The file is missing."""
    return Breakage(f"mv {path} {path}.away", f"mv {path}.away {path}", reason)


def _edited(path: str, sed: str, reason: str) -> Breakage:
    """The file's content is wrong."""
    return Breakage(f"cp -p {path} {SAVED}; sed -i {quote(sed)} {path}", f"mv {SAVED} {path}", reason)


def _stopped(unit: str) -> Breakage:
    """The service does not run."""
    return Breakage(
        f"systemctl stop {unit}",
        f"systemctl reset-failed {unit}; systemctl start {unit}",
        f"{unit}.service is inactive",
    )


BREAKAGES = {
    "release": _edited(RELEASE, "/^SUITE=/d", "does not say SUITE"),
    "kernel": _edited(RELEASE, "s/^KERNEL_ABI=.*/KERNEL_ABI=0.0.0-amd64/", "the image was built for 0.0.0-amd64"),
    "one-kernel": Breakage("mkdir /lib/modules/0.0.0", "rmdir /lib/modules/0.0.0", "0.0.0"),
    "bee": _without("/usr/local/bin/bee", "bee does not start"),
    "tools": _without("/usr/sbin/dmidecode", "dmidecode is not in the image"),
    "no-package-manager": Breakage(
        "echo less hold | dpkg --set-selections",
        "echo less install | dpkg --set-selections; touch -d 2001-01-01 /var/lib/dpkg/*",
        "written since boot: /var/lib/dpkg/",
    ),
    "no-archives": Breakage(
        "echo 'deb http://me:geheim@mirror.invalid/debian trixie main' >/etc/apt/sources.list",
        "rm /etc/apt/sources.list",
        "apt has a source: deb http://mirror.invalid/debian",
    ),
    "service-bee-sshsetup": _stopped("bee-sshsetup"),
    "service-ssh": _stopped("ssh"),
    "service-bee-network": _stopped("bee-network"),
    "service-bee-addresses": _stopped("bee-addresses"),
    "service-bee-nvidia": _stopped("bee-nvidia"),
    "service-bee-audit": _stopped("bee-audit"),
    "failed-units": Breakage(
        "systemd-run --wait --unit=broken false", "systemctl reset-failed broken", "failed: broken.service"
    ),
    "ssh-order": Breakage("systemctl restart bee-sshsetup", "systemctl restart ssh", "bee-sshsetup finished at"),
    "ssh-policy": Breakage(
        "echo PasswordAuthentication yes >/etc/ssh/sshd_config.d/00-a.conf",
        "rm /etc/ssh/sshd_config.d/00-a.conf",
        "sshd -T does not say: passwordauthentication no",
    ),
    "host-keys": _without("/etc/ssh/ssh_host_ed25519_key", "is missing"),
    "passwords": Breakage(
        "echo 'nobody:$6$salt$hash' | chpasswd -e", "echo 'nobody:*' | chpasswd -e", "nobody has a password"
    ),
    "shell": Breakage(
        f"sed 's/$/ bee.shell=tty1/' /proc/cmdline >{SAVED}; mount --bind {SAVED} /proc/cmdline",
        "umount /proc/cmdline",
        "bee.shell=tty1 was asked for, and bee-shell.service is inactive",
    ),
    "no-network-wait": Breakage(
        "systemctl start network-online.target",
        "systemctl stop network-online.target",
        "network-online.target is active",
    ),
    "lan": Breakage(
        """ip -4 -o address show scope global | awk '{ print $4, "brd", $6, "dev", $2 }' """
        f">{SAVED}; ip -4 address flush scope global",
        f"ip address add $(cat {SAVED})",
        "no address, or nobody answers",
    ),
    "addresses": _without("/run/bee-addresses", "does not tell of"),
    "stick": Breakage(
        "mv /lib/modules/$(uname -r)/modules.dep.bin /run/; mv /lib/modules/$(uname -r)/modules.dep /run/",
        "mv /run/modules.dep.bin /run/modules.dep /lib/modules/$(uname -r)/",
        "the kernel has no usb-storage",
    ),
    "nouveau": Breakage("modprobe nouveau", "modprobe -r nouveau", "nouveau is loaded"),
    "nvidia-files": _without("/usr/local/lib/nvidia/nvidia-uvm.ko", "nvidia-uvm.ko, which is missing"),
    "nvidia-libs": _without("/usr/lib/libcuda.so.1", "/usr/lib/libcuda.so.1 is not a link"),
    "nvidia-modules": Breakage(PLUG_A_GPU_IN, UNPLUG_IT, "not in the kernel: "),
    # without nvidia.ko its symbols are unknown, and the kernel says so
    "nvidia-symbols": Breakage("insmod /usr/local/lib/nvidia/nvidia-uvm.ko", "dmesg --clear", "Unknown symbol"),
    "nvidia-nodes": Breakage(PLUG_A_GPU_IN, UNPLUG_IT, "/dev/nvidiactl is missing"),
    "nvidia-smi": Breakage(PLUG_A_GPU_IN, UNPLUG_IT, "nvidia-smi: "),
    "audit": _edited(AUDIT, 's/"bee_version"/"version_of_bee"/', "not valid: $"),
    "audit-fresh": Breakage(
        f"touch -r {AUDIT} {SAVED}; touch -d 2001-01-01 {AUDIT}", f"touch -r {SAVED} {AUDIT}", "older"
    ),
    "audit-collectors": _edited(AUDIT, 's/"status": "ok"/"status": "failed"/', "board failed"),
    "audit-nvidia": Breakage(PLUG_A_GPU_IN, UNPLUG_IT, "nvidia skipped"),
}


def command(name: str) -> str:
    """What runs in the guest, the smoke test on its stdin: break, run that one check, restore; the exit code is its."""
    breakage = BREAKAGES[name]
    return (
        f"cat >/run/smoketest.sh; ( {breakage.broken} ) </dev/null >/dev/null 2>&1; "
        f"sh /run/smoketest.sh {name}; code=$?; "
        f"( {breakage.restored} ) </dev/null >/dev/null 2>&1 || echo 'not restored' >&2; exit $code"
    )
