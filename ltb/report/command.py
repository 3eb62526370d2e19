"""`python -m ltb.report PATH...`: ledgers → report.html, figures (PNG, SVG, PDF), tidy tables (CSV), tables on the terminal.

Trains nothing and needs no network. Running, failed and incomplete runs are read as far as they came, and named.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import warnings
import webbrowser
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.text import Text

from ltb.analysis import findings
from ltb.analysis.inference import PAIRED, TESTS
from ltb.analysis.sparsest import STD
from ltb.common import files
from ltb.common.arguments import Parser
from ltb.common.text import printable
from ltb.records import ledger
from ltb.report import measured, tables
from ltb.report.figures import curves as drawing
from ltb.report.figures.sheet import Sheet

PAGE = "report.html"
LARGEST = 5000  # points: 69 inch, and a PNG of 10000 pixels


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 if the report is written, 2 and one line on stderr if there is nothing sound to report on."""
    parser = Parser(prog="python -m ltb.report", description="Ledgers to one page, figures and tables, offline.")
    parser.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="a run's folder or one above runs")
    parser.add_argument("--out", metavar="DIR", type=Path, help="default: PATH, or ./report if there are several")
    parser.add_argument("--format", choices=("html", "text"), default="html", help="text: tables only, no file written")
    parser.add_argument(
        "--tolerance",
        metavar="X",
        type=_tolerance,
        help="how much worse than dense still matches; std: one standard deviation of the dense networks",
    )
    parser.add_argument("--reference", metavar="CURVE", help="the curve that the others are compared with")
    parser.add_argument(
        "--test", choices=TESTS, default=PAIRED, help="Student's t paired by seed (default), or Welch's"
    )
    parser.add_argument(
        "--curve",
        metavar="CURVE[=NAME]",
        action="append",
        default=[],
        help="report on this curve alone, and call it NAME; several: in this order, compared with one another alone",
    )
    parser.add_argument(
        "--size",
        metavar="WIDTHxHEIGHT",
        type=_size,
        help="of the figures' files, in points of 1/72 inch, such as 468x320 (an SVG's pixels, half a PNG's)",
    )
    parser.add_argument(
        "--title",
        metavar="TEXT",
        help="of page and figures; '': figures without heading and caption; default: the study's name",
    )
    parser.add_argument("--open", action="store_true", help="show the page in a browser")
    options = parser.parse_args(arguments)
    try:
        written = report(
            options.paths,
            options.out,
            text=options.format == "text",
            tolerance=options.tolerance,
            reference=options.reference,
            test=options.test,
            title=options.title,
            curves=options.curve,
            size=options.size,
        )
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {printable(error)}", file=sys.stderr)
        return 2
    if options.open and written:
        webbrowser.open(written[0].resolve().as_uri())
    return 0


def _tolerance(text: str) -> float | str:
    if text == STD:
        return text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(
            f"{text}: a number, 0 or more, in the units of the metric (0.01 is 1 point), or std"
        )
    return value


def _size(text: str) -> tuple[float, float]:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)x([0-9]+(?:\.[0-9]+)?)", text)
    size = (float(found[1]), float(found[2])) if found else (0.0, 0.0)
    if not 0 < min(size) <= max(size) <= LARGEST:
        raise argparse.ArgumentTypeError(
            f"{text}: WIDTHxHEIGHT in points of 1/72 inch, each above 0 and at most {LARGEST}"
        )
    return size


def report(
    paths: Sequence[Path],
    out: Path | None = None,
    *,
    text: bool = False,
    tolerance: float | str | None = None,
    reference: str | None = None,
    test: str = PAIRED,
    title: str | None = None,
    curves: Sequence[str] = (),
    size: tuple[float, float] | None = None,
) -> list[Path]:
    """Write the report on all runs at or below `paths` into `out`, print its tables; return the files, the page first.

    `out` is by default the path, if it is one folder, and ./report otherwise; with `text` nothing is written. `curves`: as for
    `findings.read`; `title` and `size`: as for `Sheet`.
    ValueError if no level is finished, or for a choice that cannot be.
    """
    found = findings.read(paths, tolerance=tolerance, reference=reference, test=test, curves=curves)
    written: list[Path] = []
    if not text:
        alone = len(paths) == 1 and paths[0].is_dir()
        folder = out or (paths[0] if alone else Path("report"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # they are among the notes already
            written = _write(folder, found, Sheet(size, title), [str(path) for path in paths])
    _print(found)
    lines = [_counts(found.runs), *(f"not complete: {run}" for run in found.unfinished)]
    lines += [f"note: {note}" for note in found.notes]
    lines += (
        [f"written: {written[0]}", f"  and beside it {'  '.join(path.name for path in written[1:])}"] if written else []
    )
    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        console.print(Text(printable(line)))  # as Text: what the user typed is never read as markup
    return written


def _write(folder: Path, found: findings.Contents, sheet: Sheet, sources: Sequence[str]) -> list[Path]:
    """Write the page, the figures and the tables into `folder`; return their paths, the page first."""
    from ltb.report import page
    from ltb.report.figures import panel, panels

    drawn = panels.panels(found)
    figures = {"curves": drawing.figure(found.rows, list(found.curves))}
    for kind in ("relative", "layers", "cost"):
        its = [one for one in drawn if one.kind == kind]
        figures |= {kind: panel.still(its, found.curves)} if its else {}
    contents: dict[str, bytes] = {}
    for name, figure in figures.items():
        contents |= drawing.pictures(figure.svg(sheet), name)
    made = drawing.write(contents, folder)
    made += [files.write(folder / name, tables.csv(table)) for name, table in found.csv().items()]
    title = sheet.title or _title(found.rows)
    told = page.Heading(title, datetime.now(UTC).replace(microsecond=0), sources, [file.name for file in made])
    return [files.write(folder / PAGE, page.html(found, drawn, told)), *made]


def _title(rows: pd.DataFrame) -> str:
    studies = [name for name in dict.fromkeys(rows["study"]) if name]
    return ", ".join(studies[:3]) + (" …" if len(studies) > 3 else "") if studies else "Report"


def _print(found: findings.Contents) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 1000  # a file or a pipe has no edge to wrap at, or to cut numbers off at
    for task in found.tasks:
        every = (
            found.summary,
            found.cost,
            found.groups,
            found.headline,
            found.matching,
            found.measures,
            found.examples,
        )
        summary, cost, groups, headline, matching, measures, examples = (
            table[table["task"] == task] for table in every
        )
        console.print(tables.summary(task, summary))
        if len(cost):
            console.print(tables.cost(task, cost))
        if len(groups):
            console.print(tables.groups(task, groups))
        if len(headline):
            console.print(tables.headline(task, headline))
        if len(matching):
            console.print(tables.matching(task, matching, tolerance=found.tolerances[task]))
        for one in [*measured.examples(examples), *measured.tables(measures)]:
            console.print(*tables.measure(task, one))


def _counts(runs: Sequence[ledger.Run]) -> str:
    states = Counter(run.state for run in runs)
    known = f", {states['complete']} complete" if len(runs) > states["unknown"] else ""
    without = f", {states['unknown']} without a status file" if states["unknown"] else ""
    return f"{len(runs)} run{'s' * (len(runs) != 1)}{known}{without}; ± is the sample standard deviation of n seeds"


if __name__ == "__main__":
    sys.exit(main())
