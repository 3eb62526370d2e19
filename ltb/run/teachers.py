"""Teachers from other runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ltb.common.errors import Damaged, NotKept
from ltb.core.contracts import Bench
from ltb.core.objectives import Teacher
from ltb.core.results import Result
from ltb.core.stage import Stage
from ltb.records import identity, ledger
from ltb.records.record import LEDGER
from ltb.store.keys import digest
from ltb.store.references import ledger_stages


@dataclass(frozen=True)
class Finished(Teacher):
    """The network of a finished run's level, of any model that takes the same inputs and has as many outputs.

    run: its folder; level: as in its ledger, −1 for the last. It is known by the key of its stage, `stage`: where the run lies
    decides nothing. `settings` is the key of the run's settings and the level, which all its seeds share: curves are told apart
    by it. Raises ValueError for a run that is not there or not complete, and a level that it does not have.
    """

    run: str = field(compare=False, metadata={"key": "never"})
    level: int = field(default=-1, compare=False, metadata={"key": "never"})
    settings: str = field(init=False, compare=False, metadata={"key": "all_seeds"})
    stage: str = field(init=False, metadata={"key": "one_seed"})

    def __post_init__(self) -> None:
        folder = Path(self.run)
        if not (folder / LEDGER).is_file() or ledger.status(folder).state != "complete":
            raise ValueError(f"run is the folder of a finished run, with its {LEDGER}")
        stages = ledger_stages(folder / LEDGER)
        if not -1 <= self.level < len(stages):
            raise ValueError(f"level={self.level}: one of 0 to {len(stages) - 1}, or -1 for the last")
        index = range(len(stages))[self.level]
        settings = {name: value for name, value in (identity.read(folder) or {}).items() if name != "seed"}
        object.__setattr__(self, "settings", digest({"settings": settings, "level": index}))
        object.__setattr__(self, "stage", stages[index])

    def module(self, bench: Bench, result: Callable[[Stage], Result]) -> Any:
        return _loaded(self.run, self.stage)


@lru_cache(maxsize=1)
def _loaded(run: str, stage: str) -> Any:
    from ltb.run.exporting import load

    try:
        stages = ledger_stages(Path(run) / LEDGER)
        if stage not in stages:
            raise ValueError(f"its ledger has no stage {stage} any more")
        return load(run, stages.index(stage))
    except (ValueError, Damaged, NotKept) as error:
        raise ValueError(f"objective.teacher.run={run!r}: {error}") from None
