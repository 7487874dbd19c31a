"""Serials, MACs, UUIDs, WWNs, asset tags and host names replaced, so that an audit or a recording can be given away.

One value always becomes the same pseudonym, wherever it stands: a keyed hash, since serials can be guessed, whose
random key is never kept. UUIDs, MACs and WWNs keep their form, so that every parser can still read what was redacted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import TYPE_CHECKING

from bee.agreement import quotes, requoted, subject
from bee.placeholders import is_placeholder
from bee.records import replace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bee.machine import Run
    from bee.recording import Recording

# What a FRU's maker added of his own, often the number of this one part.
_OWN_FIELD = "(?:chassis|board|product)[ _-]extra"
_EXTRA = re.compile(_OWN_FIELD, re.IGNORECASE)
_IDENTITY = (
    r"serial|(?<![a-z])s/?n(?![a-z])|asset[ _-]?tag|service[ _-]?tag|uuid|guid|wwn|wwid|eui64|nqn"
    r"|(?<![a-z])macs?(?![a-z])|host[ _-]?name|sas[ _-]?address|logical[ _-]?id|inquiry[ _-]?data"
    rf"|{_OWN_FIELD}"
)
_IDENTITY_NAME = re.compile(_IDENTITY, re.IGNORECASE)
# `Serial Port A: Enabled` is no serial number.
_NO_IDENTITY_NAME = re.compile(r"serial[ _-]?(?:port|attached|ata|over|bus)|supports", re.IGNORECASE)
# A name and its value, as the tools print them: `Serial Number: X`, `WWN = X`, `"serial_number": "X"`, `<serial>X<`.
_LABELLED = re.compile(
    rf"""^(?P<name>[^\n:="<>]{{0,60}}?(?:{_IDENTITY})[^\n:="<>]{{0,40}}[:=][^\S\n]*)(?P<value>[^\n"]+)$
      | (?P<json>"[^"\n]{{0,60}}?(?:{_IDENTITY})[^"\n]{{0,40}}"\s*:\s*")(?P<json_value>[^"\n]*)
      | (?P<xml><[a-z_]{{0,60}}?(?:{_IDENTITY})[a-z_]{{0,40}}>)(?P<xml_value>[^<\n]*)""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_HEX = "[0-9a-f]"
_START, _END = r"(?<![0-9a-z])", r"(?![0-9a-z])"
_UUID = rf"{_START}{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}{_END}"
# Six octets of Ethernet, eight of InfiniBand and of a WWN, twenty of IP over InfiniBand.
_NEXT = rf"(?P=separator){_HEX}{{2}}"
_MORE = rf"(?:(?:{_NEXT}){{2}}(?:(?:{_NEXT}){{12}})?)?"
_MAC = rf"(?<![0-9a-z:-]){_HEX}{{2}}(?P<separator>[:-]){_HEX}{{2}}(?:{_NEXT}){{4}}{_MORE}(?![0-9a-z:-])"
# An interface that systemd named by its MAC (systemd.net-naming-scheme(7)).
_INTERFACE = rf"{_START}(?:en|ib|sl|wl|ww)x{_HEX}{{12}}{_END}"
# NAA types 2, 3, 5 and 6, of 64 or 128 bits. Without a prefix it is one by its letters: a counter has none.
_WWN = (
    rf"{_START}(?:0x|naa\.|(?=[0-9]*[a-f]))[2356]{_HEX}{{15}}{_END}"
    rf"|{_START}(?:0x|naa\.|(?=[0-9]*[a-f]))6{_HEX}{{31}}{_END}"
    # As sas2ircu and sas3ircu print the address of a drive, and of an enclosure.
    rf"|(?<![0-9a-z-])[2356]{_HEX}{{6}}-{_HEX}-{_HEX}{{4}}-{_HEX}{{4}}(?![0-9a-z-])"
    rf"|(?<![0-9a-z:])(?=[0-9:]*[a-f])[2356]{_HEX}{{7}}:{_HEX}{{8}}(?![0-9a-z:])"
)
# What NVMe namespaces have instead.
_EUI = rf"(?<=eui\.){_HEX}{{16}}(?:{_HEX}{{16}})?{_END}"
_NVME_ID = rf"(?<=nvme\.){_HEX}{{4}}-{_HEX}+-{_HEX}+-{_HEX}{{8}}{_END}"
_FORM = "|".join(
    f"(?P<{name}>{form})"
    for name, form in (
        ("uuid", _UUID),
        ("mac", _MAC),
        ("interface", _INTERFACE),
        ("wwn", _WWN),
        ("eui", _EUI),
        ("nvme", _NVME_ID),
    )
)
_FORMS = re.compile(_FORM, re.IGNORECASE)
# smartctl prints a WWN as three numbers, and an EUI-64 as two.
_WWN_NUMBERS = re.compile(r'"wwn"\s*:\s*\{[^{}]{0,200}\}')
_EUI_NUMBERS = re.compile(r'"eui64"\s*:\s*\{[^{}]{0,200}\}')
_MEMBER = re.compile(r'("(naa|oui|id|ext_id)"\s*:\s*)(\d{1,13})(?!\d)')
# A MAC, a GUID or a WWN without anything between its octets.
_BARE = re.compile(rf"{_HEX}{{12}}|{_HEX}{{16}}", re.IGNORECASE)
_SEPARATOR = re.compile("[:-]")
# What a pseudonym begins with; it is never looked for, since some have their serial numbers replaced by it already.
_MARK = "redacted"
# A shorter value is replaced in its own field alone: "7" is everywhere, and "2400" is a speed.
_MIN_WORD = 4
_MIN_NUMBER = 8
_MIN_WORD_IN_PATH = 8


class Redactor:
    """What replaces with one key. It must `learn` all there is before it replaces anything."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._words: set[str] = set()
        # Those of the words that are MACs: twelve digits.
        self._macs: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def document(self, document: object) -> object:
        """An audit's JSON with every identity replaced."""
        for value in _identities(document):
            self.learn(value)
        return self._document(document, "")

    def _document(self, value: object, name: str) -> object:
        if isinstance(value, dict):
            return {key: self._document(item, _name_of(value, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._document(item, name) for item in value]
        if not isinstance(value, str):
            return value
        if name == "args":
            return self._path(value)
        if name == "notes" and is_identity(subject(value)):
            # What a note of an identity quotes is one, however short.
            return requoted(value, self.text, self.pseudonym)
        return self.pseudonym(value) if is_identity(name) else self.text(value)

    def recording(self, recording: Recording, document: object) -> Recording:
        """The recording of which `document` is the audit, with every identity replaced."""
        machine = recording.machine
        for value in _identities(document):
            self.learn(value)
        for run in machine.runs.values():
            self._learn_from(_decode(run.stdout))
            self._learn_from(_decode(run.stderr))
        for path, text in machine.files.items():
            self._learn_from(text)
            if is_identity(path.rsplit("/", 1)[-1]):
                self.learn(text)
        return replace(
            recording,
            machine=replace(
                machine,
                runs={tuple(map(self._path, args)): self._run(run) for args, run in machine.runs.items()},
                files={self._path(path): self._file(path, text) for path, text in machine.files.items()},
                links={self._path(path): to and self._path(to) for path, to in machine.links.items()},
                folders={self._path(path): tuple(map(self._path, names)) for path, names in machine.folders.items()},
            ),
            notes=tuple(map(self.text, recording.notes)),
        )

    def _run(self, run: Run) -> Run:
        stdout, stderr = (_encode(self._output(_decode(output))) for output in (run.stdout, run.stderr))
        return replace(run, args=tuple(map(self._path, run.args)), stdout=stdout, stderr=stderr)

    def _file(self, path: str, text: str) -> str:
        return self.pseudonym(text) if is_identity(path.rsplit("/", 1)[-1]) else self._output(text)

    def learn(self, value: str) -> None:
        """From now on `value` is replaced wherever it stands, as a whole word; a MAC also without its colons."""
        for word in _words(value):
            form = _FORMS.search(word)
            if form is not None and form["mac"] and not is_placeholder(form[0]):
                bare = _SEPARATOR.sub("", form[0].lower())
                self._macs.add(bare)
                self._words.add(bare)
            elif form is None and _is_word(word) and not is_placeholder(word) and word.lower() != _MARK:
                self._words.add(word.lower())
        self._pattern = None

    def _learn_from(self, text: str) -> None:
        for match in _LABELLED.finditer(text):
            label, value = _labelled(match)
            if value and _is_everywhere(label, value):
                self.learn(value)
        for match in _FORMS.finditer(text):
            if match["mac"]:
                self.learn(match[0])

    def pseudonym(self, value: str) -> str:
        """What stands for the identity `value`, spaces around it kept; a placeholder says nothing and stays."""
        word = value.strip()
        if not word or is_placeholder(word):
            return value
        if _FORMS.search(word):
            return self.text(value)
        if word.lower() in self._macs and not _is_number(word):
            new = self._bare_mac(word)
            return value.replace(word, new.upper() if word.isupper() else new)
        if _is_number(word):
            # A tool may print it as a number of JSON, which must stay one.
            return value.replace(word, "9" + str(int(self._hash(word), 16)).zfill(len(word))[1 - len(word) :])
        return value.replace(word, f"{_MARK}-{self._hash(word)[:12]}")

    def text(self, text: str) -> str:
        """`text` with each identity in it replaced, in one pass: what has been replaced must not be so again."""
        if self._pattern is None:
            words = "|".join(re.escape(word) for word in sorted(self._words, key=lambda word: (-len(word), word)))
            self._pattern = re.compile(f"{_FORM}|{_START}(?:{words or '(?!)'}){_END}", re.IGNORECASE)
        return self._pattern.sub(self._replaced, text)

    def _replaced(self, match: re.Match[str]) -> str:
        return self._form(match) if match.lastgroup else self.pseudonym(match[0])

    def _output(self, text: str) -> str:
        """What a tool printed."""
        text = _WWN_NUMBERS.sub(self._wwn_numbers, text)
        text = _EUI_NUMBERS.sub(self._eui_numbers, text)
        text = _LABELLED.sub(self._label, text)
        return self.text(text)

    def _label(self, match: re.Match[str]) -> str:
        """Replace a value that is not replaced everywhere; the others have their turn."""
        label, value = _labelled(match)
        learned = any(word.lower() in self._words or _FORMS.search(word) for word in _words(value))
        return match[0] if not value or learned else f"{label}{self.pseudonym(value)}"

    def _path(self, path: str) -> str:
        """A path of the kernel's: a host may be named as a folder is, and UEFI's variables have well-known UUIDs."""
        long = [word for word in self._words if len(word) >= _MIN_WORD_IN_PATH and any(c.isdigit() for c in word)]
        for word in long:
            path = re.sub(f"{_START}{re.escape(word)}{_END}", lambda m: self.pseudonym(m[0]), path, flags=re.IGNORECASE)
        return _FORMS.sub(lambda match: match[0] if match["uuid"] else self._form(match), path)

    def _form(self, match: re.Match[str]) -> str:
        value = match[0]
        if is_placeholder(value):
            return value
        if match["mac"]:
            return self._mac(value, match["separator"])
        if match["interface"]:
            return value[:3] + self._bare_mac(value[3:])
        if match["uuid"]:
            digits = self._hash(value)
            new = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:32]}"
        elif match["nvme"]:
            new = f"{value[:4]}-{self._hash(value)}-00-00000001"
        else:
            prefix = re.match(r"(?:0x|naa\.)?", value, re.IGNORECASE)
            made = iter(self._hexadecimal(_SEPARATOR.sub("", value), len(prefix[0]) if prefix else 0))
            new = "".join(c if _SEPARATOR.match(c) else next(made) for c in value)
        return new.upper() if value.isupper() and not value.islower() else new

    def _bare_mac(self, digits: str) -> str:
        """The same of a MAC without anything between its octets."""
        octets = ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))
        return _SEPARATOR.sub("", self._mac(octets, ":"))

    def _mac(self, value: str, separator: str) -> str:
        """As many octets, with the same between them, of which the first says: locally administered, no maker's."""
        same = value.replace(separator, ":")
        octets = value.count(separator)
        # A hash has 16.
        digits = (self._hash(same) + self._hash(f"{same} and on"))[: octets * 2]
        return separator.join(["02", *(digits[i : i + 2] for i in range(0, len(digits), 2))])

    def _hexadecimal(self, value: str, start: int) -> str:
        """As many digits, the first of which says of which kind they are."""
        digits = value[start:].lower()
        return value[:start] + digits[0] + self._hash(digits)[: len(digits) - 1]

    def _wwn_numbers(self, match: re.Match[str]) -> str:
        found = _members(match[0])
        if found.keys() != {"naa", "oui", "id"}:
            return match[0]
        number = f"{found['naa']:x}{found['oui']:06x}{found['id']:09x}"
        if len(number) != 16:
            return match[0]
        new = self._hexadecimal(number, 0)
        return _with_members(match[0], {"oui": int(new[1:7], 16), "id": int(new[7:], 16)})

    def _eui_numbers(self, match: re.Match[str]) -> str:
        found = _members(match[0])
        if found.keys() != {"oui", "ext_id"}:
            return match[0]
        new = self._hexadecimal(f"{found['oui']:06x}{found['ext_id']:010x}", 0)
        return _with_members(match[0], {"oui": int(new[:6], 16), "ext_id": int(new[6:16], 16)})

    def _hash(self, value: str) -> str:
        """32 hexadecimal digits, the same for upper and lower case."""
        same = value.strip().lower().encode("utf-8", "surrogatepass")
        return hashlib.blake2b(same, key=self._key, digest_size=16).hexdigest()


