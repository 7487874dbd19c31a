"""What an image is made of, as a software bill of materials: SPDX 2.3 in JSON."""

from __future__ import annotations

import json
import re
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DOCUMENT = "SPDXRef-DOCUMENT"
_IMAGE = "SPDXRef-Image"
# Debian's packages state their licences in prose, vendors' programs on a web page: nothing is asserted of either.
_NOT_ASSERTED = "NOASSERTION"


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One part of the image.

    Args:
        name: what it is called.
        version: its version, where it has one.
        supplier: the organisation it comes from; empty where that is not known.
        sha256: of the one file that it is, hexadecimal digits; empty where it is many.
        purl: where it is in the world of packages (package URL); empty where it is in none.
        homepage: its own web page, where it says one.
        origin: how it came into the image, in words.
    """

    name: str
    version: str = ""
    supplier: str = ""
    sha256: str = ""
    purl: str = ""
    homepage: str = ""
    origin: str = ""


def parse_status(text: str) -> list[dict[str, str]]:
    """The installed packages of a dpkg database, a dictionary of fields each (deb-control(5)); fields of one line only.

    Args:
        text: content of /var/lib/dpkg/status.
    """
    found = []
    for paragraph in re.split(r"\n(?:[ \t]*\n)+", text.strip("\n")):
        fields = (line.partition(":") for line in paragraph.split("\n") if line[:1] not in {" ", "\t", ""})
        package = {name: value.strip() for name, colon, value in fields if colon}
        if package.get("Status", "").endswith(" installed") and "Package" in package:
            found.append(package)
    return sorted(found, key=lambda package: (package["Package"], package.get("Architecture", "")))


def debian_component(package: Mapping[str, str], suite: str, origin: str = "") -> Component:
    """A Debian package as a part of the image.

    Args:
        package: its fields as dpkg has them; at least Package, Version and Architecture.
        suite: the release that it is of; empty where it is the build machine's own.
        origin: how it came into the image, where not by its installation.
    """
    name, version = package["Package"], package["Version"]
    # Source: openssl (3.5.1-1), where the source package's name or version is another one.
    source = re.fullmatch(r"(\S+)(?: \((\S+)\))?", package.get("Source", name))
    made_of = f"source package {source[1]} {source[2] or version}" if source else ""
    homepage = package.get("Homepage", "")
    distribution = f"&distro={suite}" if suite else ""
    # Canonical: an epoch's colon is never encoded (purl specification, character encoding).
    place = f"{quote(name, safe='')}@{quote(version, safe=':')}"
    return Component(
        name=name,
        version=version,
        supplier="Debian",
        purl=f"pkg:deb/debian/{place}?arch={package['Architecture']}{distribution}",
        homepage=homepage if re.fullmatch(r"https?://[!-~]+", homepage) else "",
        origin="; ".join(filter(None, (origin, made_of))),
    )


def package_list(packages: Iterable[Mapping[str, str]]) -> str:
    """Name, architecture and version of each package, a line each, with tabs between.

    Args:
        packages: fields of each (`parse_status`).
    """
    rows = ((package["Package"], package.get("Architecture", ""), package.get("Version", "")) for package in packages)
    return "".join("\t".join(row) + "\n" for row in rows)


def document(image: Component, parts: Iterable[Component], seconds: int) -> dict[str, Any]:
    """The bill of materials; the same image has the same.

    Args:
        image: the ISO.
        parts: what it holds.
        seconds: since 1970, when it was made (SOURCE_DATE_EPOCH).
    """
    listed = list(parts)
    ids = [
        f"SPDXRef-Package-{number}-{re.sub('[^0-9A-Za-z.-]', '-', part.name)}" for number, part in enumerate(listed, 1)
    ]
    held = [_package(part, identifier) for part, identifier in zip(listed, ids, strict=True)]
    described = {"spdxElementId": _DOCUMENT, "relationshipType": "DESCRIBES", "relatedSpdxElement": _IMAGE}
    contained = ({"spdxElementId": _IMAGE, "relationshipType": "CONTAINS", "relatedSpdxElement": one} for one in ids)
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": _DOCUMENT,
        "name": image.name,
        # Unique, as it must be, and the same for the same bytes.
        "documentNamespace": uuid.uuid5(uuid.NAMESPACE_OID, f"{image.name} {image.sha256}").urn,
        "creationInfo": {
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)),
            "creators": [f"Tool: bee-iso-{image.version}"],
        },
        "packages": [_package(image, _IMAGE) | {"primaryPackagePurpose": "OPERATING-SYSTEM"}, *held],
        "relationships": [described, *contained],
    }


def _package(part: Component, identifier: str) -> dict[str, Any]:
    optional = {
        "versionInfo": part.version,
        "supplier": f"Organization: {part.supplier}" if part.supplier else "",
        "homepage": part.homepage,
        "sourceInfo": part.origin,
        "checksums": [{"algorithm": "SHA256", "checksumValue": part.sha256}] if part.sha256 else [],
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": part.purl}
        ]
        if part.purl
        else [],
    }
    return {
        "SPDXID": identifier,
        "name": part.name,
        "downloadLocation": _NOT_ASSERTED,
        "filesAnalyzed": False,
        "licenseConcluded": _NOT_ASSERTED,
        "licenseDeclared": _NOT_ASSERTED,
        "copyrightText": _NOT_ASSERTED,
        **{name: value for name, value in optional.items() if value},
    }


def rendered(value: Mapping[str, Any]) -> bytes:
    """A bill of materials as a file's content.

    Args:
        value: what `document` gave.
    """
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
