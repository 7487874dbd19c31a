"""insmod's order: dependencies first, each once, whatever the graph; nothing missing, no circle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iso.errors import BuildError
from iso.image.load_order import NVIDIA_FOLDER, load_order, module_name

ABI = "6.12.1+deb13-amd64"
_DRM = "kernel/drivers/gpu/drm"
KERNELS = {
    f"{_DRM}/drm.ko.xz": [f"{_DRM}/drm_panel_orientation_quirks.ko.xz"],
    f"{_DRM}/drm_panel_orientation_quirks.ko.xz": [],
    f"{_DRM}/drm_kms_helper.ko.xz": [f"{_DRM}/drm.ko.xz"],
    "kernel/drivers/acpi/video.ko.xz": ["kernel/drivers/platform/x86/wmi.ko.xz"],
    "kernel/drivers/platform/x86/wmi.ko.xz": [],
    "kernel/fs/unrelated.ko.xz": [],
}
OURS = {
    "nvidia.ko": ["drm"],
    "nvidia-modeset.ko": ["nvidia", "video"],
    "nvidia-drm.ko": ["drm", "drm_kms_helper", "nvidia-modeset"],
    "nvidia-uvm.ko": ["nvidia"],
}


def order(ours: dict[str, list[str]] = OURS, builtin: tuple[str, ...] = ()) -> list[str]:
    return load_order(ours, KERNELS, builtin, ABI)


def test_the_driver_s_modules_come_after_what_they_need() -> None:
    found = order()
    place = {module_name(path): index for index, path in enumerate(found)}
    assert place["drm_panel_orientation_quirks"] < place["drm"] < place["nvidia"]
    assert place["wmi"] < place["video"] < place["nvidia_modeset"] < place["nvidia_drm"]
    assert place["drm_kms_helper"] < place["nvidia_drm"]
    assert "unrelated" not in place


def test_paths_are_absolute_and_say_whose_a_module_is() -> None:
    ours = [path for path in order() if path.startswith(f"{NVIDIA_FOLDER}/nvidia")]
    assert sorted(ours) == sorted(f"{NVIDIA_FOLDER}/{name}" for name in OURS)
    assert all(path.startswith((f"/lib/modules/{ABI}/kernel/", NVIDIA_FOLDER)) for path in order())


def test_what_is_compiled_into_the_kernel_needs_no_loading() -> None:
    found = order({"nvidia.ko": ["backlight"]}, builtin=("kernel/drivers/video/backlight.ko",))
    assert found == [f"{NVIDIA_FOLDER}/nvidia.ko"]


def test_a_dependency_that_is_nowhere_is_named() -> None:
    with pytest.raises(BuildError, match=r"nvidia\.ko depends on the module vanished"):
        order({"nvidia.ko": ["vanished"]})


def test_a_circle_is_refused() -> None:
    with pytest.raises(BuildError, match="circle"):
        order({"a.ko": ["b"], "b.ko": ["a"]})


@st.composite
def acyclic(draw: st.DrawFn) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Kernel modules that depend on earlier ones, ours on any of the kernel's and on earlier ones of ours."""
    size = draw(st.integers(min_value=1, max_value=8))
    kernel = [f"kernel/k{index}.ko" for index in range(size)]
    kernels = {
        path: sorted(draw(st.sets(st.sampled_from(kernel[:index])))) if index else []
        for index, path in enumerate(kernel)
    }
    ours: dict[str, list[str]] = {}
    for index in range(draw(st.integers(min_value=1, max_value=6))):
        names = [*(f"k{other}" for other in range(size)), *(f"our_{other}" for other in range(index))]
        ours[f"our-{index}.ko"] = draw(st.lists(st.sampled_from(names), unique=True))
    shuffled = draw(st.permutations(list(ours)))
    return {name: ours[name] for name in shuffled}, kernels


@given(acyclic())
def test_in_every_graph_each_module_comes_once_after_all_it_needs(
    graph: tuple[dict[str, list[str]], dict[str, list[str]]],
) -> None:
    ours, kernels = graph
    found = load_order(ours, kernels, (), ABI)
    assert len(found) == len(set(found))
    place = {module_name(path): index for index, path in enumerate(found)}
    assert {module_name(name) for name in ours} <= set(place)
    needs = {module_name(name): needed for name, needed in (ours | kernels).items()}
    for name, index in place.items():
        assert all(place[module_name(other)] < index for other in needs[name])
