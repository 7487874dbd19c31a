"""The command line, as programs: flags, exit codes, streams, and that bad input connects to nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from busnode import cli, schema
from tests.busnode.examples import blocks

DOCUMENT = '{"proxy":{"host":"10.0.0.10","user":"bus","port":22,"allowed_ports":[22,80,443,8080]}}'


class Workstation:
    """A folder with an inventory and a key, and an ssh that only notes that it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.called = folder / "ssh.called"
        programs = folder / "bin"
        programs.mkdir()
        (programs / "ssh").write_text(f"#!/bin/sh\necho called >>{self.called}\necho 'ssh: no' >&2\nexit 255\n")
        (programs / "ssh").chmod(0o755)
        (folder / "nodes.json").write_text(DOCUMENT)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
        self.environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "BUS_NODE_TARGETS_FILE": "nodes.json",
            "BUS_SSH_PRIVATE_KEY_FILE": "key",
        }

    def run(self, *words: str, program: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name(program))] if program else [sys.executable, "-m", "busnode"]
        return subprocess.run(
            [*command, *words],
            cwd=self.folder,
            env={**self.environment, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def refuses(self, *words: str, code: int = 2, **environment: str) -> str:
        """Runs a command that must end before any connection; what it said, which must be one line."""
        done = self.run(*words, **environment)
        assert done.returncode == code, done
        assert not self.called.exists(), "it connected"
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        return done.stderr


@pytest.fixture
def station(tmp_path: Path) -> Workstation:
    return Workstation(tmp_path)


def _one_line(said: str) -> str:
    assert said.count("\n") == 1, said
    return said


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("bus", ("operator", "node", "list")),
        ("bus", ("-f", "json", "operator", "node", "list")),
        ("bus", ("operator", "-v", "node", "--", "list")),
        ("bus-operator", ("node", "list")),
        ("bus-operator-node", ("list",)),
        ("", ("list",)),
    ],
)
def test_the_programs_are_one(station: Workstation, program: str, words: tuple[str, ...]) -> None:
    done = station.run(*words, program=program)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    jsonschema.validate(document, schema.load("node-list"))
    assert document["targets"] == [{"node_id": "proxy", "host": "10.0.0.10", "port": 22, "user": "bus", "tags": []}]


@pytest.mark.parametrize(
    ("program", "words"),
    [("bus", ()), ("bus", ("operator",)), ("bus", ("operator", "node")), ("bus", ("cloud",)), ("bus-operator", ("x",))],
)
def test_a_missing_subcommand_is_127(station: Workstation, program: str, words: tuple[str, ...]) -> None:
    done = station.run(*words, program=program)
    assert (done.returncode, done.stdout) == (127, "")
    assert "subcommand" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("-q", "-v", "list"),
        ("-f", "yaml", "list"),
        ("--color", "often", "list"),
        ("--nonsense", "list"),
        ("status",),
        ("status", "--id"),
        ("status", "--id", "proxy", "--timeout", "0"),
        ("status", "--id", "proxy", "--timeout", "soon"),
        ("status", "--id", "proxy", "--dry-run"),
        ("bootstrap", "--id", "proxy", "--confirm"),
    ],
)
def test_wrong_usage_is_2(station: Workstation, words: tuple[str, ...]) -> None:
    assert station.refuses(*words)


@pytest.mark.parametrize("operation", ["bootstrap", "status", "harden", "verify"])
def test_bad_input_is_one_line_and_no_connection(station: Workstation, operation: str) -> None:
    words = (operation, "--id", "proxy")
    said = _one_line(station.refuses(*words, BUS_NODE_TARGETS_FILE="none.json"))
    assert said.startswith("bus operator node: none.json: No such file")
    assert "BUS_NODE_TARGETS_FILE is not set" in _one_line(station.refuses(*words, BUS_NODE_TARGETS_FILE=""))
    assert "BUS_SSH_PRIVATE_KEY_FILE is not set" in _one_line(station.refuses(*words, BUS_SSH_PRIVATE_KEY_FILE=""))
    assert 'no target "a;b"' in _one_line(station.refuses(operation, "--id", "a;b"))
    (station.folder / "nodes.json").write_text('{"proxy":{"host":"-oProxyCommand=x","user":"bus"}}')
    assert "nodes.json: proxy.host:" in _one_line(station.refuses(*words))


