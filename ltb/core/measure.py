"""Measures: functions of finished stages. They train nothing, and what they say is kept like any stage and never computed twice.

A measure is a frozen dataclass, its own name in lower case the name that people use (`Calibration` is ``measure=calibration``).
"""

from __future__ import annotations

import dataclasses
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ltb.common.allowed import Split, Text, settle
from ltb.common.step import Clock
from ltb.core.contracts import Bench
from ltb.core.results import AT_EARLY_STOP, Measurement, Number, Result, Spent, early_stop_step, unjudged


class Measure(ABC):
    """(finished stages, bench) -> numbers.

    joint:   whether it compares several stages (all levels of a run, runs with each other) rather than looking at each alone.
    initial: whether it looks at the network before any training, and so says the same of every level.
    network: whether it runs the network; one that does not is a function of masks and weights, and can compare any runs.
    ledger:  whether its numbers are columns of the ledger, rather than rows of measures.csv.
    machine: whether the numbers are of this machine (times): then they are kept apart for each machine and number of threads.
    version: raised when the same settings come to give other numbers.
    """

    joint: ClassVar[bool] = False
    initial: ClassVar[bool] = False
    network: ClassVar[bool] = True
    ledger: ClassVar[bool] = False
    machine: ClassVar[bool] = False
    version: ClassVar[int] = 1

    @property
    def name(self) -> str:
        """The name in configuration, tables and W&B: ``step_flops`` for `StepFlops`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()

    @property
    def label(self) -> str:
        """The name with the settings that are not the usual ones, as tables have it: ``calibration(split=train)``."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        usual = {f.name: f.default_factory() if callable(f.default_factory) else f.default for f in fields}
        given = {name: value for name in usual if (value := getattr(self, name)) != usual[name]}
        told = (
            f"{name}={'+'.join(map(str, value)) if isinstance(value, tuple) else value}"
            for name, value in given.items()
        )
        return f"{self.name}({' '.join(told)})" if given else self.name

    def drawn_at(self, clock: Clock) -> Sequence[int]:
        """Return the iterations of the dense run, rising, at which it looks at the ticket that a pruned level would draw there.

        It is then asked of pruned levels alone, and given those tickets after the level. By default none.
        """
        return ()

    def prepared(self, spent: Callable[[], Sequence[Spent]]) -> Measure:
        """Return the measure with what it needs to know of what was spent on the stages that it is given: by default as it is.

        `spent` gives the stages that the first of them grew from, each once, parents first, and that one last.
        """
        return self

    @abstractmethod
    def __call__(self, of: Sequence[Result], bench: Bench) -> Measurement: ...


@dataclass(frozen=True)
class Evaluate(Measure):
    """The metrics that the module logs: on `splits` at the end of the fit, on `at_early_stop` at the early-stop step as well.

    A network that was trained for 0 steps has metrics like any other. The early-stop step is the first minimum of ``val/loss``,
    or the best of (`metric`, `direction`) where none is logged. Values: ``test/accuracy``, ``test/accuracy_at_early_stop`` …,
    and early_stop_step with early_stop_is_last, whether that is the last evaluation; all of these are None where every
    evaluation on the way is judged by a NaN or an infinity.
    """

    splits: tuple[Split, ...] = ("val", "test")
    at_early_stop: tuple[Split, ...] = ("test",)
    metric: Text = "accuracy"
    direction: Literal["max", "min"] = "max"

    def __post_init__(self) -> None:
        settle(self, f"measure.{self.name}")

    def __call__(self, of: Sequence[Result], bench: Bench) -> Measurement:
        (result,) = of
        found = bench.evaluate(result.point, {}, self.splits)
        values: dict[str, Number | None] = dict(found)
        if self.at_early_stop:
            step = early_stop_step(result.history, (self.metric, self.direction))
            step = result.stop if step is None else step
            values |= {"early_stop_step": step, "early_stop_is_last": step == result.stop}
            known = {name: value for name, value in found.items() if name.partition("/")[0] in self.at_early_stop}
            early: Mapping[str, Number] = known
            if step != result.stop or set(self.at_early_stop) - set(self.splits):
                early = bench.evaluate(result.at(step), {}, self.at_early_stop)
            values |= {f"{name}{AT_EARLY_STOP}": value for name, value in early.items()}
        return Measurement(self.judged(values, result.history))

    def judged(
        self, values: Mapping[str, Number | None], history: Sequence[Mapping[str, float]]
    ) -> Mapping[str, Number | None]:
        """Return the values, those at the early-stop step None where the history has none."""
        if not unjudged(history, (self.metric, self.direction)):
            return values
        of_early_stop = [name for name in values if name.startswith("early_stop_") or name.endswith(AT_EARLY_STOP)]
        return {**values, **dict.fromkeys(of_early_stop)}
