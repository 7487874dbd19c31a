"""NVIDIA's driver from its own installer, NVIDIA-Linux-x86_64-VERSION.run: fetched once, or put in place by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iso import build_root, lock
from iso.archive.mirror import proxy_environment
from iso.build_root import Bind
from iso.errors import BuildError
from iso.stages.nvidia_driver import Driver, Workshop
from iso.tree import file_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from iso.archive.apt import Archive
    from iso.graph.stage import Job
    from iso.versions import Config

UNPACK = "unpack-run.sh"
_UNPACKED = "driver"


def name(version: str) -> str:
    """How NVIDIA names the installer of a version."""
    return f"NVIDIA-Linux-x86_64-{version}.run"


def places(job: Job) -> list[Path]:
    """Where the installer may lie, this checkout's own place first; the last is where a download goes."""
    file = name(job.config.nvidia_version)
    return [job.paths.dist / file, job.paths.cache / "downloads" / file]


def fetch(url: str, sha256: str, target: Path, proxies: Mapping[str, str], say: Callable[[str], None]) -> None:
    """`iso.download.fetch`, imported when it is used: HTTP and TLS are a tenth of a build with nothing to do."""
    from iso import download  # noqa: PLC0415  # said above

    download.fetch(url, sha256, target, proxies=proxies, say=say)


def download(job: Job, _archive: Archive) -> None:
    """Have the installer in a cache, verified; nothing is asked of the network when it is there.

    Args:
        job: the stage that asks.

    Raises:
        BuildError: it cannot be had, or one that was put there is another file.
    """
    *_, kept = places(job)
    with lock.waiting(kept.with_name(f"{kept.name}.lock")):
        if _present(job) is None:
            print(f"{kept.name}: not in {' or '.join(str(place.parent) for place in places(job))}: downloading it")
            fetch(
                job.config.nvidia_url,
                job.config.nvidia_sha256,
                kept,
                proxies=_proxies(),
                say=lambda line: print(line, flush=True),
            )


def _proxies() -> dict[str, str]:
    return {variable.removesuffix("_proxy"): url for variable, url in proxy_environment().items()}


def _present(job: Job) -> Path | None:
    for place in places(job):
        if place.is_file():
            lock.use(place)
            require_digest(place, job.config)
            return place
    return None


def require_digest(installer: Path, config: Config) -> None:
    """See that a file is the installer that is pinned.

    Args:
        installer: the file.
        config: the build as asked for.

    Raises:
        BuildError: it is another; the file stays where it is.
    """
    found = file_digest(installer)
    if found != config.nvidia_sha256:
        raise BuildError(
            f"{installer}: its sha256 is {found}, {config.nvidia_sha256} is wanted: remove it, "
            "or correct nvidia_sha256= (NVIDIA_SHA256 in iso/builder/VERSIONS)"
        )


def wanted(_config: Config, _revisions: str) -> list[str]:
    """Nothing of the archive."""
    return []


def _unpacked_by(job: Job, installer: Path) -> tuple[list[Bind], list[str]]:
    """`--extract-only`, the way NVIDIA means it to be unpacked, by a user without rights or a network."""
    shown = [
        Bind(installer, "/installer.run"),
        Bind(job.paths.builder, "/builder"),
        Bind(Workshop.of(job).extracted, "/result", writable=True),
    ]
    return shown, ["/bin/sh", f"/builder/{UNPACK}", "/installer.run", f"/result/{_UNPACKED}"]


def unpacking(job: Job) -> list[list[str]]:
    """The command that unpacks the installer, from where it lies or will lie."""
    installer = next((place for place in places(job) if place.is_file()), places(job)[-1])
    return [build_root.command_line(Workshop.of(job).build_root, job.paths.mount_point, *_unpacked_by(job, installer))]


def extract(job: Job) -> None:
    """Unpack the installer into the workshop.

    Raises:
        BuildError: it is not there any more, or does not unpack.
    """
    here = Workshop.of(job)
    # Verified again: another build, or a hand, may have replaced it since.
    installer = _present(job)
    if installer is None:
        raise BuildError(f"{places(job)[-1]}: gone since it was downloaded: run doit iso again")
    here.extracted.mkdir(parents=True, exist_ok=True)
    build_root.run(here.build_root, job.paths.mount_point, *_unpacked_by(job, installer), job.log)


def located(folder: Path, config: Config) -> Driver:
    """Where an unpacked installer has what.

    Args:
        folder: where it was unpacked.
        config: the build as asked for.
    """
    top = folder / _UNPACKED
    version = config.nvidia_version
    return Driver(
        kernel_source=top / ("kernel-open" if config.nvidia_flavour == "open" else "kernel"),
        smi=top / "nvidia-smi",
        libraries=tuple(top / f"{library}.so.{version}" for library in ("libnvidia-ml", "libcuda")),
        firmware=tuple(sorted((top / "firmware").glob("gsp_*.bin"))),
    )
