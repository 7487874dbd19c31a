"""Stages 2 to 5 and 7 to 11: the staged overlay, built anew whenever anything that goes into it changed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from iso import container
from iso.errors import BuildError
from iso.graph.inputs import Inputs
from iso.graph.stage import Job, Stage
from iso.image import password, release, vendor
from iso.mounts import remove_tree
from iso.stages import nvidia_cache
from iso.stages.kernel import kernel_abi
from iso.tree import file_digest, listing, plain_modes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


# Where the document has them, and where the loader looks without being told.
LIBRARIES = "usr/lib"


def _inputs(job: Job) -> Inputs:
    """All that is put into the staged overlay: any change stages all of it again, so that nothing stale survives."""
    return (
        Inputs(files=listing(job.paths.source_overlay, "iso/overlay"), settings=_facts(job))
        | _login(job)
        | _vendor(job)
        | nvidia_cache.inputs(job)
    )


def _login(job: Job) -> Inputs:
    keys = job.config.authorized_keys
    if keys:
        return Inputs(files={"authorized_keys": file_digest(keys)})
    return Inputs(files=listing(job.paths.fallback_password, "the fallback password"))


def _vendor(job: Job) -> Inputs:
    return Inputs(files={f"iso/vendor/{path.name}": file_digest(path) for path in vendor.programs(job.paths.vendor)})


def _facts(job: Job) -> dict[str, str]:
    return release.facts(job.config, job.paths, kernel_abi(job.paths))


def _have_password(job: Job) -> None:
    if not job.config.authorized_keys:
        password.load_or_generate(job.paths.fallback_password)


def _stage(job: Job) -> None:
    remove_tree(job.paths.overlay)
    shutil.copytree(
        job.paths.source_overlay, job.paths.overlay, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    plain_modes(job.paths.overlay)


def _authorize(job: Job) -> None:
    if job.config.authorized_keys:
        folder = _folder(job.paths.overlay / "root/.ssh", 0o700)
        _write(folder / "authorized_keys", job.config.authorized_keys.read_bytes(), 0o600)
        return
    fallback = password.load_or_generate(job.paths.fallback_password)
    _write(_folder(job.paths.overlay / "etc/bee") / "password-fallback", f"{fallback.hash()}\n".encode(), 0o600)
    password.show(fallback, container.on_host(job.paths.fallback_password))


def _add_program(job: Job) -> None:
    _write(_folder(job.paths.overlay / "usr/local/bin") / "bee", job.paths.program.read_bytes(), 0o755)


def _add_vendor_programs(job: Job) -> None:
    for program in vendor.programs(job.paths.vendor):
        _write(_folder(job.paths.overlay / "usr/local/bin") / program.name, program.read_bytes(), 0o755)


def _add_modules(job: Job) -> None:
    if job.config.with_nvidia:
        nvidia_cache.require_whole(job)
        entry = nvidia_cache.entry(job)
        target = _folder(job.paths.overlay / "usr/local/lib/nvidia")
        for file in [
            *sorted(entry.glob("*.ko")),
            entry / nvidia_cache.LOAD_ORDER,
            *entry.glob(nvidia_cache.CERTIFICATE),
        ]:
            shutil.copy(file, target)
        shutil.copytree(entry / "firmware", job.paths.overlay / "usr/lib/firmware", dirs_exist_ok=True)


def _add_smi(job: Job) -> None:
    if job.config.with_nvidia:
        shutil.copy(nvidia_cache.entry(job) / "nvidia-smi", _folder(job.paths.overlay / "usr/local/bin"))


def _add_libraries(job: Job) -> None:
    if job.config.with_nvidia:
        target = _folder(job.paths.overlay / LIBRARIES)
        for library in sorted((nvidia_cache.entry(job) / "lib").iterdir()):
            (target / library.name).unlink(missing_ok=True)
            shutil.copy(library, target, follow_symlinks=False)


def _write_release(job: Job) -> None:
    text = release.shell_lines(_facts(job))
    _write(_folder(job.paths.overlay / "etc") / "bee-release", text.encode(), 0o644)


def _patch_motd(job: Job) -> None:
    # Of the source, not of the staged file: that one may be what a killed build left of it.
    try:
        template = (job.paths.source_overlay / "etc/motd").read_text(encoding="utf-8")
    except OSError as error:
        raise BuildError(f"iso/overlay/etc/motd: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BuildError(f"iso/overlay/etc/motd: not UTF-8, at byte {error.start}") from None
    (job.paths.overlay / "etc/motd").write_text(release.fill_in(template, _facts(job)), encoding="utf-8")


def _folder(path: Path, mode: int = 0o755) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    return path


def _write(path: Path, content: bytes, mode: int) -> None:
    path.write_bytes(content)
    path.chmod(mode)


def _injection(name: str, run: Callable[[Job], None], inputs: Callable[[Job], Inputs]) -> Stage:
    return Stage(name=name, run=run, inputs=inputs, outputs=lambda job: [job.paths.overlay])


def _release_facts(job: Job) -> Inputs:
    return Inputs(settings=_facts(job))


# The fallback password is an input like any other: made, where it is missing, before anything depends on it.
PASSWORD = Stage(
    name="_password",
    run=_have_password,
    inputs=lambda job: Inputs(settings={"authorized_keys": "given" if job.config.authorized_keys else ""}),
    outputs=lambda job: [] if job.config.authorized_keys else [job.paths.fallback_password],
)
STAGE = _injection("overlay", _stage, _inputs)
AUTHORIZE = _injection("authorize", _authorize, _login)
ADD_PROGRAM = _injection("bee", _add_program, lambda job: Inputs(files=listing(job.paths.program, "dist/bee")))
ADD_VENDOR_PROGRAMS = _injection("vendor", _add_vendor_programs, _vendor)
ADD_MODULES = _injection("modules", _add_modules, nvidia_cache.inputs)
ADD_SMI = _injection("nvidia_smi", _add_smi, nvidia_cache.inputs)
ADD_LIBRARIES = _injection("libraries", _add_libraries, nvidia_cache.inputs)
WRITE_RELEASE = _injection("release", _write_release, _release_facts)
PATCH_MOTD = _injection("motd", _patch_motd, _release_facts)
