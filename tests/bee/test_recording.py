"""A recording gives the very audit of its machine, anywhere; what is none is refused by name, nothing is written."""

from __future__ import annotations

import gzip
import io
import json
import random
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bee import recording
from bee.audit import collect, serialise
from bee.machine import Live, Recorded, Run
from bee.recording import Recorder, Recording, RecordingError, pack, retimed, unpack
from bee.settings import Settings
from tests.bee.recorded import LINKS, SYS_FILES, runs, server
from tests.bee.test_cli import run

if TYPE_CHECKING:
    from bee.machine import Machine
    from bee.model import Audit


def seen(machine: Machine, chosen: Settings | None = None) -> tuple[Audit, Recording]:
    """The audit of `machine`, and the recording made meanwhile."""
    chosen = chosen or Settings()
    recorder = Recorder(machine)
    audit = collect(recorder, lambda level, text: None, skip=chosen.skip, notes=chosen.notes)
    return audit, recorder.recording(audit, chosen)


def again(known: Recording) -> Audit:
    audit = collect(known.machine, lambda level, text: None, skip=known.skip, notes=known.notes)
    return retimed(audit, known)


PACKED = pack(seen(server())[1])


def tar(*members: tuple[str, bytes] | tarfile.TarInfo) -> bytes:
    """An archive of somebody else's making."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return packed.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def changed(**values: Any) -> bytes:
    """The server's recording with another manifest."""
    with tarfile.open(fileobj=io.BytesIO(PACKED)) as archive:
        members = [(m.name, archive.extractfile(m).read()) for m in archive]  # type: ignore[union-attr]
    manifest = {**json.loads(members[0][1]), **values}
    return tar((members[0][0], json.dumps(manifest).encode()), *members[1:])


def refusal(archive: bytes) -> str:
    with pytest.raises(RecordingError) as caught:
        unpack(io.BytesIO(archive))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_recording_gives_the_very_audit_of_the_machine() -> None:
    audit, known = seen(server())
    assert serialise(again(unpack(io.BytesIO(pack(known))))) == serialise(audit)


def test_a_recording_of_this_machine_gives_its_very_audit() -> None:
    with Live() as machine:
        audit, known = seen(machine)
    assert serialise(again(unpack(io.BytesIO(pack(known))))) == serialise(audit)


def test_what_was_left_out_and_what_was_late_stays_so() -> None:
    late = Run(args=("lspci", "-vmm", "-D", "-nn", "-k"), outcome="stopped", stdout=b"Slot:\t0", seconds=31.5)
    machine = Recorded({**runs(), late.args: late}, SYS_FILES, LINKS, recorded_at=12.5)
    chosen = Settings(skip={"psu": "skipped by --skip psu"}, notes=("lspci is /opt/lspci, by --tool",))
    audit, known = seen(machine, chosen)
    assert serialise(again(unpack(io.BytesIO(pack(known))))) == serialise(audit)
    assert audit.psu is None
    assert audit.started_at == "1970-01-01T00:00:12Z"


def test_the_same_recording_gives_the_same_bytes_and_survives_them() -> None:
    known = unpack(io.BytesIO(PACKED))
    assert pack(known) == PACKED
    assert pack(unpack(io.BytesIO(pack(replace(known, seconds=1.25))))) != PACKED


@given(
    st.dictionaries(
        st.lists(st.text(), min_size=1, max_size=3).map(tuple), st.tuples(st.binary(), st.integers(0, 255)), max_size=3
    ),
    st.dictionaries(st.text(min_size=1), st.text(st.characters(exclude_categories=["Cs"]))),
    st.dictionaries(st.text(), st.none() | st.text()),
    st.dictionaries(st.text(), st.lists(st.text()).map(tuple)),
)
def test_whatever_was_printed_and_read_comes_back(
    printed: dict[tuple[str, ...], tuple[bytes, int]],
    files: dict[str, str],
    links: dict[str, str | None],
    folders: dict[str, tuple[str, ...]],
) -> None:
    machine = Recorded(
        runs={
            args: Run(args=args, outcome="exited", exit_code=code, stdout=out, stderr=out[::-1], seconds=0.1)
            for args, (out, code) in printed.items()
        },
        files=files,
        links=links,
        folders=folders,
        tools={"x": True, "y": False},
        root=False,
    )
    assert unpack(io.BytesIO(pack(Recording(machine=machine)))).machine == machine


