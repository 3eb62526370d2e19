"""The section of each task on a page: the answer in words, the legend, figures, tables, what the settings differ in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from ltb.analysis import provenance
from ltb.analysis.findings import Contents
from ltb.analysis.inference import PAIRED, WELCH
from ltb.analysis.meeting import NEAR
from ltb.analysis.sparsest import DENSE_DIVERGED
from ltb.report import answer, measured, notation, tables
from ltb.report.figures.palette import styles
from ltb.report.figures.panel import Panel

MARKS = {  # in a box of 34 × 12, around its middle
    "circle": '<circle cx="17" cy="6" r="4"/>',
    "square": '<rect x="13.5" y="2.5" width="7" height="7"/>',
    "triangle-up": '<path d="M17 1.5l4.5 8.5h-9z"/>',
    "diamond": '<path d="M17 0.8l4 5.2-4 5.2-4-5.2z"/>',
    "cross": '<path d="M15.4 1.2h3.2v3.2h3.2v3.2h-3.2v3.2h-3.2v-3.2h-3.2v-3.2h3.2z"/>',
    "triangle-down": '<path d="M17 10.5l4.5-8.5h-9z"/>',
    "triangle-right": '<path d="M22 6l-8.5 4.5v-9z"/>',
}


def sections(found: Contents, panels: Mapping[str, Panel]) -> list[dict[str, Any]]:
    """Return each task's section by the names in the template; `panels` by the name that the page gives each."""
    settings = {one.task: one for one in provenance.settings(found.rows)}
    looks = styles(list(found.curves.values()))
    made = []
    for i, task in enumerate(found.tasks):
        its = set(found.points.loc[found.points["task"] == task, "curve"])
        known = settings.get(task)
        compared = found.headline[found.headline["task"] == task]
        made.append(
            {
                "id": f"task{i}",
                "name": task,
                "sentences": _sentences(found, task),
                "curves": [
                    {"name": name, "swatch": _swatch(looks[own])} for name, own in found.curves.items() if name in its
                ],
                "panels": [_shown(name, panel) for name, panel in panels.items() if panel.task == task],
                **_matching(found, task),
                **_comparisons(compared, _others(found, task)),
                **_groups(found.groups[found.groups["task"] == task], _others(found, task)),
                "measures": [
                    *measured.examples(found.examples[found.examples["task"] == task]),
                    *measured.tables(found.measures[found.measures["task"] == task]),
                ],
                "settings": known,
                "settings_heads": ["setting", *(known.curves if known else [])],
                "settings_rows": [[key, *values] for key, values in known.differing] if known else [],
            }
        )
    return made


def _sentences(found: Contents, task: str) -> list[str]:
    said = answer.sentences(task, found.points, found.headline, found.groups, found.matching, within(found, task))
    if not said:
        return ["No level has a value of the metric that is finite."]
    return [said[0], *filter(None, [answer.dense(found.dense, task)]), *said[1:]]


def _swatch(look: tuple[str, list[int], str]) -> Markup:
    """Return a curve's line and mark, as its figures draw them."""
    colour, dash, shape = look
    dashes = " ".join(map(str, dash)) if dash != [1, 0] else "none"
    return Markup(
        f'<svg width="34" height="12" aria-hidden="true" fill="{colour}"><path d="M0 6h34" stroke="{colour}" '
        f'stroke-width="2" stroke-dasharray="{dashes}"/>{MARKS[shape]}</svg>'
    )


def _shown(name: str, panel: Panel) -> dict[str, Any]:
    numeric = [i for i, head in enumerate(panel.heads) if head not in ("curve", "layer")]
    fields = ("title", "caption", "description", "heads", "cells", "stops")
    return {
        "id": name,
        "numeric": numeric,
        "stop": panel.stop if panel.stops else 0,
        **{field: getattr(panel, field) for field in fields},
    }


def within(found: Contents, task: str) -> str:
    """Return a task's tolerance with its unit."""
    metric = found.points.loc[found.points["task"] == task, "metric"].iloc[0]
    return notation.difference(str(metric))(found.tolerances[task].value).lstrip("+")


