"""The display of a run while it goes on: one bar over all levels with the time that is left, and a line a level."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from ltb.common.text import printable
from ltb.core.contracts import Listener

LINE = "level {level:>2}  density {density:>7.2%}  test {metric} {value:.4f}  {early_stop}{note}"


class Display(Listener):
    """Progress of one run of `total` iterations, on stderr. Where that is no terminal, a plain line a level and no bar."""

    def __init__(self, title: str, total: int, metric: str, *, shown: bool = True) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._metric, self._shown = metric, shown
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeElapsedColumn(),
            TextColumn("elapsed,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self._console,
            # A speed over many seconds: evaluations and pruning between fits would make a shorter one jump.
            speed_estimate_period=60,
            disable=not (shown and sys.stderr.isatty()),
        )
        self._task = self._bar.add_task(printable(title), total=total)

    def __enter__(self) -> Display:
        if not self._bar.disable:
            self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._bar.disable:  # rich before 14 leaves an empty line behind a bar that it did not draw
            self._bar.__exit__(kind, error, trace)

    def on_step(self, count: int) -> None:
        self._bar.advance(self._task, count)

    def level(self, row: Mapping[str, Any], reused_from: str | None) -> None:
        """A level is finished: `row` is its row of the ledger, `reused_from` the run that trained it, if not this command."""
        if not self._shown:
            return
        note = "" if row["control"] == "none" else f", {row['control']}"
        note += ", diverged" if row["diverged"] else ""
        note += f", reused from {reused_from}" if reused_from else ""
        note += f", collapsed: {row['collapsed_layers']}" if row["collapsed_layers"] else ""
        value, step = row.get(f"test/{self._metric}"), row["early_stop_step"]
        line = LINE.format(
            level=row["level"],
            density=row["density"],
            metric=self._metric,
            value=float("nan") if value is None else value,
            early_stop="no early stop" if step is None else f"early stop at {step}{_end(row)}",
            note=note,
        )
        self._console.print(Text(printable(line)), soft_wrap=True)


def table(rows: list[dict[str, Any]], metric: str) -> Table:
    """The finished levels as a table; what breaks them has a column where it is not the same of all."""
    diverged = any(row["diverged"] for row in rows)
    shown = Table()
    for heading in ("level", "density", printable(f"test {metric}"), "early-stop step"):
        shown.add_column(Text(heading), justify="right")
    broken = len({row["control"] for row in rows}) > 1
    for heading in [*["control"] * broken, *["loss"] * diverged]:
        shown.add_column(heading)
    for row in rows:
        lost = ["diverged" if row["diverged"] else ""] * diverged
        value = row.get(f"test/{metric}")
        shown.add_row(
            str(row["level"]),
            f"{row['density']:.2%}",
            "" if value is None else f"{value:.4f}",
            "none" if row["early_stop_step"] is None else f"{row['early_stop_step']}{_end(row)}",
            *[Text(printable(row["control"]))] * broken,
            *lost,
        )
    return shown


def _end(row: Mapping[str, Any]) -> str:
    first = " (the first)" if row.get("early_stop_is_first") else ""
    return " (the last)" if row["early_stop_is_last"] else first


def diverged(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the line that counts the levels that diverged, "" where none did.

    >>> diverged([{"level": 0, "diverged": False}, {"level": 1, "diverged": True}, {"level": 2, "diverged": True}])
    '2 of 3 levels diverged (loss nan or inf): levels 1, 2'
    """
    lost = [str(row["level"]) for row in rows if row["diverged"]]
    names = f"level{'s' * (len(lost) > 1)} {', '.join(lost)}"
    return f"{len(lost)} of {len(rows)} levels diverged (loss nan or inf): {names}" if lost else ""


def duration(seconds: float) -> str:
    """A length of time in words.

    >>> duration(200), duration(7500)
    ('3 min 20 s', '2 h 05 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
