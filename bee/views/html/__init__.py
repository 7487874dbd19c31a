"""An audit as one page for a browser: nothing is fetched, nothing runs, every value is escaped."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from bee.views.document import rows
from bee.views.html import gpus, memory, overview, pcie, power, steps, storage, system
from bee.views.html.marks import Marks, severity_of
from bee.views.html.markup import Markup, element, join


def page(document: dict[str, object], content: bytes) -> str:
    """The page of an audit.

    Args:
        document: the audit; whatever it holds is shown, what it lacks is said to be not known.
        content: the bytes of its file, whose digest ties the page to it.
    """
    marks = Marks(document)
    style = Markup(files(__name__).joinpath("page.css").read_text("utf-8"))
    network = pcie.network(document)
    sections = (
        overview.findings(document),
        overview.gaps(document),
        system.board(document),
        system.cpu(document, marks),
        memory.memory(document, marks),
        storage.storage(document, marks),
        pcie.pcie(document, marks),
        network,
        gpus.gpus(document, marks),
        power.power(document, marks),
        steps.collectors(document),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(style)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{overview.name(document)}: {_verdict(document)}"),
        element("style", style),
    )
    body = element(
        "body",
        element("a", "Skip to the findings", href="#findings", class_="skip"),
        overview.header(document),
        _contents(network is not None),
        element("main", sections),
        overview.footer(document, hashlib.sha256(content).hexdigest()),
    )
    return "<!DOCTYPE html>\n" + join(element("html", head, body, lang="en")) + "\n"


def _policy(style: str) -> str:
    """Nothing is loaded or run; the one style sheet is known by its digest, even a style attribute is refused."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _verdict(document: dict[str, object]) -> str:
    found = rows(document, "findings")
    critical = sum(1 for finding in found if severity_of(finding) == "critical")
    return f"{len(found)} findings, {critical} critical" if found else "no findings"


def _contents(with_network: bool) -> Markup:
    """Links to the sections, for the eye and the keyboard."""
    links = {"findings": "Findings", "board": "Board", "cpu": "Processors", "memory": "Memory", "storage": "Disks"}
    links |= {"pcie": "PCI Express"}
    if with_network:
        links |= {"network": "Network"}
    links |= {"nvidia": "GPUs", "psu": "Power", "collectors": "How it was seen"}
    return element(
        "nav",
        element("ul", [element("li", element("a", label, href=f"#{name}")) for name, label in links.items()]),
        aria_label="Sections",
    )