def test_an_archive_packed_again_by_hand_is_read(tmp_path: Path) -> None:
    subprocess.run(["tar", "-C", str(tmp_path), "-xzf", "-"], input=PACKED, check=True)
    subprocess.run(["tar", "-C", str(tmp_path), "-czf", str(tmp_path / "again.tar.gz"), "./bee-recording"], check=True)
    with (tmp_path / "again.tar.gz").open("rb") as file:
        assert unpack(file) == unpack(io.BytesIO(PACKED))


MANIFEST = ("bee-recording/recording.json", b"{}")
SYMLINK = special("bee-recording/a", tarfile.SYMTYPE, "/etc/passwd")


@pytest.mark.parametrize(
    ("archive", "said"),
    [
        (b"", "it is truncated or no gzipped tar archive"),
        (gzip.compress(b"no tar" * 1000), "it is truncated or no gzipped tar archive"),
        (tar(), "it has no bee-recording/recording.json"),
        (tar(SYMLINK, MANIFEST), "its member 'bee-recording/a' is a link"),
        (tar(special("bee-recording/a", tarfile.LNKTYPE, "/etc/passwd")), "its member 'bee-recording/a' is a link"),
        (tar(special("bee-recording/a", tarfile.FIFOTYPE)), "its member 'bee-recording/a' is no plain file"),
        (tar(special("bee-recording/a", tarfile.CHRTYPE)), "its member 'bee-recording/a' is no plain file"),
        (tar(("bee-recording/../../etc/cron.d/x", b"")), "'bee-recording/../../etc/cron.d/x' leads out of its folder"),
        (tar(("/etc/cron.d/x", b"")), "its member '/etc/cron.d/x' leads out of its folder"),
        (tar(special("../x", tarfile.DIRTYPE)), "its member '../x' leads out of its folder"),
        (tar(("elsewhere/x", b"")), "its member 'elsewhere/x' is not in bee-recording/"),
        (tar(MANIFEST, MANIFEST), "its member 'bee-recording/recording.json' is there twice"),
        (tar(("bee-recording/\x1b[2J", b""), SYMLINK), "its member 'bee-recording/a' is a link"),
        (tar(special("\x1b[2J", tarfile.SYMTYPE)), "its member '\N{REPLACEMENT CHARACTER}[2J' is a link"),
        (tar(("bee-recording/recording.json", b"{")), "its recording.json is not JSON"),
        (tar(("bee-recording/recording.json", b"[" * 100_000)), "its recording.json is not JSON"),
        (tar(("bee-recording/recording.json", b"[]")), "it is damaged: recording.json is no object"),
        (tar(MANIFEST), "it is damaged: recording.json.recording_version is missing"),
        (changed(recording_version=2), "it is a recording of version 2, this bee reads version 1"),
        (changed(files={"/proc/cpuinfo": "files/absent"}), "its member 'bee-recording/files/absent' is missing"),
        (
            changed(files={"/a": "files/proc/cpuinfo", "/b": "files/proc/cpuinfo"}),
            "its member 'bee-recording/files/proc/cpuinfo' is missing, or named twice",
        ),
        (tar(("bee-recording/long", bytes(2**24 + 1))), "its member 'bee-recording/long' says that it has 16777217"),
        (changed(seconds=float("nan")), "recording.json.seconds is no number from 0 to"),
        (changed(recorded_at=10**400), "recording.json.recorded_at is no number from 0 to"),
        (changed(root=1), "recording.json.root is neither true nor false"),
        (changed(runs=[{"args": ["x"], "outcome": "won"}]), "recording.json.runs[0].outcome is none of exited, killed"),
        (changed(links={"a": 1}), "recording.json.links['a'] is no string"),
        (changed(folders={"a": "b"}), "recording.json.folders['a'] is no list"),
        (changed(notes={}), "recording.json.notes is no list"),
    ],
)
def test_what_is_no_recording_is_refused_by_name(archive: bytes, said: str) -> None:
    assert said in refusal(archive)


