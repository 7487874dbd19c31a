"""Print what an ISO costs beside plain live-build, by the clock and in processor time, with the limits it is to keep.

make bench-iso ARGS='plain dev overlay'

Each piece takes minutes, so what was seen is kept in a folder: pieces can be run one by one, and again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks import boot, driver
from benchmarks.command_line import parsed, parser, shown
from benchmarks.pieces import Seen, caches, copy, doit, image, key, measured, settings
from benchmarks.stock import image as plain_image
from benchmarks.stock import plain
from benchmarks.timing import Row, ratios, spread
from iso.graph import repro
from iso.mounts import remove_tree
from iso.tree import file_digest


def cold(place: Path, profile: str) -> Seen:
    """A build of this checkout in an empty folder with empty caches."""
    folder = place / profile
    print(f"{profile}, cold: doit iso {' '.join(_words(place, profile))}")
    return _build(place, folder, copy(folder), profile)


def changed(place: Path, profile: str, name: str) -> Seen:
    """The next build of that checkout, after one line more in one file."""
    folder = place / profile
    file = folder / "checkout" / name
    if not (folder / "checkout/dist/build.json").exists():
        raise SystemExit(f"{name}: run {profile} first")
    with file.open("a") as stream:
        stream.write(f"# {time.time_ns()}\n")
    return _build(place, folder, folder / "checkout", profile)


def exact(place: Path, profile: str) -> Seen:
    """A cold build of the checkout as those changes left it: the same bytes, or exit code 1."""
    changed_image = image(place / profile / "checkout")
    again = place / f"{profile}-again"
    remove_tree(again)
    again.mkdir()
    checkout = repro.copy_of(place / profile / "checkout", again)
    seen = _build(place, again, checkout, profile)
    images = (changed_image, image(checkout))
    digests = [file_digest(file) for file in images]
    print(f"{profile}: the image of the last change {digests[0]}, of a cold build of its tree {digests[1]}")
    if digests[0] != digests[1]:
        raise SystemExit(f"{profile}: they differ: doit repro {images[0]} {images[1]}")
    remove_tree(again)
    return seen


def _words(place: Path, profile: str) -> list[str]:
    return [f"{name}={value}" for name, value in settings(place, profile).items()]


def _build(place: Path, folder: Path, checkout: Path, profile: str) -> Seen:
    command = doit(checkout, ["iso"], settings(place, profile))
    with (folder / "build.log").open("ab") as log:
        wall, used = measured(command, env=caches(folder), stdout=log, stderr=log)
    return Seen(wall, used, image(checkout).stat().st_size, 0)


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
_RECORD = "seen.json"


def null(place: Path, runs: int) -> Iterator[Row]:
    """A build with nothing to do beside the import of doit, in processor time."""
    checkout, cache = place / "dev/checkout", place / "dev/cache"
    where = ("env", "-C", str(checkout), "-u", "PYTHONDONTWRITEBYTECODE", f"XDG_CACHE_HOME={cache}")
    build = (*where, sys.executable, "-m", "doit", "iso", *_words(place, "dev"))
    # The first ones compile, and find that nothing is to be done.
    for _ in range(2):
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        time.sleep(0.2)
    bare = (*where, sys.executable, "-c", "import doit.doit_cmd")
    # In turn, so that what else the machine does falls on both alike.
    pairs = [[measured(command, stdout=subprocess.DEVNULL)[1] for command in (build, bare)] for _ in range(10 * runs)]
    yield Row("null doit iso / import doit.doit_cmd, processor", ratios(*zip(*pairs, strict=True)), "of its", 1.3)


def booted(place: Path, runs: int) -> Iterator[Row]:
    """The images of `plain` and `dev`, booted in turn."""
    if missing := [name for name in ("plain", "dev") if name not in recorded(place / _RECORD)]:
        raise SystemExit(f"boot: run {missing[0]} first")
    return boot.rows(image(place / "dev/checkout"), plain_image(place), key(place), runs)


# What is seen there and then, and not kept: name to rows.
COMPARISONS: dict[str, Callable[[Path, int], Iterator[Row]]] = {
    "null": null,
    "boot": booted,
    "driver": lambda place, _runs: driver.rows(place),
}


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
    names = [*PIECES, *COMPARISONS]
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
    record = place / _RECORD
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") / 1e9
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, {memory:.0f} GB of memory free")
    missed = 0
    for name in arguments.names:
        if name in COMPARISONS:
            missed += shown(COMPARISONS[name](place, arguments.runs))
            continue
        for _ in range(arguments.runs):
            load = os.getloadavg()[0]
            one = PIECES[name](place)
            # Read again: another piece may have ended meanwhile.
            seen = recorded(record)
            seen.setdefault(name, []).append(Seen(one.wall, one.processor, one.size, load))
            record.write_text(json.dumps({each: [asdict(one) for one in found] for each, found in seen.items()}))
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
