"""Steps of an operator's own: the docs' example, what compiles, and the one line said of everything else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from busnode.contract import BadRequestError, Operation
from busnode.inventory import Inventory
from busnode.node import Node
from busnode.operations import bootstrap_plan
from busnode.plugins import OWN, StepKinds
from busnode.script import Plan, Step, StepRecord, compile_script, shell_text
from busnode.transport.local import Local
from tests.busnode.examples import ROOT, blocks

if TYPE_CHECKING:
    from busnode.inventory import Target
    from tests.busnode.conftest import Run

EXAMPLE = blocks("docs/steps.md", "python")[0]
GOOD = {"host": "10.0.0.10", "user": "bus"}


def _file(tmp_path: Path, text: str | bytes = EXAMPLE, mode: int = 0o644) -> Path:
    path = tmp_path / "site_steps.py"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


def _target(kinds: StepKinds | None, *steps: dict[str, Any]) -> Target:
    return Inventory.from_document({"proxy": {**GOOD, "steps": list(steps)}}, kinds=kinds)["proxy"]


def _refusal(path: Path) -> str:
    with pytest.raises(BadRequestError) as caught:
        StepKinds.load(path)
    return str(caught.value)


def test_the_example_of_the_docs_compiles_like_the_built_in_steps(tmp_path: Path) -> None:
    kinds = StepKinds.load(_file(tmp_path))
    target = _target(kinds, json.loads(blocks("docs/steps.md", "json")[0])["proxy"]["steps"][0])
    plan = bootstrap_plan(Node(target, Local()))
    assert "write-motd" in plan.actions
    script = compile_script(plan, operation_id="1", by="me")
    assert "\nown_motd() {\n" in script
    assert """step 'message in /etc/motd' own_motd /etc/motd 'it'"'"'s proxy; $(reboot) is text""" in script
    names = [step.name for step in plan.steps]
    assert names.index("message in /etc/motd") == names.index("service ssh.service") - 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site_steps.py"], "nothing is left beside it"


@pytest.mark.skipif(os.getuid() != 0, reason="owners are changed by root only")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(text=st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])))
def test_a_step_of_ones_own_runs_in_every_shell_and_whatever_its_text_runs_nothing(
    run: Run, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "motd"
    file.unlink(missing_ok=True)
    kinds = StepKinds.load(_file(tmp_path))
    step = kinds.record({"step": "motd", "text": text, "file": str(file)})
    shown = run(step, dry_run=True).steps[0]
    assert shown.status.value == "would-change"
    assert shown.detail.startswith(f"--- {file} (now)")
    assert not file.exists()
    assert run(step).steps[0].status.value == "changed"
    assert file.read_bytes() == f"{text}\n".encode()
    assert run(step).steps[0].status.value == "ok"


def test_the_plan_is_another_one_when_its_functions_are(tmp_path: Path) -> None:
    plans = []
    for text in (EXAMPLE, EXAMPLE.replace("0644", "0640")):
        step = StepKinds.load(_file(tmp_path, text)).record({"step": "motd", "text": "x"})
        plans.append(Plan(Operation.BOOTSTRAP, (step,)))
    assert plans[0].digest != plans[1].digest


# Who can write it


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = _file(tmp_path, "import os; os.abort()", mode)
    assert _refusal(path) == (
        f"{path}: mode {mode:04o} lets others write it, and what they write would run; run: chmod go-w {path}"
    )


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
@pytest.mark.parametrize("above", [False, True])
def test_a_folder_that_others_can_write_is_refused(tmp_path: Path, mode: int, above: bool) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    path = _file(folder / "inner" if above else folder, "import os; os.abort()")
    folder.chmod(mode)
    if above and mode & 0o1000:
        path.write_text(EXAMPLE)
        assert StepKinds.load(path).kinds, "with the sticky bit nobody exchanges the folder of another"
    else:
        assert f"{folder}: mode {mode:04o} lets others write it" in _refusal(path)


@pytest.mark.skipif(os.getuid() != 0, reason="owners are changed by root only")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_belongs_to_another_is_refused(tmp_path: Path, what: str) -> None:
    path = _file(tmp_path, "import os; os.abort()")
    other = path if what == "file" else tmp_path
    os.chown(other, 2, 2)
    assert f"{other}: belongs to another account" in _refusal(path)


def test_a_link_in_a_folder_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "open/link.py").symlink_to(_file(tmp_path))
    assert "open: mode 0777 lets others write it" in _refusal(tmp_path / "open/link.py")


