"""live-build's configuration: one kernel by its name, both boot loaders, and the hook that proves it of the image."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.iso.checkout import ABI

BUILDER = Path(__file__).parents[2] / "iso/builder"
HOOK = BUILDER / "hooks/normal/9980-one-kernel.hook.chroot"


def test_the_configuration_names_the_kernel_and_never_the_metapackage(tmp_path: Path) -> None:
    """Run for real, with an `lb` that only says how it was called."""
    (tmp_path / "VERSIONS").write_text(
        f"SUITE=trixie\nDEBIAN_KERNEL_ABI={ABI}\nBEE_VERSION=1\nMIRROR=http://m/d\nSECURITY_MIRROR=http://m/s\n"
    )
    tool = tmp_path / "bin/lb"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    tool.chmod(0o755)
    done = subprocess.run(
        [BUILDER / "auto/config"],
        cwd=tmp_path,
        env={"PATH": f"{tool.parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    words = done.stdout.splitlines()
    options = dict(itertools.pairwise(words))
    assert f"{options['--linux-packages']}-{options['--linux-flavours']}" == f"linux-image-{ABI}"
    assert options["--distribution"] == "trixie"
    assert options["--bootloaders"] == "syslinux,grub-efi"
    append = options["--bootappend-live"].split()
    assert {"boot=live", "modprobe.blacklist=nouveau", "console=ttyS0,115200"} <= set(append)
    assert append[-1].startswith("console=ttyS0")


@pytest.mark.parametrize("menu", ["bootloaders/isolinux/isolinux.cfg", "bootloaders/grub-pc/grub.cfg"])
def test_both_menus_time_out_have_a_serial_line_and_the_forced_entry(menu: str) -> None:
    text = (BUILDER / menu).read_text()
    assert re.search(r"timeout[ =][1-9]", text)
    assert "115200" in text
    assert "bee.nvidia=force" in text
    entries = re.findall(r"^\s*(?:append|linux \S+KERNEL\S+) (.*)$", text, re.MULTILINE)
    assert len(entries) == 2
    assert all("@APPEND_LIVE@" in entry for entry in entries)


def image(root: Path, abi: str) -> Path:
    (root / "etc").mkdir()
    (root / "etc/bee-release").write_text(f"KERNEL_ABI='{abi}'\n")
    (root / "boot").mkdir()
    (root / f"boot/vmlinuz-{abi}").touch()
    (root / "lib/modules" / abi / "kernel").mkdir(parents=True)
    return root


def hook(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HOOK, root], capture_output=True, text=True, check=False)


def test_one_kernel_passes(tmp_path: Path) -> None:
    done = hook(image(tmp_path, ABI))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("place", ["boot/vmlinuz-6.99.0-amd64", "lib/modules/6.99.0-amd64/x"])
def test_a_second_kernel_is_refused(tmp_path: Path, place: str) -> None:
    root = image(tmp_path, ABI)
    (root / place).parent.mkdir(exist_ok=True)
    (root / place).touch()
    done = hook(root)
    assert done.returncode == 1
    assert "6.99.0-amd64" in done.stderr


def test_another_kernel_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    root = image(tmp_path, ABI)
    (root / "etc/bee-release").write_text("KERNEL_ABI=6.99.0-amd64\n")
    assert hook(root).returncode == 1


def test_an_image_that_does_not_say_its_kernel_is_refused(tmp_path: Path) -> None:
    root = image(tmp_path, ABI)
    (root / "etc/bee-release").write_text("SUITE=trixie\n")
    done = hook(root)
    assert done.returncode == 1
    assert "names no KERNEL_ABI" in done.stderr


@pytest.mark.parametrize("folder", ["lib/modules/{abi}/kernel", "usr/local/lib/nvidia"])
def test_a_module_of_another_kernel_is_refused(tmp_path: Path, folder: str) -> None:
    module = tmp_path / "m.ko"
    _make_module(module, "6.99.0-amd64 SMP")
    root = tmp_path / "root"
    root.mkdir()
    target = image(root, ABI) / folder.format(abi=ABI)
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(module, target)
    done = hook(root)
    assert done.returncode == 1
    assert "built for 6.99.0-amd64" in done.stderr


def test_a_module_of_this_kernel_passes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    target = image(root, ABI) / "usr/local/lib/nvidia"
    target.mkdir(parents=True)
    _make_module(target / "m.ko", f"{ABI} SMP")
    assert hook(root).returncode == 0


def _make_module(path: Path, vermagic: str) -> None:
    """As much of a kernel module as modinfo reads: an ELF file with a section .modinfo."""
    (path.parent / "modinfo.bin").write_bytes(f"vermagic={vermagic}\0license=GPL\0".encode())
    (path.parent / "empty.s").touch()
    subprocess.run(["as", "-o", path, path.parent / "empty.s"], check=True)
    command = ["objcopy", "--add-section", f".modinfo={path.parent / 'modinfo.bin'}", str(path)]
    subprocess.run([*command, "--set-section-flags", ".modinfo=alloc,readonly"], check=True)
    (path.parent / "modinfo.bin").unlink()
    (path.parent / "empty.s").unlink()
