"""Teachers from other runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ltb.core.contracts import Bench
from ltb.core.objectives import Teacher
from ltb.core.results import Result
from ltb.core.stage import Stage
from ltb.records import identity
from ltb.records.record import LEDGER
from ltb.store.keys import digest
from ltb.store.references import ledger_stages


@dataclass(frozen=True)
class Finished(Teacher):
    """The network of a finished run's level, of any model that takes the same inputs and has as many outputs.

    run: its folder; level: as in its ledger, −1 for the last. It is known by the key of its stage, `stage`: where the run lies
    decides nothing. `settings` is the key of the run's settings, which all its seeds share.
    Raises ValueError for a run or a level that is not there.
    """

    run: str = field(compare=False)
    level: int = field(default=-1, compare=False)
    settings: str = field(init=False)
    stage: str = field(init=False, metadata={"of_seed": True})

    def __post_init__(self) -> None:
        ledger = Path(self.run) / LEDGER
        if not ledger.is_file():
            raise ValueError(f"run is the folder of a finished run, with its {LEDGER}")
        stages = ledger_stages(ledger)
        if not -1 <= self.level < len(stages):
            raise ValueError(f"level is one of the run's, 0 to {len(stages) - 1}, or -1 for the last")
        settings = identity.read(Path(self.run)) or {}
        object.__setattr__(
            self, "settings", digest({name: value for name, value in settings.items() if name != "seed"})
        )
        object.__setattr__(self, "stage", stages[self.level])

    def module(self, bench: Bench, result: Callable[[Stage], Result]) -> Any:
        return _loaded(self.run, self.level, self.stage)


@cache
def _loaded(run: str, level: int, stage: str) -> Any:
    from ltb.run.exporting import load

    return load(run, level)