def test_every_folder_of_a_chain_of_links_is_looked_at(tmp_path: Path) -> None:
    for name, mode in (("own", 0o755), ("open", 0o777)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
    (tmp_path / "own/real.py").write_text(EXAMPLE)
    (tmp_path / "open/current.py").symlink_to("../own/real.py")
    (tmp_path / "open/folder").symlink_to(tmp_path / "own")
    (tmp_path / "own/steps.py").symlink_to("../open/current.py")
    (tmp_path / "own/site").symlink_to(tmp_path / "open/folder")
    for way in ("own/steps.py", "own/site/real.py"):
        assert "open: mode 0777 lets others write it" in _refusal(tmp_path / way)
    (tmp_path / "open").chmod(0o1777)
    assert "open: mode 1777 lets others write it" in _refusal(tmp_path / "own/steps.py")
    (tmp_path / "open").chmod(0o755)
    for way in ("own/steps.py", "own/site/real.py", "own/site/../own/steps.py"):
        assert StepKinds.load(tmp_path / way).kinds


# What is no file of steps


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def x(:", "line 1: invalid syntax"),
        ("\n1/0", "line 2: ZeroDivisionError: division by zero; correct it"),
        ("import sys; sys.exit(3)", "line 1: SystemExit: 3; correct it"),
        ("import no_such_module", "line 1: ModuleNotFoundError: No module named 'no_such_module'; correct it"),
        (b"\xff\xfe", "(unicode error)"),
        ("\0", "null bytes; correct it"),
        ("x = 1", "no step in it; give a frozen dataclass with a kind"),
        (EXAMPLE.replace('"motd"', '"Motd!"', 1), "class Motd: kind is no word of lower-case letters"),
        (EXAMPLE.replace("(frozen=True)", ""), "class Motd: no frozen dataclass; put @dataclass(frozen=True) before"),
        (EXAMPLE.replace("text: str", "text: float"), "class Motd: field text: of no type that an inventory has"),
        (EXAMPLE.replace("text: str", "text: nothing"), "class Motd: its annotations cannot be read: name 'nothing'"),
        (EXAMPLE.replace("text: str", "step: str\n    text: str"), "class Motd: field step: the inventory gives the"),
        (EXAMPLE.replace('ClassVar[str] = "motd"', 'ClassVar = ["motd"]'), "class Motd: kind is no word of lower-case"),
        *(
            (
                EXAMPLE.replace(f"{name}: ClassVar[str]", f"{name}: str").replace("text: str", 'text: str = ""'),
                f"class Motd: field {name}: the class gives it; annotate it ClassVar",
            )
            for name in ("kind", "action", "shell")
        ),
        (EXAMPLE.replace("def name", "def nome"), "class Motd: name is missing; see docs/steps.md"),
        (EXAMPLE.replace("shell:", "sh:"), "class Motd: shell is missing; give the text of its sh functions"),
        *(
            (
                EXAMPLE.replace("own_motd() {", text),
                f"the sh function {name} could take another's place, or a program's; call it own_motd_{name}",
            )
            for name, text in (
                ("ok", "ok() {"),
                ("motd", "motd() {"),
                ("sync", "own_motd() { :; }; sync ( ) {"),
                ("nft", "own_motd() { :; }\nnft\\\n() {"),
                ("own_motdx", "own_motdx() {"),
                ("own_issue", "own_issue() {"),
            )
        ),
        (EXAMPLE.replace("own_motd() {", "{"), "class Motd: no function in its shell; define own_motd() { … }"),
        (EXAMPLE.replace("    fi\n    would", "    would"), "class Motd: its shell is no sh: /bin/sh: "),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    path = _file(tmp_path, text)
    refusal = _refusal(path)
    assert refusal.startswith(f"{path}: ")
    assert said in refusal
    assert "\n" not in refusal


def test_a_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    remedy = "give the file of your steps"
    assert _refusal(tmp_path / "none.py") == f"{tmp_path}/none.py: No such file or directory; {remedy}"
    assert _refusal(tmp_path) == f"{tmp_path}: Is a directory; {remedy}"
    os.mkfifo(tmp_path / "fifo")
    assert "not a regular file" in _refusal(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    assert remedy in _refusal(tmp_path / "loop")


def test_two_classes_of_one_kind_are_both_named(tmp_path: Path) -> None:
    text = EXAMPLE + EXAMPLE.partition("\n\n\n")[2].replace("class Motd", "class Other")
    assert _refusal(_file(tmp_path, text)).endswith("class Other: motd is Motd's kind; use another")


def test_two_classes_of_one_function_are_both_named() -> None:
    @dataclass(frozen=True)
    class Loud(Words):
        kind: ClassVar[str] = "words-loud"
        shell: ClassVar[str] = "own_words_loud() { ok; }"

    @dataclass(frozen=True)
    class Quiet(Words):
        shell: ClassVar[str] = "own_words() { own_words_loud; }\nown_words_loud() { reboot; }"

    with pytest.raises(
        BadRequestError, match="class Quiet: the sh function own_words_loud is Loud's too; call it otherwis"
    ):
        StepKinds.of([Loud, Quiet])


# Whose names they could take

_FILES = ["prelude.sh", *(f"steps/{path.name}" for path in sorted((ROOT / "busnode/steps").glob("*.sh")))]
_OURS = sorted(set(re.findall(r"[A-Za-z_][A-Za-z0-9_.-]*", "\n".join(map(shell_text, _FILES)))))


def test_nothing_of_ours_is_called_as_a_function_of_ones_own() -> None:
    assert [word for word in _OURS if word.startswith(OWN)] == []


def _kind(name: str, function: str) -> type[Any]:
    @dataclass(frozen=True)
    class Named(Words):
        kind: ClassVar[str] = name
        shell: ClassVar[str] = f"{function}() {{ ok; }}"

        @property
        def call(self) -> tuple[str, ...]:
            return (function,)

    return Named


@given(word=st.sampled_from(_OURS))
def test_no_word_of_the_built_in_steps_is_a_function_of_ones_own(word: str) -> None:
    with pytest.raises(BadRequestError, match="could take another's place, or a program's"):
        StepKinds.of([_kind("site", word)])


@pytest.mark.skipif(os.getuid() != 0, reason="owners are changed by root only")
def test_a_kind_called_like_a_program_takes_no_programs_place(run: Run, tmp_path: Path) -> None:
    names = ("stat", "mkdir", "chmod", "chown", "run", "step", "printf", "od", "sed", "install")
    kinds = StepKinds.of([_kind(name, f"{OWN}{name}") for name in names])
    records = [replace(kinds.record({"step": name, "text": "x"})) for name in names]
    path = tmp_path / "made"
    call = ("directory_present", str(path), "root", "root", "750")
    report = run(*records, Step("create-directories", "directory", "directories", call))
    assert [step.status.value for step in report.steps] == [*("ok" for _ in names), "changed"]
    assert path.stat().st_mode & 0o777 == 0o750


# What the inventory may say


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"step": "mtod", "text": "x"}, "step: there is no step 'mtod'; "),
        ({"step": "motd"}, "text: missing; give a string"),
        ({"step": "motd", "text": 1}, "text: 1 is not a string"),
        ({"step": "motd", "text": True}, "text: True is not a string"),
        ({"step": "motd", "text": ["x"]}, "text: ['x'] is not a string"),
        ({"step": "motd", "text": "x", "shell": "reboot"}, "shell: unknown key; remove it, or use one of text, file"),
        ({"step": "motd", "text": "a\0b"}, "step: call of Motd holds a NUL byte, which no argument can"),
        (
            {"step": "motd", "text": "x", "file": "a\nb"},
            "step: name of Motd is 'message in a\\nb'; give one line of text",
        ),
    ],
)
def test_every_wrong_step_of_every_target_is_said_at_once(tmp_path: Path, step: dict[str, Any], said: str) -> None:
    kinds = StepKinds.load(_file(tmp_path))
    fine = {"step": "motd", "text": "x", "file": "/etc/issue"}
    document = {name: {**GOOD, "steps": [fine, step]} for name in ("a", "b")} | {"c": {**GOOD, "via": "c"}}
    with pytest.raises(BadRequestError) as caught:
        Inventory.from_document(document, kinds=kinds)
    lines = str(caught.value).splitlines()
    for line, name in zip(lines[:2], ("a", "b"), strict=True):
        assert line.startswith(f"the inventory: {name}.steps[1].{said}")
    assert lines[2].endswith("c.via: the way goes in a circle: c via c; break it")


