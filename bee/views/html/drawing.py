"""The small drawings: SVG, whose colours are printed even where a browser leaves backgrounds out."""

from __future__ import annotations

from bee.views.html.markup import Markup, element

# One lane of a link, in units of the drawing: its own width and the step to the next.
_LANE, _STEP, _HEIGHT = 4, 6, 10
_MOST_LANES = 32
_SHAPES = {
    "critical": "M5 .5h6L15.5 5v6L11 15.5H5L.5 11V5z",
    "warning": "M8 1 15.5 15H.5z",
    "ok": "M8 .8a7.2 7.2 0 1 0 0 14.4A7.2 7.2 0 1 0 8 .8z",
    "unknown": "M8 .8a7.2 7.2 0 1 0 0 14.4A7.2 7.2 0 1 0 8 .8z",
}
_SIGNS = {
    "critical": "M8 4v5M8 11v1.5",
    "warning": "M8 6v4.5M8 12v1.5",
    "ok": "M4.5 8.2 7 10.7 11.5 5.5",
    "unknown": "M5 8h6",
}


def icon(state: str) -> Markup:
    """The sign of `critical`, `warning`, `ok` or `unknown`, each of a shape of its own; a word stands beside it."""
    return element(
        "svg",
        element("path", class_="shape", d=_SHAPES[state]),
        element("path", class_="sign", d=_SIGNS[state]),
        class_=f"icon {state}",
        viewBox="0 0 16 16",
        aria_hidden="true",
    )


def bar(percent: float, label: str, state: str = "") -> Markup:
    """A bar that is filled to `percent` of 100; more is drawn as full, and the number beside it says so.

    Args:
        percent: how much is used.
        label: the same in words, for who does not see it.
        state: `critical` or `warning` where a finding is about it.
    """
    filled = min(max(percent, 0.0), 100.0)
    return element(
        "svg",
        element("rect", class_="track", width=100, height=8),
        element("rect", class_="fill", width=f"{filled:g}", height=8),
        class_=f"bar {state}".rstrip(),
        viewBox="0 0 100 8",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
    )


def lanes(width: int, most: int, label: str, state: str = "") -> Markup:
    """A link: as many boxes as it can have lanes, filled those that it has.

    Args:
        width: lanes now.
        most: lanes that the device can have.
        label: the same in words.
        state: `critical` or `warning` where a finding is about it.
    """
    most = min(max(most, width, 0), _MOST_LANES)
    width = min(max(width, 0), most)
    return element(
        "svg",
        element("path", class_="lane", d=_boxes(0, width)) if width else None,
        element("path", class_="lane idle", d=_boxes(width, most)) if most > width else None,
        class_=f"lanes {state}".rstrip(),
        viewBox=f"-1 -1 {most * _STEP} {_HEIGHT + 2}",
        width=most * _STEP,
        height=_HEIGHT + 2,
        role="img",
        aria_label=label,
    )


def _boxes(start: int, end: int) -> str:
    return "".join(f"M{lane * _STEP} 0h{_LANE}v{_HEIGHT}h-{_LANE}z" for lane in range(start, end))
