"""Debian packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from busnode.script import Step

if TYPE_CHECKING:
    from busnode.inventory import Target

CLOUD_INIT_SECONDS = 300


def wait_for_cloud_init() -> Step:
    """Until cloud-init has done what it does at a first boot."""
    return Step(
        "wait-cloud-init", "wait for cloud-init", "packages", ("cloud_init_done", str(CLOUD_INIT_SECONDS)), once=True
    )


def steps(target: Target) -> list[Step]:
    """Install what is missing, in one run of apt."""
    if not target.packages:
        return []
    names = ("packages_installed", *target.packages)
    return [Step("install-packages", f"packages {' '.join(target.packages)}", "packages", names)]
