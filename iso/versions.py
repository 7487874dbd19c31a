"""What to build: iso/builder/VERSIONS and the settings of the command line, checked at once and together."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from iso.archive.mirror import security_beside
from iso.errors import BadInputError
from iso.image import module_key, vendor
from iso.paths import strange_characters
from iso.settings import CHECKS, PATHS, PIN_OR_NEWEST, SNAPSHOT_FIELD, VERSIONS_CHECKS, file_problem
from iso.urls import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from iso.paths import Paths

NAME = "iso/builder/VERSIONS"
# A shell takes a tilde for a home directory at the beginning of a value and after a colon.
_LINE = re.compile(r"([A-Z][A-Z0-9_]*)=(?!~)((?:[0-9A-Za-z.+~_/-]|:(?!~))*)")
# Lines of VERSIONS, and the settings that override them.
VERSIONS_KEYS = {
    "SUITE": "suite",
    "DEBIAN_KERNEL_ABI": "abi",
    "NVIDIA_SOURCE": "nvidia",
    "NVIDIA_VERSION": "nvidia_version",
    "NVIDIA_FLAVOUR": "nvidia_flavour",
    "NVIDIA_URL": "nvidia_url",
    "NVIDIA_SHA256": "nvidia_sha256",
    "PROFILE": "profile",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One build, as asked for.

    Args:
        suite: Debian release of the live CD.
        kernel_abi: the pinned kernel, as in linux-image-<ABI>.
        newest_allowed: take the newest kernel where the mirror no longer has the pinned one.
        nvidia_source: one of settings.NVIDIA_SOURCES.
        nvidia_version: the driver's upstream version.
        nvidia_flavour: which kernel modules, one of settings.NVIDIA_FLAVOURS.
        nvidia_url: where the source `run` has NVIDIA's installer; may hold a password.
        nvidia_sha256: the installer's digest, lower case.
        profile: `dev` builds fast, `release` small; one of settings.PROFILES.
        mirror: Debian archive to use in place of the one this machine's apt uses.
        security_mirror: the same for the security archive.
        snapshot: the archives are of that time, so their Valid-Until is past.
        authorized_keys: public keys that may log in as root; without them the image has a password.
        sign_key: private key that signs the driver's modules; comes with sign_cert or not at all.
        sign_cert: its certificate.
        release_key: private SSH key that signs the checksums beside the image.
    """

    suite: str
    kernel_abi: str
    newest_allowed: bool
    nvidia_source: str
    nvidia_version: str
    nvidia_flavour: str = "proprietary"
    nvidia_url: str = ""
    nvidia_sha256: str = ""
    profile: str = "dev"
    mirror: str | None = None
    security_mirror: str | None = None
    snapshot: str | None = None
    authorized_keys: Path | None = None
    sign_key: Path | None = None
    sign_cert: Path | None = None
    release_key: Path | None = None

    @property
    def with_nvidia(self) -> bool:
        return self.nvidia_source != "none"


def load(paths: Paths, settings: Mapping[str, str]) -> Config:
    """The build of a checkout, with all that it is given seen to be fit: settings, VERSIONS, vendors' programs.

    Args:
        paths: the checkout.
        settings: key=value pairs of the command line.

    Raises:
        BadInputError: with everything that is wrong.
    """
    complaints = [*_place(paths.root), *vendor.problems(paths.vendor)]
    try:
        config = configure(_text(paths.versions, settings), settings)
    except BadInputError as error:
        complaints[:0] = error.complaints
    if complaints:
        raise BadInputError(complaints)
    return config


def _text(file: Path, settings: Mapping[str, str]) -> str:
    problem: str | None = file_problem(str(file))
    if problem is None:
        try:
            return file.read_text()
        except OSError as error:
            problem = error.strerror
        except UnicodeDecodeError:
            problem = "not a text file (UTF-8)"
    raise BadInputError([f"{file}: {problem}", *_of_settings(settings)])


def _place(root: Path) -> Iterable[str]:
    if odd := strange_characters(root):
        yield f"{root}: live-build cannot bear {odd} in a folder's name: clone to one of letters, digits and ._+- only"


def parse_versions(text: str, name: str = "VERSIONS") -> tuple[dict[str, str], list[str]]:
    """KEY=value lines, as a shell would source them, and a complaint for each line that is something else.

    Args:
        text: the file's content.
        name: what to call it in complaints.
    """
    found: dict[str, str] = {}
    complaints = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if not match:
            complaints.append(f"{name}:{number}: not KEY=value without quotes or blanks: {shown(line)[:80]!r}")
        elif match[1] in found:
            complaints.append(f"{name}:{number}: {match[1]} is there twice")
        else:
            found[match[1]] = match[2]
    return found, complaints


def replaced(text: str, key: str, value: str) -> str:
    """A VERSIONS file with one value changed; comments, order and all else stay.

    Args:
        text: the file's content.
        key: a line's key, which is there.
        value: the new value.
    """
    return re.sub(rf"^(\s*{key}=)\S*", lambda match: f"{match[1]}{value}", text, count=1, flags=re.MULTILINE)


