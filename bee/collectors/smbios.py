"""What the three dmidecode steps share: run it, and turn a structure's raw field into a value or a note."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bee.parsers import dmidecode
from bee.placeholders import known

if TYPE_CHECKING:
    from bee.collectors.step import Step

# A table of 20,000 structures takes dmidecode well under a second; firmware that maps slowly takes longer.
DMIDECODE_SECONDS = 20.0


def read_table(step: Step, types: str) -> dmidecode.Table | None:
    """The structures of `types` (`0,1,2`), None when dmidecode is missing or gave none."""
    output = step.run("dmidecode", "-t", types, limit=DMIDECODE_SECONDS)
    if output is None:
        return None
    table = dmidecode.parse(output)
    for note in table.notes:
        step.trouble(f"dmidecode: {note}")
    if not table.structures:
        if not step.machine.is_root():
            step.trouble("reading the SMBIOS table needs root")
        elif not step.troubled:
            step.trouble(f"dmidecode shows no structure of the types {types}")
        return None
    return table


class Fields:
    """The fields of one structure; placeholders become None and go to `notes`, each with the structure's own `name`."""

    def __init__(self, structure: dmidecode.Structure, notes: list[str], name: str = "") -> None:
        self._structure = structure
        self._notes = notes
        self._prefix = f"{name} " if name else ""

    def text(self, *names: str) -> str | None:
        """The value of the first of `names` that the structure has."""
        return known(f"{self._prefix}{names[0]}", self._structure.get(*names), self._notes)

    def raw(self, *names: str) -> str:
        """The value as printed; empty when it is not there."""
        return self._structure.get(*names)
