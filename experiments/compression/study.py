"""Rows, tables and figure of the study.

python -m experiments.compression.study RUNS …   # writes rows.csv from the folders of finished runs, then the rest
python -m experiments.compression.study          # tables (Markdown, printed) and figure.png from rows.csv
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import yaml

from experiments.paired import difference, family, markdown, shown, spread

HERE = Path(__file__).parent
ROWS, FIGURE = HERE / "rows.csv", HERE / "figure.png"
FORMATS = ("dense", "bitmask", "csr32", "huffman", "dense_codes", "bitmask_codes", "csr_codes", "huffman_codes")
FLOATS, INTEGERS = ("masked", "csr", "harvested"), ("int8",)  # variants of latency
METHODS = {"one_shot_fine_tune": "one-shot", "filter_l1": "units", "imp": "IMP", "fine_tune": "Han"}
COSTS = {"bytes": "bytes", "ms@1": "ms, batch 1", "ms@128": "ms, batch 128"}
SHAPES = ["circle", "square", "triangle-up", "cross", "diamond", "triangle-down"]
BUDGETS = (0.25, 0.1, 0.05)  # of the dense network's bytes
# What is compared within each budget, the first minus the second.
PAIRS = (
    ("IMP", "int4, trained on"), ("IMP + int8", "IMP"), ("IMP + int8", "Deep Compression"), ("IMP + int8", "small + int8"),
    ("IMP", "one-shot"), ("one-shot", "units"), ("small, distilled", "small"), ("small, distilled + int8", "small + int8"),
    ("IMP, distilled", "IMP"),
)  # fmt: skip


def rows(folders: Iterable[Path]) -> pd.DataFrame:
    """Return a row for each finished level of each run; the dense network of several runs once."""
    paths = [path for folder in folders for path in sorted(folder.glob("*/levels.csv"))]
    order = ["task", "arm", "seed", "level"]
    found = pd.concat(_run(path.parent) for path in paths).sort_values([*order, "bytes"], ignore_index=True)
    # Small networks have no levels: each is a size of its own.
    return found.drop_duplicates([*order, "weights"], ignore_index=True)


def arm(config: dict[str, Any]) -> str:
    """Return what was done to the network."""
    execution, objective, learned = (config[key] for key in ("execution", "objective", "dense_objective"))
    name = METHODS.get(config["method"], "")
    if execution:
        kind = {"Int8": "int8", "Int4": "int4", "Shared": "shared"}[execution["_target_"].rpartition(".")[2]]
        trained = ", trained on" if execution["length"] != "0it" else ""
        name = "Deep Compression" if name == "Han" else f"{name} + {kind}{trained}" if name else f"{kind}{trained}"
    if config["model"].get("widths", [300, 100]) != [300, 100] or config["model"].get("width", 16) != 16:
        name = f"small + {name}" if name else "small"
    taught = ", distilled" if objective or learned else ""
    before, plus, after = (name or "dense").partition(" + ")
    return f"{before}{taught}{plus}{after}"


def _run(folder: Path) -> pd.DataFrame:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    levels = pd.read_csv(folder / "levels.csv", keep_default_na=False, na_values=[""])
    told = pd.read_csv(folder / "measures.csv")
    wide = told[~told["quantity"].str.contains("/")].pivot_table(
        index="level", columns="quantity", values="value", dropna=False
    )
    wide = wide.reindex(levels["level"]).reset_index(drop=True)
    name = arm(config)
    variants = (*FLOATS, *(INTEGERS if "int8" in name else ()))
    table = pd.DataFrame(
        {
            "task": levels["model"].map({"lenet_300_100": "fashion_lenet"}).fillna("digits_resnet"),
            "arm": name,
            "seed": levels["seed"],
            "level": levels["level"],
            "density": levels["density"].round(5),
            "weights": levels["remaining"],
            "val_accuracy": levels["val/accuracy"],
            "test_accuracy": levels["test/accuracy"],
        }
    )
    sizes = wide.reindex(columns=list(FORMATS))
    table["bytes"], table["format"] = sizes.min(axis=1).astype(int), sizes.idxmin(axis=1)
    for size in (1, 128):
        table[f"ms@{size}"] = wide[[f"{name}@{size}" for name in variants]].min(axis=1).round(5)
    pruned = (table["level"] > 0) | ~table["arm"].isin(["one-shot", "units", "IMP", "IMP, distilled"])
    table["arm"] = table["arm"].where(pruned, "dense")
    whole = table["arm"].str.contains(r"^(?:IMP|one-shot|units).* \+") & (
        table["level"] == 0
    )  # the dense network in 8 bits, an arm of its own
    return table[~whole]


def sizes(table: pd.DataFrame) -> str:
    """Return accuracy, bytes and times of each arm and level, means over seeds, the largest first."""
    lines = []
    small = table["weights"].where(
        table["arm"].str.startswith("small"), 0
    )  # of which each number is a network of its own
    groups = [its for _, its in table.groupby(["arm", "level", small])]
    for its in sorted(groups, key=lambda its: -its["bytes"].mean()):
        first = its.iloc[0]
        times = [f"{its[f'ms@{size}'].mean():.3f}" for size in (1, 128)]
        kept, kilobytes = f"{100 * its['density'].mean():.1f} %", f"{its['bytes'].mean() / 1000:.1f}"
        lines.append(
            [first["arm"], kept, spread(its["test_accuracy"]), kilobytes, first["format"], *times, str(len(its))]
        )
    header = ["network", "weights kept", "test accuracy", "kB", "smallest format", "ms, batch 1", "ms, batch 128", "n"]
    return markdown(header, lines)


def within(table: pd.DataFrame, budget: float, cost: str = "bytes") -> dict[str, pd.Series]:
    """Return each arm's test accuracy by seed: of its networks within a share of the dense network's cost, the one of the highest
    validation accuracy."""
    dense = table[table["arm"] == "dense"].groupby("seed")[cost].first()
    cheap = table[table[cost] <= budget * table["seed"].map(dense)]
    best = cheap.sort_values(["val_accuracy", "bytes"], ascending=[True, False]).groupby(["arm", "seed"]).last()
    return {arm: best.loc[arm]["test_accuracy"] for arm in best.index.get_level_values(0).unique()}


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """Return the comparisons within each budget of bytes, one family; a pair of which one does not come so low has none."""
    found = []
    for budget in BUDGETS:
        there = within(table, budget)
        for a, b in PAIRS:
            if a in there and b in there:
                found.append(
                    difference(f"{a} − {b}, within {100 * budget:g} %, {table['task'].iloc[0]}", there[a], there[b])
                )
    return family([one for one in found if one["n"]])


def budgets(table: pd.DataFrame) -> str:
    """Return the test accuracy of each arm within each budget of bytes."""
    found = {budget: within(table, budget) for budget in BUDGETS}
    names = sorted({arm for its in found.values() for arm in its})
    lines = [[name, *(spread(found[b][name]) if name in found[b] else "–" for b in BUDGETS)] for name in names]
    return markdown(["network", *(f"within {100 * b:g} % of the bytes" for b in BUDGETS)], lines)


def figure(table: pd.DataFrame) -> alt.VConcatChart:
    """Return accuracy against bytes and against both times, a row for each task; the Pareto front of the means is a line."""
    return alt.vconcat(
        *(
            alt.hconcat(*(_panel(its, column, name, title=str(task)) for column, name in COSTS.items()))
            for task, its in table.groupby("task")
        )
    ).resolve_scale(color="shared", shape="shared")  # fmt: skip


def _panel(table: pd.DataFrame, column: str, name: str, title: str) -> alt.LayerChart:
    key = table["weights"].where(table["arm"].str.startswith("small"), 0)
    means = table.groupby(["arm", "level", key])[[column, "test_accuracy"]].mean().reset_index()
    means = means.rename(columns={column: "cost"}).sort_values(["cost", "test_accuracy"], ascending=[True, False])
    front = means[means["test_accuracy"] > means["test_accuracy"].cummax().shift(fill_value=-1.0)]
    best, names = means["test_accuracy"].max(), sorted(table["arm"].unique())
    x = alt.X("cost:Q", title=name, scale=alt.Scale(type="log", nice=False, padding=10))
    # What is far below stands at the bottom.
    y = alt.Y("test_accuracy:Q", title="test accuracy", scale=alt.Scale(domain=[best - 0.15, best + 0.01], clamp=True))
    y = y.axis(format="%")
    legend = alt.Legend(title=None, symbolLimit=0, columns=1)
    color = alt.Color("arm:N", sort=names, scale=alt.Scale(domain=names, scheme="tableau20"), legend=legend)
    shape = alt.Shape(
        "arm:N", sort=names, scale=alt.Scale(domain=names, range=(SHAPES * len(names))[: len(names)]), legend=legend
    )
    dots = alt.Chart(means).mark_point(filled=True, size=60, opacity=1).encode(x, y, color, shape)
    lines = alt.Chart(means).mark_line(strokeWidth=1, opacity=0.6).encode(x, y, color)
    pareto = alt.Chart(front).mark_line(color="black", strokeDash=[4, 3], interpolate="step-after").encode(x, y)
    return (lines + pareto + dots).properties(width=280, height=300, title=title)


def main() -> None:
    """Write and print."""
    if len(sys.argv) > 1:
        rows(map(Path, sys.argv[1:])).to_csv(ROWS, index=False)
    every = pd.read_csv(ROWS)
    for task, table in every.groupby("task"):
        print(f"\n### {task}\n\n{sizes(table)}\n\n{budgets(table)}\n\n{shown(compared(table))}")
    figure(every).save(str(FIGURE), scale_factor=1.5)


if __name__ == "__main__":
    main()
