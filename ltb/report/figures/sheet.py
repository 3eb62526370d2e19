"""A figure in a file: rows of panels with their headings over a white ground, one legend, in the size that was asked for."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ltb.report.figures.marks import Spec, Tables
from ltb.report.figures.palette import GREY, INK, paint, scales, theme

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
PADDING = 16
TRIES = 10  # at a size
LEAST = (70, 60)  # of one panel's own width and height, in points
NARROW = 200  # of a figure's width for each panel of a row: with less, they stand one above the other
LETTER = 6.8  # the width of a letter of a legend, and a bit
AXIS = 44  # of what is left of a panel's own width, where a legend below begins
HEADING = 10  # the width of a letter of a heading, and a bit
ENTRY, DENSE_ENTRY = 24, 18  # the height of a legend's line beside a figure, and below one
PLACES = {"left": 0, "middle": 17, "right": 34, "text": 43}  # in a legend's entry, from its left


@dataclass(frozen=True)
class Sheet:
    """What a paper asks of a figure.

    size: width and height of the whole in points of 1/72 inch (an SVG's pixels, half those of a PNG), without the caption, which a
    paper has below it; None: what the panels need, with it. title: in the place of the task's name; "": neither heading nor
    caption.
    """

    size: tuple[float, float] | None = None
    title: str | None = None


PLAIN = Sheet()


@dataclass(frozen=True)
class Row:
    """The panels of one task, each a list of layers. title: what they show, "" where their axes say it; caption: its lines."""

    title: str
    task: str
    caption: Sequence[str]
    panels: Sequence[list[Spec]]


@dataclass(frozen=True)
class Figure:
    """Rows of panels of `width` × `height`, and a legend of `curves`, and of the `dense` networks where they are drawn."""

    rows: Sequence[Row]
    tables: Tables
    curves: Mapping[str, str]
    width: float
    height: float
    dense: pd.DataFrame | None = field(default=None)

    def spec(self, sheet: Sheet = PLAIN, *, width: float | None = None, height: float | None = None) -> Spec:
        """Return the figure as a Vega-Lite specification, its panels of its own size unless others are given."""
        size = {"width": width or self.width, "height": height or self.height}
        across = sheet.size[0] if sheet.size else self._columns(sheet) * (self.width + 60)
        entries = _entries(self.curves, self.dense)
        beside = self._beside(sheet, entries)
        rows = [self._row(row, sheet, size) for row in self.rows]
        names = _legend(
            entries,
            self.curves,
            self.tables,
            across=0 if beside else across - 2 * PADDING - AXIS,
            band=_has_band(self.dense),
        )
        if beside:
            rows[0] = {"hconcat": [rows[0], names]}
        else:
            rows.append(names)
        white = {"background": "white", "padding": PADDING, "config": theme()}
        return {
            "$schema": SCHEMA,
            "vconcat": rows,
            "spacing": 24 if sheet.size else 40,
            "datasets": self.tables,
            **white,
        }

    def svg(self, sheet: Sheet = PLAIN) -> str:
        """Return the figure as SVG in light colours. ValueError for a size in which its panels have no room."""
        svg = _rendered(self.spec(sheet))
        return svg if sheet.size is None else self._fitted(svg, sheet, sheet.size)

    def _fitted(self, svg: str, sheet: Sheet, size: tuple[float, float]) -> str:
        width, height, across = self.width, self.height, self._columns(sheet)
        down = sum(math.ceil(len(row.panels) / across) for row in self.rows)
        fits = None
        # What is around the panels keeps its size, nearly: titles that break into lines, and labels left out, move it.
        for i in range(TRIES):
            over = [has - wanted for has, wanted in zip(_size(svg), size, strict=True)]
            fits = svg if max(over) <= 1 else fits
            if fits == svg and min(over) > -2:
                break
            # Less at once, and ever a bit more so, more by halves: so that a line more or less does not go on forever.
            step = [one + i if one > 1 else one / 2 for one in over]
            width, height = max(width - step[0] / across, LEAST[0]), max(height - step[1] / down, LEAST[1])
            svg = _rendered(self.spec(sheet, width=width, height=height))
        if fits is None:
            least = "x".join(f"{max(one):g}" for one in zip(_size(svg), size, strict=True))
            raise ValueError(f"size={_text(size)}: at least {least} for {self.rows[0].title or 'the curves'}")
        whole = 'width="{0:g}" height="{1:g}" viewBox="0 0 {0:g} {1:g}"><rect width="{0:g}" height="{1:g}"'.format(
            *size
        )
        return re.sub(
            r'width="[^"]+" height="[^"]+" viewBox="[^"]+"><rect width="[^"]+" height="[^"]+"', whole, fits, count=1
        )

    def _columns(self, sheet: Sheet) -> int:
        most = max(len(row.panels) for row in self.rows)
        return 1 if sheet.size and sheet.size[0] < NARROW * most else most

    def _beside(self, sheet: Sheet, entries: Sequence[str]) -> bool:
        """Return whether the legend is beside the first row: it is neither higher than that nor takes much of the width."""
        if sheet.size is None:
            return ENTRY * len(entries) <= self.height + ENTRY
        width, height = sheet.size
        return ENTRY * len(entries) <= 0.7 * height and _room(entries) <= 0.3 * width

    def _row(self, row: Row, sheet: Sheet, size: Mapping[str, float]) -> Spec:
        panels = [{"layer": [_broken(layer, size) for layer in layers], **size} for layers in row.panels]
        across = self._columns(sheet) > 1
        joined: Spec = panels[0] if len(panels) == 1 else {"hconcat" if across else "vconcat": panels, "spacing": 32}
        if sheet.title == "":
            return joined
        task = row.task if sheet.title is None else sheet.title
        if sheet.title and len({one.task for one in self.rows}) > 1:
            task = f"{sheet.title} · {row.task}"
        heading = " · ".join(filter(None, [row.title, task]))
        if sheet.size is None:
            return {**joined, "title": {"text": heading, "subtitle": list(row.caption)}}
        return {**joined, "title": textwrap.wrap(heading, int((sheet.size[0] - 2 * PADDING) / HEADING))}


def _broken(layer: Spec, size: Mapping[str, float]) -> Spec:
    """Return a layer in which no axis has a longer title than itself: a long one has several lines."""
    ends = {"x": size["width"], "y": size["height"]}
    found = {
        name: {**channel, "title": textwrap.wrap(channel["title"], max(int(ends[name] / LETTER), 10))}
        for name, channel in layer["encoding"].items()
        if name in ends and LETTER * len(channel.get("title") or "") > ends[name]
    }
    return {**layer, "encoding": {**layer["encoding"], **found}}


def _entries(curves: Mapping[str, str], dense: pd.DataFrame | None) -> list[str]:
    return [*curves, *["dense network"] * (dense is not None and bool(dense["n"].any()))]


def _has_band(dense: pd.DataFrame | None) -> bool:
    return dense is not None and bool(dense["std"].notna().any())


def _room(entries: Sequence[str]) -> float:
    """Return the width of a legend's column with its line, mark and longest name."""
    return 43 + LETTER * max(map(len, entries)) + 12


def _legend(entries: Sequence[str], curves: Mapping[str, str], tables: Tables, *, across: float, band: bool) -> Spec:
    """Return a legend drawn by hand: Vega's own cannot show a line with its dash and its marker in one symbol.

    across: the width that its columns may take; 0: one column. band: whether that of the dense networks is drawn.
    """
    room = _room(entries)
    columns, start = max(int(across / room), 1), -AXIS if across else 0
    down = math.ceil(len(entries) / columns)
    places = pd.DataFrame(
        [
            {"curve": name, "row": i % down, **{key: start + room * (i // down) + x for key, x in PLACES.items()}}
            for i, name in enumerate(entries)
        ]
    )
    drawn, network = places.iloc[: len(curves)], places.iloc[len(curves) :]
    looks = scales(curves)
    x = {name: {"field": name, "type": "quantitative", "scale": None, "axis": None} for name in PLACES}
    ends = {"x": x["left"], "x2": {"field": "right"}}
    padding = {"paddingInner": 0.2, "paddingOuter": 0.1}
    y = {"field": "row", "type": "ordinal", "axis": None, "scale": padding}
    written = {"type": "text", "align": "left", "fontSize": 13, "color": INK}
    layers: list[tuple[Spec, Spec, Spec]] = [
        (
            tables.add(drawn),
            {"type": "rule", "strokeWidth": 2},
            {**ends, "color": looks["color"], "strokeDash": looks["dash"]},
        ),
        (
            tables.add(drawn),
            {"type": "point", "size": 52, "filled": True, "opacity": 1},
            {"x": x["middle"], "color": looks["color"], "shape": looks["shape"]},
        ),
    ]
    if len(network):
        grey = tables.add(network)
        layers += [(grey, {"type": "bar", "color": GREY, "opacity": 0.16, "height": 12}, ends)] * band
        layers.append((grey, {"type": "rule", "color": GREY, "strokeWidth": 1.2}, ends))
    layers.append((tables.add(places), written, {"x": x["text"], "text": {"field": "curve", "type": "nominal"}}))
    return {
        "layer": [{"data": data, "mark": mark, "encoding": {**at, "y": y}} for data, mark, at in layers],
        "width": max(34 + room * (columns - 1) + start, 34),
        "height": (DENSE_ENTRY if across else ENTRY) * down,
    }


def _rendered(spec: Mapping[str, Any]) -> str:
    import vl_convert  # here: code that only reads or prints numbers need not wait for a JavaScript engine

    svg: str = vl_convert.vegalite_to_svg(paint(spec))
    return svg


def _size(svg: str) -> tuple[float, float]:
    found = re.search(r'width="([\d.]+)" height="([\d.]+)"', svg)
    assert found, "an SVG of Vega's has a size"
    return float(found[1]), float(found[2])


def _text(size: tuple[float, float]) -> str:
    return "x".join(f"{one:g}" for one in size)
