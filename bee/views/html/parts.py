"""What every section of the page is made of: headings, facts, tables, and words for what is not known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bee.views.document import integer, part, rows, strings, text
from bee.views.html.drawing import icon
from bee.views.html.markup import Content, Markup, element, join

NOT_KNOWN = element("span", "not known", class_="unknown")
# Where nothing is to be known.
NOTHING = element("span", "-", class_="unknown")
# A longer table is folded away under its heading; it opens by a click, for a search and in print.
_SHOWN_ROWS = 16
_WORDS = {"critical": "critical finding", "warning": "warning"}


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: its cells (empty: not known), the first of which names it, and the finding about it."""

    cells: tuple[Content, ...]
    state: str = ""


def section(document: dict[str, object], name: str, title: str, *content: Content, summary: str = "") -> Markup:
    """A section about the part `name` of the audit: its content, or the reason why it is null, and its notes."""
    record = part(document, name)
    return element(
        "section",
        element("h2", title, element("small", summary) if summary and record else None, id=f"{name}-title"),
        content if record else absent(document, name),
        notes(strings(record, "notes")),
        id=name,
        aria_labelledby=f"{name}-title",
    )


def absent(document: dict[str, object], name: str) -> Markup:
    """Why the part `name` is null."""
    collector = next((c for c in rows(document, "collectors") if text(c, "name") == name), {})
    reasons = "; ".join(strings(collector, "reasons")) or "no reason given"
    status = text(collector, "status", "not audited")
    return element("p", icon("unknown"), element("strong", "Not seen."), f" {status}: {reasons}", class_="absent")


def notes(remarks: Sequence[str]) -> Markup | None:
    """Remarks of the audit, as a list."""
    return element("ul", [element("li", remark) for remark in remarks], class_="notes") if remarks else None


def known(value: str) -> Markup | str:
    """The value, or the words for none."""
    return value or NOT_KNOWN


def mono(value: str) -> Markup | None:
    """A serial number, an address: what is compared letter by letter."""
    return element("code", value) if value else None


def number(record: dict[str, object], name: str, unit: str = "") -> str:
    """The whole number `name` with its unit; empty where it is not known."""
    value = integer(record, name)
    return "" if value is None else f"{value:,} {unit}".rstrip()


def words(record: dict[str, object], *names: str) -> str:
    """The values of the fields `names` that are known, in a line."""
    return " ".join(word for name in names if (word := text(record, name, "")))


def mark(state: str) -> Markup | None:
    """The sign of a finding, with its word for who does not see it."""
    return join(icon(state), element("span", f"{_WORDS[state]}: ", class_="spoken")) if state else None


def facts(pairs: Iterable[tuple[str, Content]]) -> Markup:
    """Names with their values, those that are not known saying so."""
    return element(
        "dl", [element("div", element("dt", name), element("dd", value or NOT_KNOWN)) for name, value in pairs]
    )


def card(title: Content, *content: Content, state: str = "", tag: str = "article") -> Markup:
    """One part of the machine in a frame of its own."""
    return element(tag, element("h3", mark(state), title), content, class_=f"card {state}".rstrip())


def table(caption: str, head: Sequence[str], body: Sequence[Row], *, numeric: Iterable[str] = ()) -> Markup | None:
    """A table whose first column names its rows; a column of which nothing is known becomes a line below.

    Args:
        caption: what it lists.
        head: the columns' names.
        body: its rows; none, and there is no table.
        numeric: the columns that are numbers, set flush right.
    """
    if not body:
        return None
    kept = [i for i in range(len(head)) if i == 0 or any(row.cells[i] not in ("", None, NOTHING) for row in body)]
    gone = [name for i, name in enumerate(head) if i not in kept]
    right = frozenset(numeric)
    drawn = element(
        "table",
        element("caption", caption, class_="spoken"),
        element(
            "thead",
            element(
                "tr",
                [element("th", head[i], scope="col", class_="n" if head[i] in right else None) for i in kept],
            ),
        ),
        element("tbody", [_row(row, head, kept, right) for row in body]),
    )
    below = element("p", f"Not known for any: {', '.join(gone)}.", class_="gone") if gone else None
    return join(element("div", drawn, class_="scroll"), below)


def _row(row: Row, head: Sequence[str], kept: Sequence[int], right: frozenset[str]) -> Markup:
    first, *others = kept
    return element(
        "tr",
        element("th", mark(row.state), row.cells[first] or NOT_KNOWN, scope="row"),
        [
            element("td", row.cells[i] or NOT_KNOWN, data_label=head[i], class_="n" if head[i] in right else None)
            for i in others
        ],
        class_=row.state or None,
    )


def folded(title: str, *content: Content, count: int, said: str = "") -> Markup:
    """What few will read, under its title with how many there are (or what is said of it); open where it is short."""
    return element(
        "details", element("summary", title, element("small", said or f"{count:,}")), content, open=count <= _SHOWN_ROWS
    )