def test_steps_that_cannot_be_had_are_one_line_and_no_connection(station: Workstation) -> None:
    words = ("bootstrap", "--id", "proxy")
    document = {"proxy": {"host": "10.0.0.10", "user": "bus", "steps": [{"step": "motd", "text": "x"}]}}
    (station.folder / "nodes.json").write_text(json.dumps(document))
    assert "nodes.json: proxy.steps: there are steps of your own; give the file" in _one_line(station.refuses(*words))
    assert "site.py: No such file" in _one_line(station.refuses(*words, "--steps", "site.py"))
    file = station.folder / "site.py"
    file.write_text("raise SystemExit(0)")
    assert "site.py: line 1: SystemExit: 0; correct it" in _one_line(station.refuses(*words, "--steps", "site.py"))
    file.write_text(blocks("docs/steps.md", "python")[0])
    file.chmod(0o666)
    assert "site.py: mode 0666 lets others write it" in _one_line(station.refuses(*words, "--steps", "site.py"))
    file.chmod(0o644)
    planned = json.loads(station.run("plan", "--id", "proxy", "bootstrap", "--steps", "site.py").stdout)["plan"]
    assert {"action": "write-motd", "name": "message in /etc/motd"} in planned["bootstrap"]
    (station.folder / "nodes.json").write_text(json.dumps(document).replace("motd", "mtod"))
    said = _one_line(station.refuses(*words, "--steps", "site.py"))
    assert "nodes.json: proxy.steps[0].step: there is no step 'mtod'; site.py has: motd" in said
    assert station.run("status", "--id", "proxy").returncode == 3, "who runs no steps needs no classes"


def test_a_key_that_others_can_read_is_refused(station: Workstation) -> None:
    (station.folder / "key").chmod(0o644)
    said = _one_line(station.refuses("status", "--id", "proxy"))
    assert said.endswith("key: mode 0644 lets others read it; run: chmod 600 key\n")


def test_harden_without_ports_says_which_key_is_missing(station: Workstation) -> None:
    (station.folder / "nodes.json").write_text('{"proxy":{"host":"10.0.0.10","user":"bus"}}')
    assert "proxy.allowed_ports: missing" in _one_line(station.refuses("harden", "--id", "proxy"))


def test_a_failure_is_a_valid_document_and_its_exit_code(station: Workstation) -> None:
    done = station.run("-v", "status", "--id", "proxy")
    assert done.returncode == 3
    document = json.loads(done.stdout)
    jsonschema.validate(document, schema.load("node-response"))
    assert (document["ok"], document["error_class"], document["node_id"]) == (False, "unreachable", "proxy")
    assert document["diagnostics"][0] in done.stderr
    assert station.called.read_text() == "called\n", "and one connection"


def test_text_has_no_colour_where_there_is_no_terminal(station: Workstation) -> None:
    done = station.run("-f", "text", "--color", "always", "status", "--id", "proxy")
    assert "\x1b" not in done.stdout
    assert done.stdout.startswith("proxy: status unreachable")


def test_output_and_chdir(station: Workstation) -> None:
    (station.folder / "there").mkdir()
    assert station.run("-o", "out.json", "list").stdout == ""
    assert json.loads((station.folder / "out.json").read_text())["targets"]
    assert station.run("-C", "there", "list").returncode == 2
    assert station.run("-C", "there", "list", BUS_NODE_TARGETS_FILE="../nodes.json").returncode == 0
    assert "not-there" in _one_line(station.refuses("-C", "not-there", "list"))


@pytest.mark.parametrize("output", ["/", "there", "/nonexistent/x", "key/x"])
def test_an_output_that_cannot_be_written_is_said_before_anything_is_sent(station: Workstation, output: str) -> None:
    (station.folder / "there").mkdir()
    said = _one_line(station.refuses("-o", output, "status", "--id", "proxy"))
    assert said.endswith("; give another --output\n")
    assert not [file for file in station.folder.rglob(".*") if file.is_file()]


def test_an_output_that_fails_late_loses_no_result(station: Workstation) -> None:
    (station.folder / "there").mkdir()
    # The file becomes a folder while ssh runs.
    (station.folder / "bin/ssh").write_text("#!/bin/sh\nmkdir -p out.json/x\necho 'ssh: no' >&2\nexit 255\n")
    done = station.run("-o", "out.json", "status", "--id", "proxy")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error_class"] == "unreachable"
    assert "the result is on standard output" in done.stderr
    assert not list(station.folder.glob(".out*"))


