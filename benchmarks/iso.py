"""Print what an ISO costs beside plain live-build, by the clock and in processor time, with the limits it is to keep.

make bench-iso ARGS='plain dev overlay'

Each piece takes minutes, so what was seen is kept in a folder: pieces can be run one by one, and again.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.command_line import parsed, parser
from benchmarks.timing import ratios, spread
from iso.archive import mirror
from iso.graph import repro
from iso.mounts import remove_tree
from iso.paths import Paths
from iso.versions import load

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {"nvidia": "none"}
# What decides the content is given to plain live-build as well; all that is about speed or size is left as it comes.
_PLAIN = """
mount -t tmpfs -o mode=0755 bee-plain "$1"
cd "$1"
mkdir -p config/package-lists
cp "$2"/*.list.chroot config/package-lists/
shift 2
lb config "$@"
lb build
cp ./*.iso "$RESULT"
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """One run of a piece: seconds by the clock and of the processor, the image's size in bytes, the load before it."""

    wall: float
    processor: float
    size: int
    load: float


def measured(command: Sequence[str], **options: Any) -> tuple[float, float]:
    """Seconds that a command took, by the clock and of the processor.

    Raises:
        subprocess.CalledProcessError: it failed; a failure's time is no measurement.
    """
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, **options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - begin, used


def plain(place: Path) -> Seen:
    """`lb config && lb build` with the same packages, kernel and mirror, in memory."""
    config = load(Paths.of(ROOT), SETTINGS)
    archives = mirror.find(config)
    version, _, flavour = config.kernel_abi.rpartition("-")
    options = [
        *("--distribution", config.suite, "--archive-areas", "main non-free-firmware"),
        *("--linux-packages", f"linux-image-{version}", "--linux-flavours", flavour),
        *("--apt-recommends", "false", "--debian-installer", "none", "--security", "true", "--updates", "false"),
    ]
    print(f"plain: lb config {' '.join(options)} (and this machine's mirror), lb build")
    for part in ("bootstrap", "chroot", "binary"):
        for kind in ("--parent-mirror", "--mirror"):
            options += [f"{kind}-{part}", archives.archive]
            options += [f"{kind}-{part}-security", archives.security] if part != "bootstrap" else []
    folder, result = place / "plain", place / "plain.iso"
    folder.mkdir(exist_ok=True)
    lists = ROOT / "iso/builder/package-lists"
    inside = ["/bin/sh", "-euc", _PLAIN, "plain", str(folder), str(lists), *options]
    isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *inside]
    environment = os.environ | {"RESULT": str(result), **mirror.proxy_environment()}
    with (place / "plain.log").open("wb") as log:
        wall, used = measured(isolated, env=environment, stdout=log, stderr=log)
    return Seen(wall, used, result.stat().st_size, 0)


def cold(place: Path, profile: str) -> Seen:
    """A build of this checkout in an empty folder with empty caches."""
    folder = place / profile
    remove_tree(folder)
    folder.mkdir()
    print(f"{profile}, cold: doit iso {_words(profile)}")
    copy = repro.copy_of(ROOT, folder)
    return _build(folder, copy, profile)


def changed(place: Path, profile: str, name: str) -> Seen:
    """The next build of that checkout, after one line more in one file."""
    folder = place / profile
    file = folder / "checkout" / name
    if not (folder / "checkout/dist/build.json").exists():
        raise SystemExit(f"{name}: run {profile} first")
    with file.open("a") as stream:
        stream.write(f"# {time.time_ns()}\n")
    return _build(folder, folder / "checkout", profile)


def exact(place: Path, profile: str) -> Seen:
    """A cold build of the checkout as those changes left it: the same bytes, or exit code 1."""
    image = _image(place / profile / "checkout")
    again = place / f"{profile}-again"
    remove_tree(again)
    again.mkdir()
    copy = repro.copy_of(place / profile / "checkout", again)
    seen = _build(again, copy, profile)
    digests = [hashlib.file_digest(file.open("rb"), "sha256").hexdigest() for file in (image, _image(copy))]
    print(f"{profile}: the image of the last change {digests[0]}, of a cold build of its tree {digests[1]}")
    if digests[0] != digests[1]:
        raise SystemExit(f"{profile}: they differ: doit repro {image} {_image(copy)}")
    remove_tree(again)
    return seen


def _words(profile: str) -> str:
    return " ".join(f"{key}={value}" for key, value in (SETTINGS | {"profile": profile}).items())


def _build(folder: Path, copy: Path, profile: str) -> Seen:
    # The copy has the commit of this checkout, whose times its files would otherwise get.
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, "-B", "-m", "doit", "iso", *_words(profile).split()]
    with (folder / "build.log").open("ab") as log:
        wall, used = measured(command, cwd=copy, env=environment, stdout=log, stderr=log)
    return Seen(wall, used, _image(copy).stat().st_size, 0)


def _image(checkout: Path) -> Path:
    (image,) = (checkout / "dist").glob("*.iso")
    return image


OVERLAY, PROGRAM = "iso/overlay/etc/bee/dhclient.conf", "bee/cli.py"
PIECES: dict[str, Callable[[Path], Seen]] = {
    "plain": plain,
    "dev": lambda place: cold(place, "dev"),
    "overlay": lambda place: changed(place, "dev", OVERLAY),
    "program": lambda place: changed(place, "dev", PROGRAM),
    "exact": lambda place: exact(place, "dev"),
    "release": lambda place: cold(place, "release"),
    "release-overlay": lambda place: changed(place, "release", OVERLAY),
    "release-exact": lambda place: exact(place, "release"),
}
# Of plain live-build's time, at most.
LIMITS = {"dev": 0.22, "overlay": 0.04, "program": 0.04, "release": 0.6, "release-overlay": 0.4}
_LARGEST_RELEASE = 1.03
_NULL = 1.3


def null(place: Path, runs: int) -> bool:
    """A build with nothing to do beside the import of doit, in processor time; says whether the limit was kept."""
    checkout, cache = place / "dev/checkout", place / "dev/cache"
    where = ("env", "-C", str(checkout), "-u", "PYTHONDONTWRITEBYTECODE", f"XDG_CACHE_HOME={cache}")
    build = (*where, sys.executable, "-m", "doit", "iso", *_words("dev").split())
    # The first ones compile, and find that nothing is to be done.
    for _ in range(2):
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        time.sleep(0.2)
    bare = (*where, sys.executable, "-c", "import doit.doit_cmd")
    # In turn, so that what else the machine does falls on both alike.
    pairs = [[measured(command, stdout=subprocess.DEVNULL)[1] for command in (build, bare)] for _ in range(runs)]
    seen = ratios(*zip(*pairs, strict=True))
    kept = seen.median <= _NULL
    print(f"{'null doit iso / import doit.doit_cmd, processor':52} {seen!s:26} at most {_NULL}: {_verdict(kept)}")
    return kept


def _verdict(kept: bool) -> str:
    return "kept" if kept else "MISSED"


def table(seen: dict[str, list[Seen]]) -> int:
    """Print what was seen, and give how many limits were missed."""
    missed = 0
    for name, found in seen.items():
        wall, used = (spread([getattr(one, field) for one in found]) for field in ("wall", "processor"))
        line = f"{name:16} {wall.median:7.1f} s {used.median:7.1f} s of processor {found[-1].size / 1e6:6.1f} MB"
        line += f"  load {found[-1].load:4.1f}"
        if name in LIMITS and "plain" in seen:
            base = [spread([getattr(one, field) for one in seen["plain"]]) for field in ("wall", "processor")]
            parts = [wall.median / base[0].median, used.median / base[1].median]
            missed += parts[0] > LIMITS[name]
            line += f"  {parts[0]:.3f} of plain's time, {parts[1]:.3f} of its processor's, "
            line += f"at most {LIMITS[name]}: {_verdict(parts[0] <= LIMITS[name])}"
        print(line)
    if {"plain", "release"} <= seen.keys():
        size = seen["release"][-1].size / seen["plain"][-1].size
        missed += size > _LARGEST_RELEASE
        print(f"release's size {size:.3f} of plain's, at most {_LARGEST_RELEASE}: {_verdict(size <= _LARGEST_RELEASE)}")
    return missed


def main() -> int:
    """Run what was asked for, then print all that was seen so far. Exit code 1 when a limit was missed."""
    names = [*PIECES, "null"]
    asked = parser("bench-iso", __doc__, names, 1, "each piece (default: 1; null: ten times as many)")
    asked.add_argument(
        "--place",
        type=Path,
        default=Path(tempfile.gettempdir(), "bee-bench-iso"),
        help="folder of builds and of what was seen (default: %(default)s)",
    )
    arguments = parsed(asked, names)
    place: Path = arguments.place.absolute()
    place.mkdir(parents=True, exist_ok=True)
    record = place / "seen.json"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") / 1e9
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, {memory:.0f} GB of memory free")
    missed = 0
    for name in arguments.names:
        if name == "null":
            missed += not null(place, 10 * arguments.runs)
            continue
        for _ in range(arguments.runs):
            load = os.getloadavg()[0]
            one = PIECES[name](place)
            # Read again: another piece may have ended meanwhile.
            seen = recorded(record)
            seen.setdefault(name, []).append(Seen(one.wall, one.processor, one.size, load))
            record.write_text(json.dumps({key: [asdict(each) for each in found] for key, found in seen.items()}))
    return 1 if missed + table(recorded(record)) else 0


def recorded(record: Path) -> dict[str, list[Seen]]:
    """What was seen so far.

    Args:
        record: the file that says it.
    """
    kept = json.loads(record.read_bytes()) if record.exists() else {}
    return {name: [Seen(**one) for one in found] for name, found in kept.items()}


if __name__ == "__main__":
    raise SystemExit(main())
