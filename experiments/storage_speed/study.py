"""Rows, tables and figures of the study.

python -m experiments.storage_speed.study RUNS   # writes rows.csv from the folders of finished runs, then the rest
python -m experiments.storage_speed.study        # tables (Markdown, printed), layers.png and networks.png from the CSV files here
"""

from __future__ import annotations

import sys
from pathlib import Path

import altair as alt
import pandas as pd

from experiments.paired import difference, family, markdown, shown, spread
from ltb.records import ledger, measured

HERE = Path(__file__).parent
ROWS, BREAK_EVEN, LAYERS = (HERE / f"{name}.csv" for name in ("rows", "break_even", "layers"))
KINDS = {"one_shot_fine_tune": "weights", "filter_l1": "neurons"}
STORED = ("dense", "bitmask", "csr32", "huffman")
VARIANTS = ("masked", "csr", "harvested")
OTHERS = ("int8", "onnx", "onnx_int8")
KEPT = {
    "bytes": STORED,
    "flops": ("speed_up",),
    "memory": ("harvested",),
    "latency(rounds=15 cpu_time=True)": tuple(f"{name}@{size}" for name in VARIANTS for size in (1, 128)),
}
BUDGETS = (0.5, 0.25, 0.1)  # of the dense network's


def rows(runs: Path) -> pd.DataFrame:
    """Return a row for each finished level: accuracy, bytes, speed-ups, and milliseconds, with processor and threads."""
    levels = ledger.read([runs]).drop_duplicates(["run_id", "level"])
    found = []
    for folder, its in levels.groupby("folder"):
        told = measured.read(Path(str(folder)))
        table = its[["method", "seed", "level", "density", "test/accuracy"]].set_index("level")
        for measure, quantities in KEPT.items():
            one = told[told["measure"] == measure].pivot_table(index="level", columns="quantity", values="value")
            table = table.join(one[list(quantities)].add_prefix(f"{measure.partition('(')[0]}/"))
        optional = told[
            (told["measure"] == "latency(rounds=15 int8=True onnx=True cpu_time=True)")
            & told["quantity"].str.contains("@")
        ]
        wide = optional.pivot_table(index="level", columns="quantity", values="value")
        names = [f"{name}@{size}" for name in ("masked", *OTHERS) for size in (1, 128)]
        table = table.join(wide.reindex(columns=names).add_prefix("latency_int8_onnx/"))
        threads = told[told["quantity"].str.startswith("threads/")].iloc[0]
        table = table.assign(machine=threads["quantity"].partition("/")[2], threads=int(threads["value"]))
        found.append(table.reset_index())
    table = pd.concat(found).sort_values(["method", "seed", "level"], ignore_index=True)
    return table.round({name: 5 for name in table.columns if name.startswith("latency")})


