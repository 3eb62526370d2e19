"""One figure of one task with its caption and the numbers behind it, live on a page and still in a file.

Both are made from the same layers, so that they cannot disagree.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ltb.report.figures import curves
from ltb.report.figures.marks import Spec, Tables
from ltb.report.figures.palette import scales, theme

WIDTH, HEIGHT = 590, 300


@dataclass(frozen=True)
class Panel:
    """A figure of one task. `layers(tables, live)` are its layers; `heads` and `cells` the table of its numbers.

    `stops`: texts of the places of a slider, which sets the signal `stop`; without them there is no slider.
    """

    kind: str
    task: str
    title: str
    caption: str
    layers: Callable[[Tables, bool], list[Spec]]
    heads: Sequence[str]
    cells: Sequence[Sequence[str]]
    stops: Sequence[str] = field(default=())

    @property
    def description(self) -> str:
        """The figure in words, for readers who do not see it."""
        return f"{self.title}, task {self.task}. {self.caption} The numbers are in the table below the figure."

    def live(self) -> Spec:
        """Return the specification that a page draws: as wide as its place, following what is picked."""
        tables = Tables()
        params: list[Spec] = [{"name": "picked", "value": []}]
        if self.stops:
            params.append({"name": "stop", "value": len(self.stops) - 1})
        layers = self.layers(tables, True)
        return {
            "$schema": curves.SCHEMA,
            "width": "container",
            "height": HEIGHT,
            "autosize": {"type": "fit-x", "contains": "padding"},
            "background": "transparent",
            "padding": {"left": 2, "top": 6, "right": 8, "bottom": 2},
            "params": params,
            "layer": layers,
            "datasets": tables,
            "config": theme(page=True),
        }


def still(panels: Sequence[Panel], order: Sequence[str]) -> Spec:
    """Return one figure for a file: a kind's panels, one above the other, with a legend."""
    tables, looks = Tables(), scales(order)
    drawn: list[Spec] = []
    for panel in panels:
        stop = f" Here: {panel.stops[-1]}." if panel.stops else ""
        title = {"text": f"{panel.title} · {panel.task}", "subtitle": textwrap.wrap(panel.caption + stop, 105)}
        drawn.append({"layer": panel.layers(tables, False), "width": WIDTH, "height": HEIGHT, "title": title})
    drawn[0] = {"hconcat": [drawn[0], curves.legend(order, looks, tables)]}
    return curves.paper(drawn, tables)
