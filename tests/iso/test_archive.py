"""Which archive and which kernel: read from apt, and a pin that is gone is said with what to do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iso import cache_entries, shell
from iso.archive import mirror
from iso.archive.apt import Archive, abi_order, choose_kernel, parse_kernels
from iso.archive.mirror import Mirror
from iso.archive.sources import parse_index_targets
from iso.errors import BuildError
from iso.stages import kernel, nvidia_debian
from tests.iso.checkout import config, make_checkout

if TYPE_CHECKING:
    from pathlib import Path

TARGETS = """\
bookworm|main|https://vendor.invalid/early/|Vendor Inc.|Vendor Inc.
bookworm|main|https://vendor.invalid/backport/|Debian|Debian Backports
bookworm-security|main|https://vendor.invalid/security/|Vendor Inc.|
bookworm|main|http://one.invalid/debian/|Debian|Debian
bookworm|contrib|http://one.invalid/debian/|Debian|Debian
bookworm-updates|main|http://two.invalid/debian/|Debian|Debian
bookworm-security|main|http://one.invalid/debian-security/|Debian|Debian-Security
nodistro|main|https://vendor.invalid/apt/||
cloud-sdk-bookworm|main|https://vendor.invalid/other/||
"""
KERNELS = """\
linux-image-6.12.117+deb13-amd64
linux-image-6.12.107+deb13-amd64
linux-image-6.12.115+deb13-amd64
linux-image-6.12.115+deb13.1-amd64
linux-image-6.12.94+deb13-amd64
linux-image-6.12.118+deb13-rt-amd64
linux-image-6.12.118+deb13-cloud-amd64
linux-image-6.12.118+deb13-amd64-dbg
linux-image-6.12.118+deb13-amd64-unsigned
linux-image-amd64
linux-image-6.12-amd64
linux-image-generic
"""


def test_archive_and_security_archive_are_told_apart_from_others() -> None:
    assert parse_index_targets(TARGETS) == ("http://one.invalid/debian/", "http://one.invalid/debian-security/")


def test_an_archive_that_says_nothing_of_itself_is_told_by_its_release() -> None:
    listing = "trixie|main|http://one.invalid/d/||\ntrixie-security|main|http://one.invalid/s/||\n"
    assert parse_index_targets(listing) == ("http://one.invalid/d/", "http://one.invalid/s/")


def test_a_source_that_only_apt_can_resolve_is_refused_with_the_setting_to_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listing = TARGETS.replace("http://one.invalid/debian/", "mirror+file:/etc/apt/mirrors/debian.list")
    monkeypatch.setattr(shell, "capture", lambda _command: listing)
    with pytest.raises(BuildError, match=r"mirror\+file:/etc/apt/mirrors/debian\.list .* doit iso mirror=URL"):
        mirror.find.__wrapped__(config(mirror=None, security_mirror=None))


@given(st.text())
def test_any_listing_is_read(text: str) -> None:
    archive, security = parse_index_targets(text)
    assert archive is None or archive in text
    assert security is None or security in text


def test_named_archives_are_used_as_they_are() -> None:
    assert mirror.find(config()) == Mirror("http://mirror.invalid/debian", "http://mirror.invalid/debian-security")


def test_a_named_archive_brings_the_security_archive_beside_it() -> None:
    found = mirror.find(config(mirror="http://x.invalid/debian/", security_mirror=None))
    assert found.security == "http://x.invalid/debian-security"


def test_a_named_archive_without_a_security_archive_is_asked_for_one() -> None:
    with pytest.raises(BuildError, match="security_mirror=URL"):
        mirror.find(config(mirror="http://x.invalid/archive", security_mirror=None))


PROXY, OTHER = "http://proxy.invalid:3128", "http://other.invalid:1"
PROXIES: dict[str, tuple[list[str], dict[str, str]]] = {
    "none": ([], {}),
    "direct": (["Acquire::http::Proxy=DIRECT"], {}),
    "http": ([f"Acquire::http::Proxy={PROXY}"], {"http_proxy": PROXY}),
    "https": ([f"acquire::HTTPS::proxy={PROXY}"], {"https_proxy": PROXY}),
    "both, but for two hosts": (
        [
            f"Acquire::http::Proxy={PROXY}",
            f"Acquire::https::Proxy={OTHER}",
            "Acquire::http::Proxy::b.invalid=DIRECT",
            "Acquire::https::Proxy::a.invalid=direct",
        ],
        {"http_proxy": PROXY, "https_proxy": OTHER, "no_proxy": "a.invalid,b.invalid"},
    ),
    "of one host": ([f"Acquire::http::Proxy::b.invalid={OTHER}"], {}),
}


def configured(monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    """This machine's apt, told so."""
    real = shell.capture
    said = [word for option in options for word in ("-o", option)]
    monkeypatch.setattr(shell, "capture", lambda command, extra=None: real([command[0], *said, *command[1:]], extra))


def without_this_machine_s(dump: str) -> str:
    return "".join(line for line in dump.splitlines(keepends=True) if ".invalid" in line or "DIRECT" in line.upper())


