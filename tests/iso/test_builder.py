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
HOOKS = BUILDER / "hooks/normal"
LATE_HOOKS = BUILDER / "hooks/after-overlay"


def configured(folder: Path, *lists: str) -> Path:
    """A folder as `lb config` left it, with package lists, after auto/config."""
    options_of(folder, lists=lists)
    return folder / "config"


def options_of(folder: Path, profile: str = "dev", lists: tuple[str, ...] = ("bee.list.chroot",)) -> dict[str, str]:
    """What auto/config gives to `lb config`: run for real, with an `lb` that only says how it was called."""
    (folder / "VERSIONS").write_text(
        f"SUITE=trixie\nPROFILE={profile}\nDEBIAN_KERNEL_ABI={ABI}\nBEE_VERSION=1\n"
        "MIRROR=http://m/d\nSECURITY_MIRROR=http://m/s\n"
    )
    (folder / "config/package-lists").mkdir(parents=True)
    for name in lists:
        (folder / "config/package-lists" / name).write_text(f"{name}\n")
    tool = folder / "bin/lb"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    tool.chmod(0o755)
    done = subprocess.run(
        [BUILDER / "auto/config"],
        cwd=folder,
        env={"PATH": f"{tool.parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(itertools.pairwise(done.stdout.splitlines()))


@pytest.mark.parametrize(("profile", "compressor"), [("dev", ("zstd", "3")), ("release", ("xz", None))])
def test_a_profile_is_a_compressor(tmp_path: Path, profile: str, compressor: tuple[str, str | None]) -> None:
    options = options_of(tmp_path, profile)
    level = options.get("--chroot-squashfs-compression-level")
    assert (options["--chroot-squashfs-compression-type"], level) == compressor


def test_the_configuration_names_the_kernel_and_never_the_metapackage(tmp_path: Path) -> None:
    options = options_of(tmp_path)
    assert f"{options['--linux-packages']}-{options['--linux-flavours']}" == f"linux-image-{ABI}"
    assert options["--distribution"] == "trixie"
    assert options["--bootloaders"] == "syslinux,grub-efi"
    append = options["--bootappend-live"].split()
    assert {"boot=live", "modprobe.blacklist=nouveau", "console=ttyS0,115200"} <= set(append)
    assert append[-2:] == ["console=tty0", "console=ttyS0,115200"]
    assert options["--uefi-secure-boot"] == "auto"
    assert options["--archive-areas"] == "main non-free-firmware"


def test_each_package_list_is_gone_through_once(tmp_path: Path) -> None:
    """live-build takes a *.list.chroot in both of its passes, a *.list.chroot_install in the first (live-build(7))."""
    lists = configured(tmp_path, "bee.list.chroot", "live.list.chroot") / "package-lists"
    assert {file.name: file.read_text() for file in lists.iterdir()} == {
        "bee.list.chroot_install": "bee.list.chroot\n",
        "live.list.chroot_install": "live.list.chroot\n",
    }


def test_what_keeps_apt_from_asking_in_the_end_is_not_in_the_image(tmp_path: Path) -> None:
    (file,) = (configured(tmp_path, "bee.list.chroot") / "archives").iterdir()
    asked = ["apt-get", "-c", file, "indextargets", "--format", "$(URI)"]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == ""
    name = file.name.removesuffix(".binary")
    assert f"etc/apt/apt.conf.d/{name}" in (BUILDER / "rootfs/excludes").read_text().splitlines()


@pytest.mark.parametrize(
    ("menu", "names"),
    [
        ("bootloaders/isolinux/isolinux.cfg", r"^label (\S+)"),
        ("bootloaders/grub-pc/grub.cfg", r"^menuentry .* --id (\S+)"),
    ],
)
def test_both_menus_time_out_have_a_serial_line_and_the_same_entries(menu: str, names: str) -> None:
    text = (BUILDER / menu).read_text()
    assert re.search(r"timeout[ =][1-9]", text)
    assert "115200" in text
    entries = re.findall(r"^\s*(?:append|linux \S+KERNEL\S+) @APPEND_LIVE@ ?(.*)$", text, re.MULTILINE)
    assert dict(zip(re.findall(names, text, re.MULTILINE), entries, strict=True)) == {
        "live": "",
        "toram": "toram=filesystem.squashfs",
        "nomodeset": "nomodeset",
        "nvidia-force": "bee.nvidia=force",
    }


def image(root: Path, abi: str) -> Path:
    (root / "etc").mkdir()
    (root / "etc/bee-release").write_text(f"KERNEL_ABI='{abi}'\n")
    (root / "boot").mkdir()
    (root / f"boot/vmlinuz-{abi}").touch()
    (root / "lib/modules" / abi / "kernel").mkdir(parents=True)
    return root


def hook(root: Path, overlay: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The hook that looks at a base; with an overlay the one that looks at the whole."""
    early, late = HOOKS / "9980-one-kernel.hook.chroot", LATE_HOOKS / "9980-one-kernel"
    command = [late, root, overlay] if overlay else [early, root]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_one_kernel_passes(tmp_path: Path) -> None:
    root = image(tmp_path, ABI)
    for done in (hook(root), hook(root, tmp_path / "etc")):
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("place", ["boot/vmlinuz-6.99.0-amd64", "lib/modules/6.99.0-amd64/x"])
def test_a_second_kernel_is_refused(tmp_path: Path, place: str, late: bool) -> None:
    root = image(tmp_path, ABI)
    (root / place).parent.mkdir(exist_ok=True)
    (root / place).touch()
    done = hook(root, tmp_path if late else None)
    assert done.returncode == 1
    assert "6.99.0-amd64" in done.stderr


def test_a_base_without_a_kernel_is_refused(tmp_path: Path) -> None:
    root = image(tmp_path, ABI)
    (root / f"boot/vmlinuz-{ABI}").unlink()
    done = hook(root)
    assert (done.returncode, done.stderr) == (1, "one-kernel: /boot holds '', not one kernel\n")


def test_another_kernel_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    root = image(tmp_path, ABI)
    (root / "etc/bee-release").write_text("KERNEL_ABI=6.99.0-amd64\n")
    assert hook(root, tmp_path).returncode == 1


def test_an_image_that_does_not_say_its_kernel_is_refused(tmp_path: Path) -> None:
    root = image(tmp_path, ABI)
    (root / "etc/bee-release").write_text("SUITE=trixie\n")
    done = hook(root, tmp_path)
    assert done.returncode == 1
    assert "names no KERNEL_ABI" in done.stderr


def test_a_base_s_module_of_another_kernel_is_refused(tmp_path: Path) -> None:
    root = image(tmp_path, ABI)
    make_module(root / "lib/modules" / ABI / "kernel/m.ko", "6.99.0-amd64 SMP")
    done = hook(root)
    assert done.returncode == 1
    assert "built for 6.99.0-amd64" in done.stderr


@pytest.mark.parametrize("prefix", ["", "/usr"])
def test_of_a_base_s_modules_those_of_the_kernel_s_package_are_not_read(tmp_path: Path, prefix: str) -> None:
    root = image(tmp_path, ABI)
    module = f"/lib/modules/{ABI}/kernel/m.ko"
    (root / module[1:]).write_bytes(b"no module at all")
    assert hook(root).stderr != ""
    owned = root / f"var/lib/dpkg/info/linux-image-{ABI}.list"
    owned.parent.mkdir(parents=True)
    owned.write_text(f"/.\n{prefix}{module}\n")
    assert (hook(root).returncode, hook(root).stderr) == (0, "")
    make_module(root / "lib/modules" / ABI / "kernel/other.ko", "6.99.0-amd64 SMP")
    assert "built for 6.99.0-amd64" in hook(root).stderr


@pytest.mark.parametrize("folder", ["lib/modules/{abi}/updates", "usr/local/lib/nvidia"])
@pytest.mark.parametrize("abi", [ABI, "6.99.0-amd64"])
def test_an_overlay_s_module_must_be_of_this_kernel(tmp_path: Path, folder: str, abi: str) -> None:
    (tmp_path / "root").mkdir()
    root = image(tmp_path / "root", ABI)
    overlay = tmp_path / "overlay"
    module = overlay / folder.format(abi=ABI) / "m.ko"
    module.parent.mkdir(parents=True)
    make_module(module, f"{abi} SMP")
    done = hook(root, overlay)
    assert done.returncode == (abi != ABI)
    assert ("built for 6.99.0-amd64" in done.stderr) == (abi != ABI)


def firmware_image(root: Path) -> Path:
    """A kernel with one driver of a network card and one of a radio, and a package with firmware of both."""
    drivers = root / "usr/lib/modules/1/kernel/drivers/net"
    for name, firmware in (("ethernet/card", ["card/a.fw", "card/link.fw"]), ("wireless/radio", ["radio.fw"])):
        (drivers / name).mkdir(parents=True)
        make_module(drivers / name / "m.ko", "1", firmware)
    for name in ("card/a.fw", "card/target.fw", "card/old.fw", "radio.fw", "cxgb4/t4-config.txt"):
        (root / "usr/lib/firmware" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "usr/lib/firmware" / name).write_text(name)
    (root / "usr/lib/firmware/card/link.fw").symlink_to("target.fw")
    info = root / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    names = [path for path in (root / "usr/lib/firmware").rglob("*") if not path.name.startswith("t")]
    # bookworm's packages say /lib.
    lines = [f"/lib/firmware/{path.relative_to(root / 'usr/lib/firmware')}\n" for path in names]
    (info / "firmware-card.list").write_text("".join(["/lib\n", *lines, "/usr/lib/firmware/card/target.fw\n"]))
    return root


def test_only_firmware_that_a_servers_driver_names_stays(tmp_path: Path) -> None:
    root = firmware_image(tmp_path)
    (root / "usr/lib/firmware/nvidia").mkdir()
    (root / "usr/lib/firmware/nvidia/gsp.bin").write_text("the overlay's")
    subprocess.run([HOOKS / "0600-firmware.hook.chroot", root], check=True, capture_output=True)
    left = {str(path.relative_to(root / "usr/lib/firmware")) for path in (root / "usr/lib/firmware").rglob("*.*")}
    assert left == {"card/a.fw", "card/link.fw", "card/target.fw", "cxgb4/t4-config.txt", "nvidia/gsp.bin"}


def test_an_image_without_any_needed_firmware_is_refused(tmp_path: Path) -> None:
    root = firmware_image(tmp_path)
    shutil.rmtree(root / "usr/lib/firmware")
    done = subprocess.run([HOOKS / "0600-firmware.hook.chroot", root], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no driver names any file" in done.stderr


def test_os_release_gets_the_images_name_and_build(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/os-release").write_text("ID=debian\n")
    facts = "BEE_VERSION=1.2\nGIT_COMMIT=abc-dirty\nBUILD_DATE=2026-01-02T03:04:05Z\n"
    (tmp_path / "etc/bee-release").write_text(facts)
    hook_file = LATE_HOOKS / "0700-os-release"
    subprocess.run([hook_file, tmp_path, tmp_path], check=True)
    said = (tmp_path / "usr/lib/os-release").read_text()
    assert said == "ID=debian\nIMAGE_ID=bee\nIMAGE_VERSION=1.2\nBUILD_ID=20260102T030405Z-abc-dirty\n"
    (tmp_path / "etc/bee-release").write_text("BEE_VERSION=1.2\n")
    assert subprocess.run([hook_file, tmp_path, tmp_path], capture_output=True, check=False).returncode == 1


def make_module(path: Path, vermagic: str, firmware: list[str] | None = None, depends: str = "") -> None:
    """As much of a kernel module as modinfo reads: an ELF file with a section .modinfo."""
    fields = [f"vermagic={vermagic}", f"depends={depends}", *(f"firmware={each}" for each in firmware or [])]
    (path.parent / "modinfo.bin").write_bytes("".join(f"{field}\0" for field in fields).encode())
    (path.parent / "empty.s").touch()
    subprocess.run(["as", "-o", path, path.parent / "empty.s"], check=True)
    command = ["objcopy", "--add-section", f".modinfo={path.parent / 'modinfo.bin'}", str(path)]
    subprocess.run([*command, "--set-section-flags", ".modinfo=alloc,readonly"], check=True)
    (path.parent / "modinfo.bin").unlink()
    (path.parent / "empty.s").unlink()


def test_the_signed_boot_loaders_have_the_same_time_in_every_image(tmp_path: Path) -> None:
    places = ["usr/lib/shim/shim", "usr/lib/grub/x86_64-efi-signed/grub", "grub-efi-temp/EFI/boot/mm", "usr/lib/other"]
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    subprocess.run([HOOKS / "9970-boot-loader-times.hook.chroot", tmp_path], check=True)
    times = [(tmp_path / place).stat().st_mtime for place in places]
    assert times[:3] == [946684800.0] * 3
    assert times[3] > times[0]


def test_the_root_file_system_has_neither_kernel_nor_initrd_a_second_time(tmp_path: Path) -> None:
    tree, squashfs = tmp_path / "tree", tmp_path / "filesystem.squashfs"
    for name in ("boot/vmlinuz-6.1", "boot/initrd.img-6.1", "boot/config-6.1", "usr/bin/vmlinuz", "etc/nvme/hostid"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    for link in ("vmlinuz", "vmlinuz.old", "initrd.img"):
        (tree / link).symlink_to("boot/vmlinuz-6.1")
    # As live-build does it.
    command = ["mksquashfs", tree, squashfs, "-quiet", "-no-progress", "-wildcards", "-ef", BUILDER / "rootfs/excludes"]
    subprocess.run(command, check=True, capture_output=True)
    listed = subprocess.run(["unsquashfs", "-lc", squashfs], check=True, capture_output=True, text=True).stdout
    files = {line.removeprefix("squashfs-root/") for line in listed.splitlines()}
    assert files == {"boot/config-6.1", "etc/nvme", "usr/bin/vmlinuz"}
