"""Rows, table, figures and orderings of the study.

python -m experiments.all_methods.study RUNS … # writes rows.csv from the folders of finished runs, then the rest
python -m experiments.all_methods.study        # tables (Markdown, printed), TASK_density.png and TASK_flops.png from rows.csv
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import altair as alt
import pandas as pd

from experiments.paired import difference, family, markdown, shown, spread

HERE = Path(__file__).parent
ROWS = HERE / "rows.csv"
TARGETS = (0.8, 0.9, 0.95, 0.98)
FAMILIES = {  # a panel each
    "after training, level by level": ("imp", "imp_rewind", "lr_rewind", "fine_tune", "imp-reinit", "imp-shuffle"),
    "after training, at once": ("one_shot", "one_shot_rewind", "one_shot_lr_rewind", "one_shot_fine_tune"),
    "during training": (
        "gradual",
        "movement",
        "soft_movement",
        "ac_dc",
        "rigl_5x",
        "rigl",
        "set",
        "static_sparse",
        "static_sparse_5x",
    ),
    "before training": (
        "snip",
        "snip_iterative",
        "force",
        "grasp",
        "synflow",
        "magnitude_at_init",
        "random_balanced",
        "random",
    ),
    "before training, broken": ("snip-shuffle", "snip-reinit", "synflow-shuffle", "synflow-reinit"),
}
# What the literature says, the better one first; with =, that there is no difference. The first is our own expectation.
ORDERINGS = (
    ("imp_rewind", "gradual", "expected; no paper"),
    ("rigl_5x", "gradual", "Evci et al. 2020"),
    ("rigl_5x", "rigl", "Evci et al. 2020"),
    ("rigl_5x", "static_sparse_5x", "Evci et al. 2020"),
    ("rigl", "set", "Evci et al. 2020"),
    ("set", "static_sparse", "Evci et al. 2020"),
    ("static_sparse", "snip", "Evci et al. 2020"),
    ("imp_rewind", "snip", "Frankle et al. 2021"),
    ("imp_rewind", "synflow", "Frankle et al. 2021"),
    ("snip", "= snip-shuffle", "Frankle et al. 2021"),
    ("synflow", "= synflow-shuffle", "Frankle et al. 2021"),
    ("imp", "imp-shuffle", "Frankle et al. 2021"),
    ("snip", "random", "Lee et al. 2019"),
    ("synflow", "random", "Tanaka et al. 2020"),
    ("imp", "one_shot", "Frankle & Carbin 2019"),
    ("imp", "imp-reinit", "Frankle & Carbin 2019"),
)


def rows(folders: Sequence[Path]) -> pd.DataFrame:
    """Return a row for each finished level at a density of the study, the dense networks included."""
    paths = [path for folder in folders for path in sorted(folder.glob("*/levels.csv"))]
    found = pd.concat(pd.read_csv(path, keep_default_na=False, na_values=[""]) for path in paths)
    found = found[found["target_sparsity"].isin((0.0, *TARGETS))].reset_index(drop=True)
    trained = found["search_steps"] + found["end_step"] - found["start_step"]
    control = found["control"].where(found["level"] > 0, "none")
    table = pd.DataFrame(
        {
            "task": found["task"],
            "method": found["method"].where(control == "none", found["method"] + "-" + control),
            "seed": found["seed"],
            "sparsity": found["target_sparsity"],
            "remaining": found["remaining"],
            "iterations": trained,
            "training_flops": trained * found["step_flops"],
            "test_accuracy": found["test/accuracy"],
            "val_accuracy": found["val/accuracy"],
            "early_stop_step": found["early_stop_step"],
        }
    )
    table.loc[table["sparsity"] == 0, "method"] = "dense"
    order = ["task", "method", "sparsity", "seed"]
    return table.sort_values([*order, "iterations"], ignore_index=True).drop_duplicates(order, ignore_index=True)


def means(table: pd.DataFrame) -> str:
    """Return test accuracy of each method at each sparsity and over all, and what it cost, the best on average first."""
    lines = []
    over = table[table["sparsity"] > 0].groupby("method")["test_accuracy"].mean().sort_values(ascending=False)
    dense = table[table["method"] == "dense"]
    lines.append(["dense", *["" for _ in TARGETS], spread(dense["test_accuracy"]), "1", str(len(dense))])
    for method in over.index:
        own = table[table["method"] == method]
        cells = [spread(own[own["sparsity"] == one]["test_accuracy"]) for one in TARGETS]
        cost = own[own["sparsity"] == 0.95]["training_flops"].mean() / dense["training_flops"].mean()
        average = own.groupby("seed")["test_accuracy"].mean()
        lines.append([method, *cells, spread(average), f"{cost:.3g}", str(own["seed"].nunique())])
    header = ["method", *(f"{one:.0%} removed" for one in TARGETS), "mean of the four", "training, dense = 1", "n"]
    return markdown(header, lines)


def orderings(table: pd.DataFrame) -> pd.DataFrame:
    """Return what the literature orders, compared in the mean over the four sparsities of each seed, one family."""
    (task,) = table["task"].unique()
    average = table[table["sparsity"] > 0].groupby(["method", "seed"])["test_accuracy"].mean()
    there = [one for one in ORDERINGS if {one[0], one[1].removeprefix("= ")} <= set(average.index.get_level_values(0))]
    found = family(
        difference(f"{better} − {worse}, {task}", average[better], average[worse])
        for better, worse in ((one, other.removeprefix("= ")) for one, other, _ in there)
    )
    equal = pd.Series([worse.startswith("= ") for _, worse, _ in there])
    agreed = found["verdict"].where(~equal, "none").map({"higher": "agreed", "lower": "not agreed"}).fillna("undecided")
    # That there is no difference cannot be shown by a test for one: the interval says how large it may be.
    agreed = agreed.where(~(equal & (found["verdict"] != "undecided")), "not agreed")
    return found.assign(verdict=agreed + [f" ({source})" for _, _, source in there])


def by_density(table: pd.DataFrame) -> alt.HConcatChart:
    """Return test accuracy against density, a panel for each family, with the dense networks' mean."""
    dense = table[table["method"] == "dense"]["test_accuracy"].mean()
    found = table["test_accuracy"]
    scale = alt.Scale(domain=[found.min() - 0.02, found.max() + 0.02], nice=False)  # the same in each panel
    panels = []
    for name, methods in FAMILIES.items():
        here = table[table["method"].isin(methods)]
        if here.empty:
            continue
        here = here.assign(density=lambda t: (1 - t["sparsity"]).round(4))
        x = alt.X("density:Q", title="density", scale=alt.Scale(type="log", domain=[0.018, 0.22], reverse=True))
        x = x.axis(values=[0.2, 0.1, 0.05, 0.02], format="%")
        y = alt.Y("test_accuracy:Q", title="test accuracy", scale=scale, axis=alt.Axis(format="%"))
        color = alt.Color("method:N", title=None, sort=list(methods), legend=alt.Legend(orient="bottom", columns=2))
        line = alt.Chart(here).mark_line(point=True).encode(x, y.aggregate("mean"), color)
        seeds = alt.Chart(here).mark_point(size=12, opacity=0.5).encode(x, y, color)
        rule = alt.Chart(pd.DataFrame({"test_accuracy": [dense]})).mark_rule(strokeDash=[6, 3]).encode(y)
        panels.append((line + seeds + rule).properties(width=200, height=240, title=name))
    return alt.hconcat(*panels).resolve_scale(color="independent")


