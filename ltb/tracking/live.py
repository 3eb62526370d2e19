"""A run's training curves in W&B as they grow, each level's once, whether it is trained now or was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ltb.core.levels import Level
from ltb.core.rewind import Fit
from ltb.core.stages import Stage
from ltb.store.store import Store
from ltb.tracking.wandb_mirror import WandbMirror


class Live:
    """Sends each row of a fit as it is measured, and the rest once its level is at hand. `shown`: the stage of each level."""

    def __init__(self, mirror: WandbMirror, shown: Sequence[Stage], store: Store) -> None:
        self._mirror, self._shown, self._store = mirror, shown, store
        self._level, self._sent = 0, 0  # the level that is next to be finished, and how many of its rows were sent

    def told(self, fit: Fit, row: Mapping[str, float]) -> None:
        """A row of the fit that goes on. A stage that is no level of this run, such as a control's chain, is not shown."""
        if self._level < len(self._shown) and self._store.computing[-1:] == [self._shown[self._level]]:
            self._send(fit.origin.step, [row])

    def finished(self, level: Level) -> None:
        """The level is finished: the rows of it that were not sent follow."""
        self._send(level.trained.start, level.trained.history[self._sent :])
        self._level, self._sent = level.index + 1, 0

    def _send(self, start: int, rows: Sequence[Mapping[str, float]]) -> None:
        if not self._sent:
            self._mirror.begin_level(self._level, start)
        for row in rows:
            self._mirror.history(row)
        self._sent += len(rows)
