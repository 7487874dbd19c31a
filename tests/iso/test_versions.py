"""VERSIONS and the settings of the command line: what is accepted, and that everything wrong is said at once."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iso.errors import BadInputError
from iso.settings import CHECKS, NVIDIA_FLAVOURS, SUITES
from iso.versions import VERSIONS_KEYS, Config, configure, load, parse_versions, replaced
from tests.iso.checkout import make_checkout

GOOD = """\
# a comment
SUITE=trixie

DEBIAN_KERNEL_ABI=6.12.1+deb13-amd64
NVIDIA_SOURCE=debian
NVIDIA_VERSION=550.163.01
NVIDIA_FLAVOUR=proprietary
NVIDIA_URL=https://vendor.invalid/550.163.01/installer.run
NVIDIA_SHA256=abababababababababababababababababababababababababababababababab
PROFILE=dev
"""
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@example\n"
names = st.from_regex(r"[A-Z][A-Z0-9_]{0,15}", fullmatch=True)
plain_values = st.from_regex(r"(?!~)([0-9A-Za-z.+~_/-]|:(?!~)){0,30}", fullmatch=True)


def complaints(text: str = GOOD, **settings: str) -> list[str]:
    with pytest.raises(BadInputError) as caught:
        configure(text, settings)
    return list(caught.value.complaints)


def test_the_file_alone_describes_a_build() -> None:
    assert configure(GOOD, {}) == Config(
        suite="trixie",
        kernel_abi="6.12.1+deb13-amd64",
        newest_allowed=False,
        nvidia_source="debian",
        nvidia_version="550.163.01",
        nvidia_flavour="proprietary",
        nvidia_url="https://vendor.invalid/550.163.01/installer.run",
        nvidia_sha256="ab" * 32,
        profile="dev",
    )


def test_the_repository_s_own_file_is_good() -> None:
    text = Path(__file__).parents[2].joinpath("iso/builder/VERSIONS").read_text()
    assert configure(text, {}).with_nvidia


def test_the_table_of_gpus_is_about_the_drivers_that_each_release_is_built_with() -> None:
    root = Path(__file__).parents[2]
    manual = (root / "docs/iso.md").read_text()
    section = manual.partition("### Which driver for which GPU\n")[2].partition("\n### ")[0]
    pinned = parse_versions((root / "iso/builder/VERSIONS").read_text())[0]
    drivers = {pinned["SUITE"]: pinned["NVIDIA_VERSION"]}
    # The other releases' lines, as the manual has them.
    drivers |= dict(re.findall(r"suite=(\w+) abi=\S+ nvidia_version=([0-9.]+)", manual))
    assert set(drivers) == set(SUITES)
    for suite, version in drivers.items():
        assert f"{version.partition('.')[0]} ({suite})" in section
    for flavour in NVIDIA_FLAVOURS:
        assert f"{flavour} modules" in section
    # The releases whose sources the build adapts to the pinned kernel.
    assert set(drivers.values()) == set(re.findall(r"\b[0-9]{3}\.[0-9]+\.[0-9]{2}\b", section))


def test_settings_win_over_the_file(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(PUBLIC_KEY)
    config = configure(
        GOOD, {"nvidia": "none", "suite": "bookworm", "abi": "6.1.0-56-amd64", "authorized_keys": str(keys)}
    )
    assert (config.suite, config.kernel_abi, config.with_nvidia) == ("bookworm", "6.1.0-56-amd64", False)
    assert config.authorized_keys == keys


def test_pin_or_newest_keeps_the_pin() -> None:
    config = configure(GOOD, {"abi": "pin-or-newest"})
    assert config.kernel_abi == "6.12.1+deb13-amd64"
    assert config.newest_allowed


def test_everything_wrong_is_said_at_once() -> None:
    said = complaints(
        GOOD.replace("trixie", "sarge") + "COLOUR=blue\nnonsense\n",
        suite="potato",
        nvida="none",
        abi="newest",
        mirror="ftp://x",
        authorized_keys="/nonexistent",
    )
    assert len(said) == 8
    assert any("VERSIONS:12: not KEY=value" in line for line in said)
    assert any("unknown key COLOUR" in line for line in said)
    assert any("SUITE=sarge" in line for line in said)
    assert any(line == "nvida=none: no such setting; did you mean nvidia?" for line in said)
    assert any(line == "authorized_keys=/nonexistent: No such file or directory" for line in said)


@pytest.mark.parametrize(
    "url",
    [
        "deb.example.org",
        "http://",
        "ssh://host/debian",
        "file:///srv/debian",
        "http://a b/debian",
        "http://host/$(id)",
        "http://me:secret@host/debian",
        "http://[::1/debian",
        "http://host:port/debian",
        "http://host:0/debian",
        "http://host:65536/debian",
        "http://host:80:80/debian",
    ],
)
def test_what_is_no_archive_is_refused(url: str) -> None:
    assert len(complaints(mirror=url)) == 1


@pytest.mark.parametrize("url", ["http://mirror/debian", "https://mirror:8080/debian/", "http://[::1]:65535/debian"])
def test_archives_are_taken(url: str) -> None:
    assert configure(GOOD, {"mirror": url}).mirror == url


@pytest.mark.parametrize("abi", ["6.12.1", "amd64", "6.12.1-amd64;id", "6.12.1-rt amd64", "-amd64", ""])
def test_what_is_no_abi_is_refused(abi: str) -> None:
    assert len(complaints(abi=abi)) == 1


@pytest.mark.parametrize("missing", list(VERSIONS_KEYS))
def test_a_missing_line_is_named(missing: str) -> None:
    text = "\n".join(line for line in GOOD.splitlines() if not line.startswith(f"{missing}="))
    assert complaints(text) == [f"iso/builder/VERSIONS: {missing} is missing"]


def test_a_line_twice_is_refused() -> None:
    assert "is there twice" in complaints(GOOD + "SUITE=bookworm\n")[0]


@given(st.dictionaries(names, plain_values, max_size=8))
def test_what_is_written_is_read_back(values: dict[str, str]) -> None:
    assert parse_versions("".join(f"{key}={value}\n" for key, value in values.items())) == (values, [])


@given(st.dictionaries(names, plain_values, min_size=1, max_size=4))
def test_a_shell_reads_the_same(values: dict[str, str]) -> None:
    text = "".join(f"{key}={value}\n" for key, value in values.items())
    # Names that mean something to the shell itself are not for VERSIONS.
    mine = {f"V_{key}": value for key, value in values.items()}
    text = "".join(f"{key}={value}\n" for key, value in mine.items())
    shown = "".join(f'printf "%s\\n" "${key}"\n' for key in mine)
    done = subprocess.run(["/bin/sh", "-eu"], input=text + shown, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == list(mine.values())
    assert parse_versions(text)[0] == mine


@given(st.text(max_size=200))
def test_any_text_gives_lines_or_complaints(text: str) -> None:
    found, said = parse_versions(text)
    meant = [line for line in map(str.strip, text.split("\n")) if line and not line.startswith("#")]
    assert len(found) + len(said) == len(meant)


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=10), min_size=1, max_size=3))
def test_unknown_settings_are_never_silently_taken(settings: dict[str, str]) -> None:
    if not set(settings) <= set(CHECKS):
        with pytest.raises(BadInputError):
            configure(GOOD, settings)


@pytest.mark.parametrize("value", ["http://me:ge heim@host/debian", "me:geheim@host", "ftp://me:/geheim@@host/"])
@pytest.mark.parametrize("setting", ["mirror", "nvidia_url", "miror", "profile"])
def test_a_password_is_never_repeated(setting: str, value: str) -> None:
    assert not any("heim" in line for line in complaints(**{setting: value}))


def test_a_password_in_the_file_is_never_repeated() -> None:
    assert not any("geheim" in line for line in complaints(GOOD + "MIRROR=http://me:geheim@host/debian\n"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"nvidia_sha256": "ab" * 31}, "nvidia_sha256=" + "ab" * 31 + ": not a sha256: 62 digits in place of 64"),
        ({"nvidia_sha256": "xy" * 32}, "hexadecimal"),
        ({"nvidia_flavour": "closed"}, "must be one of proprietary, open"),
        ({"profile": "fast"}, "must be one of dev, release"),
        ({"snapshot": "20260131"}, "not a time such as 20260131T000000Z"),
        ({"snapshot": "20260131T000000"}, "not a time such as 20260131T000000Z"),
        ({"snapshot": "20261345T999999Z"}, "no day of the calendar, or no time of a day"),
        ({"snapshot": "20260229T000000Z"}, "no day of the calendar"),
        ({"snapshot": "20260131T240000Z"}, "no time of a day"),
        ({"snapshot": "99990131T000000Z"}, "in the future: this machine's clock says 2"),
        ({"nvidia_url": "https://host:x/550.163.01.run"}, "its port is no number from 1 to 65535"),
        ({"snapshot": "20260131T000000Z"}, "no mirror= with {snapshot} in it"),
        ({"snapshot": "20260131T000000Z", "mirror": "http://m/debian"}, "no mirror= with {snapshot} in it"),
        ({"mirror": "http://m/{snapshot}/debian"}, "{snapshot} wants snapshot=TIME"),
        ({"mirror": "http://m/{time}/debian"}, "not the http or https URL"),
        (
            {"nvidia": "run", "nvidia_version": "570.1.2", "nvidia_sha256": "cd" * 32},
            "nvidia_url= is of another version",
        ),
        (
            {"nvidia": "run", "nvidia_version": "550.16", "nvidia_sha256": "cd" * 32},
            "nvidia_version=550.16: nvidia_url= is of another version: https://vendor.invalid/550.163.01/installer.run",
        ),
        (
            {"nvidia": "run", "nvidia_version": "570.1.2", "nvidia_url": "https://x/570.1.2.run"},
            "wants the nvidia_sha256=",
        ),
        ({"sign_key": "/nonexistent"}, "sign_key= needs sign_cert="),
        ({"sign_cert": "/nonexistent"}, "sign_cert= needs sign_key="),
        ({"mirror": "http://m/foo"}, "mirror=http://m/foo: it says nothing of its security archive: name that one"),
        (
            {"mirror": "http://m/{snapshot}/foo", "snapshot": "20260131T000000Z"},
            "mirror=http://m/20260131T000000Z/foo: it says nothing of its security archive",
        ),
    ],
)
def test_values_that_do_not_go_together_are_refused(settings: dict[str, str], said: str) -> None:
    found = complaints(**settings)
    assert any(said in line for line in found), found


@given(st.text(max_size=20))
@example("x\u00fc.run")
@example("x\x07.run")
@example("x\x7f.run")
def test_an_installer_s_url_is_one_that_a_request_takes(tail: str) -> None:
    url = f"https://host.invalid/{tail}"
    if CHECKS["nvidia_url"](url) is None:
        connection = http.client.HTTPSConnection("host.invalid")
        # Raises for what cannot stand in a request (RFC 9112, section 3); nothing is sent before it ends.
        connection.putrequest("GET", url)
        assert not set(url) & set("'\"")


def test_an_installer_s_url_with_other_characters_says_how_to_write_them() -> None:
    (said,) = complaints(nvidia_url="https://host.invalid/\u00fc.run")
    assert said.endswith("not an http or https URL in plain ASCII: any other character is written as %XX")


def test_another_installer_brings_its_url_and_its_sum() -> None:
    other = {"nvidia_version": "570.1.2", "nvidia_url": "https://x/570.1.2.run", "nvidia_sha256": "CD" * 32}
    config = configure(GOOD, {"nvidia": "run", **other})
    assert (config.nvidia_source, config.nvidia_version, config.nvidia_sha256) == ("run", "570.1.2", "cd" * 32)


def test_a_snapshot_fills_the_archives_url() -> None:
    config = configure(
        GOOD,
        {
            "mirror": "http://m/debian/{snapshot}/",
            "security_mirror": "http://m/debian-security/{snapshot}/",
            "snapshot": "20260131T000000Z",
        },
    )
    assert config.mirror == "http://m/debian/20260131T000000Z/"
    assert config.security_mirror == "http://m/debian-security/20260131T000000Z/"
    assert config.snapshot == "20260131T000000Z"


@given(st.dictionaries(names, plain_values, min_size=1, max_size=5), plain_values, st.data())
def test_one_value_is_replaced_and_nothing_else(values: dict[str, str], new: str, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(values)))
    text = "# head\n\n" + "".join(f"# about {name}\n{name}={value}\n" for name, value in values.items())
    after = replaced(text, key, new)
    assert parse_versions(after) == (values | {key: new}, [])
    assert [line for line in after.splitlines() if line.startswith("#")] == [
        line for line in text.splitlines() if line.startswith("#")
    ]


@given(st.datetimes(max_value=datetime(2026, 1, 1)))
def test_every_time_of_the_past_is_one_to_build_from(moment: datetime) -> None:
    snapshot = f"{moment:%Y%m%dT%H%M%SZ}".rjust(16, "0")
    config = configure(GOOD, {"mirror": "http://m:8081/debian/{snapshot}", "snapshot": snapshot})
    assert config.mirror == f"http://m:8081/debian/{snapshot}"


@given(
    st.lists(st.integers(0, 999), min_size=2, max_size=3),
    st.lists(st.integers(0, 999), min_size=2, max_size=3),
    st.sampled_from(["https://host/{}/installer.run", "https://host:81/NVIDIA-Linux-x86_64-{}.run", "https://h/{}"]),
)
@example([550, 16], [550, 163, 1], "https://host/{}")
@example([550, 163], [550, 163, 1], "https://host/{}")
@example([50, 16], [550, 16], "https://host/{}")
def test_an_installer_is_of_the_version_that_its_url_names_and_no_other(
    version: list[int], named: list[int], url: str
) -> None:
    wanted, there = (".".join(map(str, numbers)) for numbers in (version, named))
    settings = {
        "nvidia": "run",
        "nvidia_version": wanted,
        "nvidia_url": url.format(there),
        "nvidia_sha256": "cd" * 32,
    }
    if wanted == there:
        assert configure(GOOD, settings).nvidia_url == url.format(there)
    else:
        assert any("nvidia_url= is of another version" in line for line in complaints(**settings))


def test_a_file_that_is_missing_is_named_with_its_whole_path(tmp_path: Path) -> None:
    for name in (str(tmp_path / "jo@corp/missing.pub"), "keys/jo@corp.pub"):
        for setting in ("authorized_keys", "release_key"):
            (said,) = complaints(**{setting: name})
            assert said.startswith(f"{setting}={name}: ")
    assert not any("geheim" in line for line in complaints(authorized_keys="http://me:geheim@host/keys"))


@pytest.mark.parametrize("setting", ["authorized_keys", "release_key", "sign_key", "sign_cert"])
def test_what_is_no_file_to_be_read_again_is_refused_before_it_is_opened(setting: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    twice = "a pipe or a device, which cannot be read twice: name a file"
    for value, said in (
        (str(tmp_path / "pipe"), twice),
        ("/dev/zero", twice),
        ("", "names no file"),
        (str(tmp_path), "Is a directory"),
        (str(tmp_path / "missing"), "No such file or directory"),
        ("~/missing.pub", "No such file or directory: no shell has put your home in place of ~: write $HOME"),
    ):
        assert f"{setting}={value}: {said}" in complaints(**{setting: value})


def test_of_a_pair_that_is_no_files_each_is_said_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    found = complaints(sign_key=str(tmp_path / "pipe"), sign_cert=str(tmp_path / "missing"))
    assert found == [
        f"sign_key={tmp_path}/pipe: a pipe or a device, which cannot be read twice: name a file",
        f"sign_cert={tmp_path}/missing: No such file or directory",
    ]


def test_a_checkout_whose_path_live_build_cannot_bear_is_refused_before_work(tmp_path: Path) -> None:
    paths = make_checkout(tmp_path / "my cl\u00f6ne")
    paths.versions.write_text(GOOD)
    with pytest.raises(BadInputError, match="live-build cannot bear ' ' '\u00f6' in a folder's name"):
        load(paths, {})


def test_an_archive_with_another_name_is_taken_with_its_security_archive() -> None:
    url = "http://mirror/trixie"
    assert configure(GOOD, {"mirror": url, "security_mirror": "http://mirror/security"}).mirror == url
    # What is wrong with a URL is said once.
    assert len(complaints(mirror="ftp://mirror/trixie")) == len(complaints(mirror="http://m/{snapshot}/x")) == 1


@pytest.mark.parametrize("content", [None, b"\xff", "pipe"])
def test_without_its_file_the_settings_are_looked_at_all_the_same(tmp_path: Path, content: bytes | str | None) -> None:
    paths = make_checkout(tmp_path)
    paths.versions.unlink()
    if isinstance(content, bytes):
        paths.versions.write_bytes(content)
    elif content:
        os.mkfifo(paths.versions)
    settings = {"nvida": "none", "suite": "potato", "sign_key": "/dev/null", "nvidia": "run", "snapshot": "2026"}
    with pytest.raises(BadInputError) as caught:
        load(paths, settings)
    said = caught.value.complaints
    assert said[0].startswith(f"{paths.versions}: ")
    assert [line.split("=")[0] for line in said[1:]] == [
        "nvida",
        "suite",
        "sign_key",
        "snapshot",
        "snapshot",
        "sign_key",
    ]
