"""A build told to end, at every stage: nothing of it is left, what it finished stands, the next makes the same image.

python -m tests.torture.signals SIGNAL STAGE --seed N --seconds S --place FOLDER
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from iso.mounts import mount_of, mounted_below
from iso.stages import nvidia
from tests.house.sources import changes, states
from tests.house.tree import ROOT
from tests.torture import small_driver

SIGNALS = ("TERM", "INT", "KILL")
# Without a driver: its stages are spared, and the image is the smaller one.
STAGES = (
    *("_kernel", "_password", "compile", "overlay", "authorize", "bee", "vendor"),
    *("release", "motd", "workdir", "sync", "live_build", "_manifest", "iso"),
)
# With one that is compiled in seconds: who makes it, and who puts it into the image.
MAKERS = tuple(stage.name for stage in nvidia.SUBSTAGES)
WITH_DRIVER = (*MAKERS, "modules", "nvidia_smi", "libraries")
# Of the last stage there is more to end where no build has made the image's base before.
BASE = "base"
_LAST = "live_build"
# A live system that boots, and no more: every stage and hook has its work, and the image is there in half the time.
# The one firmware package is for the hook that weeds firmware out.
PACKAGES = ("live-boot", "systemd-sysv", "udev", "kmod", "initramfs-tools", "zstd", "firmware-bnx2")
# A killed build's namespaces end a little after it.
_SECONDS_TO_END = 30.0


@dataclass(frozen=True, slots=True)
class Checkout:
    """A copy of this checkout to be tormented.

    Attributes:
        root: its folder.
        driver: what its image has of NVIDIA's, if anything.
    """

    root: Path
    driver: small_driver.SmallDriver | None = None

    @classmethod
    def copied(cls, place: Path, driver: small_driver.SmallDriver | None = None) -> Checkout:
        """The copy in a folder: this checkout's files as they are now, few packages; what was built there stays."""
        root = place / "checkout"
        for folder in ("bee", "iso", "schemas"):
            shutil.rmtree(root / folder, ignore_errors=True)
        # With its links, of which the overlay has some.
        listing = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True).stdout.decode()
        for name in filter(None, names.split("\0")):
            if name.startswith(("bee/", "iso/", "schemas/")) or name in {"dodo.py", "pyproject.toml"}:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name, follow_symlinks=False)
        lists = root / "iso/builder/package-lists"
        for file in lists.iterdir():
            file.unlink()
        (lists / "few.list.chroot").write_text("\n".join(PACKAGES) + "\n")
        return cls(root, driver)

    def build(self) -> subprocess.Popen[str]:
        """A build that prints its events."""
        settings = self.driver.settings if self.driver else ("nvidia=none",)
        return subprocess.Popen(
            # Out of reach of what ends the harness, it must not outlive it: the next one would find the checkout taken.
            ["setpriv", "--pdeathsig", "KILL", sys.executable, "-B", "-m", "doit", "--log-json", "iso", *settings],
            cwd=self.root,
            env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            # Of its own, as a terminal gives it: what the harness gets is not meant for it.
            start_new_session=True,
        )

    def built(self) -> tuple[str, list[dict[str, object]]]:
        """The image's digest after a whole build, and the events of that build."""
        with self.build() as build:
            assert build.stdout
            events = [json.loads(line) for line in build.stdout]
        if build.returncode:
            raise RuntimeError(f"a build ended with {build.returncode}: {events[-2:]}")
        (image,) = (self.root / "dist").glob("*.iso")
        with image.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest(), events

    @property
    def done(self) -> set[str]:
        """The stages that have a stamp."""
        return {file.name[3:] for file in (self.root / "dist/stamps").glob("*") if not file.name.endswith(".partial")}

    def forget(self, stage: str) -> None:
        """Have a stage and all after it run again, as a build does before it runs one."""
        stamps = sorted((self.root / "dist/stamps").glob("*"), reverse=True)
        first = [file.name for file in stamps if file.name[3:] == stage]
        for file in stamps:
            if first and file.name >= first[0]:
                file.unlink()

    def forget_base(self) -> None:
        """Have the base of the image made again, which no other checkout has: its packages are too few."""
        stages = json.loads((self.root / "dist/build.json").read_bytes())["stages"]
        (commands,) = [stage["commands"] for stage in stages if stage["name"] == _LAST]
        # The last one uses it; where it was made, too, the one before names its place until it was complete.
        (base,) = [Path(word) for word in commands[-1] if word.endswith(".squashfs")]
        shutil.rmtree(base.parent)

    def forget_made(self, part: str) -> None:
        """Have what a part of a build makes, and a cache keeps, made again."""
        if part == BASE:
            self.forget_base()
        if part in MAKERS and self.driver:
            self.driver.forget(self.root / "dist")

    def half_made(self) -> list[str]:
        """What of the driver a build would believe, and is not whole."""
        return self.driver.half_made(self.root / "dist") if self.driver else []

    def processes(self) -> list[str]:
        """Command lines of all that works in it."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                where = str((process / "cwd").readlink())
                mark = f"{self.root}/"
                here = mark in f"{line} " or f"{where}/".startswith(mark) or self._is_seen_by(process)
                if process.name != str(os.getpid()) and here:
                    found.append(line)
        return found

    def _is_seen_by(self, process: Path) -> bool:
        """Whether a process in a system of its own has a part of the checkout mounted: a compiler's line names none."""
        own = Path("/proc/self")
        if (process / "ns/mnt").readlink() == (own / "ns/mnt").readlink():
            return False
        point, _ = mount_of(self.root, (own / "mountinfo").read_text(errors="surrogateescape"))
        mark = f"/{self.root.relative_to(point)}/"
        return mark in (process / "mountinfo").read_text(errors="surrogateescape").replace(" ", "/ ")


