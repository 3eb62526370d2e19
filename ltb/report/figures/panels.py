"""The figures of a report: accuracy and early-stop step against density, relative to dense, by layer, against cost."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ltb.analysis import points
from ltb.analysis.findings import Contents
from ltb.report import notation
from ltb.report.figures import curves, layerwise
from ltb.report.figures.marks import Spec, Tables, density_axis, extent, level_lines, marks, means, two_as_range
from ltb.report.figures.palette import scales
from ltb.report.figures.panel import Panel
from ltb.report.notation import Notation

# The tooltip of the mean nearest to the pointer: column of `told` → title.
TOLD = {"curve": "curve", "at": "density", "said": "mean", "band": "95 % interval", "n": "n", "seeds": "by seed"}

# What starts a fit: the same step is not as much training for all of them.
EARLY = (
    "Steps are those of the dense run’s clock, of fine-tuning those from its own start; learning-rate rewinding and fine-tuning "
    "start from trained weights."
)
DRAWN = ["n", "diverged", "mean", "low", "high"]


def against_density(points: pd.DataFrame, dense: pd.DataFrame, looks: Mapping[str, Spec], kind: str) -> Panel:
    """Return the panel of a `kind` of `points.table` of one task against density."""
    its = points[points["kind"] == kind]
    metric = str(its["metric"].iloc[0])
    write = notation.of(metric) if kind == "value" else notation.STEPS
    caption = curves.caption(its)
    caption = " ".join([caption, *(curves.dense_caption(dense) if kind == "value" else [EARLY])])
    name = metric.replace("_", " ")
    drawn = told(means(its), its, write)

    def layers(tables: Tables, live: bool) -> list[Spec]:
        return curves.layers(its, dense, looks, kind, tables, drawn=drawn, live=live, tooltip=TOLD)

    title = f"Test {name} against density" if kind == "value" else "Early-stop step against density"
    return Panel(kind, str(its["task"].iloc[0]), title, caption, layers, *table(drawn, write))


def relative(points: pd.DataFrame, looks: Mapping[str, Spec], tolerance: float) -> Panel | None:
    """Return the panel of differences to the same run's dense network, where a seed's effect on all levels cancels."""
    its = points[points["kind"] == "value"]
    if its.empty:
        return None
    metric, down = str(its["metric"].iloc[0]), its["direction"].iloc[0] == "min"
    sound = its[(its["level"] == 0) & ~its["diverged"]]
    base = sound.drop_duplicates("run_id").set_index("run_id")["value"]
    gain = (its["value"] - its["run_id"].map(base)) * (-1.0 if down else 1.0)
    its = its.assign(value=gain + 0.0).dropna(subset="value")
    if its.empty:
        return None
    write = notation.difference(metric)
    drawn = told(means(its), its, write)
    percent = "accuracy" in metric
    ends = pd.DataFrame({"mean": [0.0], "low": [-tolerance], "high": [0.0]})
    number = "format(100 * datum.value, '~g')" if percent else "format(datum.value, '~g')"
    axis = {"tickCount": 6, "labelExpr": f"(datum.value > 0 ? '+' : '') + {number}"}
    y = {
        "type": "quantitative",
        "title": f"Better than dense by, test {metric.replace('_', ' ')}" + (" (points)" if percent else ""),
        "scale": extent([*drawn["low"], *drawn["high"], *its["value"], -tolerance], its["value"]),
        "axis": axis,
    }

    def layers(tables: Tables, live: bool) -> list[Spec]:
        seeds = its.loc[its["n"] > 1, ["curve", "density", "value"]]
        x = density_axis(its["density"])
        lines = level_lines(ends, tables, y)
        return [*lines, *marks(drawn, seeds, looks, x, y, tables, live=live, tooltip=TOLD)]

    turned = " (sign turned: lower is better)" if down else ""
    caption = (
        f"Each run against the dense network of its own seed{turned}; above 0 is better than dense. "
        f"Grey: worse by no more than the tolerance of {write(tolerance).removeprefix('+')}. {curves.caption(its)}"
    )
    title = f"Test {metric.replace('_', ' ')} relative to dense"
    return Panel("relative", str(its["task"].iloc[0]), title, caption, layers, *table(drawn, write))


def cost(spent: pd.DataFrame, points: pd.DataFrame, looks: Mapping[str, Spec]) -> Panel | None:
    """Return the panel of the metric against training spent to find the ticket; `spent`: one task's `cost.table`."""
    spent = spent[spent["curve"].isin(points["curve"]) & spent["search_steps"].notna() & np.isfinite(spent["mean"])]
    its = points[points["kind"] == "value"]
    if spent.empty or its.empty:
        return None
    metric = str(its["metric"].iloc[0])
    write = notation.of(metric)
    drawn = told(two_as_range(spent)[["curve", "level", "density", "search_steps", "search_flops", *DRAWN]], its, write)
    drawn["spent"] = [notation.STEPS(float(steps)) for steps in drawn["search_steps"]]
    drawn["flops"] = [notation.FLOPS(float(flops)) for flops in drawn["search_flops"]]
    drawn = drawn.drop(columns="search_flops")
    percent = "accuracy" in metric
    y = {
        "type": "quantitative",
        "title": f"Test {metric.replace('_', ' ')}",
        "scale": extent(
            [*drawn["low"], *drawn["high"], *drawn["mean"]], drawn["mean"], ceiling=1.0 if percent else math.inf
        ),
        "axis": {"format": "~%" if percent else "~g", "tickCount": 6},
    }
    x = {
        "field": "search_steps",
        "type": "quantitative",
        "title": "Training steps spent to find the ticket",
        "axis": {"format": ",~f", "labelOverlap": True, "tickCount": 5},
    }

    def layers(tables: Tables, live: bool) -> list[Spec]:
        told_too = {**TOLD, "spent": "steps spent", "flops": "FLOPs spent"}
        none = pd.DataFrame({"curve": [], "search_steps": [], "value": []})
        return marks(drawn, none, looks, x, y, tables, live=live, tooltip=told_too, area=False)

    caption = (
        "Steps of training spent before the ticket's own, its ancestors once each: what finding it costs. Their FLOPs "
        "are those of dense steps, forward and backward: masks save none. "
        "A line follows one curve from the dense network to its sparsest ticket."
    )
    caption += f" Bars: {curves.band(drawn['n'])}." if drawn["n"].max() > 1 else ""
    heads, cells = table(drawn, write)
    cells = [[*row, *spent] for row, *spent in zip(cells, drawn["spent"], drawn["flops"], strict=True)]
    title = f"Test {metric.replace('_', ' ')} against search cost"
    return Panel(
        "cost", str(its["task"].iloc[0]), title, caption, layers, [*heads, "steps spent", "FLOPs spent"], cells
    )