def by_flops(table: pd.DataFrame, sparsity: float = 0.95) -> alt.LayerChart:
    """Return test accuracy at one sparsity against all FLOPs of training that it took, the search included."""
    here = table[table["sparsity"].isin([sparsity]) | (table["method"] == "dense")]
    here = here.groupby("method")[["test_accuracy", "training_flops"]].mean().reset_index()
    cost = here["training_flops"]
    scale = alt.Scale(type="log", nice=False, domain=[0.9 * cost.min(), 1.6 * cost.max()])  # room for the last name
    x = alt.X("training_flops:Q", title="FLOPs of training, dense kernels (log scale)", scale=scale)
    x = x.axis(format="~s", values=[one * 10**power for power in range(9, 16) for one in (1, 2, 5)])
    y = alt.Y("test_accuracy:Q", title="test accuracy", scale=alt.Scale(zero=False), axis=alt.Axis(format="%"))
    dots = alt.Chart(here).mark_circle(size=60).encode(x, y)
    names = alt.Chart(here).mark_text(align="left", dx=6, fontSize=10).encode(x, y, text="method:N")
    return (dots + names).properties(
        width=720, height=620, title=f"{sparsity:.0%} removed: mean of {_seeds(table)} seeds"
    )


def _seeds(table: pd.DataFrame) -> int:
    return int(table["seed"].nunique())


def main() -> None:
    """Write and print."""
    if len(sys.argv) > 1:
        rows([Path(one) for one in sys.argv[1:]]).to_csv(ROWS, index=False)
    for task, table in pd.read_csv(ROWS).groupby("task", sort=False):
        print(f"\n### {task}\n\n{means(table)}\n\n{shown(orderings(table))}")
        by_density(table).save(str(HERE / f"{task}_density.png"), scale_factor=1.5)
        by_flops(table).save(str(HERE / f"{task}_flops.png"), scale_factor=1.5)


if __name__ == "__main__":
    main()