def test_a_device_is_written_to_and_not_replaced(station: Workstation) -> None:
    assert json.loads(station.run("-o", "/dev/stdout", "list").stdout)["targets"]


@pytest.mark.parametrize(("redirected", "code"), [(">/dev/full", 1), (">&-", 2)])
def test_a_standard_output_that_takes_nothing_is_one_line(station: Workstation, redirected: str, code: int) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m busnode list {redirected}', sys.executable],
        cwd=station.folder,
        env={**station.environment, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done
    assert "Traceback" not in _one_line(done.stderr)


def test_a_name_that_is_no_text_is_taken(station: Workstation) -> None:
    done = station.run("status", "--id", "proxy", LOGNAME=os.fsdecode(b"bus\xff\n"))
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)


def test_the_env_file_gives_what_the_environment_does_not(station: Workstation) -> None:
    file = station.folder / ".env"
    file.write_text("BUS_NODE_TARGETS_FILE=other.json\nPATH=/nowhere\n")
    file.chmod(0o600)
    assert station.run("list").returncode == 0
    del station.environment["BUS_NODE_TARGETS_FILE"]
    assert "other.json" in station.refuses("list")
    file.chmod(0o666)
    said = station.refuses("list")
    assert ".env: ignored, for others can write it" in said
    assert "BUS_NODE_TARGETS_FILE is not set" in said


def test_the_plan_needs_no_connection(station: Workstation) -> None:
    done = station.run("plan", "--id", "proxy")
    document = json.loads(done.stdout)
    jsonschema.validate(document, schema.load("node-plan"))
    assert not station.called.exists()
    assert list(document["plan"]) == ["bootstrap", "status", "harden", "verify", "rollback"]
    actions: dict[str, Any] = {name: {step["action"] for step in steps} for name, steps in document["plan"].items()}
    assert {"install-packages", "create-directories", "place-credentials"} <= actions["bootstrap"]
    assert {"check-ssh", "configure-ssh", "configure-firewall"} <= actions["harden"]


def test_help_names_every_subcommand_and_exit_code(station: Workstation) -> None:
    for program, words in (("bus", ("-h",)), ("bus", ("operator", "node", "--help")), ("bus-operator-node", ("-h",))):
        done = station.run(*words, program=program)
        assert done.returncode == 0
        for word in ("bootstrap", "verify", "127", "rolled back", "BUS_NODE_TARGETS_FILE"):
            assert word in done.stdout


def test_every_command_has_its_help(station: Workstation) -> None:
    for name in ("bootstrap", "status", "harden", "verify", "list", "plan"):
        assert station.run(name, "--help").returncode == 0


@pytest.mark.parametrize(
    ("argv", "flags", "rest"),
    [
        ([], [], []),
        (["-f", "json", "status"], ["-f", "json"], ["status"]),
        (["-v", "--", "-x"], ["-v"], ["-x"]),
        (["--format=json", "list", "-q"], ["--format=json"], ["list", "-q"]),
        (["-o"], ["-o"], []),
    ],
)
def test_global_flags_end_at_the_first_word(argv: list[str], flags: list[str], rest: list[str]) -> None:
    assert cli.split_flags(argv) == (flags, rest)


def test_jsonschema_stays_out_of_the_way() -> None:
    code = "import sys, busnode.cli; print(sorted({'jsonschema', 'asyncio', 'http'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


FLEET = json.dumps(
    {
        name: {"host": f"10.0.0.{number}", "user": "bus", "tags": ["gpu"] if number < 3 else []}
        for number, name in enumerate(("a", "b", "c"), start=1)
    }
)


