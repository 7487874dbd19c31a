"""What a stage depends on, each part by its name: so that a build can say why it does something again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iso.tree import digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Inputs:
    """Named parts and what each of them is now.

    Args:
        files: a file's name, to its mode and digest (`iso.tree.listing`).
        settings: a setting or a fact, to its value.
        tools: a package of this machine, to its version.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)

    def __or__(self, other: Inputs) -> Inputs:
        return Inputs({**self.files, **other.files}, {**self.settings, **other.settings}, {**self.tools, **other.tools})

    @property
    def key(self) -> str:
        """One digest of all parts."""
        return digest(self.as_dict())

    def as_dict(self) -> dict[str, dict[str, str]]:
        """The parts as JSON has them."""
        return {"files": dict(self.files), "settings": dict(self.settings), "tools": dict(self.tools)}

    @classmethod
    def of_dict(cls, value: Mapping[str, Mapping[str, str]]) -> Inputs:
        """What `as_dict` gave.

        Raises:
            KeyError: a part is missing.
        """
        return cls(value["files"], value["settings"], value["tools"])

    def without(self, settings: Collection[str]) -> Inputs:
        """All parts but some settings.

        Args:
            settings: their names.
        """
        kept = {name: value for name, value in self.settings.items() if name not in settings}
        return Inputs(self.files, kept, self.tools)

    def changes_since(self, before: Inputs) -> list[str]:
        """What differs, a phrase for each part: files by name, the rest with the old and the new value.

        Args:
            before: the parts as they were.
        """
        return [
            *(f"{name} {_happened(old, new)}" for name, old, new in _differing(before.files, self.files)),
            *(f"{name}: {_said(old)} → {_said(new)}" for name, old, new in _differing(before.settings, self.settings)),
            *(f"{name} {_said(old)} → {_said(new)}" for name, old, new in _differing(before.tools, self.tools)),
        ]


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str | None, str | None]]:
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old != new:
            yield name, old, new


def _happened(old: str | None, new: str | None) -> str:
    if old is None:
        return "is new"
    return "is gone" if new is None else "changed"


def _said(value: str | None) -> str:
    return "none" if value in {None, ""} else str(value)
