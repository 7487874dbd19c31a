"""`doit abi`: the pinned kernel and those that the mirror has; with --bump, the newest becomes the pin."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, ClassVar

from iso import versions
from iso.archive.apt import newest_kernel, series
from iso.commands.question import Question
from iso.errors import BadInputError, BuildError
from iso.replacement import replace_file
from iso.stages import kernel

if TYPE_CHECKING:
    from pathlib import Path

PIN = "DEBIAN_KERNEL_ABI"


class Abi(Question):
    """Which kernel is pinned, and which there are."""

    name = "abi"
    takes_words = False
    doc_purpose = "show the pinned kernel and those that the mirror has; --bump pins the newest"
    doc_usage = "[--bump] [SETTING=VALUE]..."
    cmd_options: ClassVar = (
        {
            "name": "bump",
            "long": "bump",
            "type": bool,
            "default": False,
            "help": "write the newest kernel of the pin's series into iso/builder/VERSIONS",
        },
    )

    def answer(self) -> int:
        """The pin, then a line for each kernel of the mirror, the newest last.

        Returns:
            1 where the mirror no longer has the pinned one.
        """
        config = self.build.config
        if self.options["bump"] and (abi := self.build.settings.get("abi")):
            raise BadInputError([f"abi={abi}: --bump goes by the pin in {versions.NAME}: leave it out"])
        available = kernel.archive_of(kernel.KERNEL.job(config, self.build.paths)).kernels()
        newest = newest_kernel(config.kernel_abi, available)
        there = config.kernel_abi in available
        print(f"pinned: {config.kernel_abi}{'' if there else ', which the mirror no longer has'}")
        for abi in available:
            marks = [mark for mark, holds in (("pinned", abi == config.kernel_abi), ("newest", abi == newest)) if holds]
            print(f"  {abi}{'  ' if marks else ''}{', '.join(marks)}")
        if self.options["bump"]:
            self._bump(newest)
            return 0
        if newest != config.kernel_abi and series(newest) == series(config.kernel_abi):
            print(f"doit abi --bump pins {newest}")
        return 0 if there else 1

    def _bump(self, newest: str) -> None:
        file = self.build.paths.versions.resolve()
        # Bytes: the ends of its lines stay as they are.
        text = file.read_bytes().decode()
        pinned, _complaints = versions.parse_versions(text)
        if self.build.config.suite != pinned["SUITE"]:
            raise BuildError(
                f"--bump: {versions.NAME} is for {pinned['SUITE']}, suite={self.build.config.suite} is not"
            )
        if series(newest) != series(pinned[PIN]):
            raise BuildError(
                f"--bump: the mirror has no kernel of the series of {pinned[PIN]}: write the kernel that you want into "
                f"{versions.NAME}, and see whether the driver is for it"
            )
        if pinned[PIN] == newest:
            print(f"{versions.NAME} has the newest already")
            return
        _rewrite(file, versions.replaced(text, PIN, newest).encode())
        print(f"{versions.NAME}: {PIN}={pinned[PIN]} → {newest}")


def _rewrite(file: Path, content: bytes) -> None:
    """Put other content into a file, which keeps its mode and, as far as this user may say so, its owner."""
    before = file.stat()
    replace_file(file, content, stat.S_IMODE(before.st_mode))
    with contextlib.suppress(PermissionError):
        os.chown(file, before.st_uid, before.st_gid)
