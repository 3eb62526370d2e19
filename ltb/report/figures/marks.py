"""One panel of a figure as Vega-Lite: every seed, the mean over seeds and its band, against whatever is on the x axis.

A panel is drawn in two ways: `live` on a page, where its signal `picked` (a list of curves; [] is all) fades the others
and a tooltip describes what is under the pointer, or still, in a file. Specifications are plain data, drawn without
Altair and its checks, which cost a run's last figure half a second; a test checks them against Vega-Lite's schema.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

from ltb.analysis import statistics
from ltb.report.figures import equal
from ltb.report.figures.palette import GREY

Spec = dict[str, Any]
FADED = "length(picked) > 0 && indexof(picked, datum.curve) < 0"
CROWDED = 4  # from this many curves on, marks and bands are lighter


class Tables(dict[str, list[dict[str, Any]]]):
    """The rows that layers draw, by name at the top of a specification: each table once for all layers that draw it."""

    def add(self, table: pd.DataFrame) -> Spec:
        """Name a table and return a reference to it; what is not finite becomes null, numbers keep six digits,
        more than a screen resolves.
        """
        columns = {str(column): [_cell(value) for value in table[column]] for column in table.columns}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        name = next((known for known, others in self.items() if others == rows), f"table{len(self)}")
        self[name] = rows
        return {"name": name}


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return None if value is pd.NA else value.item() if hasattr(value, "item") else value


def means(points: pd.DataFrame) -> pd.DataFrame:
    """Return mean over seeds and band of each point of each curve, with the mean density, and how many seeds diverged.

    The band is the 95 % t interval, minimum to maximum for two seeds, nothing (NaN) for one.
    """
    groups = points.groupby(["curve", "level"], sort=False)
    others = groups["density"].mean().to_frame().join(groups["diverged"].sum())
    return two_as_range(statistics.spread(groups["value"]).join(others).reset_index())


def two_as_range(table: pd.DataFrame) -> pd.DataFrame:
    """Return `statistics.spread`, with minimum and maximum for two seeds, whose t interval is ±12.7 standard errors."""
    two = table["n"] == 2
    return table.assign(low=table["low"].mask(two, table["min"]), high=table["high"].mask(two, table["max"]))


def marks(
    drawn: pd.DataFrame,
    seeds: pd.DataFrame,
    scales: Mapping[str, Spec],
    x: Spec,
    y: Spec,
    tables: Tables,
    *,
    tooltip: Mapping[str, str] = MappingProxyType({}),
    live: bool = False,
    area: bool = True,
    line: bool = True,
    beside: Spec | None = None,
) -> list[Spec]:
    """Return the layers of a panel, back to front: bands, seeds, lines, means and, if live, what the pointer finds.

    `drawn`: one row a mean (curve, mean, low, high, x's field, and `level`, along which a `line` goes); `seeds`: one
    row a seed (curve, value and x's field). A band is an `area` where x grows along the curve, else a bar at each mean.
    Curves that lie on each other have a rim around the next. A mean of which some seeds `diverged` has a ring. `tooltip`: field →
    title; `beside`: the channel that puts marks of one x beside each other.
    """
    many = drawn["curve"].nunique() > CROWDED
    color, dash, shape = scales["color"], scales["dash"], scales["shape"]
    same = [] if beside else equal.groups(drawn, [x["field"], *(["stop"] if "stop" in drawn else [])])
    rims: dict[str, Spec] = {}
    if same:
        drawn = equal.layered(drawn, same, color["scale"]["domain"])
        rims = {
            name: {"field": name, "type": "quantitative", "scale": None, "legend": None} for name in ("width", "size")
        }
    mean = tables.add(drawn)
    known = drawn.dropna(subset=["low", "high"])
    band = {"type": "area", "clip": True} if area else {"type": "rule", "clip": True, "strokeWidth": 1.4}
    opacity = (0.08 if many else 0.13) if area else 0.5
    faint = 0.2 if many else 0.45
    # Only bands may reach beyond a panel; a clipped mark costs a canvas of its own where files are drawn.
    path: Spec = {"type": "line", "strokeJoin": "round"} | ({} if same else {"strokeWidth": 2})
    dot = {"type": "point", "filled": True}
    value, low, middle = ({**y, "field": name} for name in ("value", "low", "mean"))
    place = {"x": x, "color": color} | ({"xOffset": beside} if beside else {})
    point = {**place, "shape": shape}
    layers: list[Spec] = []
    if len(known):
        layers.append(_layer(tables.add(known), band, {**place, "y": low, "y2": {"field": "high"}}, opacity, live))
    if len(seeds):
        layers.append(_layer(tables.add(seeds), {**dot, "size": 11}, {**point, "y": value}, faint, live, hovered=0.95))
    if line:
        along = {"x": x, "y": middle, "color": color, "strokeDash": dash}
        along["order"] = {"field": "level", "type": "quantitative"}
        along |= {"strokeWidth": rims["width"]} if rims else {}
        layers.append(_layer(mean, path, along, 1, live))
    sized = {**point, "y": middle} | ({"size": rims["size"]} if rims else {})
    layers.append(_layer(mean, {**dot, "size": 40 if many else 52}, sized, 1, live))
    lost = drawn[drawn["diverged"] > 0] if "diverged" in drawn else drawn.iloc[:0]
    if len(lost):
        ring = {"type": "point", "filled": False, "shape": "circle", "size": 170, "strokeWidth": 1.4}
        layers.append(_layer(tables.add(lost), ring, {**place, "y": middle}, 1, live))
    del place["color"]
    return [*layers, _finder(mean, {**place, "y": middle}, tooltip)] if live else layers


def _layer(data: Spec, mark: Spec, encoding: Spec, opacity: float, live: bool, hovered: float | None = None) -> Spec:
    if not live:
        # Opacity of the fill or the stroke: in files, each mark with an opacity of the whole costs a canvas of its own.
        part = "strokeOpacity" if mark["type"] in ("line", "rule") else "fillOpacity"
        return {"data": data, "mark": {**mark, "opacity": 1, part: opacity}, "encoding": encoding}
    conditions: list[Spec] = [{"test": FADED, "value": 0.1 * opacity}]
    if hovered is not None:
        conditions.append({"param": "hover", "empty": False, "value": hovered})
    if opacity < 1:  # a band or seeds alone need not be as faint as among many
        conditions.append({"test": "length(picked) > 0", "value": max(1.5 * opacity, 0.18)})
    shown = {"condition": conditions, "value": opacity}
    return {"data": data, "mark": mark, "encoding": {**encoding, "opacity": shown}}


def _finder(data: Spec, at: Mapping[str, Spec], tooltip: Mapping[str, str]) -> Spec:
    """Return an invisible mark at each mean that is not faded; the nearest to the pointer shows its tooltip."""
    hover = {"type": "point", "fields": ["curve"], "on": "pointerover", "clear": "pointerout", "nearest": True}
    return {
        "data": data,
        "transform": [{"filter": f"!({FADED})"}],
        "params": [{"name": "hover", "select": hover}],
        "mark": {"type": "point", "filled": True, "opacity": 0, "size": 90},
        "encoding": {**at, "detail": {"field": "curve"}, "tooltip": _told(tooltip)},
    }


def _told(tooltip: Mapping[str, str]) -> Spec:
    """Return a tooltip's row by titles: a mark's, or that of the cell around the pointer, whose datum is the mark."""
    pairs = ", ".join(f"{title!r}: (datum.datum || datum).{field}" for field, title in tooltip.items())
    return {"value": {"expr": f"{{{pairs}}}"}}


def level_lines(table: pd.DataFrame, tables: Tables, y: Spec) -> list[Spec]:
    """Return a grey line across the panel at each `mean`, in a band from `low` to `high` where both are known."""
    if table.empty:
        return []
    band = {"y": {**y, "field": "low"}, "y2": {"field": "high"}}
    known = table.dropna(subset=["low", "high"])
    line = {"type": "rule", "color": GREY, "strokeWidth": 1.2}
    layers: list[Spec] = [{"data": tables.add(table), "mark": line, "encoding": {"y": {**y, "field": "mean"}}}]
    if len(known):
        rect = {"type": "rect", "color": GREY, "opacity": 1, "fillOpacity": 0.16, "clip": True}
        layers.insert(0, {"data": tables.add(known), "mark": rect, "encoding": band})
    return layers


def extent(values: Iterable[float], points: pd.Series, *, floor: float = -math.inf, ceiling: float = math.inf) -> Spec:
    """Return the scale of a y axis: what is drawn and a margin, within [floor, ceiling]; a t band far wider than the
    seeds' own range (3 seeds: 2.5 standard deviations each way) is cut rather than flattening all curves."""
    known = [value for value in values if math.isfinite(value)]
    least, most = float(points.min()), float(points.max())
    room = 0.5 * (most - least) or 0.02 * abs(most) or 1.0
    low, high = max(min(known), least - room), min(max(known), most + room)
    margin = 0.06 * (high - low) or room
    return {"domain": [max(low - margin, floor), min(high + margin, ceiling)], "zero": False, "nice": False}


def round_densities(least: float) -> list[float]:
    """Return the ticks of a log axis from `least` to 1: the further it reaches, the fewer in a decade."""
    decades = range(math.floor(math.log10(least)), 1)
    steps = (1,) if least < 1e-3 else (1, 2, 5) if least < 0.1 else (1, 2, 3, 5, 7)
    ticks = [round(step * 10.0**decade, 12) for decade in decades for step in steps]
    return [tick for tick in ticks if least * 0.98 <= tick <= 1]


def density_axis(density: pd.Series) -> Spec:
    """Return a log axis from the dense network on the left to the sparsest on the right, with round percentages."""
    least = min(float(density.min()), 0.5)
    axis = {"values": round_densities(least), "format": "~%", "labelOverlap": True}
    domain = [least * 0.93, 1.05]
    return {
        "field": "density",
        "type": "quantitative",
        "title": "Weights remaining (log scale)",
        "axis": axis,
        "scale": {"type": "log", "domain": domain, "reverse": True, "nice": False},
    }
