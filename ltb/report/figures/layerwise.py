"""The figure of a ticket's density layer by layer, at one density of the whole at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ltb.report import notation
from ltb.report.figures.marks import Spec, Tables, marks, round_densities
from ltb.report.figures.palette import GREY
from ltb.report.figures.panel import Panel
from ltb.report.figures.stops import at, stops

COLUMNS = ["curve", "stop", "place", "short", "mean", "low", "high", "said", "span", "at", "n"]


def panel(parts: pd.DataFrame, looks: Mapping[str, Spec], order: Sequence[str]) -> Panel | None:
    """Return the figure of one task from `densities.read`; None where no run of a drawn curve recorded its layers."""
    parts = parts[parts["curve"].isin(order) & (parts["level"] > 0) & (parts["density"] > 0)]
    if parts.empty:
        return None
    layers_ = list(dict.fromkeys(parts["layer"]))
    drawn = _drawn(parts)
    whole = pd.DataFrame(drawn.groupby("stop")["whole"].mean().reset_index())
    places = [notation.density(value) for value in whole["whole"]]
    least = float(drawn.loc[drawn["mean"] > 0, "mean"].min())
    y = {
        "type": "quantitative",
        "title": "Layer's weights remaining (log scale)",
        "scale": {"type": "log", "domain": [least * 0.8, 1.1], "nice": False, "clamp": True},
        "axis": {"format": "~%", "values": round_densities(least), "labelOverlap": True},
    }
    angle = 0 if len(layers_) * max(map(len, map(_short, layers_))) < 60 else -60
    x = {
        "field": "short",
        "type": "nominal",
        "sort": [_short(name) for name in layers_],
        "title": "Layer, in the network's order",
        "axis": {"labelAngle": angle, "labelLimit": 120, "grid": True, "tickBand": "extent"},
        "scale": {"type": "band", "paddingInner": 0.2, "paddingOuter": 0.1},
    }
    names = [name for name in order if name in set(drawn["curve"])]
    beside = {"field": "curve", "type": "nominal", "scale": {"domain": names}, "sort": None}

    def layers(tables: Tables, live: bool) -> list[Spec]:
        tooltip = {
            "curve": "curve",
            "short": "layer",
            "said": "mean",
            "span": "min to max",
            "at": "whole network",
            "n": "n",
        }
        none = pd.DataFrame({"curve": [], "short": [], "value": []})
        here = at(len(places) - 1, live)
        found = marks(
            drawn[COLUMNS], none, looks, x, y, tables, live=live, tooltip=tooltip, area=False, line=False, beside=beside
        )
        for one in found:
            one["transform"] = [here, *one.get("transform", [])]
        rule = {
            "data": tables.add(whole),
            "transform": [here],
            "mark": {"type": "rule", "color": GREY, "strokeWidth": 1.2, "strokeDash": [3, 3]},
            "encoding": {"y": {**y, "field": "whole"}},
        }
        return [rule, *found]

    last = drawn[drawn["stop"] == drawn["stop"].max()]
    cells = [
        [str(row[name]) for name in ("curve", "at", "layer", "said", "span", "n")] for row in last.to_dict("records")
    ]
    caption = (
        "Which layers are thinned: marks are means over seeds, in the order of the legend, bars from minimum to maximum. "
        "Dashed: the density of the whole "
        "network, which each layer would have if all were thinned alike."
    )
    heads = ["curve", "density", "layer", "layer's density", "minimum to maximum", "n"]
    title = "Density of each layer"
    return Panel("layers", str(parts["task"].iloc[0]), title, caption, layers, heads, cells, places)


def _drawn(parts: pd.DataFrame) -> pd.DataFrame:
    """Return one row per curve, stop and layer: mean, low and high (minimum, maximum over seeds), and their texts."""
    places = {name: i for i, name in enumerate(dict.fromkeys(parts["layer"]))}
    groups = parts.groupby(["curve", "level", "layer"], sort=False)
    table = groups["layer_density"].agg(n="count", mean="mean", low="min", high="max")
    table = table.join(groups["density"].mean().rename("whole")).reset_index()
    table["stop"] = stops(table)
    table = table.dropna(subset="stop").astype({"stop": "int64"})
    return table.assign(
        place=table["layer"].map(places),
        short=table["layer"].map(_short),
        at=[notation.density(value) for value in table["whole"]],
        said=[notation.density(value) for value in table["mean"]],
        span=[notation.DENSITY.interval(*ends) for ends in zip(table["low"], table["high"], strict=True)],
    ).sort_values(["stop", "curve", "place"], ignore_index=True)


def _short(layer: str) -> str:
    return layer.removesuffix(".weight")