def configure(versions: str, settings: Mapping[str, str], name: str = NAME) -> Config:
    """The build that VERSIONS and the command line's settings describe.

    Args:
        versions: content of the file VERSIONS.
        settings: key=value pairs of the command line.
        name: what to call the file in complaints.

    Raises:
        BadInputError: with everything that is wrong with either.
    """
    values, complaints = parse_versions(versions, name)
    complaints += [
        f"{name}: unknown key {key}{_nearest(key, VERSIONS_KEYS)}" for key in values if key not in VERSIONS_KEYS
    ]
    complaints += [f"{name}: {key} is missing" for key in VERSIONS_KEYS if key not in values]
    for key, value in values.items():
        if key in VERSIONS_KEYS and (problem := VERSIONS_CHECKS[VERSIONS_KEYS[key]](value)):
            complaints.append(f"{name}: {key}={shown(value)}: {problem}")
    pinned = {VERSIONS_KEYS[key]: value for key, value in values.items() if key in VERSIONS_KEYS}
    complaints += [*_of_settings(settings), *_driver(pinned, settings)]
    if complaints:
        raise BadInputError(complaints)
    return _config(pinned, settings)


def _config(pinned: Mapping[str, str], settings: Mapping[str, str]) -> Config:
    chosen = {**pinned, **settings}
    newest_allowed = chosen["abi"] == PIN_OR_NEWEST
    snapshot = chosen.get("snapshot")

    def archive(setting: str) -> str | None:
        url = chosen.get(setting)
        return url.replace(SNAPSHOT_FIELD, snapshot) if url and snapshot else url

    def path(setting: str) -> Path | None:
        return Path(chosen[setting]).absolute() if chosen.get(setting) else None

    return Config(
        suite=chosen["suite"],
        kernel_abi=pinned["abi"] if newest_allowed else chosen["abi"],
        newest_allowed=newest_allowed,
        nvidia_source=chosen["nvidia"],
        nvidia_version=chosen["nvidia_version"],
        nvidia_flavour=chosen["nvidia_flavour"],
        nvidia_url=chosen["nvidia_url"],
        nvidia_sha256=chosen["nvidia_sha256"].lower(),
        profile=chosen["profile"],
        mirror=archive("mirror"),
        security_mirror=archive("security_mirror"),
        snapshot=snapshot,
        authorized_keys=path("authorized_keys"),
        sign_key=path("sign_key"),
        sign_cert=path("sign_cert"),
        release_key=path("release_key"),
    )


def _of_settings(settings: Mapping[str, str]) -> Iterable[str]:
    """What is wrong with the command line's settings, whatever stands in VERSIONS."""
    for key, value in settings.items():
        if key not in CHECKS:
            yield f"{key}={shown(value)}: no such setting{_nearest(key, CHECKS)}"
    for key, value in settings.items():
        if key in CHECKS and (problem := CHECKS[key](value)):
            yield f"{key}={_repeated(key, value)}: {problem}"
    yield from _archives(settings)
    given = [settings.get(key) for key in ("sign_key", "sign_cert")]
    # What is no file at all has its own complaint.
    if None in given or not any(file_problem(path) for path in given if path is not None):
        yield from module_key.problems(*(Path(path) if path is not None else None for path in given))


def _archives(settings: Mapping[str, str]) -> Iterable[str]:
    dated = [setting for setting in ("mirror", "security_mirror") if SNAPSHOT_FIELD in settings.get(setting, "")]
    if dated and "snapshot" not in settings:
        yield f"{dated[0]}={shown(settings[dated[0]])}: {SNAPSHOT_FIELD} wants snapshot=TIME"
    if "snapshot" in settings and not dated:
        yield f"snapshot={settings['snapshot']}: no mirror= with {SNAPSHOT_FIELD} in it to put it into"
    archive = settings.get("mirror", "").replace(SNAPSHOT_FIELD, settings.get("snapshot", SNAPSHOT_FIELD))
    if not archive or SNAPSHOT_FIELD in archive or CHECKS["mirror"](archive):
        return
    if not settings.get("security_mirror") and not security_beside(archive):
        yield f"mirror={archive}: it says nothing of its security archive: name that one, security_mirror=URL"


def _driver(pinned: Mapping[str, str], settings: Mapping[str, str]) -> Iterable[str]:
    """What is wrong with values of an installer that are each right."""
    chosen = {**pinned, **settings}
    version = chosen.get("nvidia_version", "")
    if chosen.get("nvidia") == "run":
        # 550.16 is another version than 550.163.01, and than 550.16.1.
        if not re.search(rf"(?<![0-9.]){re.escape(version)}(?!\.?[0-9])", chosen.get("nvidia_url", "")):
            url = shown(chosen.get("nvidia_url", ""))
            yield f"nvidia_version={version}: nvidia_url= is of another version: {url}"
        if version != pinned.get("nvidia_version") and "nvidia_sha256" not in settings:
            yield f"nvidia_version={version}: wants the nvidia_sha256= of its installer beside it"


def _repeated(key: str, value: str) -> str:
    """A setting's value as a complaint names it: of a file its whole path, whatever is called like a user in it."""
    return value if key in PATHS and "://" not in value else shown(value)


def _nearest(word: str, words: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are: {', '.join(words)}"
