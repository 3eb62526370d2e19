"""Rows, tables and figure of the study.

python -m experiments.generalisation.study RUNS   # writes rows.csv from the folders of finished runs, then the rest
python -m experiments.generalisation.study        # tables (Markdown, printed) and figure.png from rows.csv
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
MEASURES = ("train/accuracy", "gap/accuracy", "ece", "nll")
CURVES = ("imp", "one_shot", "imp-reinit", "imp-shuffle", "random")
SMALL = {5: "dense, widths 139", 8: "dense, widths 95", 14: "dense, widths 42"}  # level of IMP with as many weights
LEVEL = 8  # where everything is compared: a sixth of the weights


def rows(runs: Path) -> pd.DataFrame:
    """Return a row for each finished level of each run."""
    found = [_run(path.parent) for path in sorted(runs.glob("*/levels.csv"))]
    return pd.concat(found).sort_values(["noise", "arm", "seed", "level"], ignore_index=True)


def _run(folder: Path) -> pd.DataFrame:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    levels = pd.read_csv(folder / "levels.csv", keep_default_na=False, na_values=[""])
    measured = pd.read_csv(folder / "measures.csv").pivot_table(index="level", columns="quantity", values="value")
    method, control = levels["method"].iloc[-1], levels["control"].iloc[-1]
    arm = method if control == "none" else f"{method}-{control}"
    if config["model"]["widths"] != [256, 256]:
        arm = f"dense, widths {config['model']['widths'][0]}"
    if config["training"]["length"] != "1000it":
        arm = f"dense, {config['training']['length']}"
    table = pd.DataFrame(
        {
            "noise": config["label_noise"]["rate"],
            "arm": arm,
            "seed": levels["seed"],
            "level": levels["level"],
            "density": levels["density"].round(5),
            "weights": levels["remaining"],
            "iterations": levels["search_steps"] + levels["end_step"] - levels["start_step"],
            "val_accuracy": levels["val/accuracy"],
            "test_accuracy": levels["test/accuracy"],
            "early_stop_step": levels["early_stop_step"],
            "test_accuracy_at_early_stop": levels["test/accuracy_at_early_stop"],
        }
    )
    measured = measured.loc[levels["level"], list(MEASURES)].reset_index(drop=True).round(6)
    return table.join(measured.rename(columns={"train/accuracy": "train_accuracy", "gap/accuracy": "gap"}))


def arms(table: pd.DataFrame, noise: float, quantity: str) -> dict[str, pd.Series]:
    """Return the values of a quantity by seed, for each thing that is compared at `LEVEL`."""
    there = table[table["noise"] == noise].set_index("seed")
    imp = there[there["arm"] == "imp"]
    best = imp[imp["level"] > 0].reset_index().sort_values(["val_accuracy", "level"]).groupby("seed").last()
    explicit = there["arm"].isin(["one_shot", "random"])  # their levels have the targets of IMP's 5, 8 and 14
    level = there["level"].where(~explicit, there["level"].map({0: 0, 1: 5, 2: 8, 3: 14}))
    at = {arm: there[(there["arm"] == arm) & (level == LEVEL)] for arm in CURVES}
    whole = {
        "dense": imp[imp["level"] == 0],
        **{arm: there[there["arm"] == arm] for arm in [*SMALL.values(), "dense, 15000it"]},
    }
    return {
        name: part[quantity]
        for name, part in ({"IMP, level chosen on validation": best} | at | whole).items()
        if len(part)
    }


def compared(table: pd.DataFrame, noise: float) -> pd.DataFrame:
    """Return IMP at `LEVEL` minus everything else, in test accuracy, one family for each noise."""
    test, early = arms(table, noise, "test_accuracy"), arms(table, noise, "test_accuracy_at_early_stop")
    others = {
        name: value for name, value in test.items() if name in (*CURVES[1:], "dense", SMALL[LEVEL], "dense, 15000it")
    }
    others["dense at its early stop"] = early["dense"]
    return family(difference(f"IMP − {name}, {noise:.0%} noise", test["imp"], value) for name, value in others.items())


def means(table: pd.DataFrame) -> str:
    """Return test accuracy and gap of everything at `LEVEL`, at the end of training and at the early stop."""
    lines = []
    for noise in sorted(table["noise"].unique()):
        columns = ("test_accuracy", "test_accuracy_at_early_stop", "train_accuracy", "gap", "ece", "density")
        found = {column: arms(table, noise, column) for column in columns}
        for name in found["gap"]:
            cells = [spread(found[column][name]) for column in columns[:5]]
            kept = f"{100 * found['density'][name].mean():.1f} %"
            lines.append([f"{noise:.0%}", name, kept, *cells, str(len(found["gap"][name]))])
    header = ["noise", "network", "density", "test", "test at early stop", "training", "gap", "calibration error", "n"]
    return markdown(header, lines)


def figure(table: pd.DataFrame) -> alt.VConcatChart:
    """Return test accuracy (above) and gap (below) against density, a column for each noise."""
    curves = table[table["arm"].isin(CURVES)]
    small = table[table["arm"].isin(SMALL.values())].assign(density=lambda t: t["weights"] / 78336, arm="small dense")
    long = table[table["arm"] == "dense, 15000it"].assign(arm="dense, 15 times as long")
    early = table[(table["arm"] == "imp") & (table["level"] == 0)].assign(arm="dense at its early stop")
    early["test_accuracy"], early["gap"] = early["test_accuracy_at_early_stop"], float("nan")
    return alt.vconcat(
        *(_row(pd.concat([curves, small]), pd.concat([long, early]), *quantity) for quantity in
          (("test_accuracy", "test accuracy"), ("gap", "training − test accuracy")))
    ).configure_view(strokeWidth=0)  # fmt: skip


def _row(points: pd.DataFrame, lines: pd.DataFrame, quantity: str, title: str) -> alt.HConcatChart:
    panels = []
    for noise in sorted(points["noise"].unique()):
        x = alt.X(
            "density:Q", title="density", scale=alt.Scale(type="log", domain=[0.04, 1]), axis=alt.Axis(format="%")
        )
        y = alt.Y(f"mean({quantity}):Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(format="%"))
        color = alt.Color("arm:N", title=None, sort=[*CURVES, "small dense"])
        here = points[points["noise"] == noise]
        small = here["arm"] == "small dense"
        curve = alt.Chart(here[~small]).mark_line(point=True).encode(x, y, color)
        dots = alt.Chart(here[small]).mark_point(size=80, filled=True, shape="diamond").encode(x, y, color)
        rules = (
            alt.Chart(lines[(lines["noise"] == noise) & lines[quantity].notna()])
            .mark_rule(strokeDash=[6, 3])
            .encode(y, color)
        )
        panels.append((curve + dots + rules).properties(width=260, height=200, title=f"{noise:.0%} label noise"))
    return alt.hconcat(*panels)


def main() -> None:
    """Write and print."""
    if len(sys.argv) > 1:
        rows(Path(sys.argv[1])).to_csv(ROWS, index=False)
    table = pd.read_csv(ROWS)
    print(means(table))
    for noise in sorted(table["noise"].unique()):
        print(f"\nLabel noise {noise:.0%}:\n\n{shown(compared(table, noise))}")
    figure(table).save(str(FIGURE), scale_factor=1.5)


if __name__ == "__main__":
    main()
