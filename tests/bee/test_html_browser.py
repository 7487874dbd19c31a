"""The page in a real browser: it asks for nothing, fits every screen and paper, can be read, and its drawings are true.

Debian's Chromium, driven by playwright. One browser serves all tests and is taken down after them.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from bee.audit import serialise
from bee.machine import Recorded
from bee.views import html
from bee.views.document import size
from tests.bee.recorded import audit, server
from tests.bee.rich import rich

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    # In a container /dev/shm may be small.
    "--disable-dev-shm-usage",
]
CONTENT = {"recorded": serialise(audit(server())), "rich": serialise(rich()), "empty": serialise(audit(Recorded()))}
DOCUMENTS: dict[str, dict[str, Any]] = {name: json.loads(content) for name, content in CONTENT.items()}
# A value as long as a field can be, without a space to break at.
DOCUMENTS["long"] = json.loads(re.sub(rb'": "[^"]{4,}"', b'": "' + b"W" * 400 + b'"', CONTENT["recorded"]))
RICH = DOCUMENTS["rich"]
NAMES = sorted(DOCUMENTS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if shutil.which(CHROMIUM) is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every document's page as a file."""
    made = tmp_path_factory.mktemp("pages")
    for name, document in DOCUMENTS.items():
        (made / f"{name}.html").write_text(html.page(document, b""), "utf-8")
    return made


def opened(browser: Browser, path: Path, *, width: int = 1280, scheme: Any = "light") -> Page:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(path.as_uri())
    return page


@pytest.fixture(scope="module")
def wide(browser: Browser, folder: Path) -> Iterator[Page]:
    """The rich machine on a desk."""
    page = opened(browser, folder / "rich.html")
    yield page
    page.close()


@pytest.mark.parametrize("name", NAMES)
def test_the_page_asks_for_nothing_but_itself_and_nothing_is_wrong_with_it(
    browser: Browser, folder: Path, name: str
) -> None:
    page = browser.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    path = folder / f"{name}.html"
    page.goto(path.as_uri(), wait_until="networkidle")
    assert asked == [path.as_uri()]
    assert said == []
    # The style sheet is the one that its digest names, and it is in force.
    assert page.evaluate("getComputedStyle(document.querySelector('nav ul')).display") == "flex"
    page.close()


def test_whatever_got_into_the_page_would_neither_run_nor_load_nor_be_styled(browser: Browser, folder: Path) -> None:
    smuggled = (
        "<p id=bad style='color: rgb(1, 2, 3)'>x</p><img src='http://127.0.0.1:9/x.png' onerror='window.ran = 1'>"
        "<style>h1 { color: rgb(1, 2, 3) }</style><script>window.ran = 1</script>"
        "<iframe src='http://127.0.0.1:9/'></iframe><link rel=stylesheet href='http://127.0.0.1:9/x.css'>"
    )
    path = folder / "smuggled.html"
    path.write_text((folder / "empty.html").read_text("utf-8").replace("</body>", smuggled + "</body>"), "utf-8")
    page = browser.new_page()
    answered: list[str] = []
    refused: list[str] = []
    page.on("requestfinished", lambda request: answered.append(request.url))
    page.on("console", lambda message: refused.append(message.text))
    page.goto(path.as_uri())
    colours = [page.evaluate(f"getComputedStyle(document.querySelector('{name}')).color") for name in ("#bad", "h1")]
    assert page.evaluate("window.ran") is None
    assert "rgb(1, 2, 3)" not in colours
    assert answered in ([], [path.as_uri()])
    refusals = " ".join(refused)
    for directive in ("style-src", "script-src", "img-src", "frame-src"):
        assert directive in refusals, directive
    page.close()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_wider_than_the_screen(browser: Browser, folder: Path, name: str) -> None:
    page = opened(browser, folder / f"{name}.html")
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    for width, scheme in ((1280, "light"), (1280, "dark"), (360, "dark"), (360, "light")):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, scheme
        # And what has a frame keeps what is in it inside, or lets it be scrolled there.
        spilled = page.eval_on_selector_all(
            ".card, .dimm, .finding, .tiles a, .device, .bank",
            "all => all.filter(box => box.scrollWidth > box.clientWidth + 1).map(box => box.innerText)",
        )
        assert spilled == [], (width, scheme)
    page.close()


