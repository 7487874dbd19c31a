"""The head of the page: which machine this is, what is wrong with it, and whether all of it was seen."""

from __future__ import annotations

from collections.abc import Iterator

from bee.views.document import integer, part, rows, size, strings, text
from bee.views.html.drawing import icon
from bee.views.html.marks import severity_of
from bee.views.html.markup import Content, Markup, element, join
from bee.views.html.parts import NOT_KNOWN, facts, mono, notes, words
from bee.views.totals import drives

# How the names of components begin, and the section of each.
_SECTIONS = (
    (("disk ", "volume ", "drive ", "RAID controller "), "storage"),
    (("memory",), "memory"),
    (("PCI ",), "pcie"),
    (("GPU ",), "nvidia"),
    (("power supply ", "sensor ", "BMC "), "psu"),
    (("socket ", "processors"), "cpu"),
)
# A machine may have no BMC and no GPU.
_OPTIONAL = frozenset({"psu", "nvidia"})
_INCOMPLETE = frozenset({"failed", "partial"})


def name(document: dict[str, object]) -> str:
    """What the machine is called: maker and product, or its host name."""
    system = part(document, "board", "system")
    return words(system, "manufacturer", "product") or text(part(document, "host"), "hostname", "Unknown system")


def header(document: dict[str, object]) -> Markup:
    """Name and identity of the machine, and the sums of its parts."""
    host, system = part(document, "host"), part(document, "board", "system")
    started, bmc = text(document, "started_at", ""), part(document, "board", "bmc")
    return element(
        "header",
        element("p", "Hardware audit", class_="over"),
        element("h1", name(document)),
        facts(
            (
                ("Serial", mono(text(system, "serial", ""))),
                ("Host name", text(host, "hostname", "")),
                ("BMC", mono(text(bmc, "ip_address", ""))),
                ("Audited", element("time", started.replace("T", " ").replace("Z", " UTC")) if started else ""),
            )
        ),
        element("ul", [_tile(*tile) for tile in _tiles(document)], class_="tiles"),
    )


def _tile(target: str, title: str, value: Content, detail: str, state: str = "") -> Markup:
    return element(
        "li",
        element(
            "a",
            element("span", title, class_="title"),
            element("strong", icon(state) if state else None, value),
            element("span", detail, class_="detail"),
            href=f"#{target}",
            class_=state or None,
        ),
    )


def _tiles(document: dict[str, object]) -> Iterator[tuple[str, str, Content, str] | tuple[str, str, Content, str, str]]:
    yield _verdict(document)
    cpu, memory, storage = part(document, "cpu"), part(document, "memory"), part(document, "storage")
    sockets = [s for s in rows(cpu, "sockets") if s.get("populated")]
    models = sorted({text(s, "model", "model not known") for s in sockets})
    yield (
        "cpu",
        "Processors",
        _count(cpu, f"{len(sockets)} of {len(rows(cpu, 'sockets'))}"),
        ", ".join(models) if cpu else "not seen",
    )
    slots = rows(memory, "slots")
    yield (
        "memory",
        "Memory",
        _count(memory, size(integer(memory, "total_bytes"), missing="?")),
        f"in {text(memory, 'populated', '?')} of {len(slots)} slots" if memory else "not seen",
    )
    disks, held = drives(storage)
    space = size(held, decimal=True)
    behind = sum(len(rows(c, "drives")) for c in rows(storage, "raid_controllers"))
    yield (
        "storage",
        "Disks",
        _count(storage, str(disks)),
        (space + (f", {behind} drives behind RAID" if behind else "")) if storage else "not seen",
    )
    nvidia, psu = part(document, "nvidia"), part(document, "psu")
    gpus = rows(nvidia, "gpus")
    yield (
        "nvidia",
        "GPUs",
        _count(nvidia, str(len(gpus))),
        ", ".join(sorted({text(g, "name", "model not known") for g in gpus})) if nvidia else "not seen",
    )
    supplies = rows(psu, "supplies")
    present = [s for s in supplies if s.get("present") is True]
    watts = [integer(s, "capacity_watts") for s in present]
    power = ", ".join(sorted({f"{w:,} W" for w in watts if w})) or "rating not known"
    yield (
        "psu",
        "Power supplies",
        _count(psu, f"{len(present)} of {len(supplies)}"),
        power if psu else "not seen",
    )


def _count(record: dict[str, object], value: str) -> Content:
    return value if record else NOT_KNOWN


