"""The driver's built modules: that they are of the kernel and the certificate, and in what order they are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iso import shell
from iso.errors import BuildError
from iso.image import module_key
from iso.image.load_order import load_order, module_name
from iso.stages.nvidia_cache import MODULES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def require_modules(folder: Path, abi: str) -> None:
    """See that all modules are there and were built for one kernel.

    Args:
        folder: where they are.
        abi: the kernel's release.

    Raises:
        BuildError: one is missing or is for another kernel.
    """
    missing = [name for name in MODULES if not (folder / name).is_file()]
    if missing:
        raise BuildError(f"the driver's build left no {', '.join(missing)}")
    for name in MODULES:
        vermagic = _modinfo(folder / name, "vermagic")
        if vermagic.split(" ")[0] != abi:
            raise BuildError(f"{name} was built for kernel {vermagic.split(' ')[0]}, the image has {abi}")


def require_signatures(folder: Path, certificate: Path) -> None:
    """See that every module is signed with one certificate.

    Args:
        folder: where the modules are.
        certificate: X.509, PEM or DER.

    Raises:
        BuildError: one is not, or by another.
    """
    wanted = module_key.serial(certificate)
    for name in MODULES:
        kind, hashed, signer = (_modinfo(folder / name, field) for field in ("sig_id", "sig_hashalgo", "sig_key"))
        if (kind, hashed) != ("PKCS#7", module_key.HASH):
            raise BuildError(f"{name} has no {module_key.HASH} signature: {kind or 'none'} {hashed}".rstrip())
        if module_key.normal_serial(signer) != wanted:
            raise BuildError(f"{name} is signed by certificate {signer}, not by {certificate} ({wanted})")


def order(modules: Path, kernel: Path, abi: str) -> list[str]:
    """In what order insmod must be given them, with the kernel's own modules that they need.

    Args:
        modules: where they are.
        kernel: where the kernel's package is unpacked.
        abi: the kernel's release.

    Raises:
        BuildError: one needs something that the kernel does not have.
    """
    ours = {module: _depends(modules / module) for module in MODULES}
    # Debian moved /lib into /usr/lib.
    (known,) = kernel.glob(f"**/lib/modules/{abi}")
    wanted = {name for names in ours.values() for name in names}
    return load_order(ours, _needs(known, wanted), (known / "modules.builtin").read_text().split(), abi)


def _needs(known: Path, wanted: Iterable[str]) -> dict[str, list[str]]:
    """Paths of a kernel's modules; those wanted, and what they need in turn, with the paths of what each depends on.

    Each says it itself, as modpost(8) wrote it there: depmod(8) would unpack four thousand of them for the same answer.
    """
    files = {module_name(file.name): file for file in known.glob("kernel/**/*.ko*")}
    paths = {name: str(file.relative_to(known)) for name, file in files.items()}
    found: dict[str, list[str]] = {path: [] for path in paths.values()}
    waiting, seen = [module_name(name) for name in wanted], set[str]()
    while waiting:
        name = waiting.pop()
        # Ours, and what is compiled into the kernel, has no file there.
        if name in files and name not in seen:
            seen.add(name)
            needed = [module_name(other) for other in _depends(files[name])]
            found[paths[name]] = [paths[other] for other in needed if other in paths]
            waiting += needed
    return found


def _depends(module: Path) -> list[str]:
    return [name for name in _modinfo(module, "depends").split(",") if name]


def _modinfo(module: Path, field: str) -> str:
    return shell.capture(["/usr/sbin/modinfo", "-F", field, str(module)]).strip()
