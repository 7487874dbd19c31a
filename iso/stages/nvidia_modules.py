"""The driver's built modules: that they are of the kernel and the certificate, and in what order they are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iso import shell
from iso.errors import BuildError
from iso.image import signing
from iso.image.load_order import load_order, parse_modules_dep
from iso.stages.nvidia_cache import MODULES

if TYPE_CHECKING:
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
    wanted = signing.serial(certificate)
    for name in MODULES:
        kind, hashed, signer = (_modinfo(folder / name, field) for field in ("sig_id", "sig_hashalgo", "sig_key"))
        if (kind, hashed) != ("PKCS#7", signing.HASH):
            raise BuildError(f"{name} has no {signing.HASH} signature: {kind or 'none'} {hashed}".rstrip())
        if signing.normal_serial(signer) != wanted:
            raise BuildError(f"{name} is signed by certificate {signer}, not by {certificate} ({wanted})")


def order(modules: Path, kernel: Path, abi: str) -> list[str]:
    """In what order insmod must be given them, with the kernel's own modules that they need.

    Args:
        modules: where they are.
        kernel: where the kernel's package is unpacked, with what depmod(8) says of it.
        abi: the kernel's release.

    Raises:
        BuildError: one needs something that the kernel does not have.
    """
    depends = {name: _modinfo(modules / name, "depends") for name in MODULES}
    known = kernel / "lib/modules" / abi
    return load_order(
        {name: names.split(",") if names else [] for name, names in depends.items()},
        parse_modules_dep((known / "modules.dep").read_text()),
        (known / "modules.builtin").read_text().split(),
        abi,
    )


def _modinfo(module: Path, field: str) -> str:
    return shell.capture(["/usr/sbin/modinfo", "-F", field, str(module)]).strip()
