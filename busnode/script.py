"""A plan of steps in, one POSIX sh script out.

The shell functions that steps call are files of this package (`prelude.sh`, `steps/*.sh`): the compiler only adds
quoted calls, so nothing of an inventory is ever shell text. dash, bash and busybox sh run the result alike.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Protocol

from busnode import shipped
from busnode.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from busnode.contract import Operation
    from busnode.secrets import Secret

MAGIC = "busnode1"
# What may be sent before a bundle, and what the loader says to it.
HELLO, READY = f"{MAGIC} hello\n".encode(), f"{MAGIC} ready\n".encode()
# The last line of a bundle, without which the loader runs nothing of it.
END = f"{MAGIC} end\n".encode()


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie on a node; the defaults are Debian's."""

    state_dir: str = "/var/lib/busnode"
    run_dir: str = "/run/busnode"
    sshd_dropin: str = "/etc/ssh/sshd_config.d/00-busnode.conf"
    firewall_rules: str = "/etc/busnode/firewall.nft"
    unit_dir: str = "/etc/systemd/system"
    path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


DEBIAN = Layout()


class MaterialKind(StrEnum):
    """What of a file or key goes into a script: the sha256 of a content, or a part of a public key."""

    DIGEST = "digest"
    KEY_TYPE = "key-type"
    KEY = "key"
    KEY_COMMENT = "key-comment"


@dataclass(frozen=True, slots=True)
class Material:
    """A word of a call that only the side with the keys and secrets knows; a variable of the script until then.

    `reference` is the file or secret; None stands for the operator's own key.
    """

    kind: MaterialKind
    reference: str | None = None


Word = str | Material


class StepRecord(Protocol):
    """What the compiler takes: any frozen record with these is a step, built in or of an operator's own.

    One whose `check` is there and true only looks: its failure stops nothing after it.
    """

    @property
    def action(self) -> str:
        """What the step belongs to: a word of the response's `actions`."""

    @property
    def name(self) -> str:
        """One line that tells it from the other steps of its plan."""

    @property
    def shell(self) -> str:
        """POSIX sh functions; one of them is called, and says how it went: ok, changed, skipped, failed or would."""

    @property
    def call(self) -> tuple[Word, ...]:
        """That function's name and its arguments, any text without NUL bytes."""


@dataclass(frozen=True, slots=True)
class Step:
    """A built-in step: `part` is the file of `steps/` that holds its shell functions; the rest as in StepRecord.

    One that is for `once` sets nothing that could still stand later, such as a guard.
    """

    action: str
    name: str
    part: str
    call: tuple[Word, ...]
    check: bool = False
    once: bool = False

    @property
    def shell(self) -> str:
        return _part(self.part)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an operation will do on one node.

    `blobs` are references to what is sent beside the script; an `exclusive` plan holds the node's lock; `parts` are
    files of `steps/` that its functions call beside their own; `before` and `after` are calls that are no steps.
    """

    operation: Operation
    steps: tuple[StepRecord, ...]
    blobs: tuple[str, ...] = ()
    dry_run: bool = False
    exclusive: bool = False
    parts: tuple[str, ...] = ()
    before: tuple[tuple[Word, ...], ...] = ()
    after: tuple[tuple[str, ...], ...] = ()

    @property
    def actions(self) -> tuple[str, ...]:
        """The contract's actions of these steps, each once, in order."""
        return tuple(dict.fromkeys(step.action for step in self.steps))

    @property
    def materials(self) -> tuple[Material, ...]:
        """What the calls have of keys and secrets, each once; the script knows them by their number."""
        calls = (*self.before, *(step.call for step in self.steps))
        return tuple(dict.fromkeys(word for call in calls for word in call if isinstance(word, Material)))

    @property
    def digest(self) -> str:
        """What tells this plan from another: 16 hexadecimal digits of the sha256 of all its calls."""
        calls = [self.before, [(step.name, step.call) for step in self.steps], self.after]
        # The built-in functions are those of the version; an operator's own are as they were written.
        own = [step.shell for step in self.steps if not isinstance(step, Step)]
        text = json.dumps([self.operation.value, self.dry_run, calls, own], default=_named)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def compile_script(
    plan: Plan, *, operation_id: str, by: str, layout: Layout = DEBIAN, may_come_again: bool = False
) -> str:
    """The whole script of a plan; the same arguments give the same bytes.

    With `may_come_again` an exclusive plan runs once under its id: the node keeps what came of it, and tells it again.
    """
    settings = {
        "operation": plan.operation.value,
        "operation_id": operation_id,
        "by": by,
        "dry_run": "1" if plan.dry_run else "0",
        "keep": "1" if may_come_again else "0",
        "state_dir": layout.state_dir,
        "run_dir": layout.run_dir,
        "sshd_dropin": layout.sshd_dropin,
        "firewall_rules": layout.firewall_rules,
        "unit_dir": layout.unit_dir,
        "PATH": layout.path,
    }
    functions = dict.fromkeys((*map(_part, plan.parts), *(step.shell for step in plan.steps)))
    lines = [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
    lines += [shell_text("prelude.sh"), *functions]
    if plan.exclusive and not plan.dry_run:
        lines.append("hold_node")
    names = {material: f'"$material_{number}"' for number, material in enumerate(plan.materials)}
    lines += [_call(call, names) for call in plan.before]
    lines += [_call((_verb(step), step.name, *step.call), names) for step in plan.steps]
    lines += [shlex.join(call) for call in plan.after]
    lines.append("finish")
    return "\n".join(lines) + "\n"


def is_check(step: StepRecord) -> bool:
    """Whether it is one that only looks."""
    return bool(getattr(step, "check", False))


def _verb(step: StepRecord) -> str:
    if isinstance(step, Step) and step.once:
        return "once"
    return "check" if is_check(step) else "step"


def _call(words: tuple[Word, ...], names: dict[Material, str]) -> str:
    return " ".join(names[word] if isinstance(word, Material) else shlex.quote(word) for word in words)


def _named(material: Material) -> list[str | None]:
    return [material.kind, material.reference]


def _part(name: str) -> str:
    return shell_text(f"steps/{name}.sh")


@cache
def shell_text(name: str) -> str:
    """A shell file of this package, without its comment lines: less to send."""
    lines = shipped.text(name).splitlines()
    return "\n".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))


def loader() -> str:
    """The constant remote command, for `sh -c`: takes what `pack` makes on standard input."""
    return shell_text("loader.sh")


def pack(script: str, *, time_limit: float, password: Secret | None = None, blobs: Iterable[Secret] = ()) -> bytes:
    """The standard input of the loader: a header with lengths, the script, the sudo password, the blobs, a last line.

    `time_limit` is in seconds; the node itself stops the script after it.
    """
    content = [script.encode(), b"" if password is None else password.reveal().rstrip(b"\r\n") + b"\n"]
    content += [blob.reveal() for blob in blobs]
    lengths = " ".join(str(len(part)) for part in content)
    first = f"{MAGIC} {max(1, round(time_limit))} {lengths}\n"
    return b"".join((first.encode(), *content, END))