def test_one_step_twice_is_refused(tmp_path: Path) -> None:
    kinds = StepKinds.load(_file(tmp_path))
    with pytest.raises(BadRequestError, match=r'steps\[1\]: a step called "message in /etc/motd" is there twice'):
        _target(kinds, {"step": "motd", "text": "x"}, {"step": "motd", "text": "y"})


json_values = st.one_of(st.text(), st.integers(), st.booleans(), st.lists(st.text(), max_size=3))


@dataclass(frozen=True)
class Words:
    """A step with a field of each type."""

    kind: ClassVar[str] = "words"
    action: ClassVar[str] = "say"
    shell: ClassVar[str] = 'own_words() { ok "$*"; }'
    name: ClassVar[str] = "words"

    text: str
    count: int = 1
    flag: bool = False
    more: tuple[str, ...] = ()

    @property
    def call(self) -> tuple[str, ...]:
        return ("own_words", self.text * self.count, str(self.flag), *self.more)


@given(item=st.dictionaries(st.sampled_from(["text", "count", "flag", "more", "x"]), json_values))
def test_any_values_are_a_record_or_a_refusal(item: dict[str, Any]) -> None:
    kinds = StepKinds.of([Words])
    if isinstance(item.get("count"), int):
        item["count"] = min(item["count"], 5)
    try:
        made = kinds.record({"step": "words", **item})
    except BadRequestError:
        return
    assert isinstance(made.call, tuple)
    assert "x" not in item


