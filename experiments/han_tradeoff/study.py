"""Rows, strengths, tables and figure of the study.

python -m experiments.han_tradeoff.study RUNS   # writes rows.csv from the folders of finished runs, then the rest
python -m experiments.han_tradeoff.study        # strengths and tables (Markdown, printed) and figure.png from rows.csv
"""

from __future__ import annotations

import sys
from pathlib import Path

import altair as alt
import pandas as pd
import yaml

from experiments.paired import difference, family, markdown, shown, spread

HERE = Path(__file__).parent
ROWS, FIGURE = HERE / "rows.csv", HERE / "figure.png"
PENALTIES = ("none", "L1", "L2", "L1, then L2")
PROCEDURES = ("no retraining", "one-shot", "one-shot, as long", "iterative")
LEVEL, UNTRAINED = (
    5,
    2,
)  # where procedures that retrain are compared, and where those that do not: 1/32, 1/4 of the weights
AT = ", strength at the level"
SHARES = {0: 0.0, 1: 0.5, 2: 0.75, 3: 0.875, 4: 0.9375, 5: 0.96875, 6: 0.984375}  # level -> target sparsity


def rows(runs: Path) -> pd.DataFrame:
    """Return a row for each finished level; the dense network of several runs once."""
    found = [_run(path.parent) for path in sorted(runs.glob("*/levels.csv"))]
    order = ["task", "penalty", "strength", "procedure", "seed", "level"]
    return pd.concat(found).sort_values(order, ignore_index=True).drop_duplicates(order, ignore_index=True)


def _run(folder: Path) -> pd.DataFrame:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    levels = pd.read_csv(folder / "levels.csv", keep_default_na=False, na_values=[""])
    dense, sparse = (config[key] for key in ("dense_objective", "objective"))
    length = int(config["training"]["length"].removesuffix("it"))
    kinds = [one["_target_"].rpartition(".")[2] for one in (dense, sparse) if one]
    procedure = "one-shot, as long" if "sparsities" in config["schedule"] else "one-shot"
    if config["rewind"]["length"] == "0it":
        procedure = "no retraining"
    level = levels["target_sparsity"].round(6).map({share: level for level, share in SHARES.items()})
    return pd.DataFrame(
        {
            "task": levels["task"],
            "penalty": ", then ".join(dict.fromkeys(kinds)) or "none",
            "strength": dense["strength"] if dense else 0.0,
            "procedure": "iterative" if config["prune_from"] == "previous" else procedure,
            "seed": levels["seed"],
            "level": level,
            "density": levels["density"].round(5),
            "retrained": levels["search_steps"] + levels["end_step"] - levels["start_step"] - length,
            "val_accuracy": levels["val/accuracy"],
            "test_accuracy": levels["test/accuracy"],
        }
    ).assign(retrained=lambda table: table["retrained"].clip(lower=0))


def strengths(table: pd.DataFrame, *, at_compared: bool = False) -> pd.DataFrame:
    """Return for each penalty and procedure the strength of the highest validation accuracy, a mean over pruned levels and seeds.

    Or that at the compared level alone. Those of `one-shot` by the first are what runs that are retrained as long have.
    """
    grid = table[(table["level"] > 0) & table["procedure"].isin(["no retraining", "one-shot", "iterative"])]
    grid = grid[grid["penalty"] != "L1, then L2"]
    grid = grid[(grid["level"] == grid["procedure"].map(_level)) | (not at_compared)]
    means = grid.groupby(["penalty", "procedure", "strength"])["val_accuracy"].mean().reset_index()
    return means.sort_values(["val_accuracy", "strength"]).groupby(["penalty", "procedure"]).last().reset_index()


def _level(procedure: str) -> int:
    return UNTRAINED if procedure == "no retraining" else LEVEL