CONTRAST = """() => {
    const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const colour = text => text.match(/[\\d.]+/g).map(Number);
    const known = new Map();
    const ground = element => known.get(element) ?? known.set(element, looked(element)).get(element);
    const looked = element => {
        for (let at = element; at; at = at.parentElement) {
            const [r, g, b, a = 1] = colour(getComputedStyle(at).backgroundColor);
            if (a === 1) return [r, g, b];
            if (a !== 0) throw new Error('a background that is half transparent: ' + at.className);
        }
        throw new Error('no background');
    };
    document.querySelectorAll('details').forEach(details => details.open = true);
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || element.closest('.spoken, .skip')) continue;
        if (!element.checkVisibility()) continue;
        const style = getComputedStyle(element);
        const [one, other] = [luminance(colour(style.color)), luminance(ground(element))].sort((a, b) => b - a);
        found.push([(one + 0.05) / (other + 0.05), element.tagName + '.' + element.className, style.color]);
    }
    return found;
}"""


@pytest.mark.parametrize("name", ["rich", "empty"])
def test_every_word_stands_out_from_its_ground(browser: Browser, folder: Path, name: str) -> None:
    page = opened(browser, folder / f"{name}.html")
    media: tuple[tuple[Any, Any], ...] = (("screen", "light"), ("screen", "dark"), ("print", "dark"))
    for medium, scheme in media:
        page.emulate_media(media=medium, color_scheme=scheme)
        found = page.evaluate(CONTRAST)
        assert len(found) > (2000 if name == "rich" else 50)
        assert [word for word in found if word[0] < 4.5] == [], (medium, scheme)
        # Paper is white whatever the screen was.
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") is (medium == "print")
    page.close()


def texts(page: Page, selector: str) -> list[str]:
    found: list[str] = page.eval_on_selector_all(selector, "found => found.map(e => e.textContent)")
    return found


def test_every_dimm_slot_is_drawn_with_what_is_in_it(wide: Page) -> None:
    slots = RICH["memory"]["slots"]
    drawn = texts(wide, "#memory .dimm")
    assert len(drawn) == len(slots) == 64
    for slot in slots:
        (text,) = [text for text in drawn if slot["locator"] in text]
        if slot["populated"]:
            assert size(slot["size_bytes"]) in text
            assert slot["part_number"] in text
            assert f"{slot['configured_speed_mts']}" in text
        else:
            assert "empty" in text
    assert len(texts(wide, "#memory .dimm.filled")) == RICH["memory"]["populated"] == 48
    assert texts(wide, "#memory .bank > h3")[:2] == ["P11 TiB in 16 of 16 slots", "P2992 GiB in 16 of 16 slots"]
    assert len(texts(wide, "#memory .channels > li")) == 32


def test_every_disk_is_listed_with_its_health(wide: Page) -> None:
    lines = {line.split("|")[0]: line for line in rows(wide, "#storage > .scroll:first-of-type tbody tr")}
    assert len(lines) == len(RICH["storage"]["disks"]) == 60
    for disk in RICH["storage"]["disks"]:
        line = next(line for name, line in lines.items() if name.split(": ")[-1] == disk["name"])
        health = disk["nvme"] or disk["smart"]
        assert disk["serial"] in line
        assert f"|{disk['slot'] or 'not known'}|" in line
        assert size(disk["size_bytes"], decimal=True) in line
        assert f"{health['power_on_hours']:,} h" in line
        assert f"{health['temperature_celsius']} °C" in line
        assert ("passed" if disk["smart"]["passed"] else "failing") in line


def rows(page: Page, selector: str) -> list[str]:
    script = "found => found.map(row => [...row.cells].map(cell => cell.textContent).join('|'))"
    found: list[str] = page.eval_on_selector_all(selector, script)
    return found


def test_a_bar_is_as_long_as_its_number_says(wide: Page) -> None:
    drawn = wide.eval_on_selector_all(
        "#storage .bar",
        """bars => bars.map(bar => [bar.getAttribute('aria-label'),
            bar.querySelector('.fill').getBoundingClientRect().width
            / bar.querySelector('.track').getBoundingClientRect().width])""",
    )
    assert len(drawn) == 24
    for label, share in drawn:
        percent = int(re.fullmatch(r"wear (\d+) %", label)[1])  # type: ignore[index]
        assert share == pytest.approx(min(percent, 100) / 100, abs=0.01)
    assert {label for label, _ in drawn} >= {"wear 3 %", "wear 84 %", "wear 104 %"}


def test_every_pci_function_hangs_below_its_port_with_its_lanes(wide: Page) -> None:
    devices = {device["address"]: device for device in RICH["pcie"]["devices"]}
    drawn = wide.eval_on_selector_all(
        "#pcie .device",
        """found => found.map(device => {
            const above = device.parentElement.parentElement.closest('li')?.querySelector('.address code').textContent;
            const wide = path => path ? path.getBBox().width : 0;
            return [device.querySelector('.address code').textContent, above ?? null,
                wide(device.querySelector('.lane:not(.idle)')), wide(device.querySelector('.lane.idle'))];
        })""",
    )
    assert sorted(address for address, *_ in drawn) == sorted(devices)
    for address, above, used, idle in drawn:
        assert above == devices[address]["upstream_port"]
        link = devices[address]["link"]
        # A lane is a box of 4 and a gap of 2.
        lanes = [(length + 2) / 6 if length else 0 for length in (used, idle)]
        assert lanes == ([link["width"], link["max_width"] - link["width"]] if link else [0, 0])


