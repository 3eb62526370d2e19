"""The look of a figure: colours by name, dashes, marks and sizes, on paper (light) and on a dark screen.

A specification names a colour as `var(--c0)`: a page resolves it in CSS, so that one chart follows light, dark and
print; a figure on disk is painted in light colours first (`paint`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

from ltb.common.text import printable_lines

# Okabe & Ito (2008) without its yellow, which fades on white, and with a wine red of P. Tol's in its place.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255")
# The same hues, lighter, for a dark ground: each at least 4.5 : 1 against it.
PALETTE_DARK = ("#4FA8E8", "#FF8A47", "#2FC79A", "#E79CC6", "#F2B632", "#9AD6F7", "#F4F4F0", "#D4719F")
# Colour is never alone: dash and shape repeat with other periods, so that 8 × 7 curves can be told apart.
DASHES = ([1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [4, 2], [12, 3], [6, 2, 2, 2, 2, 2])
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"
PAGE_FONT = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif"
COLOURS = tuple(f"var(--c{i})" for i in range(len(PALETTE)))
LOOKS = len(COLOURS) * len(DASHES)
# They are in most figures: each has a colour of its own.
USUAL = ("imp", "imp_rewind", "lr_rewind", "imp · reinit", "one_shot", "imp · shuffle", "random", "fine_tune")
INK, GREY, PALE, PAPER = "var(--ink)", "var(--grey)", "var(--pale)", "var(--paper)"

LIGHT = {"ink": "#1a1a1a", "grey": "#5f5f5f", "pale": "#e6e6e6", "paper": "#ffffff", "wash": "#f5f5f3"}
DARK = {"ink": "#ececea", "grey": "#a9aaa8", "pale": "#343638", "paper": "#17181a", "wash": "#212225"}
LIGHT |= {f"c{i}": colour for i, colour in enumerate(PALETTE)}
DARK |= {f"c{i}": colour for i, colour in enumerate(PALETTE_DARK)}


def scales(curves: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return scales of colour, dash and shape of what curves are called (→ their own names, see `points.curves`).

    A look follows from the own name, so that neither the legend's order nor another name changes a colour.
    """

    def channel(kind: int) -> dict[str, Any]:
        domain = {"domain": list(curves), "range": [looks[own][kind] for own in curves.values()]}
        return {"field": "curve", "type": "nominal", "scale": domain, "legend": None}

    looks = styles(list(curves.values()))
    return {"color": channel(0), "dash": channel(1), "shape": channel(2)}


def styles(curves: Sequence[str]) -> dict[str, tuple[str, list[int], str]]:
    """Return each curve's colour, dash and shape: the same in every figure, since they follow from its name.

    Names that meet in one figure at a colour that is taken get the next that is free, in the order of the alphabet; the usual
    ones never do.
    """
    found: dict[str, int] = {}
    for curve in sorted(set(curves), key=lambda name: (name not in USUAL, name)):
        own = USUAL.index(curve) if curve in USUAL else crc32(curve.encode())
        taken = set(found.values())
        colours = {place % len(COLOURS) for place in taken}
        places = [(own + i) % LOOKS for i in range(LOOKS)]
        free = [place for place in places if place not in taken] or places
        found[curve] = next((place for place in free if place % len(COLOURS) not in colours), free[0])
    return {
        curve: (COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)], SHAPES[i % len(SHAPES)])
        for curve, i in found.items()
    }


def shown(spec: Any) -> Any:
    """Return a specification in which names, as files and the user have them, are printable."""
    if isinstance(spec, Mapping):
        return {name: shown(value) for name, value in spec.items()}
    if isinstance(spec, list | tuple):
        return [shown(value) for value in spec]
    return printable_lines(spec) if isinstance(spec, str) else spec


def paint(spec: Mapping[str, Any]) -> str:
    """Return a specification as JSON in light colours, for the renderer of files: it knows no CSS, nor control characters."""
    text = json.dumps(shown(spec), allow_nan=False)
    return re.sub(r'"var\(--(\w+)\)"', lambda found: json.dumps(LIGHT.get(found[1], found[0][1:-1])), text)


def theme(page: bool = False) -> dict[str, Any]:
    """Return Vega-Lite's `config`, with sizes that stay legible when a figure is set to a page's width.

    On a `page` the y axis is named above it, level, where a phone has room for it.
    """
    above = {"titleAngle": 0, "titleAlign": "left", "titleAnchor": "end", "titleY": -10, "titleX": 0}
    return {
        "font": PAGE_FONT if page else FONT,
        "axisY": above | {"domain": False, "ticks": False} if page else {},
        "axis": {
            "labelFontSize": 12,
            "titleFontSize": 13,
            "titleFontWeight": "normal",
            "labelColor": INK,
            "titleColor": INK,
            "titlePadding": 10,
            "gridColor": PALE,
            "domainColor": GREY,
            "tickColor": GREY,
        },
        "title": {
            "fontSize": 16,
            "subtitleFontSize": 12,
            "subtitleColor": GREY,
            "color": INK,
            "subtitlePadding": 6,
            "subtitleLineHeight": 16,
            "anchor": "start",
            "offset": 14,
        },
        "view": {"stroke": None},
    }
