"""Pictures of tickets and of findings about them, as Altair charts, which a notebook shows as they are."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ltb.analysis import paired
from ltb.report import notation
from ltb.report.figures.marks import Spec, Tables, density_axis
from ltb.report.figures.palette import COLOURS, DASHES, GREY, paint, theme

if TYPE_CHECKING:
    import altair as alt
    from torch import Tensor

WIDTH = 640  # pixels of the widest picture
KEPT, PRUNED = 30, 238  # grey levels of a mask's weights, 0 is black
BINS = 48


def mask(mask: Tensor, title: str = "") -> alt.TopLevelMixin:
    """Return a picture of one layer's mask, a weight a cell: kept is dark, pruned is light.

    mask: bool, (units, inputs) or (units, channels, height, width), whose last three count as inputs. The longer side
    lies across. ValueError for a mask of less than two dimensions.
    """
    from PIL import Image

    if mask.ndim < 2:
        raise ValueError(f"a mask of shape {tuple(mask.shape)}: two dimensions or more have a picture")
    cells, across, down = mask.flatten(1), "input", "unit"
    if cells.shape[0] > cells.shape[1]:
        cells, across, down = cells.T, down, across
    height, width = cells.shape
    side = min(WIDTH / width, 8.0)  # of a cell, in pixels
    grey, file = np.where(cells.cpu().numpy(), KEPT, PRUNED).astype("uint8"), io.BytesIO()
    Image.fromarray(grey).save(file, format="png")
    image = base64.b64encode(file.getvalue()).decode()
    kept = int(mask.sum())
    return _chart(
        {
            "title": {"text": title, "subtitle": f"{kept:,} of {mask.numel():,} weights ({kept / mask.numel():.1%})"},
            "data": {"values": [{"url": f"data:image/png;base64,{image}", "x": width / 2, "y": height / 2}]},
            "mark": {
                "type": "image",
                "width": side * width,
                "height": side * height,
                "aspect": False,
                "smooth": side < 1,
            },
            "encoding": {
                "url": {"field": "url", "type": "nominal"},
                "x": {"field": "x", "type": "quantitative", "title": across, **_whole(width)},
                "y": {"field": "y", "type": "quantitative", "title": down, **_whole(height, reverse=True)},
            },
            "width": side * width,
            "height": side * height,
        }
    )


def inputs(mask: Tensor, shape: Sequence[int], title: str = "") -> alt.TopLevelMixin:
    """Return a picture of how many weights each input of a first layer keeps, laid out as the data are.

    mask: bool, (units, inputs). shape: of one example, (…, height, width) or (length,); channels are added up.
    ValueError if the shape has not as many entries as the layer has inputs.
    """
    if mask.ndim != 2 or math.prod(shape) != mask.shape[1]:
        raise ValueError(f"shape={tuple(shape)}: has {math.prod(shape)} entries, the mask is {tuple(mask.shape)}")
    *_, height, width = (1, *shape)
    kept = mask.sum(dim=0).reshape(-1, height, width).sum(dim=0).cpu().numpy()
    down, across = np.indices(kept.shape)
    rows = pd.DataFrame({"row": down.ravel(), "column": across.ravel(), "kept": kept.ravel()})
    side = min(WIDTH / width, 28.0)
    tables = Tables()
    cell = {"type": "ordinal", "axis": None}
    return _chart(
        {
            "title": {"text": title, "subtitle": "weights kept by each input"},
            "data": tables.add(rows),
            "mark": "rect",
            "encoding": {
                "x": {"field": "column", **cell},
                "y": {"field": "row", **cell},
                "color": {
                    "field": "kept",
                    "type": "quantitative",
                    "title": "kept",
                    "scale": {"scheme": "greys", "zero": True},
                },
            },
            "width": side * width,
            "height": side * height,
        },
        tables,
    )


def weights(
    points: Mapping[str, Mapping[str, Tensor]], masks: Mapping[str, Tensor], title: str = ""
) -> alt.TopLevelMixin:
    """Return the distributions of each layer's kept weights at several moments, such as before and after training.

    points: name of the moment → weights by name; masks: the ticket's. Bins are shared by the moments of a layer; a
    layer that keeps nothing is left out. ValueError if all do.
    """
    parts = []
    for layer, kept in masks.items():
        values = {name: np.asarray(point[layer][kept].detach().cpu().double()) for name, point in points.items()}
        if kept.any():
            edges = np.histogram_bin_edges(np.concatenate(list(values.values())), bins=BINS)
            for name, those in values.items():
                counts, _ = np.histogram(those, edges)
                where = {"layer": layer, "moment": name, "left": edges[:-1], "right": edges[1:]}
                parts.append(pd.DataFrame({**where, "weights": counts}))
    if not parts:
        raise ValueError("no layer keeps a weight")
    tables = Tables()
    data = tables.add(pd.concat(parts, ignore_index=True))
    moments = list(points)
    bars: Spec = {
        "mark": {"type": "bar", "opacity": 0.55},
        "encoding": {
            "x": {"field": "left", "type": "quantitative", "title": "value", "bin": {"binned": True}},
            "x2": {"field": "right"},
            "y": {"field": "weights", "type": "quantitative", "title": "weights", "stack": None},
            "color": {
                "field": "moment",
                "type": "nominal",
                "title": None,
                "scale": {"domain": moments, "range": list(COLOURS[: len(moments)])},
            },
        },
        "width": 190,
        "height": 150,
    }
    column = {"field": "layer", "type": "nominal", "title": None, "sort": list(masks)}
    apart = {"scale": {"x": "independent", "y": "independent"}}
    return _chart({"title": title, "data": data, "facet": {"column": column}, "spec": bars, "resolve": apart}, tables)


def layers(parts: pd.DataFrame) -> alt.TopLevelMixin:
    """Return each layer's density against that of the whole network, level by level: a panel a curve, mean over seeds.

    parts: of one task, from `densities.read`.
    """
    keys = ["curve", "layer", "level"]
    means = parts.groupby(keys, sort=False)[["density", "layer_density"]].mean().reset_index()
    means = means[means["layer_density"] > 0]  # a log axis has no 0
    names = list(dict.fromkeys(parts["layer"]))
    tables = Tables()
    data = tables.add(means)

    def by_layer(looks: Sequence[Any]) -> Spec:
        scale = {"domain": names, "range": [looks[i % len(looks)] for i in range(len(names))]}
        return {
            "field": "layer",
            "type": "nominal",
            "title": "layer",
            "scale": scale,
            "legend": {"symbolType": "stroke"},
        }

    lines: Spec = {
        "mark": {"type": "line", "point": True},
        "encoding": {
            "x": density_axis(means["density"]),
            "y": {
                "field": "layer_density",
                "type": "quantitative",
                "title": "Layer's weights remaining",
                "scale": {"type": "log", "nice": False},
                "axis": {"format": "~%", "tickCount": 4},
            },
            "color": by_layer(COLOURS),
            "strokeDash": by_layer(DASHES),
        },
        "width": 300,
        "height": 200,
    }
    row = {"field": "curve", "type": "nominal", "title": None}
    return _chart({"data": data, "facet": row, "columns": 2, "spec": lines}, tables)


def differences(table: pd.DataFrame) -> alt.TopLevelMixin:
    """Return paired differences with their 95 % intervals, a comparison a line; filled where the verdict is decided.

    table: of one task and metric, from `paired.headline` or one target of `paired.differences`.
    """
    metric = str(table["quantity"].iloc[0]).removeprefix("test/")
    told = notation.difference(metric)
    pair = table["a"] + " − " + table["b"] + "  (n = " + table["n"].astype("str") + ")"
    drawn = table.assign(pair=pair, decided=table["verdict"] != paired.UNDECIDED)
    for column in ("mean", "low", "high"):
        drawn[column] = told.scale * drawn[column]
    tables = Tables()
    data = tables.add(drawn[["pair", "mean", "low", "high", "decided"]])
    unit = told.unit.strip() or metric
    x = {"type": "quantitative", "title": f"difference of test {metric.replace('_', ' ')} ({unit})"}
    y = {"field": "pair", "type": "nominal", "title": None, "sort": {"field": "mean"}, "axis": {"labelLimit": 300}}
    fill = {"condition": {"test": "datum.decided", "value": COLOURS[0]}, "value": "white"}
    ends = {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y}
    dot = {"x": {**x, "field": "mean"}, "y": y, "fill": fill}
    mark = {"type": "point", "size": 70, "stroke": COLOURS[0], "opacity": 1}
    drawing: list[Spec] = [
        {"data": {"values": [{}]}, "mark": {"type": "rule", "color": GREY}, "encoding": {"x": {**x, "datum": 0}}},
        {"data": data, "mark": {"type": "rule", "color": COLOURS[0], "strokeWidth": 2}, "encoding": ends},
        {"data": data, "mark": mark, "encoding": dot},
    ]
    return _chart({"layer": drawing, "width": 420, "height": {"step": 28}}, tables)


def _whole(count: int, *, reverse: bool = False) -> Spec:
    """Return an axis over `count` cells."""
    axis = {"grid": False, "tickMinStep": 1, "tickCount": 5}
    return {"scale": {"domain": [0, count], "nice": False, "reverse": reverse}, "axis": axis}


def _chart(spec: Spec, tables: Tables | None = None) -> alt.TopLevelMixin:
    import altair as alt

    given: dict[str, Any] = {"background": "white", "config": theme(), **spec, "datasets": tables or {}}
    return alt.Chart.from_dict(json.loads(paint(given)))
