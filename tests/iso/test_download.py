"""A download on loopback: broken off, resumed, refused, of another file; what is believed has its digest."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iso.download import ATTEMPTS, Progress, fetch
from iso.errors import BuildError
from tests.iso.file_server import CONTENT, Server, serving

DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path / "downloads/installer.run"


def get(server: Server, target: Path, digest: str = DIGEST) -> list[str]:
    said: list[str] = []
    fetch(server.url, digest, target, say=said.append, pause=0)
    return said


def test_a_file_comes_whole_with_its_progress(target: Path) -> None:
    with serving(Server()) as server:
        said = get(server, target)
    assert target.read_bytes() == CONTENT
    assert said[-1] == "installer.run: 1.0 of 1.0 MB, 100 %"
    assert [path.name for path in target.parent.iterdir()] == ["installer.run"]


def test_a_server_that_drops_half_way_is_asked_for_the_rest(target: Path) -> None:
    with serving(Server(cuts=[500_000, 300_000])) as server:
        said = get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=500000-", "bytes=800000-"]
    assert any("broke off after 500000 of 1048576 bytes; attempt 2 of" in line for line in said)


def test_a_server_without_ranges_is_asked_for_all_of_it_again(target: Path) -> None:
    with serving(Server(ranges=False, cuts=[500_000])) as server:
        get(server, target)
    assert target.read_bytes() == CONTENT


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(CONTENT) - 1), max_size=ATTEMPTS - 1), ranges=st.booleans())
def test_wherever_it_breaks_off_the_file_is_the_same(target: Path, cuts: list[int], ranges: bool) -> None:
    target.unlink(missing_ok=True)
    with serving(Server(cuts=list(cuts), ranges=ranges)) as server:
        get(server, target)
    assert target.read_bytes() == CONTENT


def test_what_one_build_had_got_the_next_one_resumes(target: Path) -> None:
    with serving(Server(cuts=[1000] * ATTEMPTS)) as server:
        with pytest.raises(BuildError, match=rf"broke off .* {1000 * ATTEMPTS} bytes are kept"):
            get(server, target)
        assert not target.exists()
        get(server, target)
    assert server.asked[-1] == f"bytes={1000 * ATTEMPTS}-"
    assert target.read_bytes() == CONTENT


def test_a_part_that_was_whole_is_only_verified(target: Path) -> None:
    target.parent.mkdir()
    target.with_name("installer.run.partial").write_bytes(CONTENT)
    with serving(Server()) as server:
        get(server, target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("kept", [b"of another file", CONTENT + b"longer"])
def test_a_part_of_another_file_is_dropped_and_all_of_it_fetched(target: Path, kept: bytes) -> None:
    target.parent.mkdir()
    target.with_name("installer.run.partial").write_bytes(kept)
    with serving(Server()) as server:
        get(server, target)
    assert target.read_bytes() == CONTENT


def test_another_file_than_the_pinned_one_is_refused_and_not_kept(target: Path) -> None:
    with (
        serving(Server(content=b"<html>log in</html>")) as server,
        pytest.raises(BuildError, match=rf"its sha256 is [0-9a-f]{{64}} \(19 bytes\), {DIGEST} is wanted"),
    ):
        get(server, target)
    assert list(target.parent.iterdir()) == []


def test_what_is_not_there_is_said_once(target: Path) -> None:
    with serving(Server(statuses=[404])) as server, pytest.raises(BuildError, match="says 404 Not Found: correct"):
        get(server, target)
    assert len(server.asked) == 1


def test_a_server_in_trouble_is_asked_again(target: Path) -> None:
    with serving(Server(statuses=[503, 500])) as server:
        said = get(server, target)
    assert target.read_bytes() == CONTENT
    assert any("503 Service Unavailable; attempt 2" in line for line in said)


def test_a_server_that_is_not_there_is_one_line(target: Path) -> None:
    with serving(Server()) as server:
        pass
    with pytest.raises(BuildError, match="cannot be reached: Connection refused") as caught:
        get(server, target)
    assert "\n" not in str(caught.value)


def test_a_proxy_that_is_down_is_said(target: Path) -> None:
    with serving(Server()) as gone:
        proxy = gone.url.removesuffix("/pool/installer.run")
    with pytest.raises(BuildError, match=r"http://driver\.invalid/x: cannot be reached: .*the proxy"):
        fetch("http://driver.invalid/x", DIGEST, target, proxies={"http": proxy}, say=lambda _line: None, pause=0)


def test_a_password_is_sent_and_never_shown(target: Path) -> None:
    with serving(Server(cuts=[10], content=b"x" * 20)) as server:
        server.url = server.url.replace("//", "//me:ge%40heim@")
        with pytest.raises(BuildError) as caught:
            said = get(server, target)
        said = [str(caught.value)]
    assert server.logins[0] == "Basic bWU6Z2VAaGVpbQ=="
    assert not any("heim" in line for line in said)


def test_a_password_is_not_sent_to_where_one_server_points(target: Path) -> None:
    with serving(Server()) as other, serving(Server(elsewhere=other.url)) as server:
        server.url = server.url.replace("//", "//me:geheim@")
        get(server, target)
    assert server.logins == ["Basic bWU6Z2VoZWlt"]
    assert other.logins == [None]


@pytest.mark.parametrize("elsewhere", ["http://[bad/", "http://host:port/x", "http://host/a b\x01", "//[::1"])
def test_a_server_that_sends_on_to_nowhere_is_one_line(target: Path, elsewhere: str) -> None:
    with serving(Server(elsewhere=elsewhere)) as server, pytest.raises(BuildError) as caught:
        get(server, target)
    assert "\n" not in str(caught.value)
    assert len(server.asked) == ATTEMPTS


@pytest.mark.parametrize("length", ["\u00b2", "\u00b9\u00b2", "-1", "many", "9" * 5000])
def test_a_length_that_is_no_number_is_not_believed(target: Path, length: str) -> None:
    with serving(Server(length=length)) as server, contextlib.suppress(BuildError):
        get(server, target)
    assert server.asked


def test_a_full_disk_is_no_fault_of_the_server(target: Path) -> None:
    target.parent.mkdir()
    target.with_name("installer.run.partial").symlink_to("/dev/full")
    with serving(Server(ranges=False)) as server, pytest.raises(OSError, match="No space left"):
        get(server, target)
    assert len(server.asked) == 1


def test_progress_is_said_at_the_beginning_now_and_then_and_at_the_end() -> None:
    said: list[str] = []
    progress = Progress("file", 100, said.append, seconds=3600)
    for got in (10, 50, 90, 100):
        progress.at(got)
    assert said == ["file: 0.0 of 0.0 MB, 10 %", "file: 0.0 of 0.0 MB, 100 %"]
