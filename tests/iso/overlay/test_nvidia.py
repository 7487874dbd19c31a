"""bee-nvidia loads by absolute path and in order, and tells no GPU, an unknown GPU and a refused module apart."""

from __future__ import annotations

import pytest

from tests.iso.overlay.world import NVIDIA, World

DRM = "/lib/modules/6.12.0/kernel/drivers/gpu/drm/drm.ko.xz"
HELPER = "/lib/modules/6.12.0/kernel/drivers/gpu/drm/drm_kms_helper.ko.xz"
MAIN, UVM, MODESET = (f"/{NVIDIA}/{name}.ko" for name in ("nvidia", "nvidia-uvm", "nvidia-modeset"))
ORDER = [DRM, MAIN, HELPER, UVM, MODESET]


@pytest.fixture
def world(world: World) -> World:
    """A machine with a driver in its image, no GPU, and no module loaded."""
    world.file(NVIDIA / "load-order", "".join(f"{module}\n" for module in ORDER))
    world.file("proc/cmdline", "boot=live quiet")
    world.file("proc/modules", "ext4 999 1 - Live 0x0\n")
    world.file("proc/devices", "Character devices:\n  1 mem\n\nBlock devices:\n  8 sd\n")
    for tool in ("insmod", "mknod", "modprobe"):
        world.tool(tool)
    return world


def _pci(world: World, address: str, vendor: str = "0x10de", kind: str = "0x030200") -> None:
    world.file(f"sys/bus/pci/devices/{address}/vendor", f"{vendor}\n")
    world.file(f"sys/bus/pci/devices/{address}/class", f"{kind}\n")


def _refuse(world: World, module: str, answer: str) -> None:
    message = f"insmod: ERROR: could not insert module {module}: {answer}"
    world.tool("insmod", f'case $1 in {module}) echo "{message}" >&2; exit 1;; esac')


def _inserted(world: World) -> list[str]:
    return [call.removeprefix("insmod ") for call in world.calls if call.startswith("insmod ")]


def test_every_module_goes_in_by_absolute_path_in_the_order_of_the_build(world: World) -> None:
    _pci(world, "0000:41:00.0")
    done = world.run("nvidia")
    assert done.returncode == 0, done.stderr
    assert _inserted(world) == ORDER


def test_without_a_gpu_nothing_is_loaded(world: World) -> None:
    _pci(world, "0000:00:02.0", vendor="0x8086")
    _pci(world, "0000:00:03.0", kind="0x040300")  # the sound function of a graphics card is no GPU
    done = world.run("nvidia")
    assert done.returncode == 0
    assert _inserted(world) == []
    assert "no NVIDIA GPU on the bus" in done.stdout


def test_force_on_the_command_line_loads_without_a_gpu(world: World) -> None:
    world.file("proc/cmdline", "boot=live bee.nvidia=force quiet\n")
    assert world.run("nvidia").returncode == 0
    assert _inserted(world) == ORDER


@pytest.mark.parametrize("word", ["bee.nvidia=forced", "xbee.nvidia=force", "bee.nvidia=", "bee-nvidia=force"])
def test_only_the_whole_word_forces(world: World, word: str) -> None:
    world.file("proc/cmdline", f"boot=live {word}\n")
    world.run("nvidia")
    assert _inserted(world) == []


def test_an_image_without_the_driver_says_so(world: World) -> None:
    (world.root / NVIDIA / "load-order").unlink()
    _pci(world, "0000:41:00.0")
    done = world.run("nvidia")
    assert done.returncode == 0
    assert "has no NVIDIA driver" in done.stdout


def test_what_is_loaded_already_stays(world: World) -> None:
    _pci(world, "0000:41:00.0")
    world.file("proc/modules", "drm 1 2 nvidia, Live 0x0\nnvidia_uvm 1 0 - Live 0x0\n")
    world.run("nvidia")
    assert _inserted(world) == [MAIN, HELPER, MODESET]


def test_a_module_that_udev_loads_meanwhile_is_no_failure(world: World) -> None:
    _pci(world, "0000:41:00.0")
    _refuse(world, DRM, "File exists")
    assert world.run("nvidia").returncode == 0
    assert _inserted(world) == ORDER


def test_no_such_device_is_a_skip_and_what_needs_nvidia_is_left_out(world: World) -> None:
    world.file("proc/cmdline", "bee.nvidia=force")
    _refuse(world, MAIN, "No such device")
    done = world.run("nvidia")
    assert done.returncode == 0, done.stderr
    # what lies in the kernel's own tree goes in all the same; nvidia-uvm would only give unknown symbols
    assert _inserted(world) == [DRM, MAIN, HELPER]
    assert "skipped: nvidia.ko answers No such device" in done.stdout
    assert f"{UVM}: left out" in done.stdout


