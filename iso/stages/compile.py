"""Stage 1: the bee program, one file."""

from __future__ import annotations

from pathlib import Path

from iso import build_root
from iso.build_root import Bind
from iso.graph.inputs import Inputs
from iso.graph.stage import Job, Stage
from iso.image import zipapp
from iso.mounts import remove_tree
from iso.stages.kernel import archive_of, known_archive
from iso.tree import listing


def _result(job: Job) -> Path:
    return job.paths.dist / "compile"


def _binds(job: Job) -> list[Bind]:
    return [
        Bind(job.paths.bee, "/source/bee"),
        Bind(job.paths.schemas, "/source/schemas"),
        Bind(Path(zipapp.__file__).parent, "/source/iso/image"),
        Bind(_result(job), "/result", writable=True),
    ]


_COMMAND = ["/usr/bin/python3", "-I", "/source/iso/image/zipapp.py", "/source/bee", "/result/bee"]


def _cmdline(job: Job) -> list[list[str]]:
    archive = known_archive(job)
    system = build_root.bootstrap_tar(archive, job.paths)
    return [
        *build_root.bootstrapping(archive, job.paths),
        build_root.command_line(system, job.paths.mount_point, _binds(job), _COMMAND),
    ]


def _compile(job: Job) -> None:
    system = build_root.bootstrap(archive_of(job), job.paths)
    result = _result(job)
    remove_tree(result)
    result.mkdir(parents=True)
    build_root.run(system, job.paths.mount_point, _binds(job), _COMMAND, job.log)
    (result / "bee").replace(job.paths.program)
    remove_tree(result)


def _inputs(job: Job) -> Inputs:
    files = listing(job.paths.bee, "bee") | listing(job.paths.schemas, "schemas")
    return Inputs(files, {"suite": job.config.suite}) | build_root.inputs(job.paths)


COMPILE = Stage(name="compile", run=_compile, inputs=_inputs, cmdline=_cmdline, outputs=lambda job: [job.paths.program])
