"""A driver of NVIDIA's kind that compiles in seconds: the product's names, real modules, and nothing that drives."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from iso import cache
from iso.paths import user_cache
from iso.stages.nvidia_run import name as installer_name
from tests.boot.nvidia_installer import FLAVOURS, pack
from tests.iso.file_server import Server, serving

# So long it takes to come: a signal meets it on its way.
_SECONDS_TO_COME = 3.0
# The real one has 60 MB: a signal meets it while it is copied, digested and synced. All zeros, it is packed to little.
_FIRMWARE_SIZE = 32 << 20
_MODULE = """\
#include <linux/module.h>
{more}
int {name}(void);
int {name}(void) {{ return {body}; }}
EXPORT_SYMBOL({name});
MODULE_DESCRIPTION("stands for a module of NVIDIA's driver");
MODULE_LICENSE("Dual MIT/GPL");
"""
# As the real ones they need each other and the kernel's own, and one asks the kernel for what build-modules.sh mends.
_SOURCES = {
    "Makefile": "modules:\n\t$(MAKE) -C $(SYSOUT) M=$(CURDIR) modules\n",
    "Kbuild": "obj-m := nvidia.o nvidia-modeset.o nvidia-uvm.o nvidia-drm.o\nnvidia-y := nvidia/nv.o nvidia/nv-pci.o\n",
    "conftest.sh": "# Where the real one asks what the kernel has.\n",
    "nvidia/nv.c": _MODULE.format(name="nv_core", body="0", more=""),
    "nvidia/nv-pci.c": """\
#include <linux/pci.h>
int nv_resize(struct pci_dev *device);
int nv_resize(struct pci_dev *device) { return pci_resize_resource(device, 1, 0); }
""",
    "nvidia-modeset.c": _MODULE.format(name="nv_modeset", body="nv_core()", more="int nv_core(void);"),
    "nvidia-uvm.c": _MODULE.format(name="nv_uvm", body="nv_core()", more="int nv_core(void);"),
    "nvidia-drm.c": _MODULE.format(
        name="nv_drm",
        body="(drm_dev_put(NULL), nv_modeset())",
        more="#include <drm/drm_drv.h>\nint nv_modeset(void);",
    ),
}


@dataclass(frozen=True, slots=True)
class SmallDriver:
    """The driver, where it is to be had.

    Attributes:
        version: its own and no other's, so that all that a cache has of it is known by its name.
        url: of its installer.
        sha256: of the same.
    """

    version: str
    url: str
    sha256: str

    @property
    def settings(self) -> tuple[str, ...]:
        """Of a build with it."""
        chosen = {"": "run", "_version": self.version, "_url": self.url, "_sha256": self.sha256}
        return tuple(f"nvidia{name}={value}" for name, value in chosen.items())

    def forget(self, *folders: Path) -> None:
        """Have nothing of it in the cache that clones share, nor in other folders: it is fetched and made again."""
        for folder in (user_cache(), user_cache() / "downloads", *folders):
            for path in list(self._places(folder)):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def half_made(self, dist: Path) -> list[str]:
        """What has a name that a build believes, and is not whole."""
        found = [path for folder in (user_cache(), dist) for path in self._places(folder) if not _is_whole(path)]
        installer = user_cache() / "downloads" / installer_name(self.version)
        if installer.exists() and hashlib.sha256(installer.read_bytes()).hexdigest() != self.sha256:
            found.append(installer)
        return [str(path) for path in found]

    def _places(self, folder: Path) -> Iterator[Path]:
        return folder.glob(f"*-{self.version}[.-]*")


def _is_whole(path: Path) -> bool:
    """Whether an entry is what its manifest says; what has a point before its name is one that is being made."""
    if not path.is_dir() or path.name.startswith("."):
        return True
    first = (path / cache.MANIFEST).read_text().partition("\n")[0] if (path / cache.MANIFEST).exists() else ""
    return cache.is_complete(path, first.removeprefix("key "))


@contextlib.contextmanager
def served(place: Path) -> Iterator[SmallDriver]:
    """The driver of one folder, on a server on loopback; afterwards the cache that clones share has nothing of it.

    Args:
        place: whose driver it is: harnesses in other folders do not take it from each other.
    """
    version = f"0.0.{zlib.crc32(str(place.resolve()).encode())}"
    with tempfile.TemporaryDirectory() as folder:
        content = make(version, Path(folder)).read_bytes()
    with serving(Server(content, name=installer_name(version), seconds=_SECONDS_TO_COME)) as server:
        driver = SmallDriver(version, server.url, hashlib.sha256(content).hexdigest())
        try:
            yield driver
        finally:
            driver.forget()


def make(version: str, folder: Path) -> Path:
    """The installer of a version, the same bytes each time.

    Args:
        version: the driver's.
        folder: where it is written.
    """
    contents = {f"{place}/{name}": text for place in FLAVOURS.values() for name, text in _SOURCES.items()}
    contents["nvidia-smi"] = "#!/bin/sh\nexit 9\n"
    contents |= {f"{name}.so.{version}": "stands for a library\n" for name in ("libnvidia-ml", "libcuda")}
    contents["firmware/gsp_tu10x.bin"] = "\0" * _FIRMWARE_SIZE
    files = {name: folder / "content" / name for name in contents}
    for name, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(contents[name])
        path.chmod(0o644)
    installer = folder / installer_name(version)
    pack(files, installer)
    return installer