def test_every_gpu_supply_and_finding_is_there(wide: Page) -> None:
    cards = texts(wide, "#nvidia .card")
    assert len(cards) == 8
    for gpu, card in zip(RICH["nvidia"]["gpus"], cards, strict=True):
        for value in (gpu["pci_address"], gpu["uuid"], f"{gpu['temperature_celsius']} °C of 87 °C", "of 700 W"):
            assert value in card
        assert f"x{gpu['link']['width']} of x16" in card
        up = sum(link["active"] for link in gpu["nvlinks"])
        assert f"{up} of 18 up, 26.562 GB/s each, 5 CRC errors" in card
    supplies = texts(wide, "#psu .card")
    assert [supply["serial"] or "empty bay" for supply in RICH["psu"]["supplies"]] == [
        next(mark for mark in (supply["serial"] or "empty bay",) if mark in card)
        for supply, card in zip(RICH["psu"]["supplies"], supplies, strict=True)
    ]
    assert len(texts(wide, "#findings .finding dl > div")) == len(RICH["findings"])
    counted = [sum(f["severity"] == severity for f in RICH["findings"]) for severity in ("critical", "warning")]
    assert f"{counted[0]} critical, {counted[1]} warnings" in texts(wide, ".tiles li")[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_can_be_found_through_without_eyes(browser: Browser, folder: Path, name: str) -> None:
    page = opened(browser, folder / f"{name}.html")
    assert [len(texts(page, tag)) for tag in ("h1", "main", "header", "nav", "footer")] == [1] * 5
    levels = [int(tag[1]) for tag in page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(h => h.tagName)")]
    assert [step for step in pairwise(levels) if step[1] > step[0] + 1] == []
    ids = page.eval_on_selector_all("[id]", "all => all.map(e => e.id)")
    assert len(ids) == len(set(ids))
    named = page.eval_on_selector_all(
        "[aria-labelledby], a[href]", "all => all.map(e => e.getAttribute('aria-labelledby') ?? e.getAttribute('href'))"
    )
    assert {name.removeprefix("#") for name in named} <= set(ids)
    assert page.evaluate("[...document.querySelectorAll('svg')].filter(e => !e.ariaLabel && !e.ariaHidden).length") == 0
    unnamed = (
        "[...document.querySelectorAll('table')].filter(t => !t.caption || !t.querySelector('th[scope=row]')).length"
    )
    assert page.evaluate(unnamed) == 0
    assert page.evaluate("document.documentElement.lang") == "en"
    page.close()


def test_on_paper_it_is_whole(wide: Page, tmp_path: Path) -> None:
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed")
    path = tmp_path / "page.pdf"
    wide.pdf(path=path, format="A4")
    printed = subprocess.run(["pdftotext", "-layout", path, "-"], capture_output=True, check=True, timeout=60).stdout
    pages = printed.decode().rstrip("\f").split("\f")
    assert 5 < len(pages) < 40
    # A narrow column breaks a serial number: it is whole without its spaces, column by column.
    raw = subprocess.run(["pdftotext", "-raw", path, "-"], capture_output=True, check=True, timeout=60).stdout.decode()
    text = re.sub(r"\s", "", raw)
    wanted = [slot["serial"] for slot in RICH["memory"]["slots"] if slot["serial"]]
    wanted += [record["serial"] for record in (*RICH["storage"]["disks"], *RICH["nvidia"]["gpus"])]
    wanted += [device["address"] for device in RICH["pcie"]["devices"]]
    assert [value for value in wanted if value not in text] == []
    # No card is cut: each keeps together, and is lower than a page.
    wide.emulate_media(media="print")
    wide.set_viewport_size({"width": 703, "height": 1000})
    boxes = wide.eval_on_selector_all(
        ".card:not(section > .card), .finding, .dimm, .tiles a, .device",
        "all => all.map(e => [getComputedStyle(e).breakInside, e.getBoundingClientRect().height])",
    )
    assert {inside for inside, _ in boxes} == {"avoid"}
    assert max(height for _, height in boxes) < 1000
    assert wide.evaluate("document.documentElement.scrollWidth") <= 703
    wide.emulate_media(media="screen")
    wide.set_viewport_size({"width": 1280, "height": 800})
