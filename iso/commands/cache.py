"""`doit cache`: what clones share, how large it is and how long unused; with --prune, less of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from iso import cache_entries
from iso.cache_entries import parse_size, show_age, show_size
from iso.commands.question import Question

if TYPE_CHECKING:
    from iso.cache_entries import Entry


class Cache(Question):
    """What the cache holds."""

    name = "cache"
    takes_words = False
    doc_purpose = "list what the shared cache holds; --prune removes what was unused longest"
    doc_usage = "[--prune SIZE]"
    cmd_options: ClassVar = (
        {
            "name": "prune",
            "long": "prune",
            "type": str,
            "default": None,
            "help": "remove what was unused longest until no more than SIZE is left, such as 20G",
        },
    )

    def answer(self) -> int:
        """One line an entry, what was unused longest first, and the sum.

        Returns:
            1 where a running build uses too much of it to come below the wanted size.
        """
        folder = self.build.paths.cache
        wanted = self.options["prune"]
        if wanted is None:
            found = cache_entries.entries(folder)
            for entry in found:
                print(_line(entry, "in use" if entry.in_use else ""))
            print(f"{show_size(sum(entry.size for entry in found)):>7}  in {folder}")
            return 0
        limit = parse_size(wanted)
        pruned = cache_entries.prune(folder, limit)
        for entry in pruned.removed:
            print(_line(entry, "removed"))
        for entry in pruned.spared:
            print(_line(entry, "kept: a running build uses it"))
        print(f"{show_size(pruned.left):>7}  left in {folder}")
        return 1 if pruned.left > limit else 0


def _line(entry: Entry, remark: str) -> str:
    return f"{show_size(entry.size):>7}  {show_age(entry.age):>8}  {entry.path.name}  {remark}".rstrip()
