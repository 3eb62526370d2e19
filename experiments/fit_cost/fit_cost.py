"""What a step of `Training.fit` costs beside a hand-written loop with the same optimizer and masks.

    python experiments/fit_cost/fit_cost.py --repeats 15

LeNet-300-100 on random data of Fashion-MNIST's shape, one thread, batch 128. Both are timed alternately in one process, in time
of the processor, and the ratio is the median over the pairs, for on a shared machine only neighbours are comparable. Evaluation
is left out of both.
So is a question that torch's Adam asks at each step once Lightning is imported, whether there is a GPU (`quick_steps`).
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn import functional

import ltb
from ltb.core import tensors
from ltb.core.points import Fit, Point
from ltb.data import Noise
from ltb.models import MLP
from ltb.training import Constant
from ltb.training.lightning import quick_steps

OPTIMIZERS = {
    "adam": partial(torch.optim.Adam, lr=1.2e-3, fused=True),
    "sgd": partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=1e-4, fused=True),
}


def hand_written(x, y, masks, weights, optimizer, steps, batch):
    """Processor seconds of a plain tensor loop: a permutation an epoch, slices, gradients and weights multiplied by masks."""
    network = MLP(shape=(1, 28, 28), classes=10, widths=(300, 100))
    tensors.load(network, weights)
    named = dict(network.named_parameters())
    held = [(named[name], mask.float()) for name, mask in masks.items()]
    optimizer = optimizer(network.parameters())
    began, step = time.process_time(), 0
    with quick_steps():
        while step < steps:
            order = torch.randperm(len(x))
            for ids in order.split(batch)[: min(len(x) // batch, steps - step)]:
                optimizer.zero_grad()
                functional.cross_entropy(network(x[ids]), y[ids]).backward()
                for parameter, mask in held:
                    parameter.grad.mul_(mask)
                optimizer.step()
                with torch.no_grad():
                    for parameter, mask in held:
                        parameter.mul_(mask)
                step += 1
    return time.process_time() - began


@dataclass(frozen=True)
class Cost:
    """Milliseconds of the processor a step of both (medians), and the ratio of each pair, sorted."""

    fit: float
    hand_written: float
    ratios: tuple[float, ...]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)


def compare(optimizer, *, repeats: int, steps: int, batch: int, density: float) -> Cost:
    """Time both alternately, `repeats` pairs after one that warms up."""
    data = Noise(shape=(1, 28, 28), classes=10, batch_size=batch, val_size=1000, size=12000, test_size=1000)
    source = data.source()
    x, y = (torch.cat(parts) for parts in zip(*source.evaluation("train"), strict=True))

    def module():
        rate = optimizer.keywords["lr"]
        rest = partial(optimizer.func, **{key: value for key, value in optimizer.keywords.items() if key != "lr"})
        return ltb.Classification(MLP(shape=(1, 28, 28), classes=10, widths=(300, 100)), rest, Constant(base=rate))

    training = ltb.Training(module, source, f"{steps}it")
    weights = training.initial()
    masks = {key: torch.rand(weights[key].shape) < density for key in training.prunable}
    fit = Fit.of(masks, Point(weights, 0), steps)
    pairs = []
    for repeat in range(repeats + 1):
        began = time.process_time()
        training.fit(fit, evaluate=False)
        ours = time.process_time() - began
        theirs = hand_written(x, y, masks, fit.origin.weights, optimizer, steps, batch)
        if repeat:
            pairs.append((ours, theirs))
    ours, theirs = (1000 * statistics.median(times) / steps for times in zip(*pairs, strict=True))
    return Cost(ours, theirs, tuple(sorted(one / other for one, other in pairs)))


def main() -> None:
    """Print the median cost of both and of their ratio, for each optimizer."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--repeats", type=int, default=15)
    options.add_argument("--steps", type=int, default=400)
    options.add_argument("--batch", type=int, default=128)
    options.add_argument("--density", type=float, default=0.2)
    torch.set_num_threads(1)
    for name, optimizer in OPTIMIZERS.items():
        cost = compare(optimizer, **vars(options.parse_args()))
        quarter = len(cost.ratios) // 4
        print(
            f"{name}: fit {cost.fit:.3f} ms a step, hand-written {cost.hand_written:.3f} ms; ratio {cost.ratio:.3f} "
            f"(quartiles {cost.ratios[quarter]:.3f} to {cost.ratios[-1 - quarter]:.3f}, n={len(cost.ratios)})"
        )


if __name__ == "__main__":
    main()