def audit(content: bytes, redactor: Redactor) -> bytes:
    """The bytes of an audit's file, redacted."""
    document = redactor.document(json.loads(content))
    return (json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n").encode()


def _members(record: str) -> dict[str, int]:
    """The numbers of a WWN or EUI as smartctl's JSON has them, in whatever order somebody saved them."""
    return {match[2]: int(match[3]) for match in _MEMBER.finditer(record)}


def _with_members(record: str, numbers: dict[str, int]) -> str:
    return _MEMBER.sub(lambda match: f"{match[1]}{numbers.get(match[2], match[3])}", record)


def _words(value: str) -> list[str]:
    """What is to be looked for of a value: mstflint has several GUIDs or MACs in one, and how many there are."""
    words = value.split()
    bare = [word for word in words if _BARE.fullmatch(word)]
    return bare if bare and all(word in bare or len(word) < _MIN_WORD for word in words) else [value.strip()]


def _is_everywhere(label: str, value: str) -> bool:
    """Whether what this label names is an identity elsewhere, too: a maker's own field may also hold a mere word."""
    return _EXTRA.search(label) is None or (len(value.strip()) >= _MIN_NUMBER and any(map(str.isdigit, value)))


def _is_number(word: str) -> bool:
    return len(word) >= _MIN_NUMBER and word.isascii() and word.isdigit()


def _is_word(word: str) -> bool:
    """Whether `word` is long enough to be replaced wherever it stands."""
    return len(word) >= _MIN_WORD and (_is_number(word) or not word.isdigit())


def is_identity(name: str) -> bool:
    """Whether a field of this name holds what tells one part or machine from others of its kind."""
    return _IDENTITY_NAME.search(name) is not None and not _NO_IDENTITY_NAME.search(name)


def _name_of(record: dict[str, object], key: str) -> str:
    """What the value at `key` is: in a pair of `name` and `value`, the name says it."""
    label = record.get("name")
    return label if key == "value" and isinstance(label, str) else key


def _identities(value: object, name: str = "") -> Iterator[str]:
    """Each string in `value` that is an identity by its field's name, or by the `name` beside its `value`."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _identities(item, _name_of(value, key))
    elif isinstance(value, list):
        for item in value:
            yield from _identities(item, name)
    elif isinstance(value, str) and is_identity(name):
        if _is_everywhere(name, value):
            yield value
    elif isinstance(value, str) and name == "notes" and is_identity(subject(value)):
        # `serial is 'A' by smartctl, 'B' by lsblk`: no field has the second.
        yield from quotes(value)


def _labelled(match: re.Match[str]) -> tuple[str, str]:
    """The label with all that is before the value, and the value; no value where the label says otherwise."""
    for label, value in (("name", "value"), ("json", "json_value"), ("xml", "xml_value")):
        if match[label] is not None:
            return match[label], "" if _NO_IDENTITY_NAME.search(match[label]) else match[value]
    return match[0], ""


def _decode(output: bytes) -> str:
    return output.decode("utf-8", "surrogateescape")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
