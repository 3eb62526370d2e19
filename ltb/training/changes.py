"""The callback that changes the masks of a fit as its dynamics says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from ltb.common.step import Clock
from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.contracts import Progress, network_of
from ltb.core.dynamics import Aim, Dynamics, Moment, Standing
from ltb.core.execution import Body
from ltb.core.masks import Masks
from ltb.core.points import Fit
from ltb.core.tensors import Weights
from ltb.training.feed import feed_of

# (probe, weights, masks, iteration) -> what the probe gathers there
Gather = Callable[[Any, Weights, Masks, int], Mapping[str, Weights]]


class Changes(pl.Callback):
    """The masks of one fit as they stand, changed before the minibatch of each of the dynamics' steps.

    masks:   those that are held now; `sums` what the dynamics sums over steps.
    regrown: how many times a weight that was not kept has become one that is.
    """

    def __init__(self, fit: Fit, begin: int, clock: Clock, gather: Gather, done: Progress | None) -> None:
        assert fit.dynamics is not None
        assert fit.aim is not None
        self._dynamics: Dynamics = fit.dynamics
        self._aim: Aim = fit.aim
        self._clock, self._gather = clock, gather
        self._start, self._length = fit.origin.step, fit.stop - fit.origin.step
        self.steps = tuple(self._start + step for step in self._dynamics.steps(self._length, clock))
        self._step, self._within = begin, 0  # the iteration, and the optimizer's steps since: a chunk has many
        self.masks: Masks = done.masks if done else fit.masks
        self.regrown = int(done.history[-1]["regrown"]) if done and done.history else 0
        self.sums: dict[str, Tensor] = {}
        if self._dynamics.sums:
            start = done.sums if done else {name: torch.zeros_like(fit.origin.weights[name]) for name in fit.masks}
            self.sums = {name: value.clone() for name, value in start.items()}
        self._body: Body | None = None

    def enter(self, body: Body, *, fresh: bool) -> None:
        """Change the masks of `body` from now on, and at once where a `fresh` fit begins with a change."""
        self._body = body
        if fresh and self._step in self.steps:
            self._change()

    def row(self) -> dict[str, float]:
        """Return what a row of the history says of the masks: their density, in [0, 1], and `regrown`."""
        return {"density": m.density(self.masks), "regrown": self.regrown}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.sums:
            return
        parameters = tensors.parameters(network_of(pl_module))
        self.sums = {name: value.to(parameters[name].device) for name, value in self.sums.items()}
        for optimizer in trainer.optimizers:
            optimizer.register_step_pre_hook(partial(self._add, {name: parameters[name] for name in self.sums}))

    @torch.no_grad()
    def _add(self, parameters: Mapping[str, Tensor], *_: Any) -> None:
        at = Moment(self._step - self._start + self._within, self._length, self._clock)
        self._within += 1
        for name, parameter in parameters.items():
            if parameter.grad is not None:
                self.sums[name] += self._dynamics.summed(self.sums[name], parameter, parameter.grad, at)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        done = feed_of(pl_module).steps(batch)
        self._step, self._within = self._step + done, 0
        if done and self._step in self.steps:
            self._change()

    def _change(self) -> None:
        assert self._body is not None
        weights = self._body.point(self._step, optimizer=False).weights
        now = Standing(
            self._step - self._start,
            self._length,
            self._clock,
            {name: weights[name] for name in self.masks},
            self.masks,
            self._aim,
            {name: value.cpu() for name, value in self.sums.items()},
            lambda probe: {} if probe is None else self._gather(probe, weights, self.masks, self._step),
        )
        masks = self._dynamics(now)
        self.regrown += sum(int((masks[name] & ~self.masks[name]).sum()) for name in masks)
        self.masks = masks
        self._body.change(masks)