def chosen(table: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the strengths `found`, and of what has one strength alone."""
    keys = set(zip(found["penalty"], found["procedure"], found["strength"], strict=True))
    once = (table["procedure"] == "one-shot, as long") | (table["penalty"] == "L1, then L2")
    kept = [key in keys for key in zip(table["penalty"], table["procedure"], table["strength"], strict=True)]
    return table[pd.Series(kept, index=table.index) | once]


def compared(table: pd.DataFrame, remark: str = "") -> pd.DataFrame:
    """Return the comparisons of test accuracy on a task, one family; their names end in the task and a `remark`."""

    def at(penalty: str, procedure: str) -> pd.Series:
        here = (table["penalty"] == penalty) & (table["procedure"] == procedure)
        here &= table["level"] == _level(procedure)
        return table[here].set_index("seed")["test_accuracy"]

    pairs = [
        ("no retraining", "L1", "L2"),
        ("one-shot", "L1", "L2"),
        ("one-shot, as long", "L1", "L2"),
        ("iterative", "L1", "L2"),
    ]
    pairs += [("iterative", "L1", "none"), ("iterative", "L2", "none"), ("iterative", "L1, then L2", "L1")]
    of_penalties = [difference(f"{how}: {a} − {b}", at(a, how), at(b, how)) for how, a, b in pairs]
    of_procedures = [
        difference(f"{kind}: iterative − {how}", at(kind, "iterative"), at(kind, how))
        for kind in ("none", "L1", "L2")
        for how in ("one-shot", "one-shot, as long")
    ]
    task = table["task"].iloc[0]
    there = [one for one in of_penalties + of_procedures if one["n"]]
    return family({**one, "comparison": f"{one['comparison']}, {task}{remark}"} for one in there)


def losses(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with `loss`: how much less accurate than the dense network of the same seed, trained without a penalty."""
    dense = table[(table["penalty"] == "none") & (table["level"] == 0)].groupby("seed")["test_accuracy"].first()
    return table.assign(loss=table["seed"].map(dense) - table["test_accuracy"])


def means(table: pd.DataFrame) -> str:
    """Return the accuracy loss of each penalty and procedure against the share of weights removed: the map."""
    lines = []
    for procedure in PROCEDURES:
        for penalty in PENALTIES:
            here = table[(table["penalty"] == penalty) & (table["procedure"] == procedure)]
            if len(here):
                cells = [spread(here[here["level"] == level]["loss"]) for level in SHARES]
                strength = f"{here['strength'].iloc[0]:g}" if penalty != "none" else "–"
                lines.append([procedure, penalty, strength, *cells, str(here["seed"].nunique())])
    header = ["procedure", "penalty", "strength", *(f"{100 * share:.1f} %" for share in SHARES.values()), "n"]
    return markdown(header, lines)


def figure(table: pd.DataFrame) -> alt.LayerChart:
    """Return accuracy loss against the share of weights removed, as in figure 5 of the paper."""
    x = alt.X("removed:Q", title="weights removed", scale=alt.Scale(domain=[0.4, 1]), axis=alt.Axis(format="%"))
    y = alt.Y(
        "mean(loss):Q",
        title="loss of test accuracy (more than 30 % drawn at 30 %)",
        scale=alt.Scale(domain=[-0.05, 0.3], clamp=True),
        axis=alt.Axis(format="%"),
    )
    stroke = alt.Legend(symbolType="stroke", symbolSize=400, symbolStrokeColor="black", symbolStrokeWidth=2)
    dash = alt.StrokeDash("procedure:N", title=None, sort=list(PROCEDURES), legend=stroke)
    color = alt.Color("penalty:N", title="penalty", sort=list(PENALTIES))
    drawn = table[table["level"] > 0].assign(removed=lambda t: 1 - t["density"])
    lines = alt.Chart(drawn).mark_line().encode(x, y, color, dash, detail="procedure:N")
    dots = alt.Chart(drawn).mark_point(filled=True, opacity=1).encode(x, y, color, detail="procedure:N")
    rule = alt.Chart(pd.DataFrame({"loss": [0.0]})).mark_rule(color="grey").encode(y="loss:Q")
    return (rule + lines + dots).properties(width=560, height=340)


def main() -> None:
    """Write and print."""
    if len(sys.argv) > 1:
        rows(Path(sys.argv[1])).to_csv(ROWS, index=False)
    every = pd.read_csv(ROWS, keep_default_na=False, na_values=[""])
    panels = []
    for task, table in every.groupby("task"):
        over, at = strengths(table), strengths(table, at_compared=True)
        found, others = losses(chosen(table, over)), chosen(table, at)
        print(f"\n### {task}\n\n{_shown(table, over, at)}\n\n{means(found)}\n\n{shown(compared(found))}")
        print(f"\nWith the strengths chosen at the compared level:\n\n{shown(compared(others, AT))}")
        panels.append(figure(found).properties(title=str(task)))
    alt.hconcat(*panels).save(str(FIGURE), scale_factor=1.5)


def _shown(table: pd.DataFrame, over: pd.DataFrame, at: pd.DataFrame) -> str:
    lines = []
    for (_, one), (_, other) in zip(over.iterrows(), at.iterrows(), strict=True):
        if one["penalty"] != "none":
            alike = (table["penalty"] == one["penalty"]) & (table["procedure"] == one["procedure"])
            tried = table[alike]["strength"]
            strength, edge = other["strength"], " (the largest tried)" if other["strength"] == tried.max() else ""
            known = [f"{tried.min():g} to {tried.max():g}", f"{one['strength']:g}", f"{100 * one['val_accuracy']:.2f}"]
            lines.append([one["penalty"], one["procedure"], *known, f"{strength:g}{edge}"])
    header = ["penalty", "procedure", "tried", "strength chosen", "validation accuracy, mean over levels and seeds"]
    return markdown([*header, "strength chosen at the compared level"], lines)


if __name__ == "__main__":
    main()
