"""In which order insmod must be given modules, since it resolves nothing by itself."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from iso.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NVIDIA_FOLDER = "/usr/local/lib/nvidia"


def module_name(path: str) -> str:
    """A module's name, as the kernel has it, from its file's name.

    Args:
        path: such as kernel/drivers/gpu/drm/drm.ko.xz.
    """
    return PurePosixPath(path).name.partition(".ko")[0].replace("-", "_")


def load_order(
    ours: Mapping[str, Iterable[str]], kernels: Mapping[str, Iterable[str]], builtin: Iterable[str], abi: str
) -> list[str]:
    """Absolute paths of modules, dependencies first: the kernel's own from /lib/modules, ours from NVIDIA_FOLDER.

    Args:
        ours: our modules' file names, each with the names of the modules it depends on (modinfo -F depends).
        kernels: paths of the kernel's own modules, each with the paths of those it depends on.
        builtin: paths of what is compiled into the kernel (modules.builtin).
        abi: the kernel's release, which names its folder.

    Raises:
        BuildError: a module depends on one that is nowhere, or on itself.
    """
    kernel = {module_name(path): path for path in kernels}
    own = {module_name(name): name for name in ours}
    compiled_in = {module_name(path) for path in builtin}
    graph: dict[str, list[str]] = {}

    def place(name: str, wanted_by: str) -> str | None:
        if name in own:
            return f"{NVIDIA_FOLDER}/{own[name]}"
        if name in kernel:
            add_kernel_module(kernel[name])
            return f"/lib/modules/{abi}/{kernel[name]}"
        if name in compiled_in:
            return None
        raise BuildError(f"{wanted_by} depends on the module {name}, which kernel {abi} does not have")

    def add_kernel_module(path: str) -> None:
        waiting = [path]
        while waiting:
            current = waiting.pop()
            absolute = f"/lib/modules/{abi}/{current}"
            if absolute not in graph:
                needed = list(kernels.get(current, ()))
                graph[absolute] = [f"/lib/modules/{abi}/{other}" for other in needed]
                waiting += needed

    for file in sorted(ours):
        places = [place(module_name(name), file) for name in ours[file]]
        graph[f"{NVIDIA_FOLDER}/{file}"] = [found for found in places if found]
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise BuildError(f"modules depend on each other in a circle: {' '.join(error.args[1])}") from None
