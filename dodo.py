"""The live CD in the 14 stages of its build document: `doit list` prints them, `doit iso` runs what must run."""

from __future__ import annotations

from iso.graph import tasks as graph
from iso.stages import compile as compiling
from iso.stages import kernel, live_build, manifest, nvidia, overlay

DOIT_CONFIG = graph.DOIT_CONFIG
build = graph.Build.of_command_line(__file__)


def task__kernel():
    """which kernel the mirror lets us have"""
    return build.stage(kernel.KERNEL)


def task__password():
    """the password of an image without keys"""
    return build.stage(overlay.PASSWORD)


def task_compile():
    """1. compile the bee program, one file"""
    return build.stage(compiling.COMPILE)


def task_overlay():
    """2. stage the overlay"""
    return build.stage(overlay.STAGE)


def task_authorize():
    """3. who may log in: authorized keys, or a generated password"""
    return build.stage(overlay.AUTHORIZE)


def task_bee():
    """4. add the bee program"""
    return build.stage(overlay.ADD_PROGRAM)


def task_vendor():
    """5. add the vendors' programs that are there"""
    return build.stage(overlay.ADD_VENDOR_PROGRAMS)


def task_nvidia():
    """6. NVIDIA's driver for the CD's kernel"""
    yield from build.stages("nvidia", nvidia.SUBSTAGES)


def task_modules():
    """7. add NVIDIA's kernel modules"""
    return build.stage(overlay.ADD_MODULES)


def task_nvidia_smi():
    """8. add nvidia-smi"""
    return build.stage(overlay.ADD_SMI)


def task_libraries():
    """9. add libnvidia-ml and libcuda"""
    return build.stage(overlay.ADD_LIBRARIES)


def task_release():
    """10. write /etc/bee-release"""
    return build.stage(overlay.WRITE_RELEASE)


def task_motd():
    """11. patch the motd"""
    return build.stage(overlay.PATCH_MOTD)


def task_workdir():
    """12. copy the builder into live-build's work folder"""
    return build.stage(live_build.PREPARE)


def task_sync():
    """13. copy the staged overlay into it"""
    return build.stage(live_build.SYNC)


def task_live_build():
    """14. lb config && lb build"""
    return build.stage(live_build.BUILD)


def task__manifest():
    """what is in the image, beside it: package list, bill of materials, signature"""
    return build.stage(manifest.MANIFEST)


def task_iso():
    """all stages: dist/bee-<version>-<suite>-amd64.iso"""
    return build.result()
