"""The figure of the metric against the training that a ticket costs, at one density of the whole network at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ltb.report import notation
from ltb.report.figures import curves, equal
from ltb.report.figures.marks import Spec, Tables, extent, level_lines, marks, two_as_range
from ltb.report.figures.panel import HEIGHT, WIDTH, Panel
from ltb.report.figures.stops import at, shared, stops
from ltb.report.figures.told import TOLD, table, told

COLUMNS = [
    *("curve", "level", "stop", "density", "search_steps", "total_steps", "total_flops"),
    *("n", "diverged", "mean", "low", "high"),
]
COSTS = {"search": "search steps", "total": "steps in all", "flops": "FLOPs in all"}
LETTER, LINE, MARK = 7.5, 15, 6  # of a label: a letter's width, a line's height, and half a mark's
CAPTION = (
    "Each mark: a curve’s ticket at one density of the whole network, against all training that it costs: that spent to find it, "
    "its ancestors once each and what scoring costs, and its own. FLOPs, among the numbers, are those of dense steps, forward and "
    "backward: masks save none."
)


def panel(
    spent: pd.DataFrame, points: pd.DataFrame, dense: pd.DataFrame, looks: Mapping[str, Spec], order: Sequence[str]
) -> Panel | None:
    """Return the figure of one task from its `cost.table`; None where no cost of a drawn curve was recorded."""
    its = points[points["kind"] == "value"]
    known = spent["curve"].isin(its["curve"]) & spent["total_steps"].gt(0) & np.isfinite(spent["mean"])
    spent = two_as_range(spent[known & spent["density"].gt(0)])
    drawn = _placed(spent[spent["level"] > 0], order)
    if drawn.empty:
        return None
    metric = str(its["metric"].iloc[0])
    write = notation.of(metric)
    shown = _written(told(drawn[COLUMNS], its, write)).drop(columns="total_flops")
    lines = dense.assign(low=math.nan, high=math.nan)[np.isfinite(dense["mean"])]
    x, y = _cost(drawn["total_steps"]), _value(drawn, lines["mean"], metric)
    stop = shared(drawn)

    def layers(tables: Tables, live: bool) -> list[Spec]:
        none = pd.DataFrame({"curve": [], "total_steps": [], "value": []})
        found = marks(shown, none, looks, x, y, tables, live=live, tooltip=TOLD | COSTS, area=False, line=False)
        for one in found:
            one["transform"] = [at(stop, live), *one.get("transform", [])]
        names = [] if live else _labels(drawn[drawn["stop"] == stop], x, y, looks, tables)
        return [*level_lines(lines, tables, y), *found, *names]

    caption = [CAPTION, *["Grey, across: the dense network."] * bool(len(lines))]
    caption += [f"Bars: {curves.band(drawn['n'])}."] if drawn["n"].max() > 1 else []
    caption.append(equal.listed(equal.groups(drawn, ["density", "total_steps"])))
    every = _written(told(spent.assign(stop=0)[COLUMNS], its, write))
    heads, cells = table(every, write)
    more = every[list(COSTS)].to_numpy().tolist()
    return Panel(
        "cost",
        str(its["task"].iloc[0]),
        f"Test {metric.replace('_', ' ')} against training in all",
        " ".join(filter(None, caption)),
        layers,
        [*heads, *COSTS.values()],
        [[*row, *costs] for row, costs in zip(cells, more, strict=True)],
        [notation.density(value) for value in drawn.groupby("stop")["density"].mean()],
        stop,
    )


def _placed(spent: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """Return the rows that are near a stop of the slider, with that `stop`, in the order of the legend."""
    if spent.empty:
        return spent
    found = spent.assign(stop=pd.Series(stops(spent.assign(whole=spent["density"])), index=spent.index))
    found = found.dropna(subset="stop").astype({"stop": "int64"})
    return found.sort_values("curve", key=lambda names: names.map(list(order).index), kind="stable")


def _value(drawn: pd.DataFrame, dense: pd.Series, metric: str) -> Spec:
    percent = "accuracy" in metric
    every = [*drawn["low"], *drawn["high"], *drawn["mean"], *dense]
    return {
        "type": "quantitative",
        "title": f"Test {metric.replace('_', ' ')}",
        "scale": extent(every, drawn["mean"], ceiling=1.0 if percent else math.inf),
        "axis": {"format": "~%" if percent else "~g", "tickCount": 6},
    }


def _cost(steps: pd.Series) -> Spec:
    """Return the log axis of steps: what is cheap to find is beside what is dear, and neither is squashed."""
    low, high = float(steps.min()) / 1.25, float(steps.max()) * 1.25
    return {
        "field": "total_steps",
        "type": "quantitative",
        "title": "Training steps in all (log scale)",
        "scale": {"type": "log", "domain": [low, high], "nice": False},
        "axis": {"format": ",~f", "labelOverlap": True, "values": _round(low, high)},
    }


def _written(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(
        search=[notation.STEPS(float(steps)) for steps in table["search_steps"]],
        total=[notation.STEPS(float(steps)) for steps in table["total_steps"]],
        flops=[notation.FLOPS(float(flops)) for flops in table["total_flops"]],
    )


def _round(low: float, high: float) -> list[float]:
    """Return the ticks of a log axis of steps: 1, 2 and 5 of each decade, or all of 1 to 9 where these are few.

    >>> _round(1600, 45000), _round(3200, 7500)
    ([2000.0, 5000.0, 10000.0, 20000.0], [4000.0, 5000.0, 6000.0, 7000.0])
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    few, every = (
        [tick for decade in decades for step in steps if low <= (tick := step * 10.0**decade) <= high]
        for steps in ((1, 2, 5), range(1, 10))
    )
    return few if len(few) > 2 else every