def _matching(found: Contents, task: str) -> dict[str, Any]:
    its = found.matching[found.matching["task"] == task]
    if its.empty:
        return {"matching": [], "matching_heads": [], "matching_caption": ""}
    metric = str(its["quantity"].iloc[0]).removeprefix("test/")
    write = notation.of(metric)
    rows = []
    for _, one in its.sort_values(["demonstrated_density", "mean_density", "density"], kind="stable").iterrows():
        if not one["n"]:
            rows.append([one["curve"], DENSE_DIVERGED, *[notation.NONE] * 8])
            continue
        edge = "≤ " if one["at_edge"] else ""
        interval = notation.DENSITY.interval(one["low"], one["high"])
        interval += " (min to max)" if one["interval"] == "min–max" else ""
        interval = f"up to {notation.density(one['high'])}" if one["at_edge"] and one["n"] > 1 else interval
        mean = "none" if pd.isna(one["mean_density"]) else notation.density(one["mean_density"])
        surely = answer.how_surely(one)
        cost = notation.STEPS(one["search_steps"])
        seeds = answer.seeds(one)
        interval = interval if one["matched"] else notation.NONE
        density = edge + notation.density(one["density"]) if one["matched"] else "none"
        sure = [answer.demonstrated(one), answer.stopped(one)]
        rows.append([one["curve"], *sure, mean, surely, density, interval, seeds, write(one["value"]), cost])
    name = metric.replace("_", " ")
    heads = [
        "curve",
        "demonstrated",
        "not further, for",
        "mean curve",
        "how surely",
        "single seeds",
        "95 % interval",
        "seeds that match",
        f"test {name}",
        "search steps",
    ]
    caption = (
        f"Demonstrated: the sparsest density down to which, level by level from the densest on, it is excluded that the mean is "
        f"worse than its own dense network by more than {within(found, task)} ({found.tolerances[task].reason}): the one-sided "
        f"97.5 % bound by {answer.CHOSEN[found.test]}. The first level that fails ends it; ≤ where none does. "
        "Beside it, as papers have it, what may match by chance. “Mean curve”: the sparsest level at which the mean matches. "
        "Single seeds: each one’s sparsest matching level, as the geometric mean (a seed in which none matches counts as 100 %); ≤ "
        "where a seed still matched at the sparsest level tried; test value and search steps (training spent to find the "
        "ticket) are means at these levels."
    )
    return {"matching": rows, "matching_heads": heads, "matching_caption": caption}


def _others(found: Contents, task: str) -> str:
    """Return what is said beside a number of comparisons of curves that were not chosen; "" where all were."""
    left_out = len(found.left_out.get(task, ()))
    return f" among the curves that were chosen ({left_out} more left out, see above)" if left_out else ""


def _groups(its: pd.DataFrame, others: str) -> dict[str, Any]:
    """Return the table of the best and what is decidedly worse."""
    rows = []
    for one in its.to_dict("records"):
        write = notation.of(str(one["quantity"]).removeprefix("test/"))
        band = write.interval(one["low"], one["high"])
        at, n = notation.density(one["density"]), f"{one['n']}{answer.left_out(one)}"
        rows.append(
            [one["curve"], at, n, write(one["mean"]), band, notation.probability(one["p_best"]), tables.group(one)]
        )
    pairs = its["pairs"].max() if len(its) else 0
    caption = (
        "Means at the level at which all are compared. What cannot be told from the highest mean is in a group with it, also ties; "
        f"what is decidedly worse is so with all {pairs} pairs of curves compared and corrected together{others} (Holm’s p below "
        "0.05), for the best is picked by these same results."
    )
    heads = ["curve", "density", "n", "mean", "95 % interval", "p against the best", "group"]
    return {"groups": rows, "groups_heads": heads, "groups_caption": caption}


def _comparisons(compared: pd.DataFrame, others: str) -> dict[str, Any]:
    rows, quotes = [], []
    for _, one in compared.iterrows():
        write = notation.difference(str(one["quantity"]).removeprefix("test/"))
        winner = {"a": f"{one['a']} is better", "b": f"{one['b']} is better"}.get(one["verdict"], one["verdict"])
        p = notation.probability(one["p_holm"])
        other = notation.probability(one["p_welch" if one["test"] == PAIRED else "p_paired"])
        alike = notation.correlation(one["correlation"])
        at = notation.densities(one["density_a"], one["density_b"])
        n = f"{one['n']}{answer.left_out(one)}"
        rows.append(
            [one["a"], at, n, write(one["mean"]), write.interval(one["low"], one["high"]), alike, p, other, winner]
        )
        quotes.append(answer.comparison(one))
    reference = str(compared["b"].iloc[0]) if len(compared) else ""
    test = str(compared["test"].iloc[0]) if len(compared) else PAIRED
    caption = (
        f"Each curve minus {reference}, the reference, in test values of the same seeds at the sparsest level that all "
        "have with all their seeds, which no result chooses; levels meet by target where both keep about as much, else by "
        "density, else as the nearest within "
        f"{NEAR - 1:.0%} of it. By {answer.CHOSEN[test]}. Intervals are those of single comparisons; the verdict is by Holm’s p "
        f"below 0.05{others} and needs three seeds. Correlation: of the two values over seeds; where it is low, pairing "
        "gains nothing. The last p is that of the other test, of the comparison alone."
    )
    heads = ["curve", "density", "n", "difference", "95 % interval", "correlation", "p (Holm)"]
    heads += [f"p ({answer.TESTS[WELCH if test == PAIRED else PAIRED]})", "verdict"]
    return {"comparisons": rows, "comparison_heads": heads, "comparison_caption": caption, "quotes": quotes}
