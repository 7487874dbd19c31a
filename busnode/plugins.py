"""Steps of an operator's own: record classes in a file of Python, compiled like the built-in steps.

The inventory names such a step by its class's `kind` and gives values for its fields. Nothing of the inventory is ever
run: values become quoted words of a call, and code comes from the one file alone, which nobody else may write.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.abc
import importlib.util
import os
import re
import stat
import sys
import traceback
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from busnode.contract import BadRequestError
from busnode.transport.process import exchange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import CodeType, ModuleType

    from busnode.script import StepRecord

MAX_BYTES = 1_000_000
_KIND = re.compile(r"[a-z][a-z0-9-]{0,39}")
# Wherever it stands: in the middle of a line, and with a line that goes on between the name and the parentheses.
_FUNCTION = re.compile(r"([A-Za-z_][\w.-]*)(?:[ \t]|\\\n)*\((?:[ \t]|\\\n)*\)", re.ASCII)
# What every function of an operator's own begins with: nothing of ours does, and no program is called like that.
OWN = "own_"
_OF_THE_CLASS = frozenset({"kind", "action", "shell", "call", "check"})
_FIELD_TYPES = {str: "a string", int: "a whole number", bool: "true or false", tuple[str, ...]: "a list of strings"}


@dataclass(frozen=True, slots=True)
class StepKinds:
    """The step classes that an inventory may name, by their `kind`.

    >>> StepKinds.of([]).kinds
    {}
    """

    kinds: Mapping[str, type[StepRecord]]
    source: str = "the given classes"

    @classmethod
    def of(cls, classes: Iterable[type[StepRecord]], source: str = "the given classes") -> StepKinds:
        """Check classes. Raises BadRequestError with one line a mistake."""
        found: dict[str, type[StepRecord]] = {}
        wrong: list[str] = []
        for each in classes:
            mistakes = [*_class_mistakes(each), *_clashes(each, found)]
            wrong += [f"{source}: class {each.__name__}: {mistake}" for mistake in mistakes]
            kind = getattr(each, "kind", None)
            if isinstance(kind, str):
                found.setdefault(kind, each)
        if wrong:
            raise BadRequestError("\n".join(wrong))
        return cls(found, source)

    @classmethod
    def load(cls, path: Path | str) -> StepKinds:
        """The record classes that a file of Python defines: those with a `kind`.

        Raises BadRequestError, in a line each, where others could write the file or a folder on the way to it, where it
        cannot be run, and for each mistake in its classes. Nothing is written beside it.
        """
        path = Path(path)
        module = _run(path, _read_own(path))
        classes = [
            value
            for value in vars(module).values()
            if isinstance(value, type) and value.__module__ == module.__name__ and hasattr(value, "kind")
        ]
        if not classes:
            raise BadRequestError(f"{path}: no step in it; give a frozen dataclass with a kind")
        return cls.of(classes, str(path))

    def record(self, item: Mapping[str, Any]) -> StepRecord:
        """The record of an entry of the inventory, `{"step": KIND, FIELD: VALUE, …}`.

        Raises BadRequestError with one line a mistake, each beginning with the key that it is about.
        """
        kind = self.kinds.get(item["step"])
        if kind is None:
            known = ", ".join(self.kinds)
            raise BadRequestError(f"step: there is no step {item['step']!r}; {self.source} has: {known or 'none'}")
        given = {name: value for name, value in item.items() if name != "step"}
        wrong = list(_field_mistakes(kind, given))
        if wrong:
            raise BadRequestError("\n".join(wrong))
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        try:
            made = kind(**values)
            wrong = list(_record_mistakes(made))
        except Exception as error:
            wrong = [f"step: {kind.__name__}: {type(error).__name__}: {_one_line(error)}"]
        if wrong:
            raise BadRequestError("\n".join(wrong))
        return made


def _class_mistakes(kind: type) -> Iterator[str]:
    name = getattr(kind, "kind", None)
    if not isinstance(name, str) or not _KIND.fullmatch(name):
        yield "kind is no word of lower-case letters, digits and -, such as motd"
        return
    made = getattr(kind, "__dataclass_params__", None)
    if made is None or not made.frozen:
        yield "no frozen dataclass; put @dataclass(frozen=True) before it"
    else:
        yield from _unknown_types(kind)
    for wanted in ("action", "name", "call"):
        if not hasattr(kind, wanted):
            yield f"{wanted} is missing; see docs/steps.md"
    shell = getattr(kind, "shell", None)
    if isinstance(shell, str):
        yield from _shell_mistakes(name, shell)
    else:
        yield "shell is missing; give the text of its sh functions"


def _shell_mistakes(name: str, shell: str) -> Iterator[str]:
    prefix = OWN + name.replace("-", "_")
    functions = _FUNCTION.findall(shell)
    for function in functions:
        if function != prefix and not function.startswith(f"{prefix}_"):
            yield f"the sh function {function} could take another's place, or a program's; call it {prefix}_{function}"
    if not functions:
        yield f"no function in its shell; define {prefix}() {{ … }}"
    done = exchange(["/bin/sh", "-n"], shell.encode("utf-8", "replace"), time_limit=10)
    if done.exit_code != 0:
        yield f"its shell is no sh: {_one_line(done.stderr.decode('utf-8', 'replace'))}"


def _clashes(kind: type[StepRecord], others: Mapping[str, type[StepRecord]]) -> Iterator[str]:
    """What it has in common with a class before it: all functions of a script are in one sh."""
    name, shell = getattr(kind, "kind", None), getattr(kind, "shell", None)
    if not isinstance(name, str) or not isinstance(shell, str):
        return
    if name in others:
        yield f"{name} is {others[name].__name__}'s kind; use another"
        return
    for other in others.values():
        if isinstance(other.shell, str) and other.shell != shell:
            for function in sorted({*_FUNCTION.findall(shell)} & {*_FUNCTION.findall(other.shell)}):
                yield f"the sh function {function} is {other.__name__}'s too; call it otherwise"


def _unknown_types(kind: type) -> Iterator[str]:
    try:
        hints = typing.get_type_hints(kind)
    except Exception as error:
        yield f"its annotations cannot be read: {_one_line(error)}"
        return
    for field in dataclasses.fields(kind):
        if hints[field.name] not in _FIELD_TYPES:
            yield f"field {field.name}: of no type that an inventory has; use str, int, bool or tuple[str, ...]"
        if field.name == "step":
            yield "field step: the inventory gives the kind there; call it otherwise"
        if field.name in _OF_THE_CLASS:
            # As a field, the inventory could set it, and its text would run as root.
            yield f"field {field.name}: the class gives it; annotate it ClassVar"


def _field_mistakes(kind: type, given: Mapping[str, Any]) -> Iterator[str]:
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    hints = typing.get_type_hints(kind)
    for name in given.keys() - fields.keys():
        yield f"{name}: unknown key; remove it, or use one of {', '.join(fields) or 'none'}"
    for name, field in fields.items():
        optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if name not in given:
            if not optional:
                yield f"{name}: missing; give {_FIELD_TYPES[hints[name]]}"
        elif not _fits(given[name], hints[name]):
            yield f"{name}: {given[name]!r} is not {_FIELD_TYPES[hints[name]]}"


def _fits(value: object, wanted: object) -> bool:
    if wanted == tuple[str, ...]:
        return isinstance(value, list) and all(isinstance(word, str) for word in value)
    return type(value) is wanted


def _record_mistakes(made: StepRecord) -> Iterator[str]:
    for what in ("action", "name"):
        text = getattr(made, what)
        if not isinstance(text, str) or not text.strip() or not text.isprintable():
            yield f"step: {what} of {type(made).__name__} is {text!r}; give one line of text"
    # Another text than the one that was checked with the class.
    if made.shell != getattr(type(made), "shell", None):
        yield f"step: {type(made).__name__} changes its shell; give one text for the class"
        return
    call = made.call
    if not isinstance(call, tuple) or not call or not all(isinstance(word, str) for word in call):
        yield f"step: call of {type(made).__name__} is no tuple of strings"
    elif any("\0" in str(word) for word in call):
        yield f"step: call of {type(made).__name__} holds a NUL byte, which no argument can"
    elif call[0] not in _FUNCTION.findall(made.shell):
        yield f"step: call of {type(made).__name__} begins with {call[0]!r}, which is no function of its shell"


class _Checked(importlib.abc.InspectLoader):
    """Runs text that was read and checked before; no compiled file is kept beside it."""

    def __init__(self, path: Path, text: bytes) -> None:
        self._path, self._text = path, text

    def get_source(self, fullname: str) -> str:  # noqa: ARG002 - there is one module
        return importlib.util.decode_source(self._text)

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002
        return self.source_to_code(self._text, str(self._path))


def _run(path: Path, text: bytes) -> ModuleType:
    name = f"busnode_steps_{hashlib.sha256(text).hexdigest()[:16]}"
    loader = _Checked(path, text)
    spec = importlib.util.spec_from_loader(name, loader, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks up its module there while it is made.
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise BadRequestError(f"{path}: {f'line {line}: ' if line else ''}{_one_line(error)}; correct it") from error
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f"line {lines[-1]}: " if lines else ""
        raise BadRequestError(f"{path}: {where}{type(error).__name__}: {_one_line(error)}; correct it") from error
    return module


def _read_own(path: Path) -> bytes:
    """The content of a file that nobody but its user and root can write or exchange."""
    try:
        real = path.resolve(strict=True)
        for folder, holds_last in dict.fromkeys(_way(path)):
            # In a folder with the sticky bit, as /tmp, others cannot exchange a folder that is not theirs.
            _require_own(folder, folder.stat(), sticky=not holds_last)
        with os.fdopen(os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BadRequestError(f"{path}: not a regular file; give the path of a file")
            _require_own(real, status)
            data = file.read(MAX_BYTES + 1)
    except (OSError, RuntimeError) as error:
        # Until Python 3.13 a loop of symbolic links is a RuntimeError.
        what = error.strerror if isinstance(error, OSError) else str(error)
        raise BadRequestError(f"{path}: {what}; give the file of your steps") from error
    if len(data) > MAX_BYTES:
        raise BadRequestError(f"{path}: larger than {MAX_BYTES} bytes; is this the right file?")
    return data


def _way(path: Path) -> Iterator[tuple[Path, bool]]:
    """Each folder that a name is looked up in on the way to a file (path_resolution(7)), and whether it holds a link or
    the file itself."""
    ahead = [*reversed(path.absolute().parts[1:])]
    folder = Path("/")
    while ahead:
        name = ahead.pop()
        entry = folder / name
        if name == "..":
            folder = folder.parent
        elif entry.is_symlink():
            yield folder, True
            target = entry.readlink()
            ahead += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            folder = Path("/") if target.is_absolute() else folder
        else:
            yield folder, not ahead
            folder = entry


def _require_own(path: Path, status: os.stat_result, *, sticky: bool = False) -> None:
    if status.st_uid not in {os.geteuid(), 0}:
        raise BadRequestError(f"{path}: belongs to another account, which could put its own steps there; run: chown")
    if status.st_mode & 0o022 and not (sticky and status.st_mode & stat.S_ISVTX):
        raise BadRequestError(
            f"{path}: mode {stat.S_IMODE(status.st_mode):04o} lets others write it, and what they write would run; "
            f"run: chmod go-w {path}"
        )


def _one_line(what: object) -> str:
    return " ".join(str(what).split())[:300]
