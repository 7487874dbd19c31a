"""SHA256SUMS: what sha256sum itself would write, and nothing said of files that are gone."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from iso import checksums

NAME = st.text(st.characters(codec="ascii", exclude_characters="/\\\n\r\0"), min_size=1, max_size=20).filter(
    lambda name: name.strip(".-") and not name.endswith(".partial") and name != "SHA256SUMS"
)


@given(st.dictionaries(NAME, st.binary(max_size=9), min_size=1, max_size=5), st.data())
def test_sha256sum_agrees_whatever_came_and_went(files: dict[str, bytes], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sums = Path(folder) / "SHA256SUMS"
        paths = [Path(folder) / name for name in files]
        for path in paths:
            path.write_bytes(files[path.name])
            checksums.write(sums, [path])
        gone = data.draw(st.sampled_from(paths))
        gone.unlink()
        rest = [path for path in paths if path.exists()]
        checksums.write(sums, rest[:1])
        assert set(checksums.parse(sums.read_text())) == {path.name for path in rest}
        if rest:
            subprocess.run(["sha256sum", "--check", "--strict", "--quiet", sums.name], cwd=folder, check=True)


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    for name, mark in checksums.parse(text).items():
        assert f"{mark}  {name}" in text


def test_a_file_that_was_made_again_is_said_once(tmp_path: Path) -> None:
    image = tmp_path / "a.iso"
    for content in ("one", "two"):
        image.write_text(content)
        checksums.write(tmp_path / "SHA256SUMS", [image])
    expected = subprocess.run(["sha256sum", "a.iso"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert (tmp_path / "SHA256SUMS").read_text() == expected


def test_what_is_to_be_signed_says_nothing_of_other_files_that_does_not_hold(tmp_path: Path) -> None:
    sums, kept, other = (tmp_path / name for name in ("SHA256SUMS", "kept.iso", "other.iso"))
    for path in (kept, other):
        path.write_text(path.name)
    (tmp_path / "folder.iso").mkdir()
    checksums.write(sums, [kept, other])
    sums.write_text(sums.read_text() + f"{'ab' * 32}  folder.iso\n")
    other.write_text("replaced")
    (tmp_path / "new.iso").write_text("new")
    checksums.write(sums, [tmp_path / "new.iso"])
    assert checksums.parse(sums.read_text()).keys() == {"folder.iso", "kept.iso", "new.iso", "other.iso"}
    checksums.write(sums, [tmp_path / "new.iso"], checked=True)
    assert checksums.parse(sums.read_text()).keys() == {"kept.iso", "new.iso"}