def test_a_gpu_that_the_driver_does_not_know_is_named(world: World) -> None:
    _pci(world, "0000:41:00.0")
    _refuse(world, MAIN, "No such device")
    done = world.run("nvidia")
    assert done.returncode == 0
    assert "it does not know the GPU at 0000:41:00.0" in done.stdout


@pytest.mark.parametrize("module", [DRM, MAIN, MODESET])
@pytest.mark.parametrize("answer", ["Unknown symbol in module", "Invalid module format", "Operation not permitted"])
def test_a_module_that_the_kernel_refuses_fails_the_unit_and_is_named(world: World, module: str, answer: str) -> None:
    _pci(world, "0000:41:00.0")
    _refuse(world, module, answer)
    done = world.run("nvidia")
    assert done.returncode == 1
    assert answer in done.stderr
    assert f"not loaded: {module.rsplit('/', 1)[1]}\n" in done.stderr


LOCKED = "none [integrity] confidentiality\n"
OPEN = "[none] integrity confidentiality\n"
SIGNED = "\x7fELF…~Module signature appended~\n"


@pytest.mark.parametrize(
    "answer", ["Key was rejected by service", "Required key not available", "Operation not permitted"]
)
@pytest.mark.parametrize(
    ("module", "said"),
    [("\x7fELF…", "is not signed, and under Secure Boot"), (SIGNED, "signed by a key that this machine does not know")],
)
def test_under_secure_boot_it_says_whether_a_module_is_signed_and_what_to_enrol(
    world: World, answer: str, module: str, said: str
) -> None:
    _pci(world, "0000:41:00.0")
    world.file("sys/kernel/security/lockdown", LOCKED)
    world.file(MAIN.lstrip("/"), module)
    _refuse(world, MAIN, answer)
    done = world.run("nvidia")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "Secure Boot" in line]
    assert said in line
    assert "mokutil --import" in line
    assert ("sign_key= and sign_cert=" in line) == (module != SIGNED)
    assert ("/usr/local/lib/nvidia/signing-certificate.der" in line) == (module == SIGNED)


@pytest.mark.parametrize("lockdown", [OPEN, None])
def test_a_kernel_that_is_not_locked_down_refuses_for_another_reason(world: World, lockdown: str | None) -> None:
    _pci(world, "0000:41:00.0")
    if lockdown:
        world.file("sys/kernel/security/lockdown", lockdown)
    _refuse(world, MAIN, "Operation not permitted")
    assert "Secure Boot" not in world.run("nvidia").stderr


def test_device_nodes_come_from_the_kernels_own_numbers(world: World) -> None:
    _pci(world, "0000:41:00.0")
    world.file(
        "proc/devices",
        "Character devices:\n195 nvidia\n195 nvidiactl\n511 nvidia-uvm\n\nBlock devices:\n259 nvidia-uvm\n",
    )
    for minor, address in enumerate(("0000:41:00.0", "0000:42:00.0")):
        world.file(f"proc/driver/nvidia/gpus/{address}/information", f"Model: X\nDevice Minor: \t {minor}\n")
    assert world.run("nvidia").returncode == 0
    dev = world.root / "dev"
    assert [call for call in world.calls if call.startswith("mknod")] == [
        f"mknod -m 666 {dev}/{name} c {major} {minor}"
        for name, major, minor in (
            ("nvidiactl", 195, 255),
            ("nvidia-modeset", 195, 254),
            ("nvidia0", 195, 0),
            ("nvidia1", 195, 1),
            ("nvidia-uvm", 511, 0),
            ("nvidia-uvm-tools", 511, 1),
        )
    ]


def test_a_node_that_is_there_is_left_alone_and_a_block_device_is_none_of_ours(world: World) -> None:
    _pci(world, "0000:41:00.0")
    world.file("proc/devices", "Character devices:\n195 nvidia-frontend\n\nBlock devices:\n259 nvidia-uvm\n")
    world.file("dev/nvidiactl")
    world.run("nvidia")
    assert [call.split()[3].rsplit("/", 1)[1] for call in world.calls if call.startswith("mknod")] == ["nvidia-modeset"]


def test_modprobe_is_never_asked(world: World) -> None:
    _pci(world, "0000:41:00.0")
    world.run("nvidia")
    assert not [call for call in world.calls if call.startswith("modprobe")]
