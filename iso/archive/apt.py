"""The CD release's package archive, asked with apt itself, in a folder of its own: this machine's apt is left alone."""

from __future__ import annotations

import calendar
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iso import lock, shell
from iso.errors import BuildError
from iso.replacement import replace_file
from iso.tree import digest, file_digest

if TYPE_CHECKING:
    from pathlib import Path

    from iso.archive.mirror import Mirror

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
COMPONENTS = "main contrib non-free non-free-firmware"
# Of a Release file, always in English and UTC.
_DATE = "%a, %d %b %Y %H:%M:%S UTC"
# Of this machine's apt only how it reaches an archive: proxies, those of single hosts among them, certificates, times.
_CARRIED = ("acquire::http::", "acquire::https::")
UPDATE = ["apt-get", "-q", "update", "--error-on=any"]
# Where packages are downloaded: apt leaves what broke off under its final name, and resumes it there.
_PARTIAL = ".partial"
# Without the files that another clone's update takes away: others cannot wait as long as a download may take.
_UNCACHED = ("-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=")
# What a system has, beside the packages that it is to have.
STATUS = "status"


@dataclass(frozen=True, slots=True)
class Archive:
    """apt for one release of Debian.

    Args:
        suite: the release.
        mirror: where it comes from.
        folder: apt's lists and settings, kept from one build to the next.
        log: where apt's output goes.
        keyring: whose signatures are believed.
    """

    suite: str
    mirror: Mirror
    folder: Path
    log: Path
    keyring: str = KEYRING

    @classmethod
    def of(cls, suite: str, mirror: Mirror, cache: Path, log: Path) -> Archive:
        """The archive with its folder in the shared cache."""
        name = f"apt-{suite}-{digest(mirror.archive, mirror.security)[:12]}"
        return cls(suite, mirror, cache / name, log)

    @property
    def sources(self) -> str:
        """What sources.list says."""
        signed = f"[arch=amd64 signed-by={self.keyring}]"
        return (
            f"deb {signed} {self.mirror.archive} {self.suite} {COMPONENTS}\n"
            f"deb {signed} {self.mirror.security} {self.suite}-security {COMPONENTS}\n"
        )

    @property
    def lock(self) -> Path:
        """The file that is locked while the folder changes, and by whoever reads in it."""
        return self.folder.with_suffix(".lock")

    @property
    def options(self) -> list[str]:
        """How every apt reads this archive, that of a build root included (apt.conf(5))."""
        past = ['Acquire::Check-Valid-Until "false"'] if self.mirror.of_the_past else []
        return ['Acquire::Retries "5"', *past]

    def update(self) -> None:
        """Fetch what the archive holds now; what was fetched before stays where that fails.

        Raises:
            BuildError: it cannot be reached, is out of date or is not signed by Debian; with what to do.
        """
        for part in ("lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        _replace(self.folder / "etc/sources.list", self.sources, 0o644)
        # Nobody else's to read: the address of a proxy may have a password in it.
        _replace(self.folder / "apt.conf", self._configuration(), 0o600)
        shell.run(UPDATE, self.log, self._environment)

    def _configuration(self) -> str:
        here = shell.capture(["apt-config", "dump"]).splitlines()
        # Names are the same in whatever case they are written.
        carried = [line for line in here if line.lower().startswith(_CARRIED)]
        lines = [
            f'Dir "{self.folder}/";',
            f'Dir::State "{self.folder}/";',
            'Dir::State::status "status";',
            'Dir::State::lists "lists";',
            'Dir::Cache "cache";',
            'Dir::Etc "etc";',
            'Dir::Etc::main "none";',
            'APT::Architecture "amd64";',
            'APT::Architectures { "amd64"; };',
            'APT::Sandbox::User "";',
            'Acquire::Languages "none";',
            *(f"{option};" for option in self.options),
            *carried,
        ]
        return "\n".join(lines) + "\n"

    @property
    def _environment(self) -> dict[str, str]:
        file = self.folder / "apt.conf"
        if not file.is_file():
            # apt would answer from this machine's own archives (apt.conf(5)).
            raise BuildError(f"{file}: the mirror was not asked yet: run doit iso")
        return {"APT_CONFIG": str(file)}

    @property
    def state(self) -> str:
        """A digest that changes when the release or its security archive does, and with another mirror.

        Raises:
            BuildError: the mirror was not asked yet.
        """
        if not self._releases:
            raise BuildError(f"{self.folder / 'lists'}: the mirror was not asked for {self.suite} yet: run doit iso")
        return digest(self.suite, self.mirror.archive, [file_digest(release) for release in self._releases])

    @property
    def date(self) -> int:
        """When the release or its security archive changed last, as they say: in seconds since 1970.

        Raises:
            BuildError: the mirror was not asked yet, or its Release file has no date.
        """
        texts = [release.read_text(errors="replace") for release in self._releases]
        dates = [match[1] for text in texts if (match := re.search(r"^Date: (.+)$", text, re.MULTILINE))]
        try:
            return max(calendar.timegm(time.strptime(date, _DATE)) for date in dates)
        except ValueError:
            raise BuildError(f"{self.folder / 'lists'}: no date of {self.suite}: run doit iso") from None

    @property
    def _releases(self) -> list[Path]:
        suites = (self.suite, f"{self.suite}-security")
        return sorted(file for suite in suites for file in (self.folder / "lists").glob(f"*_dists_{suite}_*Release"))

    def kernels(self) -> list[str]:
        """ABIs of the plain amd64 kernels there are."""
        names = self._asked("pkgnames", "linux-image-")
        return parse_kernels(names)

    def versions(self, package: str) -> list[str]:
        """Versions there are of a package, newest first.

        Args:
            package: its name.
        """
        listing = self._asked("madison", package)
        return [fields[1].strip() for line in listing.splitlines() if len(fields := line.split("|")) == 3]

    def newest(self, package: str) -> str:
        """The newest version there is of a package.

        Args:
            package: its name.

        Raises:
            BuildError: there is none.
        """
        versions = self.versions(package)
        if not versions:
            raise BuildError(f"the mirror does not have {package} for {self.suite}: is it complete?")
        return versions[0]

    def depends(self, package: str) -> str:
        """What a package depends on, as apt-cache(8) prints it; nothing of one that is not there.

        Args:
            package: its name.
        """
        return self._asked("depends", "--important", package)

    def _asked(self, *question: str) -> str:
        """What apt-cache answers."""
        environment = self._environment
        # An update by another clone takes away the file that apt-cache is just about to put in its place.
        with lock.reading(self.lock):
            return shell.capture(["apt-cache", *question], environment)

    def link_lists(self, folder: Path) -> None:
        """Have apt's lists of the archive in another folder as they are now, whatever another clone's update brings.

        Args:
            folder: a new one, on the file system of `folder`.
        """
        folder.mkdir()
        with lock.reading(self.lock):
            for file in (self.folder / "lists").iterdir():
                if file.is_file() and file.name != "lock":
                    (folder / file.name).hardlink_to(file)

    def download(self, packages: list[str], folder: Path) -> None:
        """Fetch packages, verified by apt, into a folder.

        Args:
            packages: names, with =VERSION where it matters.
            folder: where the .deb files go, each with its package's name.

        Raises:
            BuildError: one is not there or not what the archive signed.
        """
        partial = folder / _PARTIAL
        partial.mkdir(parents=True, exist_ok=True)
        shell.run(self.download_command(packages, folder), self.log, self._environment)
        for package in partial.iterdir():
            package.replace(folder / f"{package.name.partition('_')[0]}.deb")
        partial.rmdir()

    def fetch_missing(self, packages: list[str], folder: Path) -> None:
        """Fetch packages and all they depend on, verified by apt, that a system lacks.

        Args:
            packages: names.
            folder: where the .deb files go; what the system has is in its file `status`, as in /var/lib/dpkg.

        Raises:
            BuildError: one is not there or not what the archive signed.
        """
        (folder / "partial").mkdir(parents=True, exist_ok=True)
        shell.run(self.fetch_missing_command(packages, folder), self.log, self._environment)

    def fetch_missing_command(self, packages: list[str], folder: Path) -> list[str]:
        """The command of `fetch_missing`.

        Args:
            packages: names.
            folder: where the .deb files go.
        """
        places = ["-o", f"Dir::State::status={folder / STATUS}", "-o", f"Dir::Cache::archives={folder}"]
        how = ["--yes", "--no-install-recommends", "--download-only"]
        return ["apt-get", "-q", *_UNCACHED, *places, *how, "install", *packages]

    def download_command(self, packages: list[str], folder: Path) -> list[str]:
        """The command of `download`.

        Args:
            packages: names, with =VERSION where it matters.
            folder: where the .deb files go.
        """
        return ["env", "-C", str(folder / _PARTIAL), "apt-get", "-q", *_UNCACHED, "download", *packages]


def _replace(file: Path, text: str, mode: int) -> None:
    """Write a file that says something else; another build's apt, which may be reading it, finds the old or the new."""
    if not (file.exists() and file.read_text() == text):
        replace_file(file, text.encode(), mode)


def parse_kernels(names: str) -> list[str]:
    """ABIs among package names: no rt, cloud, debug or unsigned kernels, no metapackages; oldest first.

    Args:
        names: one package name a line.
    """
    # trixie has 6.12.107+deb13-amd64, bookworm 6.1.0-56-amd64.
    plain = r"^linux-image-([0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+~]*(?:-[0-9]+)?-amd64)$"
    found = re.findall(plain, names, re.MULTILINE)
    return sorted(set(found), key=abi_order)


def abi_order(abi: str) -> tuple[tuple[int, ...], str]:
    """By what kernel ABIs are compared: their numbers, one after the other.

    Args:
        abi: such as 6.12.107+deb13-amd64.
    """
    return tuple(int(number) for number in re.findall(r"[0-9]+", abi.rpartition("-")[0])), abi


def series(abi: str) -> tuple[int, ...]:
    """The series that a kernel is of: version and patch level, such as 6 and 12.

    Args:
        abi: its ABI.
    """
    return abi_order(abi)[0][:2]


def newest_kernel(pinned: str, available: list[str]) -> str:
    """The kernel to take in place of the pinned one: the newest of its series, else the newest of all.

    Args:
        pinned: its ABI.
        available: what the archive has, oldest first.

    Raises:
        BuildError: the archive has none.
    """
    if not available:
        raise BuildError("the mirror has no kernel of that release at all: is it complete?")
    # A release may carry a newer series beside its own; the driver that goes with the pin may not build against that.
    alike = [abi for abi in available if series(abi) == series(pinned)]
    return (alike or available)[-1]


def choose_kernel(pinned: str, available: list[str], *, newest_allowed: bool) -> tuple[str, str | None]:
    """The kernel to build with, and what to say about it if anything.

    Args:
        pinned: ABI that VERSIONS or the command line names.
        available: what the archive has, oldest first.
        newest_allowed: take the newest of its series where the pinned one is gone.

    Raises:
        BuildError: the pinned one is gone; with the newest one and how to take it.
    """
    if pinned in available:
        return pinned, None
    newest = newest_kernel(pinned, available)
    if newest_allowed:
        return newest, f"STALE PIN: the mirror no longer has kernel {pinned}; building with {newest}"
    raise BuildError(
        f"the mirror, its security archive included, no longer has kernel {pinned}\n"
        f"  the newest it has: {newest}\n"
        f"  for one build:     doit iso abi={newest}\n"
        f"  from now on:       doit abi --bump (DEBIAN_KERNEL_ABI={newest} in iso/builder/VERSIONS)"
    )
