"""The answers of a report in sentences that can be quoted: which is best, whether that is decided, how far each prunes.

Made from `paired.headline` and `matching.table` alone; every number comes with its interval and its n.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from ltb.report import notation
from ltb.report.figures import marks
from ltb.report.notation import Notation

DENSE_DIVERGED = "the dense network diverged"  # in the place of a number that would compare with it
NAMED = 6  # curves in a sentence; more are counted


def sentences(task: str, points: pd.DataFrame, headline: pd.DataFrame, matching: pd.DataFrame) -> list[str]:
    """Return the answer for one task, a few sentences; the tables may hold other tasks as well."""
    its = points[(points["task"] == task) & (points["kind"] == "value")]
    if its.empty:
        return []
    compared = headline[headline["task"] == task]
    said = [_best(its, compared), *([_decided(compared)] if len(compared) else [])]
    return [*said, *_matching(matching[matching["task"] == task])]


def _best(points: pd.DataFrame, compared: pd.DataFrame) -> str:
    metric, direction = str(points["metric"].iloc[0]), points["direction"].iloc[0]
    write, name = notation.of(metric), f"mean test {metric.replace('_', ' ')}"
    means = marks.means(points)
    if compared.empty:
        one = means.sort_values("density").iloc[0]
        return (
            f"At {notation.density(one['density'])} of the weights, the sparsest level, {one['curve']} has a {name} of "
            f"{_with_interval(one, write)}."
        )
    places = {(row["a"], row["level_a"]) for _, row in compared.iterrows()}
    places |= {(row["b"], row["level_b"]) for _, row in compared.iterrows()}
    there = means[[key in places for key in zip(means["curve"], means["level"], strict=True)]]
    best = there.sort_values("mean", ascending=direction == "min").iloc[0]
    count = there["curve"].nunique()
    every = "both curves" if count == 2 else f"all {count} curves"
    span = _span(there["density"])
    high = "highest" if direction == "max" else "lowest"
    return (
        f"At {span} of the weights, the sparsest level that {every} have in common, {best['curve']} has the "
        f"{high} {name}: {_with_interval(best, write)}."
    )


def _span(densities: pd.Series) -> str:
    least, most = notation.density(float(densities.min())), notation.density(float(densities.max()))
    return least if least == most else f"{least.removesuffix(' %')} to {most}"


def _with_interval(one: pd.Series, write: Notation) -> str:
    kind = "minimum to maximum" if one["n"] == 2 else "95 % interval"
    band = "" if pd.isna(one["low"]) else f"{kind} {write.interval(one['low'], one['high'])}, "
    lost = f", {one['diverged']} of them diverged" if one.get("diverged") else ""
    return f"{write(one['mean'])} ({band}n = {one['n']}{lost})"


def _decided(compared: pd.DataFrame) -> str:
    """Return which curves are decidedly better or worse than the reference, and which cannot be told from it."""
    reference = str(compared["b"].iloc[0])
    groups = (
        ("is decidedly better", "are decidedly better", "a"),
        ("is decidedly worse", "are decidedly worse", "b"),
        ("cannot be told from it", "cannot be told from it", "cannot decide"),
        ("cannot be compared: in every seed one of the two diverged",) * 2 + ("diverged",),
    )
    said = []
    verdicts = compared["verdict"].mask(compared["n"] == 0, "diverged")
    for one, many, verdict in groups:
        curves = list(compared.loc[verdicts == verdict, "a"])
        if curves:
            who = listed(curves) if len(curves) <= NAMED else f"{len(curves)} curves"
            said.append(f"{who} {one if len(curves) == 1 else many}")
    correction = f", corrected for {len(compared)} comparisons" if len(compared) > 1 else ""
    return f"Seed by seed against {reference}, the reference{correction}: {'; '.join(said)}."


def _matching(table: pd.DataFrame) -> list[str]:
    found = table.dropna(subset="mean_density").sort_values("mean_density")
    lost = table[table["dense_diverged"] > 0]
    if table.empty:
        return []
    if not table["n"].any():
        return ["The dense network diverged: nothing is compared with it."]
    counts = [
        f"{one['dense_diverged']} of {one['dense_diverged'] + one['n']} seeds of {one['curve']}"
        for _, one in lost.iterrows()
    ]
    left = [f"In {listed(counts)} {DENSE_DIVERGED}: nothing is compared with it."] if counts else []
    if found.empty:
        return ["No curve matches its dense network, within the tolerance, at any pruned level.", *left]
    one = found.iloc[0]
    surely = "demonstrably" if one["demonstrated"] else "on average, though the interval does not exclude worse"
    surely = "with one seed there is no interval" if one["mean_n"] == 1 else surely
    return [
        f"The sparsest ticket that still matches the dense network within the tolerance is that of {one['curve']}, at "
        f"{notation.density(one['mean_density'])} of the weights ({surely}).",
        *left,
    ]


def seeds(row: Mapping[Hashable, Any] | pd.Series) -> str:
    """Return how many seeds of a row of `matching.table` match, and how many have no dense network to match.

    >>> seeds({"matched": 1, "n": 2, "dense_diverged": 1})
    '1 of 2; 1 more: the dense network diverged'
    """
    lost = row["dense_diverged"]
    return f"{row['matched']} of {row['n']}" + (f"; {lost} more: {DENSE_DIVERGED}" if lost else "")


def left_out(row: Mapping[Hashable, Any] | pd.Series) -> str:
    """Return what is said beside the n of a row of `paired.headline`: how many seeds diverged, and so are not in it."""
    return f" ({row['diverged']} diverged)" if row["diverged"] else ""


def how_surely(row: Mapping[Hashable, Any] | pd.Series) -> str:
    """Return how surely the mean curve of a row of `matching.table` matches, in a word or two; "" where it does not."""
    if pd.isna(row["mean_density"]):
        return ""
    return "demonstrably" if row["demonstrated"] else "on average" if row["mean_n"] > 1 else "one seed"


def comparison(row: pd.Series) -> str:
    """Return one row of `paired.headline` as a sentence."""
    metric = str(row["quantity"]).removeprefix("test/")
    write = notation.difference(metric)
    at = f"At {notation.densities(row['density_a'], row['density_b'])} of the weights"
    if not row["n"]:
        return f"{at}, {row['a']} and {row['b']} cannot be compared: in every seed one of the two diverged."
    n = f"n = {row['n']} seed{'s' * (row['n'] != 1)}"
    n += f", {row['diverged']} more left out, where one of the two diverged" if row["diverged"] else ""
    if pd.isna(row["low"]):
        return f"{at}, {row['a']} − {row['b']} is {write(row['mean'])}; with {n} there is no interval, so this cannot be decided."
    interval = f"{write(row['mean'])} (95 % interval {write.interval(row['low'], row['high'])}, paired, {n})"
    if row["verdict"] in ("a", "b"):
        better = row["a"] if row["verdict"] == "a" else row["b"]
        return f"{at}, {better} is better: {row['a']} − {row['b']} = {interval}."
    needed = ""
    if math.isfinite(row["seeds_needed"]):
        needed = (
            f" About {row['seeds_needed']:,.0f} seeds would be needed if the difference and its spread are as seen."
        )
    return f"{at}, the seeds cannot decide between {row['a']} and {row['b']}: difference {interval}.{needed}"


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def dense(table: pd.DataFrame, task: str) -> str:
    """Return a sentence on the dense networks of a task, from `statistics.dense`; "" if there are none."""
    its = marks.two_as_range(table[table["task"] == task])
    if its.empty:
        return ""
    one, lost = its.iloc[0], its["diverged"].iloc[0]
    if not one["n"]:
        return f"{DENSE_DIVERGED.capitalize()}." if lost == 1 else f"All {lost} dense networks diverged."
    metric = str(one["quantity"]).removeprefix("test/")
    subject = "The dense network has" if one["n"] == 1 else "The dense networks have"
    told = f"{subject} {_with_interval(one.drop('diverged'), notation.of(metric))}"
    return told + (f"; {lost} more diverged." if lost else ".")
