"""The books of a run: the rows of its levels as they finish, and the files of its folder that hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ltb.common.errors import Damaged
from ltb.core.loop import Level
from ltb.core.stage import search_steps, settled
from ltb.records import record
from ltb.run.setup import Setup
from ltb.store.references import ledger_stages


class Books:
    """What a run writes of its levels into `folder`.

    rows:   of the ledger, one for each level that is done.
    made:   how the stage of each was made, as it is in the store.
    before: levels that the ledger in the folder had when the run began, which are this run's and in its store.
    """

    def __init__(self, setup: Setup, folder: Path) -> None:
        self._setup, self._folder = setup, folder
        self.rows: list[record.Row] = []
        self.made: list[dict[str, Any]] = []
        self.before = 0
        self._history: list[record.Row] = []
        self._layers: list[record.Row] = []
        self._measures: list[record.Row] = []

    @property
    def levels(self) -> int:
        """How many levels are finished, by this command or before it."""
        return max(self.before, len(self.rows))

    def text(self) -> str | None:
        """Return the ledger as it is in the folder."""
        path = self._folder / record.LEDGER
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None

    def open(self) -> str | None:
        """Count the levels that are finished, from level 0 on, and return the ledger as `text` does."""
        self.before = 0
        try:
            there = ledger_stages(self._folder / record.LEDGER)
        except Damaged:
            there = []  # absent, or written again
        store = self._setup.store
        for stage, key in zip(self._setup.stages, there, strict=False):
            if store.keys(stage) != key or not store.has(stage):
                break
            self.before += 1
        return self.text()

    def add(self, level: Level) -> tuple[record.Row, str]:
        """Enter a level; return its row in the ledger, and the run that trained it."""
        setup = self._setup
        store, clock = setup.store, setup.training.clock
        key, metadata = store.keys(level.stage), store.metadata(level.stage)
        grown = settled(level.stage, store.stop)
        # None: what its rule found is gone
        cost = None if grown.open else search_steps(grown, clock, setup.training.cost)
        trained_by = str(metadata["run_id"])
        row = record.level_row(
            level, setup.row, setup.training.parameters, cost, key, reused=trained_by != setup.run_id
        )
        self.rows.append(row)
        self.made.append(metadata["made"])
        self._history += record.history_rows(level, setup.run_id)
        self._layers += record.layer_rows(level)
        self._measures += record.measured_rows(level, setup.run_id, key)
        self._measures += record.joint_rows(level, setup.run_id)
        return row, trained_by

    def write(self, *, ends: bool = False) -> None:
        """Write what there is, the ledger last, and that only where it is no shorter than before, or the run `ends` here.

        Else a measure that fails now would cut off what is finished.
        """
        if self._measures:
            record.merge_measures(self._folder, self._measures)
        if ends or len(self.rows) >= self.before:
            record.write_rows(self._folder / record.HISTORY, self._history)
            record.write_rows(self._folder / record.LAYERS, self._layers)
            record.write_rows(self._folder / record.LEDGER, self.rows, record.COLUMNS)
