"""`doit repro`: whether the same inputs give the same bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from iso.commands.question import Question
from iso.errors import BadInputError
from iso.graph import repro
from iso.graph.printable import printable
from iso.tree import file_digest


class Repro(Question):
    """Build twice and compare, or compare two images."""

    name = "repro"
    doc_purpose = "build the image twice, from nothing, in other folders, and compare; or compare two images"
    doc_usage = "[SETTING=VALUE]... | ONE.iso OTHER.iso"

    def answer(self) -> int:
        """Say the digest of both, or what differs and where both are kept.

        Raises:
            BadInputError: a file is no image, or there are not two.
            BuildError: a build failed, or an image is damaged.
            OSError: a file of the checkout cannot be read, or there is no space for two builds.
        """
        images = [Path(word) for word in self.words]
        if len(images) not in {0, 2}:
            raise BadInputError(["doit repro takes two images, or none to build two of this checkout"])
        repro.require_images(images)
        # For large files that may stay (FHS): /tmp is often in memory.
        place = Path(tempfile.mkdtemp(prefix="bee-repro-", dir="/var/tmp"))
        try:
            if not images:
                images = [self._built(place, name) for name in ("first", "second")]
            digests = {file_digest(image) for image in images}
            differing = [] if len(digests) == 1 else _explained(place, *images)
        except (OSError, KeyboardInterrupt):
            # Unlike a build that failed, this leaves nothing to look into.
            repro.discard(place)
            raise
        if not differing:
            repro.discard(place)
            print(f"identical: sha256 {digests.pop()}")
            return 0
        # Images hold files of any name.
        print(*(printable(str(each), kept="\t") for each in differing), f"kept in {place}", sep="\n")
        return 1

    def _built(self, place: Path, name: str) -> Path:
        (place / name).mkdir()
        return repro.cold_build(self.build.paths.root, place / name, self.build.settings)


def _explained(place: Path, one: Path, other: Path) -> list[str]:
    first = repro.unpacked(one, place / "unpacked/first")
    second = repro.unpacked(other, place / "unpacked/second")
    found = repro.differences(first, second)
    if not found:
        return [f"every file is the same, the images are not: compare them with cmp {one} {other}"]
    lines = [f"{len(found)} differences:", *(f"  {difference}" for difference in found[: repro.LINES])]
    return [*lines, *repro.diffoscope(first, second, found)]
