"""One figure of one task with its caption and the numbers behind it, live on a page and still in a file.

Both are made from the same layers, so that they cannot disagree.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ltb.report.figures.marks import Spec, Tables
from ltb.report.figures.palette import theme
from ltb.report.figures.sheet import SCHEMA, Figure, Row

WIDTH, HEIGHT = 590, 300


@dataclass(frozen=True)
class Panel:
    """A figure of one task. `layers(tables, live)` are its layers; `heads` and `cells` the table of its numbers.

    `stops`: texts of the places of a slider, which sets the signal `stop`; without them there is no slider. `first`: the place at
    which it is first, and the file's.
    """

    kind: str
    task: str
    title: str
    caption: str
    layers: Callable[[Tables, bool], list[Spec]]
    heads: Sequence[str]
    cells: Sequence[Sequence[str]]
    stops: Sequence[str] = field(default=())
    first: int = -1

    @property
    def stop(self) -> int:
        """The place at which the slider is first, from 0 on."""
        return self.first % len(self.stops)

    @property
    def description(self) -> str:
        """The figure in words, for readers who do not see it."""
        return f"{self.title}, task {self.task}. {self.caption} The numbers are in the table below the figure."

    def live(self) -> Spec:
        """Return the specification that a page draws: as wide as its place, following what is picked."""
        tables = Tables()
        params: list[Spec] = [{"name": "picked", "value": []}]
        if self.stops:
            params.append({"name": "stop", "value": self.stop})
        layers = self.layers(tables, True)
        return {
            "$schema": SCHEMA,
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


def still(panels: Sequence[Panel], order: Mapping[str, str]) -> Figure:
    """Return one figure for a file: a kind's panels, one above the other, with a legend; `order`: of `points.curves`."""
    tables = Tables()
    rows = []
    for panel in panels:
        where = f" at {panel.stops[panel.stop]} of the weights" if panel.stops else ""
        caption = textwrap.wrap(panel.caption, 105)
        rows.append(Row(panel.title + where, panel.task, caption, [panel.layers(tables, False)]))
    return Figure(rows, tables, order, WIDTH, HEIGHT)
