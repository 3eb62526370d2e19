"""Teachers that the run itself has trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ltb.core import stages
from ltb.core.contracts import Bench
from ltb.core.objectives import Teacher
from ltb.core.results import Result
from ltb.core.stage import Stage


@dataclass(frozen=True)
class Dense(Teacher):
    """The dense network of the same seed, trained on the loss alone."""

    stage: stages.Dense = field(default_factory=stages.Dense, init=False)

    def module(self, bench: Bench, result: Callable[[Stage], Result]) -> Any:
        return bench.module(result(self.stage).point, {})
