"""The gap between how a network does on new examples and on those that it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ltb.core.contracts import Bench
from ltb.core.measure import Measure
from ltb.core.results import Measurement, Number, Result


@dataclass(frozen=True)
class GeneralisationGap(Measure):
    """Training minus test, of each metric that the module logs in its test step, at the end of the fit.

    Both splits are evaluated in the same way, the training split without augmentation and with nothing dropped out; it
    is not the mean over the batches of training. A metric that rises as the network gets better has a positive gap
    where it is better on the training split, a loss a negative one. Values: ``train/accuracy``, ``test/accuracy``,
    ``gap/accuracy`` …
    """

    def __call__(self, of: Sequence[Result], bench: Bench) -> Measurement:
        (result,) = of
        values: dict[str, Number | None] = dict(bench.evaluate(result.point, {}, ("train", "test")))
        return Measurement(values | gaps(values))


def gaps(values: dict[str, Number | None]) -> dict[str, Number | None]:
    """Return ``gap/NAME`` = ``train/NAME`` − ``test/NAME`` of each metric that both splits have; None where either is.

    >>> gaps({"train/accuracy": 1.0, "train/loss": 0.25, "test/accuracy": 0.75, "test/loss": 0.5})
    {'gap/accuracy': 0.25, 'gap/loss': -0.25}
    """
    found: dict[str, Number | None] = {}
    for name in (name.removeprefix("train/") for name in values if name.startswith("train/")):
        if f"test/{name}" in values:
            train, test = values[f"train/{name}"], values[f"test/{name}"]
            found[f"gap/{name}"] = None if train is None or test is None else train - test
    return found
