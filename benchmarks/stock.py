"""The ISO that plain live-build makes of the same packages, as fast and as large as its own settings have it."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from benchmarks.pieces import ROOT, Seen, copy, doit, key, measured
from iso.archive import mirror
from iso.mounts import remove_tree
from iso.paths import Paths
from iso.versions import load

if TYPE_CHECKING:
    from pathlib import Path

# What decides the content is given to plain live-build as well; all that is about speed or size is left as it comes.
_PLAIN = """
mount -t tmpfs -o mode=0755 bee-plain "$1"
cd "$1"
mkdir -p config/package-lists config/includes.chroot
cp "$2"/*.list.chroot config/package-lists/
cp -a --no-preserve=ownership "$3/." config/includes.chroot/
shift 3
lb config "$@"
lb build
cp ./*.iso "$RESULT"
"""
_UNIT = "etc/systemd/system/bee-audit.service"


def plain(place: Path) -> Seen:
    """`lb config && lb build` with the same packages, kernel and mirror, in memory; bee and a key are in it, too."""
    config = load(Paths.of(ROOT), {"nvidia": "none"})
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
    folder, result = place / "plain", image(place)
    folder.mkdir(exist_ok=True)
    parts = [folder, ROOT / "iso/builder/package-lists", _includes(place)]
    inside = ["/bin/sh", "-euc", _PLAIN, "plain", *map(str, parts), *options]
    isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *inside]
    environment = os.environ | {"RESULT": str(result), **mirror.proxy_environment()}
    with (place / "plain.log").open("wb") as log:
        wall, used = measured(isolated, env=environment, stdout=log, stderr=log)
    return Seen(wall, used, result.stat().st_size, 0)


def image(place: Path) -> Path:
    """The ISO that `plain` makes."""
    return place / "plain.iso"


def _includes(place: Path) -> Path:
    """What makes of a live system one that audits at boot and lets the benchmark in: bee, its unit, a key."""
    checkout = copy(place / "program")
    subprocess.run(doit(checkout, ["compile"], {"nvidia": "none"}), check=True, stdout=subprocess.DEVNULL)
    tree = place / "includes"
    remove_tree(tree)
    wanted = "etc/systemd/system/multi-user.target.wants"
    for folder, mode in (("usr/local/bin", 0o755), (wanted, 0o755), ("root/.ssh", 0o700)):
        (tree / folder).mkdir(parents=True, mode=mode)
    (tree / "root").chmod(0o700)
    shutil.copy(checkout / "dist/bee", tree / "usr/local/bin/bee")
    shutil.copy(ROOT / "iso/overlay" / _UNIT, tree / _UNIT)
    (tree / wanted / "bee-audit.service").symlink_to(f"/{_UNIT}")
    known = tree / "root/.ssh/authorized_keys"
    shutil.copy(f"{key(place)}.pub", known)
    known.chmod(0o600)
    return tree
