"""Tables and sentences of the study, from its rows; the figure is the report's.

python -m experiments.mnist1d_methods.study   # prints them (Markdown)
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from experiments.paired import markdown, spread
from ltb.analysis import grouping, matching, meeting, paired, points, statistics
from ltb.records import ledger
from ltb.report import answer, notation

HERE = Path(__file__).parent
REFERENCE = "imp"
TOLERANCE = 0.007  # as the task has it: one standard deviation of these dense networks
NAMES = {
    "imp_rewind": "IMP, rewound to step 100",
    "imp": "IMP, rewound to the initialisation",
    "lr_rewind": "learning-rate rewinding",
    "one_shot": "one-shot, rewound to the initialisation",
    "imp · reinit": "IMP's masks, new initialisation",
    "imp · shuffle": "IMP's masks, each layer shuffled",
    "random": "random over the whole network (at 4.40 %)",
}
SHOWN = {0: "100 %", 13: "6.15 % of the weights", 14: "5.00 %"}  # level: its density
VERDICT = {"a": "better", "b": "worse"}


def means(levels: pd.DataFrame, headline: pd.DataFrame) -> str:
    """Return test accuracy at three levels, the early stop at the last, and the difference to IMP there."""
    lines = []
    for curve, name in NAMES.items():
        its = levels[levels["curve"] == curve]
        at = {level: its[its["level"] == level] for level in SHOWN}
        # The whole of a random network loses a fifth, so that its levels are at other densities than those here but the last.
        cells = [spread(at[level]["value"]) if curve != "random" or level != 13 else "" for level in SHOWN]
        stop = at[14]["early_stop_step"].astype("float64")
        row = headline[headline["a"] == curve]
        against = ["", "", ""]
        if len(row):
            one = row.iloc[0]
            interval = notation.Notation(100, ".1f", signed=True).interval(one["low"], one["high"])
            difference = notation.Notation(100, ".1f", signed=True)(one["mean"])
            verdict = VERDICT.get(one["verdict"], one["verdict"])
            against = [f"{difference} ({interval})", notation.probability(one["p_holm"]), verdict]
        lines.append([name, *cells, f"{stop.mean():.0f} ± {stop.std():.0f}", *against])
    header = ["method", *SHOWN.values(), "early-stop step at 5.00 %", "minus IMP at 5.00 %, points", "p (Holm)"]
    return markdown([*header, "against IMP"], lines)


def matched(table: pd.DataFrame) -> str:
    """Return down to which density each curve is demonstrated to match, and what matches on average and in single seeds."""
    found = table.set_index("curve").assign(curve=table["curve"].to_list())
    lines = []
    for curve, name in NAMES.items():
        row = found.loc[curve]
        average = ", ".join(filter(None, [notation.density(row["mean_density"]), answer.how_surely(row)]))
        single = ("≤ " if row["at_edge"] else "") + notation.density(row["density"])
        lines.append([name, answer.demonstrated(row), answer.stopped(row), average, single])
    return markdown(["method", "demonstrated", "not further, for", "mean curve", "single seeds"], lines)


def told(levels: pd.DataFrame) -> str:
    """Return test accuracy at the last level in a sentence."""
    last, dense = levels[levels["level"] == 14], levels[(levels["level"] == 0) & (levels["curve"] == "imp")]
    each = [f"{name}: {spread(last[last['curve'] == curve]['value'])} %" for curve, name in NAMES.items()]
    return f"At 5 % density, {'; '.join(each)}; dense: {spread(dense['value'])} %."


def correlations(headline: pd.DataFrame) -> str:
    """Return how much a seed does to a curve and to the reference alike, in a sentence."""
    low, high = (notation.correlation(end) for end in (headline["correlation"].min(), headline["correlation"].max()))
    return f"Over seeds, the values of a curve and those of {REFERENCE} correlate by {low} to {high}."


def main() -> None:
    """Print."""
    rows = ledger.read([HERE])
    levels = statistics.named(statistics.distinct(rows))
    met = meeting.points(rows, REFERENCE)
    headline, _ = paired.against(met, reference=REFERENCE, test="paired")
    groups, table = grouping.table(met, headline), matching.table(rows, tolerance=TOLERANCE)
    said = answer.sentences(str(rows["task"].iloc[0]), points.table(rows), headline, groups, table, "0.70 points")
    parts = [told(levels), means(levels, headline), matched(table), *said, correlations(headline)]
    print("\n\n".join(parts))


if __name__ == "__main__":
    main()
