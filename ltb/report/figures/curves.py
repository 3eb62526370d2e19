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
from ltb.report.figures import equal
from ltb.report.figures.marks import Spec, Tables, density_axis, extent, level_lines, marks, means
from ltb.report.figures.palette import paint, scales
from ltb.report.figures.sheet import Figure, Row

if TYPE_CHECKING:
    import altair as alt

WIDTH, HEIGHT = 420, 290


def save(rows: pd.DataFrame, folder: str | Path) -> list[Path]:
    """Write curves.png (twice the screen's resolution), curves.svg and curves.pdf into `folder`, which is made if need be.

    No browser and no network. A file is replaced as a whole: a reader during a run never sees half of it.
    """
    return write(pictures(figure(rows).svg(), "curves"), Path(folder))


def pictures(svg: str, name: str) -> dict[str, bytes]:
    """Return a figure as the contents of `name`.png, .svg and .pdf."""
    import vl_convert  # here: code that only reads or prints numbers need not wait for a JavaScript engine

    return {
        f"{name}.png": vl_convert.svg_to_png(svg, scale=2, ppi=72),
        f"{name}.svg": svg.encode(),
        f"{name}.pdf": vl_convert.svg_to_pdf(svg),
    }


def write(contents: Mapping[str, bytes], folder: Path) -> list[Path]:
    """Write files by name into `folder`, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    return [files.write(folder / name, content) for name, content in contents.items()]


def chart(rows: pd.DataFrame) -> alt.VConcatChart:
    """Return the figure as an Altair chart, which a notebook shows as is; ValueError if no row has a value to draw."""
    import json

    import altair as alt

    return alt.VConcatChart.from_dict(json.loads(paint(figure(rows).spec())))


def figure(rows: pd.DataFrame, order: Sequence[str] = ()) -> Figure:
    """Return the figure, its curves in `order` or from best to worst; ValueError if no row has a value to draw."""
    drawn = points.table(rows)
    if drawn.empty:
        raise ValueError("no finished level to draw")
    dense = statistics.dense(rows)
    named = points.curves(drawn, order)
    looks = scales(named)
    tables = Tables()
    tasks = sorted(drawn["task"].unique())
    each = [_task(drawn[drawn["task"] == task], dense, looks, tables) for task in tasks]
    return Figure(each, tables, named, WIDTH, HEIGHT, dense)


def _task(points: pd.DataFrame, dense: pd.DataFrame, looks: Mapping[str, Spec], tables: Tables) -> Row:
    task = str(points["task"].iloc[0])
    dense = dense[dense["task"] == task]
    kinds = [kind for kind in ("value", "early_stop_step") if (points["kind"] == kind).any()]
    panels = [layers(points[points["kind"] == kind], dense, looks, kind, tables) for kind in kinds]
    return Row("", task, [caption(points), *dense_caption(dense), *_equal(points, kinds)], panels)


def _equal(points: pd.DataFrame, kinds: Sequence[str]) -> list[str]:
    """Return the sentence on the curves that lie on each other, one a panel where they are not the same ones."""
    found = {kind: equal.groups(means(points[points["kind"] == kind]), ["density"]) for kind in kinds}
    if all(groups == found[kinds[0]] for groups in found.values()):
        return list(filter(None, [equal.listed(found[kinds[0]])]))
    names = {
        "value": f"Equal test {points['metric'].iloc[0]}".replace("_", " "),
        "early_stop_step": "Equal early-stop step",
    }
    return [equal.listed(groups, names[kind]) for kind, groups in found.items() if groups]


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
    """Return a caption: what line and band are, over how many seeds, and rings and single points where there are any."""
    ring = " Ringed: levels that diverged (loss nan or inf) in some seed." if points["diverged"].any() else ""
    small = points.groupby("curve")["level"].transform("max").eq(0) & (points["density"] < 1)
    ring += " Single points: small dense networks, at their share of the dense one’s parameters." if small.any() else ""
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