def test_a_class_whose_own_code_fails_is_one_line() -> None:
    @dataclass(frozen=True)
    class Broken(Words):
        @property
        def call(self) -> tuple[str, ...]:
            raise KeyError("oh\nno")

    with pytest.raises(BadRequestError, match=r"step: Broken: KeyError: 'oh\\nno'"):
        StepKinds.of([Broken]).record({"step": "words", "text": "x"})


def test_a_record_cannot_bring_a_shell_that_its_class_was_not_checked_with() -> None:
    @dataclass(frozen=True)
    class Other(Words):
        def __post_init__(self) -> None:
            object.__setattr__(self, "shell", f"own_words() {{ {self.text}; }}")

    with pytest.raises(BadRequestError, match="step: Other changes its shell; give one text for the class"):
        StepKinds.of([Other]).record({"step": "words", "text": "reboot"})


def test_classes_can_be_given_without_a_file() -> None:
    record: StepRecord = Words("a b", more=("c",))
    target = _target(StepKinds.of([Words]), {"step": "words", "text": "a b", "more": ["c"]})
    assert target.own_steps == (record,)


# Where they never run


def test_without_the_classes_nothing_is_planned() -> None:
    with pytest.raises(BadRequestError, match=r"proxy\.steps: there are steps of your own; give the file"):
        bootstrap_plan(Node(_target(None, {"step": "motd", "text": "x"}), Local()))


def test_the_library_alone_never_loads_the_machinery() -> None:
    code = "import sys, busnode, busnode.cli; print('busnode.plugins' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
