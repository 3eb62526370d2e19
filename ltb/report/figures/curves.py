"""The figure of a set of ledgers: accuracy and early-stop step against density, one row of panels per task.

It shows every seed (small points), the mean over seeds (line), what the band is and over how many seeds,
and the dense networks as a horizontal band: mean ± one sample standard deviation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ltb.analysis import points, statistics
from ltb.common import files
from ltb.report.figures.marks import Spec, Tables, density_axis, extent, level_lines, marks, means
from ltb.report.figures.palette import GREY, INK, paint, scales, theme

if TYPE_CHECKING:
    import altair as alt

WIDTH, HEIGHT = 420, 290
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"


def save(rows: pd.DataFrame, folder: str | Path) -> list[Path]:
    """Write curves.png (twice the screen's resolution), curves.svg and curves.pdf into `folder`, which is made if need be.

    No browser and no network. A file is replaced as a whole: a reader during a run never sees half of it.
    """
    return draw(spec(rows), Path(folder), "curves")


def draw(figure: Mapping[str, Any], folder: Path, name: str) -> list[Path]:
    """Write a specification as `name`.png, .svg and .pdf into `folder`, in light colours."""
    import vl_convert  # here: code that only reads or prints numbers need not wait for a JavaScript engine

    svg = vl_convert.vegalite_to_svg(paint(figure))
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {
        f"{name}.png": vl_convert.svg_to_png(svg, scale=2, ppi=72),
        f"{name}.svg": svg.encode(),
        f"{name}.pdf": vl_convert.svg_to_pdf(svg),
    }
    return [files.write(folder / file, content) for file, content in drawn.items()]


def chart(rows: pd.DataFrame) -> alt.VConcatChart:
    """Return the figure as an Altair chart, which a notebook shows as is; ValueError if no row has a value to draw."""
    import json

    import altair as alt

    return alt.VConcatChart.from_dict(json.loads(paint(spec(rows))))


def spec(rows: pd.DataFrame) -> Spec:
    """Return the figure as a Vega-Lite specification; ValueError if no row has a value to draw."""
    drawn = points.table(rows)
    if drawn.empty:
        raise ValueError("no finished level to draw")
    dense = statistics.dense(rows)
    order = points.ranked(drawn)
    looks = scales(order)
    tables = Tables()
    tasks = sorted(drawn["task"].unique())
    panels = [_task(drawn[drawn["task"] == task], dense, looks, tables) for task in tasks]
    panels[0] = {"hconcat": [panels[0], legend(order, looks, tables, dense)]}
    return paper(panels, tables)


def paper(panels: Sequence[Spec], tables: Tables) -> Spec:
    """Return panels one above the other, on white, as a file shows them."""
    sheet = {"background": "white", "padding": 16, "config": theme()}
    return {"$schema": SCHEMA, "vconcat": list(panels), "spacing": 40, "datasets": tables, **sheet}


def legend(order: Sequence[str], looks: Mapping[str, Spec], tables: Tables, dense: pd.DataFrame | None = None) -> Spec:
    """Return a legend drawn by hand: Vega's own cannot show a line with its dash and its marker in one symbol."""
    network = pd.DataFrame({"curve": ["dense network"] * (dense is not None and bool(dense["n"].any()))})
    band = network if dense is not None and dense["std"].notna().any() else network.iloc[:0]
    curves = pd.DataFrame({"curve": list(order)})
    entries = pd.concat([curves, network], ignore_index=True)
    names, grey = tables.add(curves), tables.add(network)
    left, middle, right, text = ({"value": x} for x in (0, 17, 34, 43))
    padding = {"paddingInner": 0.2, "paddingOuter": 0.1}
    y = {"field": "curve", "type": "nominal", "sort": None, "axis": None, "scale": padding}
    written = {"type": "text", "align": "left", "fontSize": 13, "color": INK}
    layers: list[tuple[Spec, Spec, Spec]] = [
        (
            names,
            {"type": "rule", "strokeWidth": 2},
            {"x": left, "x2": right, "color": looks["color"], "strokeDash": looks["dash"]},
        ),
        (
            names,
            {"type": "point", "size": 52, "filled": True, "opacity": 1},
            {"x": middle, "color": looks["color"], "shape": looks["shape"]},
        ),
        (
            tables.add(band),
            {"type": "bar", "color": GREY, "opacity": 0.16, "height": 12},
            {"x": left, "x2": right},
        ),
        (grey, {"type": "rule", "color": GREY, "strokeWidth": 1.2}, {"x": left, "x2": right}),
        (tables.add(entries), written, {"x": text, "text": {"field": "curve", "type": "nominal"}}),
    ]
    return {
        "layer": [{"data": data, "mark": mark, "encoding": {**at, "y": y}} for data, mark, at in layers],
        "width": 34,
        "height": 24 * len(entries),
    }


def _task(points: pd.DataFrame, dense: pd.DataFrame, looks: Mapping[str, Spec], tables: Tables) -> Spec:
    task = str(points["task"].iloc[0])
    dense = dense[dense["task"] == task]
    panels = [
        {"layer": layers(points[points["kind"] == kind], dense, looks, kind, tables), "width": WIDTH, "height": HEIGHT}
        for kind in ("value", "early_stop_step")
        if (points["kind"] == kind).any()
    ]
    subtitle = [caption(points), *dense_caption(dense)]
    return {"hconcat": panels, "spacing": 32, "title": {"text": task, "subtitle": subtitle}}


def layers(
    points: pd.DataFrame, dense: pd.DataFrame, looks: Mapping[str, Spec], kind: str, tables: Tables, **page: Any
) -> list[Spec]:
    """Return the layers of the panel of one `kind` against density, with the dense band where it is the metric.

    `page`: what `marks.marks` takes for a page, and `drawn`, the means with their texts.
    """
    metric = str(points["metric"].iloc[0])
    percent = kind == "value" and "accuracy" in metric
    drawn = page.pop("drawn", None)
    drawn = means(points) if drawn is None else drawn
    ends = dense.assign(low=dense["mean"] - dense["std"], high=dense["mean"] + dense["std"])
    ends = ends[np.isfinite(ends["mean"])] if kind == "value" else ends.iloc[:0]
    shown = [*drawn["low"], *drawn["high"], *points["value"], *ends["low"], *ends["high"], *ends["mean"]]
    # Steps and losses do not go below 0, though a t band may.
    floor = 0.0 if float(points["value"].min()) >= 0 else float("-inf")
    scale = extent(shown, points["value"], floor=floor, ceiling=1.0 if percent else float("inf"))
    y = {
        "type": "quantitative",
        "title": f"Test {metric.replace('_', ' ')}" if kind == "value" else "Early-stop step (lowest validation loss)",
        "scale": scale,
        "axis": {"format": "~%" if percent else ",~f" if kind != "value" else "~g", "tickCount": 6},
    }
    x = density_axis(points["density"])
    seeds = points.loc[points["n"] > 1, ["curve", "density", "value"]]
    return [*level_lines(ends, tables, y), *marks(drawn, seeds, looks, x, y, tables, **page)]


def caption(points: pd.DataFrame) -> str:
    """Return a caption: what the line and the band are, over how many seeds, and what rings are where there are any."""
    ring = " Ringed: levels that diverged (loss nan or inf) in some seed." if points["diverged"].any() else ""
    least, most = int(points["n"].min()), int(points["n"].max())
    if most == 1:
        return f"One seed per curve (n = 1): the spread is not known.{ring}"
    n = f"n = {most} seeds" if least == most else f"n = {least} to {most} seeds"
    return f"Line: mean of {n}. Band: {band(points['n'])}. Small marks: single seeds.{ring}"


def band(n: pd.Series) -> str:
    """Return what a band or a bar is, where the numbers of seeds are these."""
    exception = " (minimum to maximum where n = 2)" if (n == 2).any() else ""
    return "minimum to maximum" if n.max() == 2 else f"95 % t interval of the mean{exception}"


def dense_caption(dense: pd.DataFrame) -> list[str]:
    """Return what the grey line and band are: mean ± sample standard deviation of the dense networks."""
    if dense.empty or not np.isfinite(dense["mean"].iloc[0]):
        return ["The dense network diverged."] if dense["diverged"].any() else []
    one = dense.iloc[0]
    lost = f"; {one['diverged']} more diverged" if one["diverged"] else ""
    scale, unit, digits = (100.0, " %", ".1f") if "accuracy" in one["quantity"] else (1.0, "", ".3g")
    mean = format(scale * one["mean"], digits)
    if one["n"] < 2:
        return [f"Grey: dense network, {mean}{unit} (n = 1{lost})."]
    spread = format(scale * one["std"], digits)
    return [f"Grey: dense network, {mean} ± {spread}{unit} (mean ± standard deviation, n = {one['n']}{lost})."]