def test_a_bomb_is_refused_before_it_unfolds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MAX_BYTES", 2**20)
    assert refusal(gzip.compress(bytes(2**21))) == "it unpacks to more than 1 MiB"
    many = tar(*[(f"bee-recording/{number}", bytes(2**18)) for number in range(8)])
    assert refusal(many) == "it unpacks to more than 1 MiB"
    # A name of 2 MiB: it is read into memory before any member is seen.
    name = tarfile.TarInfo("bee-recording/" + "x" * 2**21)
    assert refusal(tar(name)) == "it unpacks to more than 1 MiB"
    # A sparse file of 2**40 zeros takes no space in the archive.
    sparse = special("bee-recording/sparse", tarfile.GNUTYPE_SPARSE)
    assert refusal(tar(sparse)) == "its member 'bee-recording/sparse' is no plain file"
    pax = tarfile.TarInfo("bee-recording/sparse")
    pax.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(2**40)}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(pax)
    assert refusal(packed.getvalue()) == "its member 'bee-recording/sparse' is no plain file"


def test_no_more_members_than_a_recording_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MAX_MEMBERS", 3)
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for number in range(4):
            folder = tarfile.TarInfo(f"bee-recording/{number}")
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
    assert refusal(made.getvalue()) == "its member 'bee-recording/3' is one too many"
    assert refusal(PACKED).endswith("is one too many")


def test_a_recording_that_could_not_be_read_again_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MAX_BYTES", 10_000)
    with pytest.raises(RecordingError, match="the tools printed more than"):
        pack(seen(server())[1])


def test_truncated_anywhere_it_is_refused() -> None:
    cuts = {0, 1, 9, 10, 11, len(PACKED) - 1, len(PACKED) - 4, len(PACKED) - 8, len(PACKED) - 9}
    cuts |= set(random.Random(1).sample(range(len(PACKED)), 40))
    for cut in sorted(cuts):
        assert refusal(PACKED[:cut]), cut


@settings(max_examples=max(200, settings().max_examples))
@given(st.integers(0, len(gzip.decompress(PACKED)) - 1), st.binary(min_size=1, max_size=4))
def test_damaged_anywhere_it_is_refused_or_audited(at: int, damage: bytes) -> None:
    raw = gzip.decompress(PACKED)
    broken = raw[:at] + damage + raw[at + len(damage) :]
    try:
        known = unpack(io.BytesIO(gzip.compress(broken, 1)))
    except RecordingError:
        return
    serialise(again(known))


def test_record_and_audit_from_it_as_commands(tmp_path: Path) -> None:
    path = tmp_path / "out.tar.gz"
    done = run("record", str(path))
    assert done.returncode == 0
    assert done.stdout.decode().startswith(f"{path}: {path.stat().st_size} bytes; ")
    assert path.stat().st_mode & 0o777 == 0o600
    first = run("audit", "--from", str(path))
    assert first.returncode == 0
    assert json.loads(first.stdout)["started_at"]
    assert run("audit", "--from", "-", stdin=path.read_bytes()).stdout == first.stdout
    piped = run("record", "-")
    assert json.loads(run("audit", "--from", "-", stdin=piped.stdout).stdout)["host"]["kernel"]
    assert run("audit", "--from", str(path), "--output", str(tmp_path / "audit.json")).returncode == 0
    assert (tmp_path / "audit.json").read_bytes() == first.stdout
    skipped = json.loads(run("audit", "--from", str(path), "--skip", "pcie").stdout)
    assert skipped["pcie"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit.json", "out.tar.gz"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from", "{0}/absent"), "cannot read {0}/absent: No such file or directory"),
        (("--from", "{0}"), "cannot read {0}: Is a directory"),
        (("--from", "{0}/hostile"), "{0}/hostile is no recording: its member 'bee-recording/a' is a link"),
        (("--from", "{0}/good", "--deadline", "3"), "--tool and --deadline have no meaning with --from: the tools"),
        (("--from", "{0}/good", "--skip", "fan"), "--skip: there is no step 'fan'"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "hostile").write_bytes(tar(SYMLINK))
    (tmp_path / "good").write_bytes(PACKED)
    before = sorted(tmp_path.iterdir())
    done = run("audit", *(argument.format(tmp_path) for argument in arguments))
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().startswith(f"bee: {said.format(tmp_path)}")
    assert done.stderr.count(b"\n") == 1
    assert sorted(tmp_path.iterdir()) == before
