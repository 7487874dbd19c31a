"""Where things are: in the checkout, in dist/ and in the user's own folders."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from iso import PRODUCT


def user_cache() -> Path:
    """What other clones of this user may use again."""
    return _users("XDG_CACHE_HOME", ".cache")


def _users(variable: str, otherwise: str) -> Path:
    """A folder of the user's for this build, as the XDG base directory specification has it."""
    place = Path(os.environ.get(variable, ""))
    # By the specification a relative path is none.
    return (place if place.is_absolute() else Path.home() / otherwise) / PRODUCT


def strange_characters(root: Path) -> str:
    """What in a checkout's path live-build cannot bear, quoted, with blanks between; empty where it can.

    Args:
        root: the checkout.
    """
    return " ".join(map(repr, sorted(set(re.findall(r"[^0-9A-Za-z._/+-]", str(root))))))


@dataclass(frozen=True, slots=True)
class Paths:
    """All folders of one checkout's build.

    Args:
        root: the checkout.
        cache: what other clones of this user may use again: build roots, packages, driver modules.
        private: secrets that must survive a clean clone; 0700.
    """

    root: Path
    cache: Path
    private: Path

    @classmethod
    def of(cls, root: Path) -> Paths:
        """The paths of a checkout, with the user's folders as the XDG base directory specification has them."""
        return cls(root=root, cache=user_cache(), private=_users("XDG_CONFIG_HOME", ".config"))

    # sources, never written
    @property
    def bee(self) -> Path:
        return self.root / "bee"

    @property
    def schemas(self) -> Path:
        return self.root / "schemas"

    @property
    def source_overlay(self) -> Path:
        return self.root / "iso/overlay"

    @property
    def builder(self) -> Path:
        return self.root / "iso/builder"

    @property
    def vendor(self) -> Path:
        return self.root / "iso/vendor"

    @property
    def versions(self) -> Path:
        return self.builder / "VERSIONS"

    # results
    @property
    def dist(self) -> Path:
        return self.root / "dist"

    @property
    def logs(self) -> Path:
        return self.dist / "logs"

    @property
    def stamps(self) -> Path:
        """Which stages are done."""
        return self.dist / "stamps"

    @property
    def report(self) -> Path:
        """How the image came to be."""
        return self.dist / "build.json"

    @property
    def lock(self) -> Path:
        """Held by the one build that works in dist/."""
        return self.dist / ".lock"

    @property
    def kernel_abi(self) -> Path:
        """The kernel that this build settled on, one line."""
        return self.dist / "kernel-abi"

    @property
    def toolchain(self) -> Path:
        """The packages that this build makes the driver with."""
        return self.dist / "toolchain"

    @property
    def boot_loaders(self) -> Path:
        """The packages that the image's signed boot loaders come from, one `name version` a line."""
        return self.dist / "boot-loaders"

    @property
    def program(self) -> Path:
        return self.dist / "bee"

    @property
    def overlay(self) -> Path:
        """The staged overlay."""
        return self.dist / "overlay"

    @property
    def workdir(self) -> Path:
        """live-build's disposable work folder, as prepared."""
        return self.dist / "live-build"

    @property
    def mount_point(self) -> Path:
        """An empty folder in which namespaces of one command mount what they work on."""
        return self.dist / "mnt"

    def nvidia(self, version: str, kernel: str) -> Path:
        """Where a driver built for one kernel is kept."""
        return self.dist / f"nvidia-{version}-{kernel}"

    def image(self, bee: str, suite: str) -> Path:
        """The ISO."""
        return self.dist / f"bee-{bee}-{suite}-amd64.iso"

    @property
    def checksums(self) -> Path:
        """What sha256sum -c reads: all images in dist/ and what lies beside them."""
        return self.dist / "SHA256SUMS"

    @property
    def fallback_password(self) -> Path:
        """The generated password of images without keys, with its salt; 0600."""
        return self.private / "fallback-password.json"