def told(drawn: pd.DataFrame, points: pd.DataFrame, write: Notation) -> pd.DataFrame:
    """Return means with the texts of their tooltips: `at` (density), `said` (mean), `band`, `seeds`."""
    pairs = {
        key: notation.each(list(zip(one["seed"], one["value"], strict=True)), write.bare)
        for key, one in points.groupby(["curve", "level"], sort=False)
    }
    kept = drawn[[name for name in drawn.columns if name not in ("std", "min", "max")]]
    return kept.assign(
        at=[notation.density(value) for value in drawn["density"]],
        said=[
            write(value) + notation.diverged(lost, n)
            for value, lost, n in zip(drawn["mean"], drawn["diverged"], drawn["n"], strict=True)
        ],
        band=[
            write.interval(low, high) + " (min to max)" * (n == 2)
            for low, high, n in zip(drawn["low"], drawn["high"], drawn["n"], strict=True)
        ],
        seeds=[pairs.get(key, "") for key in zip(drawn["curve"], drawn["level"], strict=True)],
    )


def table(drawn: pd.DataFrame, write: Notation) -> tuple[list[str], list[list[str]]]:
    """Return the head and the cells of the table behind a figure: curve, density, n, mean, interval."""
    heads = ["curve", "density", "n", "mean", "95 % interval"]
    fields = ("curve", "at", "n", "said", "band")
    return heads, [[str(one) for one in row] for row in drawn[list(fields)].itertuples(index=False)]


def panels(found: Contents) -> tuple[list[Panel], list[str]]:
    """Return all figures of all tasks, and the curves from best to worst."""
    order = points.ranked(found.points)
    looks = scales(order)
    drawn: list[Panel | None] = []
    for task in found.tasks:
        its, dense, spent, parts = (
            table[table["task"] == task] for table in (found.points, found.dense, found.cost, found.densities)
        )
        drawn += [
            against_density(its, dense, looks, kind)
            for kind in ("value", "early_stop_step")
            if (its["kind"] == kind).any()
        ]
        drawn.append(relative(its, looks, found.tolerances[task].value))
        drawn.append(layerwise.panel(parts, looks, order))
        drawn.append(cost(spent, its, looks))
    return [panel for panel in drawn if panel], order
