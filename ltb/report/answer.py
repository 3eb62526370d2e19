"""The answers of a report in sentences that can be quoted: what is best and what is worse, how far each can be pruned.

Made from `grouping.table`, `paired.headline` and `matching.table` alone; every number comes with its interval and its n.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from ltb.analysis import grouping, matching
from ltb.analysis.inference import PAIRED, WELCH
from ltb.analysis.sparsest import DENSE_DIVERGED, LEAST
from ltb.report import notation
from ltb.report.figures import marks
from ltb.report.notation import Notation

NAMED = 6  # curves in a sentence; more are counted
TESTS = {PAIRED: "paired", WELCH: "Welch"}
CHOSEN = {
    PAIRED: "Student’s t of the differences by seed (paired, the default: chosen before anything was looked at)",
    WELCH: "Welch’s t, as asked for (--test welch; the default, chosen before anything was looked at, is paired)",
}


def sentences(
    task: str,
    points: pd.DataFrame,
    headline: pd.DataFrame,
    groups: pd.DataFrame,
    matched: pd.DataFrame,
    within: str,
) -> list[str]:
    """Return the answer for one task, a few sentences; the tables may hold other tasks as well. `within`: its tolerance."""
    its = points[(points["task"] == task) & (points["kind"] == "value")]
    if its.empty:
        return []
    compared, together = headline[headline["task"] == task], groups[groups["task"] == task]
    said = [_best(its, together), *([_decided(compared)] if len(compared) else [])]
    return [*said, *_matching(matched[matched["task"] == task], within)]


def _best(points: pd.DataFrame, groups: pd.DataFrame) -> str:
    """Return the group that cannot be told apart from the best, then what is decidedly worse, at the level that all share."""
    metric, direction = str(points["metric"].iloc[0]), points["direction"].iloc[0]
    write, name = notation.of(metric), f"mean test {metric.replace('_', ' ')}"
    if groups.empty:
        one = marks.means(points).sort_values("density").iloc[0]
        return (
            f"At {notation.density(one['density'])} of the weights, the sparsest level, {one['curve']} has a {name} of "
            f"{_with_interval(one, write)}."
        )
    shared, every = len(groups), points["curve"].nunique()
    whose = (
        "both curves"
        if shared == every == 2
        else f"all {shared} curves"
        if shared == every
        else f"{shared} of {every} curves"
    )
    said = f"At {_span(groups['density'])} of the weights, the sparsest level that {whose} have in common, "
    best, worse, lost = (
        groups[groups["group"] == group] for group in (grouping.BEST, grouping.WORSE, grouping.NEITHER)
    )
    high = "highest" if direction == "max" else "lowest"
    if best.empty:
        return f"{said}every network diverged."
    top = marks.two_as_range(best).iloc[0]
    if len(best) == 1:
        said += f"{top['curve']} has the {high} {name}, {_with_interval(top, write)}"
    else:
        few = f" with fewer than {LEAST} seeds" if not groups["pairs"].max() else ""
        said += f"these cannot be told apart{few} from the {high} {name}, {_with_interval(top, write)}: {_valued(best, write)}"
    groups_said = [said]
    if len(worse):
        groups_said.append(f"decidedly worse {'is' if len(worse) == 1 else 'are'} {_valued(worse, write)}")
    if len(lost):
        groups_said.append(f"of {listed(list(lost['curve']))} every network diverged")
    return f"{'; '.join(groups_said)}."


def _valued(groups: pd.DataFrame, write: Notation) -> str:
    """Return curves with their means, the best first; many are counted."""
    named = [f"{one['curve']} ({write(one['mean'])})" for _, one in groups.iloc[:NAMED].iterrows()]
    more = len(groups) - NAMED
    return listed([*named, f"{more} more curve{'s' * (more > 1)}"] if more > 0 else named)


def _span(densities: pd.Series) -> str:
    least, most = notation.density(float(densities.min())), notation.density(float(densities.max()))
    return least if least == most else f"{least.removesuffix(' %')} to {most}"


def _with_interval(one: pd.Series, write: Notation) -> str:
    kind = "minimum to maximum" if one["n"] == 2 else "95 % interval"
    band = "" if pd.isna(one["low"]) else f"{kind} {write.interval(one['low'], one['high'])}, "
    band = f"{why}, " if band and (why := write.empty(one["low"], one["high"])) else band
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


def _matching(table: pd.DataFrame, within: str) -> list[str]:
    """Return down to which density each curve is demonstrated to match, and what matches on average beside it."""
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
    known = table[table["n"] > 0]
    return [_demonstrated(known, within), _on_average(known), *left]


def _demonstrated(table: pd.DataFrame, within: str) -> str:
    sure = table.dropna(subset="demonstrated_density").sort_values("demonstrated_density", kind="stable")
    if sure.empty:
        few = (table["stop"] == matching.FEW).all()
        why = f": that takes {LEAST} seeds" if few else ""
        return f"No curve is demonstrated to match its dense network within {within} at any pruned level{why}."
    named = [
        f"{one['curve']} down to {notation.density(one['demonstrated_density'])} of the weights"
        + (", the sparsest tried" if one["demonstrated_edge"] else "")
        for _, one in sure.iloc[:NAMED].iterrows()
    ]
    more = len(sure) - NAMED
    named += [f"{more} more curve{'s' * (more > 1)}"] * (more > 0)
    rest = len(table) - len(sure)
    none = f"; at no pruned level {'is' if rest == 1 else 'are'} {rest} other{'s' * (rest > 1)}" if rest else ""
    return f"Demonstrated to match the dense network within {within} {'is' if len(sure) == 1 else 'are'} {listed(named)}{none}."


def _on_average(table: pd.DataFrame) -> str:
    found = table.dropna(subset="mean_density").sort_values("mean_density", kind="stable")
    if found.empty:
        return "In the mean over seeds no curve matches at any pruned level."
    tied = found[found["mean_density"] == found["mean_density"].iloc[0]]
    seeds = "in its one seed" if (tied["mean_n"] == 1).all() else "in the mean over seeds"
    surely = "" if tied["demonstrated"].all() else ", which demonstrates nothing,"
    named = listed([_though(one) for _, one in tied.iterrows()])
    verb, are = ("matches", "is") if len(tied) == 1 else ("match", "are")
    return f"The sparsest that {verb} {seeds}{surely} {are} {named}."


def _though(one: pd.Series) -> str:
    fails = "" if pd.isna(one["mean_fails"]) else f", though not at {notation.density(one['mean_fails'])}"
    return f"{one['curve']} at {notation.density(one['mean_density'])}{fails}"


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
    """Return how surely the mean curve of a row of `matching.table` matches, and the denser level at which it fails; else ""."""
    if pd.isna(row["mean_density"]):
        return ""
    surely = "demonstrably" if row["demonstrated"] else "on average" if row["mean_n"] > 1 else "one seed"
    return surely + ("" if pd.isna(row["mean_fails"]) else f", not at {notation.density(row['mean_fails'])}")


def demonstrated(row: Mapping[Hashable, Any] | pd.Series) -> str:
    """Return the density down to which a row of `matching.table` is demonstrated to match, "none" where it is at none."""
    if pd.isna(row["demonstrated_density"]):
        return "none"
    return ("≤ " if row["demonstrated_edge"] else "") + notation.density(row["demonstrated_density"])


def stopped(row: Mapping[Hashable, Any] | pd.Series) -> str:
    """Return why a row of `matching.table` is demonstrated no further; "" where every level that was tried is."""
    write = notation.difference(str(row["quantity"]).removeprefix("test/"))
    at = "" if pd.isna(row["stop_density"]) else f"{notation.density(row['stop_density'])}: "
    return {
        "": "",
        matching.WORSE: f"{at}{write(row['stop_low'])} is not excluded",
        matching.FEW: f"fewer than {LEAST} seeds",
        matching.LOST: f"{at}a seed diverged",
        matching.ABSENT: f"{at}not all seeds",
    }[row["stop"]]


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
    interval = (
        f"{write(row['mean'])} (95 % interval {write.interval(row['low'], row['high'])}, {TESTS[row['test']]}, {n})"
    )
    if row["verdict"] in ("a", "b"):
        better = row["a"] if row["verdict"] == "a" else row["b"]
        return f"{at}, {better} is better: {row['a']} − {row['b']} = {interval}."
    needed = ""
    if math.isfinite(row["seeds_needed"]):
        needed = f" Post hoc: about {row['seeds_needed']:,.0f} seeds would be needed if the difference and its spread are as seen."
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
