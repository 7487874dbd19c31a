"""Debian packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from busnode.script import Step

if TYPE_CHECKING:
    from busnode.inventory import Target

CLOUD_INIT_SECONDS = 300


def steps(target: Target) -> list[Step]:
    """Wait for cloud-init, then install what is missing, in one run of apt."""
    waiting = Step("wait-cloud-init", "wait for cloud-init", "packages", ("cloud_init_done", str(CLOUD_INIT_SECONDS)))
    if not target.packages:
        return [waiting]
    names = ("packages_installed", *target.packages)
    return [waiting, Step("install-packages", f"packages {' '.join(target.packages)}", "packages", names)]
