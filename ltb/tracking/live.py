"""A run's training curves in its mirror as they grow, each level's once, whether it is trained now or was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ltb.core.contracts import Listener
from ltb.core.loop import Level
from ltb.core.stage import Stage
from ltb.tracking.mirror import Mirror


class Live(Listener):
    """A listener that sends each row of a fit as it is measured, and the rest once its level is finished.

    `shown`: the stage of each level. A stage that is no level of this run, such as a control's chain, is not shown.
    """

    def __init__(self, mirror: Mirror, shown: Sequence[Stage]) -> None:
        self._mirror, self._shown = mirror, shown
        self._level, self._sent = 0, 0  # the level that is next to be finished, and how many of its rows were sent
        self._computed: Stage | None = None
        self._start = 0

    def on_stage(self, stage: Stage) -> None:
        self._computed = stage

    def on_fit(self, start: int, stop: int) -> None:
        self._start = start

    def on_row(self, row: Mapping[str, float]) -> None:
        if self._level < len(self._shown) and self._computed == self._shown[self._level]:
            self._send(self._start, [row])

    def finished(self, level: Level) -> None:
        """Send the rows of a finished level that were not sent yet."""
        self._send(level.trained.start, level.trained.history[self._sent :])
        self._level, self._sent = level.index + 1, 0

    def _send(self, start: int, rows: Sequence[Mapping[str, float]]) -> None:
        if not self._sent:
            self._mirror.begin_level(self._level, start)
        for row in rows:
            self._mirror.history(row)
        self._sent += len(rows)
