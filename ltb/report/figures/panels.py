"""The figures of a report: accuracy and early-stop step against density, relative to dense, by layer, against cost."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ltb.analysis.findings import Contents
from ltb.report import notation
from ltb.report.figures import curves, equal, layerwise
from ltb.report.figures import spent as spending
from ltb.report.figures.marks import Spec, Tables, density_axis, extent, level_lines, marks, means
from ltb.report.figures.palette import scales
from ltb.report.figures.panel import Panel
from ltb.report.figures.told import TOLD, table, told

# What starts a fit: the same step is not as much training for all of them.
EARLY = (
    "Steps are those of the dense run’s clock, of fine-tuning those from its own start; learning-rate rewinding and fine-tuning "
    "start from trained weights."
)


def against_density(points: pd.DataFrame, dense: pd.DataFrame, looks: Mapping[str, Spec], kind: str) -> Panel:
    """Return the panel of a `kind` of `points.table` of one task against density."""
    its = points[points["kind"] == kind]
    metric = str(its["metric"].iloc[0])
    write = notation.of(metric) if kind == "value" else notation.STEPS
    caption = curves.caption(its)
    name = metric.replace("_", " ")
    drawn = told(means(its), its, write)
    more = curves.dense_caption(dense) if kind == "value" else [EARLY]
    caption = " ".join(filter(None, [caption, *more, equal.listed(equal.groups(drawn, ["density"]))]))

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
        f"Grey: worse by no more than the tolerance of {write(tolerance).removeprefix('+')}. {curves.caption(its)} "
        f"{equal.listed(equal.groups(drawn, ['density']))}"
    ).rstrip()
    title = f"Test {metric.replace('_', ' ')} relative to dense"
    return Panel("relative", str(its["task"].iloc[0]), title, caption, layers, *table(drawn, write))


def panels(found: Contents) -> list[Panel]:
    """Return all figures of all tasks."""
    looks = scales(found.curves)
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
        drawn.append(layerwise.panel(parts, looks, list(found.curves)))
        drawn.append(spending.panel(spent, its, dense, looks, list(found.curves)))
    return [panel for panel in drawn if panel]
