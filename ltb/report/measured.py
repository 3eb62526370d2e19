"""Tables of measures, for page and terminal: a table a measure, a row a curve and density, a column a quantity."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ltb.analysis.examples import DENSE
from ltb.report import notation

# Measures whose quantities are columns of the ledger, or in a table of their own.
LEDGER = ("evaluate", "step_flops", "untrained", "correctness")
MOST = 12  # columns
LEVELS = 4  # rows a curve: the dense network, the sparsest level, and two between them


@dataclass(frozen=True)
class Shown:
    """A measure as a table of text: its title, a remark on it, the names of the columns, and the cells row by row."""

    title: str
    note: str
    heads: list[str]
    cells: list[list[str]]


def tables(found: pd.DataFrame) -> list[Shown]:
    """Return one task's measures from `measures.table`, those whose quantities are no columns of the ledger."""
    groups = found[~found["measure"].isin(LEDGER)].groupby("measure", sort=True)
    return [_table(str(name), its[shown], not shown.all()) for name, its in groups if (shown := _shown(its)).any()]


def _shown(its: pd.DataFrame) -> pd.Series[bool]:
    """Which rows of a measure are in its table: where quantities are few, all but parts of others (``iou/fc1.weight``)."""
    whole = ~its["quantity"].str.contains("/", regex=False)
    of_parts = its["quantity"].str.partition("/")[0].isin(its["quantity"][whole])
    return ~of_parts | whole if its["quantity"].nunique() <= MOST else whole


def _table(measure: str, found: pd.DataFrame, by_layer: bool) -> Shown:
    quantities = list(dict.fromkeys(found["quantity"]))
    cells = []
    for curve, its in found.groupby("curve", sort=True):
        levels = spaced(list(its["level"].dropna().sort_values().unique()))
        for level in [*levels, *([None] if its["level"].isna().any() else [])]:
            at = its[its["level"].isna() if level is None else its["level"] == level].set_index("quantity")
            values = [
                notation.mean_std(name, at.loc[name, "mean"], at.loc[name, "std"])
                + notation.diverged(at.loc[name, "diverged"], at.loc[name, "seeds"])
                if name in at.index
                else ""
                for name in quantities
            ]
            density = "several" if level is None else notation.density(float(at["density"].iloc[0]))
            cells.append([str(curve), density, str(at["n"].max()), *values])
    layers = ", by layer or class as well," * by_layer
    note = f": mean ± standard deviation over n seeds; all levels{layers} are in measure_means.csv."
    return Shown(measure, note, ["curve", "density", "n", *map(notation.heading, quantities)], cells)


def examples(found: pd.DataFrame) -> list[Shown]:
    """Return one task's intervals over seeds and test examples, from `examples.table`: of levels, and of comparisons."""
    of_levels, compared = found[found["b"] == ""], found[~found["b"].isin(["", DENSE])]
    few = [its[its["level"].isin(spaced(sorted(its["level"])))] for _, its in of_levels.groupby("a", sort=True)]
    dense = found[found["b"] == DENSE].sort_values("level").drop_duplicates("a", keep="last")
    both = pd.concat([dense, compared])
    note = (
        ": 95 % intervals over seeds, for these test examples, and over seeds and test examples, both drawn at random "
        "(examples.csv has all levels)"
    )
    cells = [_over_examples(one, notation.of("accuracy"), str(one["a"])) for one in _rows(few)]
    differences = [
        _over_examples(one, notation.difference("accuracy"), f"{one['a']} − {one['b']}") for one in _rows([both])
    ]
    shown = (("test accuracy", "curve", cells), ("differences of test accuracy", "difference", differences))
    heads = ["density", "n", "examples", "mean", "over seeds", "over seeds and examples"]
    return [Shown(title, note, [first, *heads], its) for title, first, its in shown if its]


def _rows(tables: Sequence[pd.DataFrame]) -> list[dict[Hashable, Any]]:
    return [row for table in tables for row in table.to_dict("records")]


def _over_examples(one: Mapping[Hashable, Any], write: notation.Notation, name: str) -> list[str]:
    seeds, both = (write.interval(one[f"low{of}"], one[f"high{of}"]) for of in ("", "_examples"))
    return [
        name,
        notation.density(one["density"]),
        str(one["n"]),
        f"{one['examples']:,}",
        write(one["mean"]),
        seeds,
        both,
    ]


def spaced(levels: Sequence[int]) -> list[int]:
    """Return the first and the last level, and two in between that part them evenly; all, if there are no more.

    >>> spaced(range(14)), spaced(range(5)), spaced([0, 2])
    ([0, 4, 9, 13], [0, 1, 3, 4], [0, 2])
    """
    if len(levels) <= LEVELS:
        return list(levels)
    return [levels[round(i * (len(levels) - 1) / (LEVELS - 1))] for i in range(LEVELS)]