def _labels(drawn: pd.DataFrame, x: Spec, y: Spec, looks: Mapping[str, Spec], tables: Tables) -> list[Spec]:
    """Return the curves' names beside their marks, where there is room: right of one, left, above or below."""
    left, right = map(math.log, x["scale"]["domain"])
    bottom, top = y["scale"]["domain"]
    spots = {
        str(row["curve"]): (
            WIDTH * (math.log(row["total_steps"]) - left) / (right - left),
            HEIGHT * (top - row["mean"]) / (top - bottom),
        )
        for row in drawn.to_dict("records")
    }
    taken = [(u - MARK, v - MARK, u + MARK, v + MARK) for u, v in spots.values()]
    put: dict[str, list[str]] = {}
    for curve, (u, v) in spots.items():
        for side, box in _boxes(u, v, LETTER * len(curve)).items():
            inside = box[0] >= 0 and box[2] <= WIDTH and box[1] >= 0 and box[3] <= HEIGHT
            if inside and not any(_meet(box, other) for other in taken):
                taken.append(box)
                put.setdefault(side, []).append(curve)
                break
    return [
        {
            "data": tables.add(drawn.loc[drawn["curve"].isin(names), ["curve", "total_steps", "mean"]]),
            "mark": {"type": "text", "fontSize": 12, **SIDES[side]},
            "encoding": {
                "x": x,
                "y": {**y, "field": "mean"},
                "text": {"field": "curve", "type": "nominal"},
                "color": looks["color"],
            },
        }
        for side, names in put.items()
    ]


SIDES: Mapping[str, Spec] = {
    "right": {"align": "left", "dx": MARK + 3},
    "left": {"align": "right", "dx": -MARK - 3},
    "above": {"baseline": "bottom", "dy": -MARK - 1},
    "below": {"baseline": "top", "dy": MARK + 1},
}
Box = tuple[float, float, float, float]  # left, top, right, bottom


def _boxes(u: float, v: float, width: float) -> dict[str, Box]:
    """Return where a label of a width would be on each side of a mark."""
    near = MARK + 3
    return {
        "right": (u + near, v - LINE / 2, u + near + width, v + LINE / 2),
        "left": (u - near - width, v - LINE / 2, u - near, v + LINE / 2),
        "above": (u - width / 2, v - MARK - 1 - LINE, u + width / 2, v - MARK - 1),
        "below": (u - width / 2, v + MARK + 1, u + width / 2, v + MARK + 1 + LINE),
    }


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
