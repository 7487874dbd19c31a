"""After stage 14: what lies beside the ISO to say what is in it and that it is whole: lists, digests, a signature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iso import checksums, packages, shell
from iso.graph.inputs import Inputs
from iso.graph.stage import Job, Stage
from iso.image import boot_loaders, release, release_key, sbom, vendor
from iso.replacement import replace_file
from iso.stages import live_build
from iso.stages.kernel import kernel_abi
from iso.stages.nvidia_toolchain import Toolchain
from iso.tree import file_digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_STATUS = "var/lib/dpkg/status"
# This machine's boot loaders, which live-build copies onto the ISO; the signed ones come from the CD's own release.
_LOADERS = ("grub-efi-amd64-bin", "grub-efi-ia32-bin", "isolinux", "syslinux-common")


def package_list(job: Job) -> Path:
    """Beside the ISO: name, architecture and version of every Debian package in it."""
    return live_build.image(job).with_suffix(".packages")


def bill_of_materials(job: Job) -> Path:
    """Beside the ISO: what it is made of, SPDX 2.3 in JSON."""
    return live_build.image(job).with_suffix(".spdx.json")


def _signature(job: Job) -> Path:
    return job.paths.checksums.with_name(f"{job.paths.checksums.name}.sig")


def _inputs(job: Job) -> Inputs:
    key = job.config.release_key
    return Inputs(
        settings={"release_key": release_key.public_key(key) if key else ""},
        tools=packages.versions(_LOADERS),
    )


def _outputs(job: Job) -> list[Path]:
    signed = [_signature(job)] if job.config.release_key else []
    return [package_list(job), bill_of_materials(job), job.paths.checksums, *signed]


def _status(job: Job) -> list[str]:
    return ["unsquashfs", "-cat", str(live_build.image(job).with_suffix(".squashfs")), _STATUS]


def _cmdline(job: Job) -> list[list[str]]:
    key = job.config.release_key
    return [_status(job), *([release_key.signing(key, job.paths.checksums)] if key else [])]


def _write(job: Job) -> None:
    # What dpkg in the image says, not what was asked of it.
    installed = sbom.parse_status(shell.capture(_status(job)))
    replace_file(package_list(job), sbom.package_list(installed).encode())
    parts = [
        *(sbom.debian_component(package, job.config.suite) for package in installed),
        *_boot_loaders(job),
        *_own(job),
        *_driver(job),
        *_vendors(job),
    ]
    image = _image(job)
    document = sbom.document(image, parts, release.source_date(job.paths))
    replace_file(bill_of_materials(job), sbom.rendered(document))
    iso = live_build.image(job)
    made = [iso, *live_build.netboot(job), package_list(job), bill_of_materials(job)]
    # A signature is also of the lines of other images.
    checksums.write(
        job.paths.checksums, made, known={iso.name: image.sha256}, checked=job.config.release_key is not None
    )
    if job.config.release_key:
        release_key.sign(job.config.release_key, job.paths.checksums, job.log)
    else:
        # One of an earlier build would be of other sums.
        _signature(job).unlink(missing_ok=True)


def _image(job: Job) -> sbom.Component:
    iso = live_build.image(job)
    return sbom.Component(
        name=iso.stem,
        version=release.bee_version(job.paths),
        sha256=file_digest(iso),
        origin=f"built from commit {release.git_commit(job.paths.root)} for kernel {kernel_abi(job.paths)}",
    )


def _boot_loaders(job: Job) -> Iterator[sbom.Component]:
    suite = job.config.suite
    for name, version in boot_loaders.read_versions(job.paths.boot_loaders).items():
        # Their names and versions are all that is known of them; shim's source package has another version.
        package = {"Package": name, "Version": version, "Architecture": "amd64", "Source": ""}
        yield sbom.debian_component(package, suite, "boot loader, signed by Debian")
    if here := packages.versions(_LOADERS):
        for package in sbom.parse_status(shell.capture(["dpkg-query", "--status", *here])):
            yield sbom.debian_component(package, "", "boot loader, of the build machine")


def _own(job: Job) -> Iterator[sbom.Component]:
    yield sbom.Component(
        name="bee",
        version=release.bee_version(job.paths),
        sha256=file_digest(job.paths.program),
        origin=f"/usr/local/bin/bee, compiled from commit {release.git_commit(job.paths.root)}",
    )


def _driver(job: Job) -> Iterator[sbom.Component]:
    config = job.config
    if config.with_nvidia:
        toolchain = Toolchain.read(job.paths.toolchain)
        # The modules' sources and the rest are of two source packages, with revisions of their own.
        made_of = {
            "run": f"NVIDIA's installer with sha256 {config.nvidia_sha256}",
            "debian": f"Debian's packages, revisions {toolchain.driver}",
        }[config.nvidia_source]
        yield sbom.Component(
            name="nvidia-driver",
            version=config.nvidia_version,
            supplier="NVIDIA Corporation",
            origin=f"{made_of}; {config.nvidia_flavour} kernel modules built for {kernel_abi(job.paths)}, headers "
            f"{toolchain.headers}, with {toolchain.compiler}",
        )


def _vendors(job: Job) -> Iterator[sbom.Component]:
    for program in vendor.programs(job.paths.vendor):
        yield sbom.Component(
            name=program.name,
            sha256=file_digest(program),
            origin=f"/usr/local/bin/{program.name}, listed in iso/vendor/{vendor.SUMS}",
        )


MANIFEST = Stage(name="_manifest", run=_write, inputs=_inputs, cmdline=_cmdline, outputs=_outputs)
