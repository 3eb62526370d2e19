"""The figure of a set of ledgers: accuracy and early-stop step against density, one row of panels per task.

The reader sees every seed (small points), the mean over seeds (line), what the band is and over how many seeds,
and the dense networks as a horizontal band: mean ± one sample standard deviation.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from ltb.results import statistics

# Okabe & Ito (2008) without its yellow, which fades on white, and with a wine red of P. Tol's in its place.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#882255")
# Colour is never alone: dash and shape repeat with other periods, so that 8 × 7 curves are still told apart.
DASHES = ([1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [4, 2], [12, 3], [6, 2, 2, 2, 2, 2])
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"
INK, GREY, PALE = "#1a1a1a", "#5f5f5f", "#e6e6e6"
WIDTH, HEIGHT = 420, 290


def save(rows: pd.DataFrame, folder: str | Path) -> list[Path]:
    """Write curves.png (twice the screen's resolution) and curves.svg into `folder`, which is made if need be.

    No browser and no network. A file is replaced as a whole: who looks at it during a run never sees half of it.
    """
    svg = vl_convert.vegalite_to_svg(chart(rows).to_dict())
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {"curves.png": vl_convert.svg_to_png(svg, scale=2, ppi=72), "curves.svg": svg.encode()}
    for name, content in drawn.items():
        temporary = folder / f".{name}.{os.getpid()}"
        temporary.write_bytes(content)
        temporary.replace(folder / name)
    return [folder / name for name in drawn]


def chart(rows: pd.DataFrame) -> alt.VConcatChart:
    """The figure as an Altair chart (a notebook shows it as it is); ValueError if no row has a value to draw."""
    points = _points(rows)
    if points.empty:
        raise ValueError("no finished level to draw")
    dense = statistics.dense(rows)
    order = _order(points)
    scales = _scales(order)
    tables = _Tables()
    tasks = sorted(points["task"].unique())
    panels = [_task(points[points["task"] == task], dense, scales, tables) for task in tasks]
    panels[0] |= _legend(order, dense, scales, tables)
    paper = {"background": "white", "padding": 16, "config": _theme()}
    return alt.vconcat(*panels, spacing=40, datasets=dict(tables), **paper)


def _points(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per seed and point of what is drawn; the dense network alone is not a curve unless nothing else is."""
    long = statistics.tidy(rows)
    long = long[long["kind"].isin(["value", "early_stop_step"]) & (long["density"] > 0)]
    names = [
        statistics.name(*map(str, key)) for key in zip(long["method"], long["control"], long["variant"], strict=True)
    ]
    long = long.assign(curve=names)
    long["n"] = long.groupby(["task", "kind", "curve", "level"])["run_id"].transform("nunique")
    pruned = long.groupby(["task", "curve"])["level"].transform("max") > 0
    return long[pruned] if pruned.any() else long


def _order(points: pd.DataFrame) -> list[str]:
    """Curves from best to worst at their sparsest common point: the legend reads as the right end of the figure."""
    value = points[points["kind"] == "value"]
    sign = value["direction"].map({"max": 1.0, "min": -1.0})
    value = value.assign(value=sign * value["value"])
    common = value.groupby(["task", "curve"])["sparsity"].max().groupby("task").transform("min").min()
    there = value[value["sparsity"] >= common - 1e-9]
    scores = there.sort_values("sparsity").groupby(["task", "curve", "run_id"])["value"].first()
    ranks = scores.groupby(["task", "curve"]).mean().groupby("task").rank(ascending=False)
    order = ranks.groupby("curve").mean().sort_values(kind="stable").index
    return [*order, *sorted(set(points["curve"]) - set(order))]


def _scales(order: Sequence[str]) -> dict[str, Any]:
    """Colour, dash and shape of each curve; by name, so that the legend's order does not recolour a figure."""
    place = {curve: i for i, curve in enumerate(sorted(order))}

    def scale(values: Sequence[Any]) -> alt.Scale:
        return alt.Scale(domain=list(order), range=[values[place[curve] % len(values)] for curve in order])

    return {
        "color": alt.Color("curve:N", scale=scale(PALETTE), legend=None),
        "dash": alt.StrokeDash("curve:N", scale=scale(DASHES), legend=None),
        "shape": alt.Shape("curve:N", scale=scale(SHAPES), legend=None),
    }


def _legend(order: Sequence[str], dense: pd.DataFrame, scales: dict[str, Any], tables: _Tables) -> alt.LayerChart:
    """Drawn by hand: Vega's own legend cannot show a line with its dash and its marker in one symbol."""
    entries = pd.DataFrame({"curve": [*order, *["dense network"] * (not dense.empty)]})
    y = alt.Y("curve:N", sort=None, axis=None, scale=alt.Scale(paddingInner=0.2, paddingOuter=0.1))
    left, middle, right, text = (alt.value(x) for x in (0, 17, 34, 43))
    curves, network = tables.add(entries.iloc[: len(order)]), tables.add(entries.iloc[len(order) :])
    band = network if dense["std"].notna().any() else tables.add(entries.iloc[:0])
    layers = [
        alt.Chart(curves)
        .mark_rule(strokeWidth=2)
        .encode(x=left, x2=right, color=scales["color"], strokeDash=scales["dash"]),
        alt.Chart(curves)
        .mark_point(size=52, filled=True, opacity=1)
        .encode(x=middle, color=scales["color"], shape=scales["shape"]),
        alt.Chart(band).mark_bar(color=GREY, opacity=0.16, height=12).encode(x=left, x2=right),
        alt.Chart(network).mark_rule(color=GREY, strokeWidth=1.2).encode(x=left, x2=right),
        alt.Chart(tables.add(entries)).mark_text(align="left", fontSize=13, color=INK).encode(x=text, text="curve:N"),
    ]
    return alt.LayerChart(layer=[layer.encode(y=y) for layer in layers], width=34, height=24 * len(entries))


def _task(points: pd.DataFrame, dense: pd.DataFrame, scales: dict[str, Any], tables: _Tables) -> alt.HConcatChart:
    task = str(points["task"].iloc[0])
    dense = dense[dense["task"] == task]
    panels = [
        _panel(points[points["kind"] == kind], dense, scales, kind, tables)
        for kind in ("value", "early_stop_step")
        if (points["kind"] == kind).any()
    ]
    subtitle = [_caption(points), *_dense_caption(dense)]
    return alt.hconcat(*panels, spacing=32, title=alt.TitleParams(task, subtitle=subtitle))


def _caption(points: pd.DataFrame) -> str:
    """What the line and the band are, and over how many seeds."""
    least, most = int(points["n"].min()), int(points["n"].max())
    if most == 1:
        return "One seed per curve (n = 1): the spread is not known."
    n = f"n = {most} seeds" if least == most else f"n = {least} to {most} seeds"
    if most == 2:
        return f"Line: mean of {n}. Band: minimum to maximum. Small marks: single seeds."
    exception = " (minimum to maximum where n = 2)" if (points["n"] == 2).any() else ""
    return f"Line: mean of {n}. Band: 95% t interval of the mean{exception}. Small marks: single seeds."


def _dense_caption(dense: pd.DataFrame) -> list[str]:
    """What the grey line and band are: mean ± sample standard deviation of the dense networks."""
    if dense.empty:
        return []
    one = dense.iloc[0]
    scale, unit, digits = (100.0, "%", ".1f") if "accuracy" in one["quantity"] else (1.0, "", ".3g")
    mean = format(scale * one["mean"], digits)
    if one["n"] < 2:
        return [f"Grey: dense network, {mean}{unit} (n = 1)."]
    spread = format(scale * one["std"], digits)
    return [f"Grey: dense network, {mean} ± {spread}{unit} (mean ± standard deviation, n = {one['n']})."]


def _panel(
    points: pd.DataFrame, dense: pd.DataFrame, scales: dict[str, Any], kind: str, tables: _Tables
) -> alt.LayerChart:
    metric = str(points["metric"].iloc[0])
    percent = kind == "value" and "accuracy" in metric
    means = _means(points)
    dense = dense if kind == "value" else dense.iloc[:0]
    limits = _extent([*means["low"], *means["high"], *points["value"], *_edges(dense)], points, percent)
    scale = alt.Scale(domain=list(limits), zero=False, nice=False)
    axis = alt.Axis(format="~%" if percent else ",~f" if kind != "value" else "~g", tickCount=6)
    title = f"Test {metric.replace('_', ' ')}" if kind == "value" else "Early-stop step (lowest validation loss)"
    x = alt.X("density:Q", title="Weights remaining (log scale)", **_density_axis(points["density"]))

    def y(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title=title, scale=scale, axis=axis)

    color, dash, shape = scales["color"], scales["dash"], scales["shape"]
    tip = [alt.Tooltip("curve:N"), alt.Tooltip("density:Q", format=".2%")]
    drawn = tables.add(means)
    crowded = points["curve"].nunique() > 4
    band = alt.Chart(tables.add(means.dropna(subset="low"))).mark_area(opacity=0.08 if crowded else 0.13, clip=True)
    seeds = alt.Chart(tables.add(points[points["n"] > 1])).mark_point(size=11, filled=True, opacity=0.45, clip=True)
    line = alt.Chart(drawn).mark_line(strokeWidth=2, clip=True)
    mean = alt.Chart(drawn).mark_point(size=40 if crowded else 52, filled=True, opacity=1, clip=True)
    layers = [
        *_dense_layers(dense, y, tables),
        band.encode(x=x, y=y("low"), y2="high:Q", color=color),
        seeds.encode(x=x, y=y("value"), color=color, shape=shape, tooltip=[*tip, "seed:N", "value:Q"]),
        line.encode(x=x, y=y("mean"), color=color, strokeDash=dash),
        mean.encode(x=x, y=y("mean"), color=color, shape=shape, tooltip=[*tip, "mean:Q", "n:Q"]),
    ]
    return alt.LayerChart(layer=layers, width=WIDTH, height=HEIGHT)


def _dense_layers(dense: pd.DataFrame, y: Callable[[str], alt.Y], tables: _Tables) -> list[alt.Chart]:
    """The dense networks across the whole panel: a grey band of mean ± std (from two seeds on), a line at the mean."""
    if dense.empty:
        return []
    ends = dense.assign(low=dense["mean"] - dense["std"], high=dense["mean"] + dense["std"])
    band = alt.Chart(tables.add(ends.dropna(subset="low"))).mark_rect(color=GREY, opacity=0.16, clip=True)
    line = alt.Chart(tables.add(ends)).mark_rule(color=GREY, strokeWidth=1.2)
    return [band.encode(y=y("low"), y2="high:Q"), line.encode(y=y("mean"))]


def _means(points: pd.DataFrame) -> pd.DataFrame:
    """Mean and band of each point: 95 % t interval, minimum to maximum for two seeds, nothing (NaN) for one."""
    groups = points.groupby(["curve", "level"], sort=False)
    table = statistics.spread(groups["value"]).join(groups["density"].mean()).reset_index()
    two = table["n"] == 2
    return table.assign(low=table["low"].mask(two, table["min"]), high=table["high"].mask(two, table["max"]))


def _edges(dense: pd.DataFrame) -> list[float]:
    spread = dense["std"].fillna(0.0)
    return [*(dense["mean"] - spread), *(dense["mean"] + spread)]


def _extent(values: Iterable[float], points: pd.DataFrame, percent: bool) -> tuple[float, float]:
    """Limits of the y axis: what is drawn and a margin; no further than the values can go; a t band that is far wider
    than the seeds' own range (3 seeds: 2.5 standard deviations each way) is cut rather than flattening all curves."""
    known = [value for value in values if not math.isnan(value)]
    least, most = float(points["value"].min()), float(points["value"].max())
    room = 0.5 * (most - least) or 0.02 * abs(most) or 1.0
    low, high = max(min(known), least - room), min(max(known), most + room)
    margin = 0.06 * (high - low) or room
    low, high = low - margin, high + margin
    if least >= 0:
        low = max(low, 0.0)  # steps and losses do not go below 0, though a t band may
    return (low, min(high, 1.0)) if percent else (low, high)


def _density_axis(density: pd.Series) -> dict[str, Any]:
    """A log axis from the dense network on the left down to the sparsest on the right, with round percentages."""
    least = min(float(density.min()), 0.5)
    decades = range(math.floor(math.log10(least)), 1)
    # 1-2-5 ticks collide over more than three decades.
    steps = (1, 2, 5) if least >= 1e-3 else (1,)
    ticks = [round(step * 10.0**decade, 12) for decade in decades for step in steps]
    shown = [tick for tick in ticks if least * 0.98 <= tick <= 1]
    axis = alt.Axis(values=shown, format="~%", labelOverlap=True)
    domain = [least * 0.93, 1.05]
    return {"axis": axis, "scale": alt.Scale(type="log", domain=domain, reverse=True, nice=False)}


class _Tables(dict[str, list[dict[str, Any]]]):
    """The rows that layers draw, by name at the top of the figure: no limit on their number, no file beside it.

    (Altair copies rows held in a layer at every step of composing the figure: seconds, for a large study.)
    """

    def add(self, table: pd.DataFrame) -> alt.NamedData:
        name = f"table{len(self)}"
        records = table.to_dict(orient="records")  # JSON has no NaN: null
        self[name] = [{str(k): None if pd.isna(v) else v for k, v in one.items()} for one in records]
        return alt.NamedData(name)


def _theme() -> dict[str, Any]:
    """Sizes that stay legible when the figure is set to a page's width."""
    return {
        "font": FONT,
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
