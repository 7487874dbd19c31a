"""nvidia-smi(1) `-q -x`: one XML element a GPU. The document type changes with every driver: names count, not order."""

from __future__ import annotations

import re
from xml.parsers import expat

from bee.records import dataclass, field

_MAX_DEPTH = 64
_BEGIN = re.compile(rb"<[?!a-zA-Z]")


@dataclass(slots=True)
class Element:
    """One XML element: enough of a tree for a report without mixed content."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def find(self, path: str) -> Element | None:
        """The first descendant at `a/b/c`."""
        here: Element | None = self
        for tag in path.split("/"):
            here = next((child for child in here.children if child.tag == tag), None) if here else None
        return here

    def value(self, *paths: str) -> str:
        """The text at the first of `paths` that is there, stripped; empty when none is."""
        for path in paths:
            element = self.find(path)
            if element is not None:
                return element.text.strip()
        return ""


@dataclass(frozen=True, slots=True)
class Report:
    """What nvidia-smi said: versions, one element a GPU, and notes on what could not be read."""

    driver_version: str = ""
    cuda_version: str = ""
    gpus: tuple[Element, ...] = ()
    notes: tuple[str, ...] = ()


def parse(data: bytes) -> Report:
    """Read `nvidia-smi -q -x`. XML that breaks off gives the GPUs up to there, the last one as far as it goes."""
    if not data.strip():
        return Report()
    # Warnings stand before the document, of a damaged infoROM for one.
    begin = _BEGIN.search(data)
    data = data[begin.start() :] if begin else data
    builder = _Builder()
    notes: tuple[str, ...] = ()
    try:
        builder.feed(data)
    except expat.ExpatError as error:
        notes = (f"the XML is broken at line {error.lineno}: {expat.ErrorString(error.code)}",)
    except (ValueError, LookupError) as error:
        notes = (f"the XML cannot be read: {error}",)
    log = next((element for element in builder.roots if element.tag == "nvidia_smi_log"), None)
    if log is None:
        return Report(notes=notes or ("there is no nvidia_smi_log in the output",))
    return Report(
        log.value("driver_version"),
        log.value("cuda_version"),
        tuple(child for child in log.children if child.tag == "gpu"),
        notes,
    )


class _Builder:
    """Expat's events → elements. A document that declares entities is refused: they are how small XML grows large."""

    def __init__(self) -> None:
        self.roots: list[Element] = []
        self._open: list[Element] = []
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.EntityDeclHandler = self._refuse_entity

    def feed(self, data: bytes) -> None:
        self._parser.Parse(data, True)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._open) >= _MAX_DEPTH:
            raise ValueError(f"elements nest deeper than {_MAX_DEPTH}")
        element = Element(tag, attributes)
        (self._open[-1].children if self._open else self.roots).append(element)
        self._open.append(element)

    def _end(self, _tag: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        self._open[-1].text += text

    def _refuse_entity(self, name: str, *_rest: object) -> None:
        raise ValueError(f"it declares the entity {name!r}")
