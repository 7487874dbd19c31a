"""What a source of NVIDIA's driver hands over: everything after the extraction is the same for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Driver:
    """An unpacked driver.

    Args:
        kernel_source: folder with the modules' Makefile.
        smi: the program nvidia-smi.
        libraries: libnvidia-ml and libcuda, each named .so.VERSION.
        firmware: what runs on the GPU's own processor (gsp_*.bin); none before driver 470.
    """

    kernel_source: Path
    smi: Path
    libraries: tuple[Path, ...]
    firmware: tuple[Path, ...]