def _verdict(document: dict[str, object]) -> tuple[str, str, Content, str, str]:
    found = rows(document, "findings")
    critical = sum(1 for finding in found if severity_of(finding) == "critical")
    seen = _completeness(document)
    if not isinstance(document.get("findings"), list):
        return "findings", "Verdict", "not judged", seen, "unknown"
    if not found:
        return "findings", "Verdict", "No findings", seen, "ok" if _was_looked_at(document) else "unknown"
    counted = [f"{critical} critical"] if critical else []
    counted += [f"{len(found) - critical} warning{'s' * (len(found) - critical != 1)}"] if len(found) > critical else []
    return "findings", "Verdict", ", ".join(counted), seen, "critical" if critical else "warning"


def _completeness(document: dict[str, object]) -> str:
    steps, gaps = rows(document, "collectors"), len(_gaps(document))
    skipped = sum(1 for step in steps if text(step, "status") == "skipped")
    said = [f"{gaps} of {len(steps)} steps incomplete"] if gaps else []
    said += [f"{skipped} of {len(steps)} steps skipped"] if skipped else []
    return ", ".join(said) or "every step complete"


def _was_looked_at(document: dict[str, object]) -> bool:
    """Whether no findings is good news: every step went well, but for a BMC or GPUs that many machines do not have."""
    steps = {text(step, "name"): text(step, "status") for step in rows(document, "collectors")}
    lacking = {name for name, status in steps.items() if status != "ok"}
    return bool(steps) and all(name in _OPTIONAL and steps[name] == "skipped" for name in lacking)


def findings(document: dict[str, object]) -> Markup:
    """What is wrong: one card a rule, with each component that it found and what to do."""
    grouped: dict[tuple[str, str, str], list[dict[str, object]]] = {}
    for finding in rows(document, "findings"):
        key = (severity_of(finding), text(finding, "rule", ""), text(finding, "action", ""))
        grouped.setdefault(key, []).append(finding)
    ordered = sorted(grouped.items(), key=lambda item: item[0][0])
    return element(
        "section",
        element("h2", "Findings", id="findings-title"),
        element("ul", [_finding(*key, members) for key, members in ordered], class_="findings")
        if grouped
        else _nothing_found(document),
        notes(strings(document, "notes")),
        id="findings",
        aria_labelledby="findings-title",
    )


def _nothing_found(document: dict[str, object]) -> Markup:
    if not isinstance(document.get("findings"), list):
        return element("p", icon("unknown"), "The audit holds no list of findings.", class_="absent")
    if _was_looked_at(document):
        return element("p", icon("ok"), "No rule found anything wrong.", class_="well")
    what = "No rule found anything wrong with what was seen; not all was seen."
    return element("p", icon("unknown"), what, class_="absent")


def _finding(severity: str, rule: str, action: str, members: list[dict[str, object]]) -> Markup:
    return element(
        "li",
        element("p", icon(severity), element("strong", severity.capitalize()), mono(rule), class_="severity"),
        element(
            "dl",
            [
                element(
                    "div",
                    element("dt", _component(text(f, "component", ""))),
                    element("dd", text(f, "evidence", "") or NOT_KNOWN),
                )
                for f in members
            ],
        ),
        element("p", element("span", "What to do: ", class_="lead"), action, class_="action") if action else None,
        class_=f"finding {severity}",
    )


def _component(name: str) -> Markup:
    """The component's name, a link to the section that has it."""
    target = next((section for words, section in _SECTIONS if name.startswith(words)), "")
    return element("a", name, href=f"#{target}") if target else element("span", name or NOT_KNOWN)


def _gaps(document: dict[str, object]) -> list[dict[str, object]]:
    return [c for c in rows(document, "collectors") if text(c, "status") in _INCOMPLETE]


def gaps(document: dict[str, object]) -> Markup | None:
    """The steps that did not see all they should have, with their reasons; None where there is none."""
    found = _gaps(document)
    if not found:
        return None
    return element(
        "section",
        element("h2", "Not seen", id="gaps-title"),
        element(
            "ul",
            [
                element(
                    "li",
                    element("strong", text(c, "name")),
                    element("span", text(c, "status"), class_="status"),
                    element("ul", [element("li", reason) for reason in strings(c, "reasons")]),
                )
                for c in found
            ],
            class_="gaps",
        ),
        element("p", element("a", "How each step went", href="#collectors"), class_="more"),
        id="gaps",
        aria_labelledby="gaps-title",
    )


def footer(document: dict[str, object], digest: str) -> Markup:
    """What the page was made from."""
    return element(
        "footer",
        element(
            "p",
            join(
                f"bee {text(document, 'bee_version', '?')}, ",
                f"audit schema version {text(document, 'schema_version', '?')}. ",
                "The sha256 of the audit's file begins with ",
                element("code", digest[:16]),
                ".",
            ),
        ),
    )
