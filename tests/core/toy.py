"""A training without training: the weights drift by a draw that is a function of (seed, step), under the masks."""

from dataclasses import dataclass, field

import torch

from ltb.common.step import Clock
from ltb.core import masks as m
from ltb.core.points import Fit, Point
from ltb.core.results import Trained
from ltb.core.seeds import derive


@dataclass
class Toy:
    seed: int = 0
    clock: Clock = field(default_factory=lambda: Clock(epoch_length=5, length=20))
    prunable: tuple[str, ...] = ("a", "b")
    judge: tuple[str, str] = ("accuracy", "max")
    fits: list = field(default_factory=list)
    checked: list = field(default_factory=list)
    probed: list = field(default_factory=list)
    evaluated: list = field(default_factory=list)

    def check_one_step(self, recipe):
        self.checked.append(recipe)

    def initial(self, purpose="init"):
        generator = torch.Generator().manual_seed(derive(self.seed, purpose))
        return {
            "a": torch.randn(4, 5, generator=generator),
            "b": torch.randn(3, 4, generator=generator),
            "bias": torch.randn(3, generator=generator),
            "running_mean": torch.zeros(3),
        }

    def fit(self, fit, *, snapshots=(), evaluate=True, checkpoints=None, listener=None):
        self.fits.append(fit)
        weights, passed = {name: w.clone() for name, w in fit.origin.weights.items()}, {}
        seed = self.seed if fit.noise is None else derive(self.seed, "noise", fit.noise)
        for step in range(fit.origin.step, fit.stop):
            generator = torch.Generator().manual_seed(derive(seed, "step", step))
            weights = {name: w + 0.3 * torch.randn(w.shape, generator=generator) for name, w in weights.items()}
            weights = m.apply(weights, fit.masks)
            if step + 1 in snapshots:
                passed[step + 1] = Point(weights, step + 1, {"a/momentum": torch.full((4, 5), float(step + 1))})
        point = Point(weights, fit.stop, {"a/momentum": torch.full((4, 5), float(fit.stop))})
        return Trained(fit.masks, fit.origin, point, snapshots=passed)

    def probe(self, probe, weights, masks):
        self.probed.append((probe, weights, masks))
        return probe(None, lambda: iter(()))

    def measure(self, measure, of):
        return measure(of, self)

    def evaluate(self, point, masks, splits, execution=None):
        self.evaluated.append((point.step, tuple(splits)))
        return {f"{split}/accuracy": 0.5 for split in splits}


def whole_network(toy, weights, stop):
    """A fit of the whole network from `weights` at step 0."""
    return Fit.of(m.ones(weights, toy.prunable), Point(weights, 0), stop)


def same(one, other):
    """Whether two mappings hold the same tensors bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
