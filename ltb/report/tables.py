"""The report's tables as text for a terminal: each function makes a rich table from a table of `ltb.analysis`.

What the user typed goes in as printable `Text`: it is never read as markup, and does nothing to a terminal.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from ltb.analysis import grouping, paired
from ltb.analysis.inference import PAIRED, WELCH
from ltb.analysis.sparsest import DENSE_DIVERGED, LEAST
from ltb.analysis.tolerances import Tolerance
from ltb.common.text import inert, printable
from ltb.report import answer, notation
from ltb.report.measured import Shown
from ltb.report.sparkline import scale, sparkline

Row = dict[Hashable, Any]

KEYS = 3  # columns of a measure's table that say of what it is: curve, density, n
COLUMNS = 6  # of a table in a terminal beside them


def summary(task: str, found: pd.DataFrame) -> Table:
    """Return `statistics.summarise` of one task: a row per point of each curve, mean ± sample std over n seeds.

    Beside a mean is said how many of its seeds diverged.
    """
    quantities = list(found["quantity"].unique())
    table = _empty(task, ["curve"], ["density", "n", *map(_heading, quantities)])
    for called, curve in found.groupby("curve", sort=False):
        said = str(called)
        for _, point in curve.groupby("level"):
            by_quantity = point.set_index("quantity")
            cells = [f"{by_quantity['density'].iloc[0]:.2%}", str(by_quantity["n"].max())]
            spreads = {
                str(q): notation.mean_std(str(q), one["mean"], one["std"])
                + notation.diverged(one["diverged"], one["seeds"])
                for q, one in by_quantity.iterrows()
            }
            cells += [spreads.get(q, "") for q in quantities]
            table.add_row(*map(_text, [said, *cells]))
            said = ""
        table.add_section()
    return table


def matching(task: str, found: pd.DataFrame, *, tolerance: Tolerance) -> Table:
    """Return `matching.table` of one task: each curve's sparsest ticket within `tolerance` of its own dense network.

    First what is demonstrated and why no further, then what matches in the mean over seeds, then in single ones.

    "≤" where some seed still matched at the sparsest level that it tried: the true density may be lower. Where every dense
    network diverged, that is said in the place of the density.
    """
    unit = notation.difference("" if found.empty else str(found["quantity"].iloc[0]))
    title = f"{task}: sparsest ticket within {unit(tolerance.value).lstrip('+')} of dense ({tolerance.reason})"
    heads = ["mean curve", "single seeds", "interval", "seeds that match", "search steps"]
    table = _empty(title, ["curve", "demonstrated", "not further, for"], heads)
    for row in found.to_dict("records"):
        if not row["n"]:
            table.add_row(Text(str(row["curve"])), DENSE_DIVERGED)
            continue
        sign = "≤ " if row["at_edge"] else ""
        span = notation.DENSITY.interval(row["low"], row["high"])
        table.add_row(
            _text(row["curve"]),
            answer.demonstrated(row),
            answer.stopped(row),
            ", ".join(filter(None, [notation.density(row["mean_density"]), answer.how_surely(row)])),
            sign + notation.density(row["density"]),
            span + (f" ({row['interval']})" if not span.startswith(notation.NONE) else ""),
            answer.seeds(row),
            notation.STEPS(row["search_steps"]),
        )
    return table


def headline(task: str, found: pd.DataFrame) -> Table:
    """Return `paired.headline` of one task: each curve against the reference, and what that decides."""
    against, other = "", PAIRED
    if len(found):
        how, other = ("seed by seed", WELCH) if found["test"].iloc[0] == PAIRED else ("by Welch's t", PAIRED)
        against = f" compared with {found['b'].iloc[0]}, {how}"
    heads = ["density", "n", "difference", "95% interval", "correlation", "p (Holm)", f"p ({other}, alone)"]
    table = _empty(f"{task}{against}", ["curve"], heads)
    table.add_column("verdict", no_wrap=True)
    for row in found.to_dict("records"):
        write = notation.difference(str(row["quantity"]))
        table.add_row(
            _text(row["a"]),
            notation.densities(row["density_a"], row["density_b"]),
            str(row["n"]) + answer.left_out(row),
            write(row["mean"]),
            write.interval(row["low"], row["high"]),
            notation.correlation(row["correlation"]),
            notation.probability(row["p_holm"]),
            notation.probability(row[f"p_{other}"]),
            verdict(row),
        )
    return table


def groups(task: str, found: pd.DataFrame) -> Table:
    """Return `grouping.table` of one task: the best and what cannot be told from it, then what is decidedly worse."""
    of = f" (all {found['pairs'].max()} pairs compared, Holm)" if len(found) and found["pairs"].max() else ""
    heads = ["density", "n", "mean", "95% interval", "p against the best"]
    table = _empty(f"{task}: the best{of}", ["curve"], heads)
    table.add_column("", no_wrap=True)
    for row in found.to_dict("records"):
        write = notation.of(str(row["quantity"]))
        table.add_row(
            _text(row["curve"]),
            notation.density(row["density"]),
            str(row["n"]) + answer.left_out(row),
            write(row["mean"]),
            write.interval(row["low"], row["high"]),
            notation.probability(row["p_best"]),
            group(row),
        )
    return table


def group(row: Row) -> str:
    """Return the group of a row of `grouping.table` in words.

    >>> group({"group": "best"}), group({"group": "worse"})
    ('not told from the best', 'decidedly worse')
    """
    return {grouping.BEST: "not told from the best", grouping.WORSE: "decidedly worse"}.get(
        row["group"], str(row["group"])
    )


def verdict(row: Row) -> str:
    """Return the verdict on curve a in one word or two, and how many seeds would bring one where there is none.

    >>> verdict({"verdict": "a", "n": 5, "seeds_needed": float("nan")})
    'better'
    >>> verdict({"verdict": "cannot decide", "n": 5, "seeds_needed": 21.0})
    'cannot decide (post hoc: some 21 seeds would)'
    >>> verdict({"verdict": "cannot decide", "n": 0, "seeds_needed": float("nan")})
    'cannot decide (diverged)'
    """
    if not row["n"]:
        return f"{paired.UNDECIDED} (diverged)"
    if row["verdict"] != paired.UNDECIDED:
        return "better" if row["verdict"] == "a" else "worse"
    needed = row["seeds_needed"]
    if row["n"] < LEAST:
        return f"{paired.UNDECIDED} (fewer than {LEAST} seeds)"
    if math.isnan(needed):
        return paired.UNDECIDED
    return f"{paired.UNDECIDED} (" + (
        f"post hoc: some {needed:,.0f} seeds would)" if math.isfinite(needed) else "too small to find)"
    )


def cost(task: str, found: pd.DataFrame) -> Table:
    """Return `cost.table` of one task at each curve's sparsest level: its ticket's cost, and its curve in a line.

    Each line is on its own scale, which stands beside it.
    """
    heads = ["density", "n", "search steps", "with its own fit", "FLOPs", "mean"]
    table = _empty(f"{task}: cost of the sparsest ticket", ["curve"], heads)
    table.add_column("from dense to sparse", no_wrap=True)
    for curve, levels in found.groupby("curve", sort=False):
        row, means = levels.sort_values("level").iloc[-1], list(levels.sort_values("level")["mean"])
        write = notation.of(str(row["quantity"]))
        table.add_row(
            _text(curve),
            notation.density(row["density"]),
            str(row["n"]),
            notation.STEPS(row["search_steps"]),
            notation.STEPS(row["total_steps"]),
            notation.FLOPS(row["total_flops"]),
            write(row["mean"]) + notation.diverged(row["diverged"], row["seeds"]),
            f"{sparkline(means)}  {scale(means, write)}".rstrip(),
        )
    return table


def measure(task: str, found: Shown) -> list[Table]:
    """Return a measure of one task, mean ± sample standard deviation over n seeds; as several tables where it has many columns."""
    heads, tables = [printable(head) for head in found.heads], []
    blocks = range(KEYS, max(len(heads), KEYS + 1), COLUMNS)
    for start in blocks:
        shown = [*range(KEYS), *range(start, min(start + COLUMNS, len(heads)))]
        part = f" ({(start - KEYS) // COLUMNS + 1} of {len(blocks)})" if len(blocks) > 1 else ""
        table = _empty(f"{task}: {found.title}{part}", heads[:1], [heads[i] for i in shown[1:]])
        for row in found.cells:
            table.add_row(*(_text(row[i]) for i in shown))
        tables.append(table)
    return tables


def csv(table: pd.DataFrame) -> str:
    """Return a table as CSV for people: what a spreadsheet would take for a formula in its texts is a text there."""
    texts = table.select_dtypes(["str", "object"])
    return table.assign(**{str(name): [_inert(value) for value in texts[name]] for name in texts}).to_csv(index=False)


def _inert(value: Any) -> Any:
    return inert(value) if isinstance(value, str) else value


def _text(told: object, style: str = "") -> Text:
    return Text(printable(told), style=style)


def _empty(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=_text(title, "bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in left:
        table.add_column(Text(heading), no_wrap=True)
    for heading in right:
        table.add_column(Text(heading), justify="right", no_wrap=True)
    return table


def _heading(quantity: str) -> str:
    """Return a heading on two lines, so that a row fits in 80 columns: test/accuracy → "test", "accuracy (%)"."""
    if quantity == "early_stop_step":
        return "early-stop\nstep"
    quantity, unit = printable(quantity), " (%)" if "accuracy" in quantity else ""
    if quantity.endswith("_at_early_stop"):
        return f"at early\nstop{unit}"
    return quantity.replace("/", "\n", 1).replace("_", " ") + unit
