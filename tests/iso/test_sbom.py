"""The bill of materials: SPDX that a library of the SPDX project finds valid, whatever the packages are called."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spdx_tools.spdx.model import RelationshipType
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from iso.image import sbom
from iso.image.sbom import Component, debian_component, document, package_list, parse_status, rendered

STATUS = """\
Package: zlib1g
Status: install ok installed
Maintainer: Mark Brown <broonie@debian.org>
Architecture: amd64
Source: zlib
Version: 1:1.3.dfsg+really1.3.1-1+b1
Description: compression library - runtime
 zlib is a library.
Homepage: http://zlib.net/

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: bash
Status: install ok installed
Architecture: amd64
Source: bash (5.2-1)
Version: 5.2-1+b2
"""
STATUS_FILE = Path("/var/lib/dpkg/status")
IMAGE = Component(name="bee-1.0-trixie-amd64", version="1.0", sha256="ab" * 32)


def complaints(content: bytes) -> list[str]:
    """What the library finds wrong with a document."""
    with tempfile.NamedTemporaryFile(suffix=".spdx.json") as file:
        file.write(content)
        file.flush()
        return [message.validation_message for message in validate_full_spdx_document(parse_file(file.name))]


def test_a_status_file_is_the_packages_that_are_installed() -> None:
    bash, zlib = parse_status(STATUS)
    assert (bash["Package"], bash["Version"]) == ("bash", "5.2-1+b2")
    assert (zlib["Package"], zlib["Homepage"]) == ("zlib1g", "http://zlib.net/")
    assert package_list([bash, zlib]) == "bash\tamd64\t5.2-1+b2\nzlib1g\tamd64\t1:1.3.dfsg+really1.3.1-1+b1\n"


def test_a_debian_package_is_found_again_by_its_purl_and_its_source() -> None:
    bash, zlib = (debian_component(package, "trixie") for package in parse_status(STATUS))
    assert zlib.purl == "pkg:deb/debian/zlib1g@1:1.3.dfsg%2Breally1.3.1-1%2Bb1?arch=amd64&distro=trixie"
    assert zlib.origin == "source package zlib 1:1.3.dfsg+really1.3.1-1+b1"
    assert bash.origin == "source package bash 5.2-1"
    isolinux = {"Package": "isolinux", "Version": "3:6.04~git", "Architecture": "all", "Source": "syslinux"}
    assert debian_component(isolinux, "").purl == "pkg:deb/debian/isolinux@3:6.04~git?arch=all"


def test_every_package_of_this_machine_is_told_as_dpkg_tells_it() -> None:
    """The same dpkg database, read by us and by dpkg-query(1) itself."""
    told = "${Package}\t${Version}\t${Architecture}\t${source:Package} ${source:Version}\t${db:Status-Status}\n"
    listing = subprocess.run(["dpkg-query", "-W", "-f", told], capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in listing.splitlines()]
    dpkg = sorted(row[:4] for row in rows if row[4] == "installed")
    parts = [debian_component(package, "trixie") for package in parse_status(STATUS_FILE.read_text())]
    ours = []
    for part in parts:
        # As any reader of a purl takes it apart (purl specification, how to parse).
        url = urlsplit(part.purl)
        name, _, version = url.path.removeprefix("deb/debian/").partition("@")
        qualifiers = dict(parse_qsl(url.query))
        assert (url.scheme, qualifiers["distro"], part.version) == ("pkg", "trixie", unquote(version))
        ours.append([unquote(name), unquote(version), qualifiers["arch"], part.origin.removeprefix("source package ")])
    assert sorted(ours) == dpkg
    assert {"all", "amd64"} <= {row[2] for row in ours}


def test_the_document_describes_the_image_which_contains_the_parts() -> None:
    parts = [debian_component(package, "trixie") for package in parse_status(STATUS)]
    content = rendered(document(IMAGE, parts, 0))
    assert complaints(content) == []
    with tempfile.NamedTemporaryFile(suffix=".spdx.json") as file:
        Path(file.name).write_bytes(content)
        read = parse_file(file.name)
    assert [package.name for package in read.packages] == [IMAGE.name, "bash", "zlib1g"]
    assert read.packages[0].checksums[0].value == IMAGE.sha256
    kinds = [relationship.relationship_type for relationship in read.relationships]
    assert kinds == [RelationshipType.DESCRIBES, RelationshipType.CONTAINS, RelationshipType.CONTAINS]


def test_the_same_image_has_the_same_document() -> None:
    assert rendered(document(IMAGE, [], 5)) == rendered(document(IMAGE, [], 5))
    other = Component(name=IMAGE.name, version=IMAGE.version, sha256="cd" * 32)
    namespaces = {document(image, [], 5)["documentNamespace"] for image in (IMAGE, other)}
    assert len(namespaces) == 2


# Debian Policy, 5.6.1 and 5.6.12; the homepage is whatever a maintainer wrote.
NAMES = st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,30}", fullmatch=True)
VERSIONS = st.from_regex(r"([0-9]:)?[0-9][0-9A-Za-z.+~-]{0,20}", fullmatch=True)
LINES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=40)
PACKAGES = st.fixed_dictionaries(
    {"Package": NAMES, "Version": VERSIONS, "Architecture": st.sampled_from(["amd64", "all"])},
    optional={"Homepage": LINES, "Source": st.one_of(NAMES, st.builds("{} ({})".format, NAMES, VERSIONS))},
)


@given(st.lists(PACKAGES, max_size=4))
def test_any_packages_make_a_valid_document(packages: list[dict[str, str]]) -> None:
    parts = [debian_component(package, "trixie") for package in packages]
    assert complaints(rendered(document(IMAGE, parts, 1_000_000_000))) == []


@given(st.lists(PACKAGES, max_size=4))
def test_a_status_file_is_read_as_dpkg_writes_it(packages: list[dict[str, str]]) -> None:
    installed = [package | {"Status": "install ok installed"} for package in packages]
    text = "\n".join(
        "".join(f"{name}: {value}\n" for name, value in package.items()) + "Description: one\n .\n two: three\n"
        for package in installed
    )
    stripped = [{name: value.strip() for name, value in package.items()} for package in installed]
    found = [
        {name: value for name, value in package.items() if name != "Description"} for package in parse_status(text)
    ]
    assert sorted(found, key=json.dumps) == sorted(stripped, key=json.dumps)


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    for package in parse_status(text):
        assert package["Package"] is not None


@pytest.mark.parametrize("supplier", ["", "NVIDIA Corporation"])
def test_what_is_not_known_is_left_out(supplier: str) -> None:
    part = Component(name="nvidia-driver", version="1.2", supplier=supplier)
    value = document(IMAGE, [part], 0)
    assert complaints(rendered(value)) == []
    assert ("supplier" in value["packages"][1]) == bool(supplier)
    assert not {"checksums", "externalRefs", "homepage"} & value["packages"][1].keys()
    assert sbom.rendered(value).endswith(b"}\n")