def end(checkout: Checkout, number: signal.Signals, stage: str, delay: float) -> list[str]:
    """What is wrong after a build was told to end at a stage.

    Args:
        checkout: where.
        number: the signal.
        stage: where.
        delay: how many seconds after the stage began.
    """
    sources = states(checkout.root)
    checkout.forget(stage)
    ended: set[str] = set()
    told = False
    with checkout.build() as build:
        assert build.stdout
        for line in build.stdout:
            event = json.loads(line)
            if event["event"] in {"finished", "cached"}:
                ended.add(event["stage"])
            if event["event"] == "started" and event["stage"] == stage:
                time.sleep(delay)
                build.send_signal(number)
                told = True
        # What it still said after the signal was read above, to the end.
    wrong = [] if told else [f"it never came to {stage}"]
    limit = time.monotonic() + _SECONDS_TO_END
    while (left := checkout.processes()) and time.monotonic() < limit:
        time.sleep(0.2)
    wrong += [f"still running: {line[:200]}" for line in left]
    wrong += [f"still mounted: {point}" for point in mounted_below(checkout.root)]
    wrong += [f"half made: {name}" for name in checkout.half_made()]
    wrong += [f"forgotten: {name}" for name in sorted(ended - checkout.done - {"nvidia"})]
    return wrong + [f"changed by the build: {name}" for name in changes(sources, checkout.root)]


def torment(checkout: Checkout, number: signal.Signals, stage: str, delay: float, wanted: str) -> list[str]:
    """What is wrong after a build was told to end at a stage, and after the next one.

    Args:
        checkout: with a finished build in it.
        number: the signal.
        stage: where.
        delay: how many seconds after the stage began.
        wanted: the digest of the image of a build that nobody disturbed.
    """
    wrong = end(checkout, number, stage, delay)
    done = checkout.done
    image, events = checkout.built()
    again = {event["stage"] for event in events if event["event"] == "finished"}
    wrong += [f"done, and done again: {name}" for name in sorted(again & done)]
    if image != wanted:
        wrong.append(f"another image: {image} in place of {wanted}")
    return wrong


def _seconds(checkout: Checkout, stage: str) -> float:
    """How long a stage took when it ran last; of the one that writes the report, the report says nothing."""
    stages = json.loads((checkout.root / "dist/build.json").read_bytes())["stages"]
    return next((float(each["seconds"]) for each in stages if each["name"] == stage), 0.0)


def _longest(checkout: Checkout, part: str, wanted: str) -> float:
    """How long a part of a build takes, which is done once more where the report does not say it."""
    stage = _LAST if part == BASE else part
    # A driver that was there spares the stages that make one; of a base the report has the stage that used it.
    if part == BASE or (part in MAKERS and not _seconds(checkout, stage)):
        checkout.forget_made(part)
        checkout.forget(stage)
        if (image := checkout.built()[0]) != wanted:
            print(f"FINDING with {part} made again another image: {image} in place of {wanted}")
    return _seconds(checkout, stage)


@contextlib.contextmanager
def alone(place: Path) -> Iterator[None]:
    """Have a folder for one harness at a time (flock(2))."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def main(words: list[str] | None = None) -> int:
    """Torment a build for a while, and print what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("signal", choices=SIGNALS)
    parser.add_argument("stage", choices=(*STAGES, BASE, *WITH_DRIVER))
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="go on until they are over; at least once")
    parser.add_argument("--place", type=Path, required=True, help="folder of the checkout's copy, kept for the next")
    arguments = parser.parse_args(words)
    # A shell starts a job in the background with INT ignored, and the build would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    choices = random.Random(f"{arguments.seed} {arguments.signal} {arguments.stage}")
    end, rounds = time.monotonic() + arguments.seconds, 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(alone(arguments.place))
        with_driver = arguments.stage in WITH_DRIVER
        driver = stack.enter_context(small_driver.served(arguments.place)) if with_driver else None
        checkout = Checkout.copied(arguments.place, driver)
        wanted, _ = checkout.built()
        longest = _longest(checkout, arguments.stage, wanted)
        stage = _LAST if arguments.stage == BASE else arguments.stage
        while not rounds or time.monotonic() < end:
            delay = choices.uniform(0, longest)
            rounds += 1
            checkout.forget_made(arguments.stage)
            for wrong in torment(checkout, signal.Signals[f"SIG{arguments.signal}"], stage, delay, wanted):
                print(f"FINDING {arguments.signal} {delay:.2f} s into {arguments.stage}: {wrong}")
    print(f"executions: {rounds}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