@pytest.mark.parametrize(
    ("words", "nodes"),
    [(("--all",), ["a", "b", "c"]), (("--tag", "gpu"), ["a", "b"]), (("--id", "c", "--id", "a"), ["c", "a"])],
)
def test_several_nodes_are_answered_in_one_document(
    station: Workstation, words: tuple[str, ...], nodes: list[str]
) -> None:
    (station.folder / "nodes.json").write_text(FLEET)
    done = station.run("status", *words, "--progress", "json")
    assert done.returncode == 3, done
    document = json.loads(done.stdout)
    jsonschema.validate(document, schema.load("node-fleet"))
    assert [node["node_id"] for node in document["nodes"]] == nodes
    assert {node["error_class"] for node in document["nodes"]} == {"unreachable"}
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert sorted((event["event"], event["node_id"]) for event in events) == sorted(
        (event, node) for event in ("began", "ended") for node in nodes
    )
    history = json.loads(station.run("history").stdout)["entries"]
    assert sorted(entry["node_id"] for entry in history) == sorted(nodes)
    assert {entry["error_class"] for entry in history} == {"unreachable"}
    one = json.loads(station.run("history", "--id", nodes[0]).stdout)["entries"]
    assert [entry["node_id"] for entry in one] == nodes[:1]


@pytest.mark.parametrize("progress", ["auto", "json"])
@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full"])
def test_a_standard_error_that_takes_nothing_costs_no_result(station: Workstation, progress: str, stderr: str) -> None:
    (station.folder / "nodes.json").write_text(FLEET)
    command = f"exec '{sys.executable}' -m busnode status --all --progress {progress} {stderr}"
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=station.folder,
        env={**station.environment, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        stdout=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3
    assert len(json.loads(done.stdout)["nodes"]) == 3


def test_after_the_first_failure_the_rest_is_not_begun(station: Workstation) -> None:
    (station.folder / "nodes.json").write_text(FLEET)
    document = json.loads(station.run("status", "--all", "--fail-fast", "--parallel", "1").stdout)
    assert document["not_run"] == ["b", "c"]
    document = json.loads(station.run("status", "--all", "--serial", "50%").stdout)
    assert document["not_run"] == ["c"]


@pytest.mark.parametrize(
    "words",
    [
        ("--tag", "cpu"),
        ("--all", "--serial", "0"),
        ("--all", "--serial", "x%"),
        ("--id", "a", "--serial", "x%"),
    ],
)
def test_a_choice_that_is_none_connects_to_nothing(station: Workstation, words: tuple[str, ...]) -> None:
    (station.folder / "nodes.json").write_text(FLEET)
    _one_line(station.refuses("harden", *words))


@pytest.mark.parametrize(
    "words", [("--all", "--id", "a"), ("--all", "--parallel", "0"), (), ("--all", "--progress", "x")]
)
def test_flags_that_contradict_are_usage(station: Workstation, words: tuple[str, ...]) -> None:
    station.refuses("harden", *words)


def test_where_no_connection_can_be_kept_is_said_on_request(station: Workstation) -> None:
    nowhere = {"TMPDIR": str(station.folder / "none"), "XDG_RUNTIME_DIR": ""}
    said = "no connection is kept, there is no folder for it: "
    words = ("bootstrap", "--id", "proxy")
    assert said in station.run("-v", *words, **nowhere).stderr
    assert said not in station.run(*words, **nowhere).stderr
    assert said not in station.run("-v", *words, "--keep-connection", "0", **nowhere).stderr


@pytest.mark.parametrize("seconds", ["-1", "3601", "1.5", "x", ""])
def test_how_long_a_connection_is_kept_is_whole_seconds(station: Workstation, seconds: str) -> None:
    station.refuses("bootstrap", "--id", "proxy", f"--keep-connection={seconds}")


def test_on_a_terminal_a_fleet_is_followed_in_one_line_that_is_written_over(station: Workstation) -> None:
    (station.folder / "nodes.json").write_text(FLEET)
    leader, terminal = os.openpty()
    try:
        command = [sys.executable, "-m", "busnode", "status", "--all", "--parallel", "1"]
        done = subprocess.run(
            command,
            cwd=station.folder,
            env={**station.environment, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=terminal,
            timeout=60,
            check=False,
        )
        os.close(terminal)
        said = os.read(leader, 65536).decode()
    finally:
        os.close(leader)
    assert [node["node_id"] for node in json.loads(done.stdout)["nodes"]] == ["a", "b", "c"]
    live = [line for line in said.split("\r\x1b[K") if "under way" in line]
    assert live[0] == "0 of 3 done; under way: a"
    assert "2 of 3 done, 2 failed; under way: c" in live
    # Each end is a line that stays.
    assert said.count("unreachable") == 3
