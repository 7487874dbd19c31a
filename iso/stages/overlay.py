"""Stages 2 to 5 and 7 to 11: the staged overlay, built anew whenever anything that goes into it changed."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from iso import password, release
from iso.errors import BuildError
from iso.mounts import remove_tree
from iso.stage import Job, Stage
from iso.stages import compile as compiling
from iso.stages import nvidia
from iso.stages.kernel import kernel_abi
from iso.tree import digest, file_digest, tree_digest, walk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from iso.paths import Paths

VENDOR_PROGRAMS = ("storcli64", "sas2ircu", "sas3ircu", "mstflint")
# Where the document has them, and where the loader looks without being told.
LIBRARIES = "usr/lib"


def key(job: Job) -> str:
    """What the staged overlay depends on: a change of any part stages all of it again, so nothing stale survives."""
    keys = job.config.authorized_keys
    return digest(
        "overlay",
        tree_digest(job.paths.source_overlay),
        compiling.key(job),
        file_digest(keys or _password_file(job.paths)),
        [(path.name, file_digest(path)) for path in _vendor_programs(job.paths)],
        nvidia.key(job),
        _facts(job),
    )


def _facts(job: Job) -> dict[str, str]:
    return release.facts(job.config, job.paths, kernel_abi(job.paths))


def _password_file(paths: Paths) -> Path:
    """The file of the fallback password, which is an input like any other: made when it is missing."""
    password.load_or_generate(paths.fallback_password)
    return paths.fallback_password


def _stage(job: Job) -> None:
    remove_tree(job.paths.overlay)
    shutil.copytree(
        job.paths.source_overlay, job.paths.overlay, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    # A clone has its user's umask in its modes; the image must not.
    for path in [job.paths.overlay, *walk(job.paths.overlay)]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)


def _authorize(job: Job) -> None:
    if job.config.authorized_keys:
        folder = _folder(job.paths.overlay / "root/.ssh", 0o700)
        _write(folder / "authorized_keys", job.config.authorized_keys.read_bytes(), 0o600)
        return
    fallback = password.load_or_generate(job.paths.fallback_password)
    _write(_folder(job.paths.overlay / "etc/bee") / "password-fallback", f"{fallback.hash()}\n".encode(), 0o600)
    password.show(fallback, job.paths.fallback_password)


def _add_program(job: Job) -> None:
    _write(_folder(job.paths.overlay / "usr/local/bin") / "bee", job.paths.program.read_bytes(), 0o755)


def _vendor_programs(paths: Paths) -> list[Path]:
    return [path for name in VENDOR_PROGRAMS if (path := paths.vendor / name).is_file()]


def _add_vendor_programs(job: Job) -> None:
    for program in _vendor_programs(job.paths):
        _write(_folder(job.paths.overlay / "usr/local/bin") / program.name, program.read_bytes(), 0o755)


def _add_modules(job: Job) -> None:
    if job.config.with_nvidia:
        entry = nvidia.entry(job)
        target = _folder(job.paths.overlay / "usr/local/lib/nvidia")
        for module in [*sorted(entry.glob("*.ko")), entry / nvidia.LOAD_ORDER]:
            shutil.copy(module, target)
        shutil.copytree(entry / "firmware", job.paths.overlay / "usr/lib/firmware", dirs_exist_ok=True)


def _add_smi(job: Job) -> None:
    if job.config.with_nvidia:
        shutil.copy(nvidia.entry(job) / "nvidia-smi", _folder(job.paths.overlay / "usr/local/bin"))


def _add_libraries(job: Job) -> None:
    if job.config.with_nvidia:
        target = _folder(job.paths.overlay / LIBRARIES)
        for library in sorted((nvidia.entry(job) / "lib").iterdir()):
            (target / library.name).unlink(missing_ok=True)
            shutil.copy(library, target, follow_symlinks=False)


def _write_release(job: Job) -> None:
    text = release.shell_lines(_facts(job))
    _write(_folder(job.paths.overlay / "etc") / "bee-release", text.encode(), 0o644)


def _patch_motd(job: Job) -> None:
    # Of the source, not of the staged file: that one may be what a killed build left of it.
    try:
        template = (job.paths.source_overlay / "etc/motd").read_text()
    except OSError as error:
        raise BuildError(f"iso/overlay/etc/motd: {error.strerror}") from None
    (job.paths.overlay / "etc/motd").write_text(release.fill_in(template, _facts(job)))


def _folder(path: Path, mode: int = 0o755) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    return path


def _write(path: Path, content: bytes, mode: int) -> None:
    path.write_bytes(content)
    path.chmod(mode)


def _injection(name: str, run: Callable[[Job], None]) -> Stage:
    return Stage(
        name=name,
        run=run,
        key=lambda job: digest(name, key(job)),
        outputs=lambda job: [job.paths.overlay],
    )


STAGE = _injection("overlay", _stage)
AUTHORIZE = _injection("authorize", _authorize)
ADD_PROGRAM = _injection("bee", _add_program)
ADD_VENDOR_PROGRAMS = _injection("vendor", _add_vendor_programs)
ADD_MODULES = _injection("modules", _add_modules)
ADD_SMI = _injection("nvidia_smi", _add_smi)
ADD_LIBRARIES = _injection("libraries", _add_libraries)
WRITE_RELEASE = _injection("release", _write_release)
PATCH_MOTD = _injection("motd", _patch_motd)