@pytest.mark.parametrize("case", PROXIES)
def test_the_proxies_of_this_machine_s_apt_are_carried_on(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options, environment = PROXIES[case]
    configured(monkeypatch, options)
    assert mirror.parse_proxies(without_this_machine_s(shell.capture(["apt-config", "dump"]))) == environment


def test_hosts_that_are_reached_without_a_proxy_stay_so(monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch, PROXIES["both, but for two hosts"][0])
    monkeypatch.setenv("no_proxy", "mine.invalid")
    assert mirror.proxy_environment()["no_proxy"].startswith("mine.invalid,a.invalid,b.invalid")


@pytest.mark.parametrize(
    "option",
    [
        f'Acquire::http::Proxy "{PROXY}"',
        'Acquire::http::Proxy::mirror.invalid "DIRECT"',
        f'Acquire::https::Proxy::other.invalid "{OTHER}"',
        'Acquire::https::CaInfo "/etc/site.pem"',
        'Acquire::http::Proxy-Auto-Detect "/usr/bin/detect"',
        'acquire::http::timeout "7"',
    ],
)
def test_however_this_machine_s_apt_reaches_an_archive_the_build_s_does(
    tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, value = option.partition(" ")
    configured(monkeypatch, [f"{name}={value.strip(chr(34))}"])
    archive = Archive(
        "trixie", Mirror("http://mirror.invalid/d", "http://mirror.invalid/s"), tmp_path, tmp_path / "log"
    )
    assert f"{option};".lower() in archive._configuration().lower().splitlines()


def test_only_plain_kernels_count_and_the_newest_is_last() -> None:
    assert [abi.removesuffix("-amd64") for abi in parse_kernels(KERNELS)] == [
        "6.12.94+deb13",
        "6.12.107+deb13",
        "6.12.115+deb13",
        "6.12.115+deb13.1",
        "6.12.117+deb13",
    ]


def test_bookworm_s_kernels_are_found_too() -> None:
    names = "\n".join(
        f"linux-image-6.1.0-{name}" for name in ("56-amd64", "54-amd64", "56-cloud-amd64", "56-amd64-dbg")
    )
    assert parse_kernels(names) == ["6.1.0-54-amd64", "6.1.0-56-amd64"]


@given(st.lists(st.integers(0, 999), min_size=3, max_size=3), st.lists(st.integers(0, 999), min_size=3, max_size=3))
def test_kernels_are_compared_by_number(one: list[int], other: list[int]) -> None:
    def abi(numbers: list[int]) -> str:
        return ".".join(map(str, numbers)) + "+deb13-amd64"

    assert (abi_order(abi(one)) < abi_order(abi(other))) == (one < other)


def test_a_pin_that_is_there_is_taken_silently() -> None:
    assert choose_kernel("6.12.94+deb13-amd64", parse_kernels(KERNELS), newest_allowed=True) == (
        "6.12.94+deb13-amd64",
        None,
    )


def test_a_pin_that_is_gone_names_the_newest_and_both_ways_to_take_it() -> None:
    with pytest.raises(BuildError) as caught:
        choose_kernel("6.12.1+deb13-amd64", parse_kernels(KERNELS), newest_allowed=False)
    said = str(caught.value)
    assert "no longer has kernel 6.12.1+deb13-amd64" in said
    assert "doit iso abi=6.12.117+deb13-amd64" in said
    assert "DEBIAN_KERNEL_ABI=6.12.117+deb13-amd64 in iso/builder/VERSIONS" in said


def test_pin_or_newest_goes_on_and_says_so() -> None:
    chosen, remark = choose_kernel("6.12.1+deb13-amd64", parse_kernels(KERNELS), newest_allowed=True)
    assert chosen == "6.12.117+deb13-amd64"
    assert remark is not None
    assert remark.startswith("STALE PIN: ")


@pytest.mark.parametrize("newest_allowed", [True, False])
def test_a_mirror_without_kernels_is_an_error(newest_allowed: bool) -> None:
    with pytest.raises(BuildError, match="no kernel"):
        choose_kernel("6.12.1+deb13-amd64", [], newest_allowed=newest_allowed)


@pytest.mark.parametrize(
    ("version", "upstream"),
    [("550.163.01-2", "550.163.01"), ("1:550.163.01-2", "550.163.01"), ("550.163.01-2~deb12u1", "550.163.01")],
)
def test_a_driver_s_package_version_is_read(version: str, upstream: str) -> None:
    assert nvidia_debian.upstream(version) == upstream


def test_an_archive_that_a_build_uses_is_not_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = make_checkout(tmp_path)
    paths.cache.mkdir()
    monkeypatch.setattr(Archive, "update", lambda archive: (archive.folder / "lists").mkdir())
    folder = kernel.archive_of(kernel.KERNEL.job(config(), paths)).folder
    assert [entry.path for entry in cache_entries.prune(paths.cache, 0).spared] == [folder]
    assert folder.is_dir()


def test_pin_or_newest_chooses_again_when_its_kernel_is_gone_and_repeats_its_remark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make_checkout(tmp_path)
    job = kernel.KERNEL.job(config(kernel_abi="6.12.1+deb13-amd64", newest_allowed=True), paths)
    answers = []
    for newest in ("6.12.107+deb13-amd64", "6.12.107+deb13-amd64", "6.12.115+deb13-amd64"):
        archive = SimpleNamespace(kernels=lambda newest=newest: [newest])
        monkeypatch.setattr(kernel, "archive_of", lambda _job, archive=archive: archive)
        kernel.KERNEL.run(job)
        answers.append(kernel.KERNEL.asks(job))
        assert paths.kernel_abi.read_text() == f"{newest}\n"
        assert str(kernel.KERNEL.remark(job)).startswith("STALE PIN: ")
    assert answers == ["6.12.107+deb13-amd64", "6.12.107+deb13-amd64", "6.12.115+deb13-amd64"]
    # Only asked with leave to take another.
    assert kernel.KERNEL.asks(kernel.KERNEL.job(config(), paths)) is None
