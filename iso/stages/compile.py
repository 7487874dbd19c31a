"""Stage 1: the bee program, one file."""

from __future__ import annotations

from pathlib import Path

from iso import build_root, zipapp
from iso.build_root import Bind
from iso.inputs import Inputs
from iso.mounts import remove_tree
from iso.stage import Job, Stage
from iso.stages.kernel import archive_of
from iso.tree import file_digest, listing


def _compile(job: Job) -> None:
    system = build_root.bootstrap(archive_of(job), job.paths)
    result = job.paths.dist / "compile"
    remove_tree(result)
    result.mkdir(parents=True)
    build_root.run(
        system,
        job.paths.chroot,
        [
            Bind(job.paths.bee, "/source/bee"),
            Bind(job.paths.schemas, "/source/schemas"),
            Bind(Path(zipapp.__file__).parent, "/source/iso"),
            Bind(result, "/result", writable=True),
        ],
        ["/usr/bin/python3", "-I", "/source/iso/zipapp.py", "/source/bee", "/result/bee"],
        job.log,
    )
    (result / "bee").replace(job.paths.program)
    remove_tree(result)


def _inputs(job: Job) -> Inputs:
    return Inputs(
        files=listing(job.paths.bee, "bee")
        | listing(job.paths.schemas, "schemas")
        | {"iso/zipapp.py": file_digest(Path(zipapp.__file__))},
        settings={"suite": job.config.suite},
    )


COMPILE = Stage(name="compile", run=_compile, inputs=_inputs, outputs=lambda job: [job.paths.program])
