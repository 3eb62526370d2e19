"""`python -m ltb.report PATH...`: ledgers → curves.png, curves.svg, summary.csv and a table on the terminal.

Trains nothing and needs no network. Running, failed and incomplete runs are read as far as they came, and named.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ltb.results import curves, ledger, statistics


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help says more)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 if the report is written, 2 and one line on stderr if there is nothing sound to report on."""
    parser = _Parser(prog="python -m ltb.report", description="Ledgers to figures and tables, offline.")
    parser.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="a run's folder or one above runs")
    parser.add_argument("--out", metavar="DIR", type=Path, help="default: PATH, or ./report if there are several")
    options = parser.parse_args(arguments)
    try:
        report(options.paths, options.out)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    return 0


def report(paths: Sequence[Path], out: Path | None = None) -> list[Path]:
    """Write the report on all runs at or below `paths` into `out`, print its tables; the files written.

    `out` is by default the path, if it is one folder, and ./report otherwise. ValueError if no level is finished.
    """
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always", UserWarning)
        runs, rows = ledger.runs(paths), ledger.read(paths)
        unfinished = [f"not complete: {run}" for run in runs if run.state != "complete"]
        if rows.empty:
            raise ValueError("; ".join(["no level is finished yet", *unfinished]))
        summary = statistics.summarise(rows)
        alone = len(paths) == 1 and paths[0].is_dir()
        folder = out or (paths[0] if alone else Path("report"))
        files = [*curves.save(rows, folder), folder / "summary.csv"]
    summary.to_csv(files[-1], index=False)
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 200  # a file or a pipe has no edge to wrap at
    for task, part in summary.groupby("task", sort=False):
        console.print(_table(str(task), part))
    warned = dict.fromkeys(f"note: {one.message}" for one in noted)
    for line in [*_counts(runs, rows), *unfinished, *warned, "written: " + "  ".join(map(str, files))]:
        console.print(Text(line))  # as Text: what a person typed is never read as markup
    return files


def _table(task: str, summary: pd.DataFrame) -> Table:
    """One row per point of each curve: density, n, mean ± sample standard deviation of what is summarised."""
    quantities = list(summary["quantity"].unique())
    table = Table(title=Text(task, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("method", "control"):
        table.add_column(heading, no_wrap=True)
    for heading in ("density", "n", *map(_heading, quantities)):
        table.add_column(heading, justify="right", no_wrap=True)
    for key, curve in summary.groupby(statistics.CURVE, sort=False):
        _, method, control, variant = map(str, key)
        called = [statistics.name(method, "none", variant), control]
        for _, point in curve.groupby("level"):
            found = point.set_index("quantity")
            cells = [f"{found['density'].iloc[0]:.2%}", str(found["n"].max())]
            cells += [_mean_std(q, found.loc[q]) if q in found.index else "" for q in quantities]
            table.add_row(*map(Text, [*called, *cells]))
            called = ["", ""]
        table.add_section()
    return table


def _heading(quantity: str) -> str:
    """On two lines, so that a row fits in 80 columns: test_accuracy → "test / accuracy (%)"."""
    if quantity == "early_stop_step":
        return "early-stop\nstep"
    unit = " (%)" if "accuracy" in quantity else ""
    if quantity.endswith("_at_early_stop"):
        return f"at early\nstop{unit}"
    return quantity.replace("_", "\n", 1).replace("_", " ") + unit


def _mean_std(quantity: str, point: pd.Series) -> str:
    """As in "68.92 ± 0.41", accuracies in percent; one seed has no spread and shows none."""
    scale = 100 if "accuracy" in quantity else 1
    digits = ".2f" if "accuracy" in quantity else ".0f" if quantity == "early_stop_step" else ".4g"
    spread = "" if pd.isna(point["std"]) else f" ± {format(scale * point['std'], digits)}"
    return f"{format(scale * point['mean'], digits)}{spread}"


def _counts(runs: Sequence[ledger.Run], rows: pd.DataFrame) -> Iterable[str]:
    complete = sum(run.state == "complete" for run in runs)
    yield f"{len(runs)} run{'s' * (len(runs) != 1)}, {complete} complete; ± is the sample standard deviation of n seeds"
    last = int(rows["early_stop_is_last"].fillna(False).sum())
    if last:
        yield (
            f"note: in {last} of {len(rows)} levels validation loss was lowest at the last evaluation: "
            "longer training would stop later"
        )


if __name__ == "__main__":
    sys.exit(main())
