"""The staged overlay: what each stage puts into it, and that nothing stale survives."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from iso import cache
from iso.archive import mirror
from iso.archive.mirror import Mirror
from iso.errors import BuildError
from iso.graph import verdict
from iso.graph.stage import Step
from iso.graph.stamps import Done, Stamp
from iso.image import password
from iso.stages import live_build, nvidia, nvidia_cache, overlay
from iso.tree import tree_digest, walk
from tests.iso.checkout import ABI, config, make_checkout, run

if TYPE_CHECKING:
    from iso.graph.stage import Stage
    from iso.paths import Paths

PUBLIC_KEY = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@example\n"
ALL = (
    overlay.STAGE,
    overlay.AUTHORIZE,
    overlay.ADD_PROGRAM,
    overlay.ADD_VENDOR_PROGRAMS,
    overlay.ADD_MODULES,
    overlay.ADD_SMI,
    overlay.ADD_LIBRARIES,
    overlay.WRITE_RELEASE,
    overlay.PATCH_MOTD,
)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return make_checkout(tmp_path / "checkout")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_the_source_overlay_is_copied_with_an_image_s_modes_and_never_written(paths: Paths) -> None:
    before = tree_digest(paths.source_overlay)
    for stage in ALL:
        run(stage, paths, config())
    assert tree_digest(paths.source_overlay) == before
    assert mode(paths.overlay / "usr/local/lib/bee/network") == 0o755
    assert mode(paths.overlay / "etc/motd") == 0o644
    assert (paths.overlay / "etc/link").readlink() == Path("motd")


def test_a_file_removed_from_the_source_is_gone_from_the_work_folder(paths: Paths) -> None:
    everything = (*ALL, live_build.PREPARE, live_build.SYNC)
    for stage in everything:
        run(stage, paths, config())
    included = paths.workdir / "config/includes.chroot/etc/old"
    assert included.exists()
    before = overlay.STAGE.inputs(overlay.STAGE.job(config(), paths))
    (paths.source_overlay / "etc/old").unlink()
    after = overlay.STAGE.inputs(overlay.STAGE.job(config(), paths))
    # The first of them has to run again, and the others with it ...
    assert after.changes_since(before) == ["iso/overlay/etc/old is gone"]
    for stage in everything:
        run(stage, paths, config())
    # ... and leaves nothing of what was.
    assert not included.exists()


def test_keys_go_to_root_alone_and_make_no_password(paths: Paths, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_bytes(PUBLIC_KEY)
    run(overlay.STAGE, paths, config())
    run(overlay.AUTHORIZE, paths, config(authorized_keys=keys))
    assert (paths.overlay / "root/.ssh/authorized_keys").read_bytes() == PUBLIC_KEY
    assert (mode(paths.overlay / "root/.ssh"), mode(paths.overlay / "root/.ssh/authorized_keys")) == (0o700, 0o600)
    assert not (paths.overlay / "etc/bee/password-fallback").exists()
    assert not paths.private.exists()


def test_without_keys_only_a_password_s_hash_is_staged(paths: Paths, capfd: pytest.CaptureFixture[str]) -> None:
    run(overlay.STAGE, paths, config())
    job = run(overlay.AUTHORIZE, paths, config())
    kept = password.load_or_generate(paths.fallback_password)
    marker = paths.overlay / "etc/bee/password-fallback"
    assert marker.read_text() == f"{kept.hash()}\n"
    assert mode(marker) == 0o600
    # In no file of the build and not on standard output, which may go into a log.
    secret = kept.password.encode()
    files = [path for path in walk(paths.root) if path.is_file() and path != paths.fallback_password]
    assert not [path for path in files if secret in path.read_bytes()]
    assert kept.password not in "".join(capfd.readouterr())
    assert not job.log.exists()


def test_keys_in_place_of_a_password_stage_everything_again(paths: Paths, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_bytes(PUBLIC_KEY)
    with_keys = config(authorized_keys=keys)
    before, after = (overlay.STAGE.inputs(overlay.STAGE.job(chosen, paths)) for chosen in (config(), with_keys))
    assert after.changes_since(before) == ["authorized_keys is new"]
    for chosen in (config(), with_keys):
        for stage in ALL:
            run(stage, paths, chosen)
    assert not (paths.overlay / "etc/bee/password-fallback").exists()


def test_the_password_is_an_input_that_is_made_before_anything_depends_on_it(paths: Paths) -> None:
    run(overlay.PASSWORD, paths, config())
    job = overlay.STAGE.job(config(), paths)
    first = overlay.STAGE.inputs(job)
    run(overlay.STAGE, paths, config())
    run(overlay.AUTHORIZE, paths, config())
    assert overlay.STAGE.inputs(job) == first
    paths.fallback_password.unlink()
    run(overlay.PASSWORD, paths, config())
    assert overlay.STAGE.inputs(job).changes_since(first) == ["the fallback password changed"]


def test_with_keys_no_password_is_made(paths: Paths, tmp_path: Path) -> None:
    run(overlay.PASSWORD, paths, config(authorized_keys=tmp_path / "keys"))
    assert not paths.private.exists()


@pytest.mark.parametrize("stage", [*ALL, live_build.PREPARE, live_build.SYNC, live_build.BUILD], ids=lambda s: s.name)
def test_asking_for_inputs_changes_nothing(paths: Paths, stage: Stage) -> None:
    before = tree_digest(paths.root)
    stage.inputs(stage.job(config(), paths))
    assert tree_digest(paths.root) == before


def test_a_vendor_program_under_another_name_stages_everything_again(paths: Paths) -> None:
    paths.vendor.mkdir()
    job = overlay.STAGE.job(config(), paths)
    (paths.vendor / "sas2ircu").write_text("program")
    before = overlay.STAGE.inputs(job)
    (paths.vendor / "sas2ircu").rename(paths.vendor / "sas3ircu")
    assert overlay.STAGE.inputs(job).changes_since(before) == [
        "iso/vendor/sas2ircu is gone",
        "iso/vendor/sas3ircu is new",
    ]


def test_another_mirror_of_this_machine_s_apt_reaches_live_build(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    job = live_build.PREPARE.job(config(mirror=None, security_mirror=None), paths)
    found = []
    for host in ("one", "two"):
        archives = Mirror(f"http://{host}.invalid/debian", "http://security.invalid/debian-security")
        monkeypatch.setattr(mirror, "find", lambda _config, archives=archives: archives)
        found.append(live_build.PREPARE.inputs(job))
    assert found[1].changes_since(found[0]) == ["mirror: http://one.invalid/debian → http://two.invalid/debian"]


def test_only_the_named_vendor_programs_are_added(paths: Paths) -> None:
    paths.vendor.mkdir()
    for name in ("storcli64", "mstflint", "README.md", "evil"):
        (paths.vendor / name).write_text(name)
    run(overlay.STAGE, paths, config())
    run(overlay.ADD_VENDOR_PROGRAMS, paths, config())
    added = paths.overlay / "usr/local/bin"
    assert sorted(path.name for path in added.iterdir()) == ["mstflint", "storcli64"]
    assert mode(added / "storcli64") == 0o755


def driver(folder: Path) -> None:
    for name in (*nvidia_cache.MODULES, "nvidia-smi", nvidia_cache.LOAD_ORDER):
        (folder / name).write_text(name)
    (folder / "nvidia-smi").chmod(0o755)
    (folder / "lib").mkdir()
    for name in ("libnvidia-ml", "libcuda"):
        (folder / f"lib/{name}.so.550.163.01").write_text(name)
        (folder / f"lib/{name}.so.1").symlink_to(f"{name}.so.550.163.01")
    (folder / "firmware/nvidia/550.163.01").mkdir(parents=True)
    (folder / "firmware/nvidia/550.163.01/gsp_ga10x.bin").write_text("firmware")


def test_the_driver_goes_where_the_document_says(paths: Paths) -> None:
    chosen = config(nvidia_source="debian")
    job = overlay.STAGE.job(chosen, paths)
    cache.store(nvidia_cache.entry(job), nvidia_cache.key(job), driver)
    for stage in ALL:
        run(stage, paths, chosen)
    staged = paths.overlay
    assert sorted(path.name for path in (staged / "usr/local/lib/nvidia").iterdir()) == sorted(
        [*nvidia_cache.MODULES, "load-order"]
    )
    assert os.access(staged / "usr/local/bin/nvidia-smi", os.X_OK)
    for name in ("libnvidia-ml", "libcuda"):
        assert (staged / f"usr/lib/{name}.so.1").readlink() == Path(f"{name}.so.550.163.01")
        assert (staged / f"usr/lib/{name}.so.1").exists()
    assert (staged / "usr/lib/firmware/nvidia/550.163.01/gsp_ga10x.bin").exists()
    # Below lib/modules depmod would find the modules, and udev load them at boot.
    assert not [path for path in staged.rglob("*") if "lib/modules" in path.relative_to(staged).as_posix()]
    assert not (staged / "lib").exists()


def damage(entry: Path) -> None:
    """Another byte, with which it is as long as before."""
    module = entry / "nvidia.ko"
    module.write_text("x" * module.stat().st_size)


def test_a_driver_that_was_damaged_in_place_is_taken_from_the_shared_cache(paths: Paths) -> None:
    chosen = config(nvidia_source="debian")
    job = overlay.STAGE.job(chosen, paths)
    for place in (nvidia_cache.entry(job), nvidia_cache.shared(job)):
        cache.store(place, nvidia_cache.key(job), driver)
    damage(nvidia_cache.entry(job))
    run(overlay.STAGE, paths, chosen)
    run(overlay.ADD_MODULES, paths, chosen)
    assert (paths.overlay / "usr/local/lib/nvidia/nvidia.ko").read_text() == "nvidia.ko"
    assert cache.is_complete(nvidia_cache.entry(job), nvidia_cache.key(job))


@pytest.mark.parametrize("shared", ["gone", "damaged"])
def test_a_driver_that_is_whole_nowhere_never_reaches_the_image_and_is_made_again(paths: Paths, shared: str) -> None:
    chosen = config(nvidia_source="debian")
    job = overlay.STAGE.job(chosen, paths)
    places = [nvidia_cache.entry(job), *([nvidia_cache.shared(job)] if shared == "damaged" else [])]
    for place in places:
        cache.store(place, nvidia_cache.key(job), driver)
        damage(place)
    run(overlay.STAGE, paths, chosen)
    with pytest.raises(BuildError, match="damaged since it was kept, or gone: run doit iso again"):
        run(overlay.ADD_MODULES, paths, chosen)
    assert not any(place.exists() for place in places)
    assert not any(stage.spared(job) for stage in nvidia.SUBSTAGES)


def test_a_shared_driver_that_was_damaged_is_removed_and_said(paths: Paths) -> None:
    chosen = config(nvidia_source="debian")
    job = nvidia.KEEP.job(chosen, paths)
    shared = nvidia_cache.shared(job)
    cache.store(shared, nvidia_cache.key(job), driver)
    damage(shared)
    # What another build left, whose driver was none of this one's.
    (paths.dist / "nvidia.partial/product").mkdir(parents=True)
    with pytest.raises(BuildError, match="damaged since it was kept, or gone: run doit iso again"):
        run(nvidia.KEEP, paths, chosen)
    assert not shared.exists()


def test_a_driver_that_was_removed_from_dist_is_missed(paths: Paths) -> None:
    chosen = config(nvidia_source="debian")
    step = Step(nvidia.KEEP, nvidia.KEEP.job(chosen, paths), Stamp(paths.stamps, 0, nvidia.KEEP.name))
    paths.stamps.mkdir()
    step.stamp.write(Done(step.inputs(), {}, [], 0, 0))
    assert verdict.reasons(step, step.inputs()) == ["dist/nvidia-550.163.01-6.12.1+deb13-amd64 is missing"]


def test_a_driver_of_another_clone_is_taken_without_building(paths: Paths) -> None:
    chosen = config(nvidia_source="debian")
    job = nvidia.KEEP.job(chosen, paths)
    cache.store(nvidia_cache.shared(job), nvidia_cache.key(job), driver)
    assert all(stage.spared(job) for stage in nvidia.SUBSTAGES[:-1])
    assert not nvidia.KEEP.spared(job)
    run(nvidia.KEEP, paths, chosen)
    assert nvidia.KEEP.spared(job)


def test_a_stage_that_was_killed_half_way_can_run_again(paths: Paths) -> None:
    chosen = config(nvidia_source="debian")
    cache.store(
        nvidia_cache.entry(overlay.STAGE.job(chosen, paths)), nvidia_cache.key(overlay.STAGE.job(chosen, paths)), driver
    )
    for stage in ALL:
        run(stage, paths, chosen)
    whole = tree_digest(paths.overlay)
    # What a killed build may leave of a file.
    os.truncate(paths.overlay / "etc/motd", 0)
    for stage in ALL[1:]:
        run(stage, paths, chosen)
    assert tree_digest(paths.overlay) == whole


def test_without_a_driver_there_is_no_load_order(paths: Paths) -> None:
    for stage in ALL:
        run(stage, paths, config())
    assert not (paths.overlay / "usr/local/lib/nvidia").exists()


def test_the_release_file_is_for_shells_and_the_motd_says_the_same(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for stage in ALL:
        run(stage, paths, config())
    script = f'. {paths.overlay}/etc/bee-release; echo "$BEE_VERSION|$SUITE|$KERNEL_ABI|$NVIDIA_VERSION|$BUILD_DATE"'
    shown = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True).stdout
    assert shown == f"9.8.7|trixie|{ABI}|none|2023-11-14T22:13:20Z\n"
    assert (paths.overlay / "etc/motd").read_text() == f"bee 9.8.7 on trixie, Linux {ABI}, NVIDIA none\n"


def test_a_placeholder_that_means_nothing_stops_the_build(paths: Paths) -> None:
    (paths.source_overlay / "etc/motd").write_text("@BEE_VERSOIN@")
    run(overlay.STAGE, paths, config())
    with pytest.raises(BuildError, match="@BEE_VERSOIN@"):
        run(overlay.PATCH_MOTD, paths, config())


def test_the_work_folder_has_live_build_s_configuration_and_the_facts_of_this_build(paths: Paths) -> None:
    before = tree_digest(paths.builder)
    run(overlay.STAGE, paths, config())
    run(live_build.PREPARE, paths, config())
    run(live_build.SYNC, paths, config())
    assert tree_digest(paths.builder) == before
    found = {str(path.relative_to(paths.workdir)) for path in walk(paths.workdir) if path.is_file()}
    assert {
        "auto/config",
        "VERSIONS",
        "config/package-lists/bee.list.chroot",
        "config/hooks/normal/0500-x.hook.chroot",
        "config/includes.chroot/etc/motd",
        "config/environment.chroot",
    } <= found
    facts = (paths.workdir / "VERSIONS").read_text()
    assert f"DEBIAN_KERNEL_ABI={ABI}\n" in facts
    assert "SECURITY_MIRROR=http://mirror.invalid/debian-security\n" in facts


def test_a_motd_that_is_no_text_is_said_in_one_line(paths: Paths) -> None:
    run(overlay.STAGE, paths, config())
    (paths.source_overlay / "etc/motd").write_bytes(b"caf\xe9\n")
    with pytest.raises(BuildError, match=r"^iso/overlay/etc/motd: not UTF-8, at byte 3$"):
        run(overlay.PATCH_MOTD, paths, config())


def test_the_same_keys_in_another_place_stage_nothing_again(paths: Paths, tmp_path: Path) -> None:
    found = []
    for name in ("one", "other"):
        (tmp_path / name).write_text("ssh-ed25519 AAAA\n")
        chosen = config(authorized_keys=tmp_path / name)
        found.append(
            [stage.inputs(stage.job(chosen, paths)) for stage in (overlay.PASSWORD, overlay.STAGE, overlay.AUTHORIZE)]
        )
    assert found[0] == found[1]


def test_the_motd_has_the_same_bytes_in_any_locale(paths: Paths) -> None:
    motd = "Grüße von bee … @SUITE@\n"
    (paths.source_overlay / "etc/motd").write_text(motd, encoding="utf-8")
    script = f"""
from pathlib import Path
from iso.paths import Paths
from iso.stages import overlay
from tests.iso.checkout import config, run
paths = Paths(root=Path({str(paths.root)!r}), cache=Path({str(paths.cache)!r}), private=Path({str(paths.private)!r}))
run(overlay.STAGE, paths, config())
run(overlay.PATCH_MOTD, paths, config())
"""
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", script], env=os.environ | locale, cwd=Path(__file__).parents[2], check=True)
    assert (paths.overlay / "etc/motd").read_bytes() == motd.replace("@SUITE@", "trixie").encode()