def stored(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with `bytes`, the smallest without loss, and `ms@SIZE`, the fastest of torch's variants in float32."""
    names = [*(f"bytes/{name}" for name in STORED), "memory/harvested"]
    return table.assign(
        bytes=table[names].min(axis=1),
        **{f"ms@{size}": table[[f"latency/{name}@{size}" for name in VARIANTS]].min(axis=1) for size in (1, 128)},
    )


def even(table: pd.DataFrame) -> str:
    """Return break-even densities, by formula and by file."""
    wide = table.pivot_table(index="format", columns="shape", values=["formula", "file"], sort=False)
    shapes = list(dict.fromkeys(table["shape"]))
    lines = [
        [str(name), *(f"{100 * row[how, shape]:.1f} %" for shape in shapes for how in ("formula", "file"))]
        for name, row in wide.iterrows()
    ]
    header = ["format", *(f"{shape}, by {how}" for shape in shapes for how in ("formula", "file"))]
    return markdown(header, lines)


def kernels(table: pd.DataFrame) -> pd.DataFrame:
    """Return the measured speed-up of each layer, batch and density: dense over CSR, the mean and range over the seeds' masks."""
    keys = ["layer", "batch", "seed"]
    dense = table[table["kernel"] == "dense"].set_index(keys)["median"]
    sparse = table[table["kernel"] == "csr"].set_index([*keys, "density"])["median"]
    ratio = (1 / sparse.div(dense)).rename("speed_up").reset_index()
    groups = ratio.groupby(["layer", "batch", "density"], sort=False)["speed_up"]
    return groups.agg(["mean", "min", "max"]).reset_index()


def speeds(table: pd.DataFrame) -> str:
    """Return measured speed-ups of CSR products; what is theoretical is in the header."""
    found, lines = kernels(table), []
    densities = sorted(set(found["density"]), reverse=True)
    dense = table[table["kernel"] == "dense"].groupby(["layer", "batch"], sort=False)["median"].median()
    for (layer, batch), its in found.groupby(["layer", "batch"], sort=False):
        at = its.set_index("density")
        pays = [density for density in densities if at.loc[density, "min"] > 1]
        cells = [f"{at.loc[d, 'mean']:.2f}" for d in densities]
        lines.append(
            [
                str(layer),
                str(batch),
                f"{dense[layer, batch]:.3f}",
                *cells,
                f"{100 * max(pays):g} %" if pays else "never",
            ]
        )
    header = [f"at {100 * d:g} %, in theory {1 / d:g}" for d in densities]
    return markdown(["layer", "batch", "dense, ms", *header, "pays from"], lines)


def networks(table: pd.DataFrame) -> str:
    """Return what each level saves, means over seeds; accuracy with its spread."""
    lines = []
    for method, kind in KINDS.items():
        for level, its in table[table["method"] == method].groupby("level"):
            mean = its.mean(numeric_only=True)
            times = [f"{mean[f'latency/{name}@{size}']:.3f}" for size in (1, 128) for name in VARIANTS]
            density = f"{100 * mean['density']:.1f} %"
            size = f"{mean['bytes'] / 1000:.1f}"
            lines.append(
                [
                    kind if level else "dense",
                    density,
                    spread(its["test/accuracy"]),
                    size,
                    f"{mean['flops/speed_up']:.1f}",
                    *times,
                    str(len(its)),
                ]
            )
    times = [f"{name}, batch {size}, ms" for size in (1, 128) for name in VARIANTS]
    header = ["removed", "kept", "test accuracy", "smallest, kB", "speed-up in theory", *times, "n"]
    return markdown(header, list({tuple(line): line for line in lines}.values()))


def others(table: pd.DataFrame) -> str:
    """Return int8 and onnxruntime beside torch's masked network, means over seeds, and each one's share of its time."""
    columns = [f"latency_int8_onnx/{name}@{size}" for size in (1, 128) for name in ("masked", *OTHERS)]
    its = table.dropna(subset=columns).drop_duplicates(["level", "seed", *columns])
    lines = []
    for (level, method), of in its.assign(method=its["method"].where(its["level"] > 0, "dense")).groupby(
        ["level", "method"]
    ):
        one = of.groupby("seed")[columns].mean()
        cells = []
        for size in (1, 128):
            base = one[f"latency_int8_onnx/masked@{size}"]
            cells.append(f"{base.mean():.3f}")
            for name in OTHERS:
                ratios = one[f"latency_int8_onnx/{name}@{size}"] / base
                cells.append(f"{ratios.mean():.2f} ({ratios.min():.2f} to {ratios.max():.2f})")
        removed = KINDS[str(method)] if level else "dense"
        lines.append([removed, f"{100 * of['density'].mean():.1f} %", *cells, str(len(one))])
    names = [
        name for size in (1, 128) for name in (f"masked, batch {size}, ms", *(f"{one} / masked" for one in OTHERS))
    ]
    return markdown(["removed", "kept", *names, "n"], lines)


def within(table: pd.DataFrame, cost: str, budget: float) -> dict[str, pd.Series]:
    """Return each kind's best accuracy by seed among its networks that cost at most a share of the dense one."""
    dense = table[table["level"] == 0].groupby("seed")[cost].mean()
    cheap = table[table[cost] <= budget * table["seed"].map(dense)]
    return {
        kind: cheap[cheap["method"] == method].groupby("seed")["test/accuracy"].max() for method, kind in KINDS.items()
    }


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """Return neurons against weights within equal bytes and equal latency, one family; where neither fits there is none."""
    found = []
    for cost, name in (("bytes", "bytes"), ("ms@1", "latency at batch 1"), ("ms@128", "latency at batch 128")):
        for budget in BUDGETS:
            best = within(table, cost, budget)
            one = difference(
                f"neurons − weights, within {100 * budget:g} % of the {name}", best["neurons"], best["weights"]
            )
            found += [one] if one["n"] else []
    return family(found)


def reach(table: pd.DataFrame) -> str:
    """Return in a sentence how far below the dense network's bytes, and the masked one's times, each kind comes."""
    parts = []
    for method, kind in KINDS.items():
        its = table[table["method"] == method]
        dense = its[its["level"] == 0].set_index("seed")["bytes"]
        last = its[its["level"] == its["level"].max()]
        shares = [(last["bytes"] / last["seed"].map(dense)).mean()]
        shares += [(last[f"ms@{size}"] / last[f"latency/masked@{size}"]).mean() for size in (1, 128)]
        parts.append(
            "{}: {:.1f} %, {:.0f} % and {:.0f} %".format(f"{kind} removed", *(100 * share for share in shares))
        )
    return (
        "Of the dense network's bytes, and of the masked network's times in the same turns at batch 1 and 128, the sparsest "
        f"level's fastest variant takes, {'; '.join(parts)}."
    )


def by_harvest(table: pd.DataFrame) -> str:
    """Return what onnxruntime's int8 takes of the harvested float32 network's time, each by the masked one in its own turns."""
    parts = []
    for size in (1, 128):
        int8 = table[f"latency_int8_onnx/onnx_int8@{size}"] / table[f"latency_int8_onnx/masked@{size}"]
        harvested = table[f"latency/harvested@{size}"] / table[f"latency/masked@{size}"]
        its = table.assign(ratio=int8 / harvested)[(table["method"] == "filter_l1") & (table["level"] > 0)]
        means = its.groupby("level")["ratio"].mean()
        parts.append(f"{', '.join(f'{one:.2f}' for one in means)} at batch {size}")
    return (
        "Where neurons are removed, onnxruntime's int8 network with its zeros takes of the float32 network without them, at the "
        f"three densities: {'; '.join(parts)}."
    )


def figure_layers(table: pd.DataFrame) -> alt.Chart:
    """Return measured against theoretical speed-up of each layer, on logarithmic axes; below 1 it does not pay."""
    found = kernels(table).assign(theory=lambda t: 1 / t["density"], batch=lambda t: "batch " + t["batch"].astype(str))
    x = alt.X("theory:Q", title="speed-up in theory, 1 / density", scale=alt.Scale(type="log"))
    y = alt.Y("mean:Q", title="speed-up measured, CSR", scale=alt.Scale(type="log"))
    lines = (
        alt.Chart(found)
        .mark_line(point=True)
        .encode(x, y, alt.Color("layer:N", title=None, legend=alt.Legend(labelLimit=400)))
    )
    bars = alt.Chart(found).mark_rule().encode(x, alt.Y("min:Q"), alt.Y2("max:Q"), alt.Color("layer:N"))
    one = alt.Chart(found).mark_rule(color="grey").encode(y=alt.datum(1))
    equal = alt.Chart(found).mark_line(color="grey", strokeDash=[4, 4]).encode(x, alt.Y("theory:Q"))
    return alt.layer(one, equal, bars, lines).properties(width=280, height=260).facet(alt.Column("batch:N", title=None))


def figure_networks(table: pd.DataFrame) -> alt.HConcatChart:
    """Return accuracy against bytes and against latency, weights beside neurons, each seed a point and the means a line."""
    drawn = table.assign(removed=table["method"].map(KINDS), accuracy=table["test/accuracy"], kB=table["bytes"] / 1000)
    color = alt.Color("removed:N", title="removed")
    y = alt.Y("accuracy:Q", title="test accuracy", scale=alt.Scale(zero=False), axis=alt.Axis(format="%"))
    panels = []
    for column, title in (
        ("kB", "kB, smallest format"),
        ("ms@1", "ms, fastest variant, batch 1"),
        ("ms@128", "ms, fastest variant, batch 128"),
    ):
        named = drawn.rename(columns={column: "cost"})
        means = named.groupby(["removed", "level"])[["cost", "accuracy"]].mean().reset_index()
        x = alt.X("cost:Q", title=title, scale=alt.Scale(type="log"))
        points = alt.Chart(named).mark_point(opacity=0.4).encode(x, y, color)
        panels.append(
            (points + alt.Chart(means).mark_line().encode(x, y, color, order="level:O")).properties(
                width=240, height=260
            )
        )
    return alt.hconcat(*panels)


def main() -> None:
    """Write and print."""
    if len(sys.argv) > 1:
        rows(Path(sys.argv[1])).to_csv(ROWS, index=False)
    table, single = stored(pd.read_csv(ROWS)), pd.read_csv(LAYERS)
    figure_layers(single).save(HERE / "layers.png", scale_factor=2)
    figure_networks(table).save(HERE / "networks.png", scale_factor=2)
    parts = [
        even(pd.read_csv(BREAK_EVEN)),
        speeds(single),
        networks(table),
        others(table),
        shown(compared(table)),
        reach(table),
        by_harvest(table),
    ]
    print("\n\n".join(filter(None, parts)))


if __name__ == "__main__":
    main()
