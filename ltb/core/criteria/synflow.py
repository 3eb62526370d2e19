"""SynFlow: iterative pruning that conserves synaptic flow, without data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ltb.common.allowed import Rounds, settle
from ltb.core.contracts import network_of
from ltb.core.criteria.criterion import Criterion, Evidence, Scores, batches_of
from ltb.core.criteria.examples import Batches
from ltb.core.criteria.gradient import Gathered, gradients, scored, zeros
from ltb.core.tensors import Weights


@dataclass(frozen=True)
class Flow:
    """∂R/∂|w| as ``gathered["flow"]``, float64: R is the sum of the outputs of the linearised network for an input of ones.

    Linearised is: every parameter replaced by its absolute value (the module is the probe's own copy, so no sign has to be
    restored) and every bias by 0, in evaluation mode, and layers with running statistics set to mean 0 and variance 1, as they
    are at the initialisation. Layers that normalise by what passes them (LayerNorm, GroupNorm) are left as they are.

    The input has the shape of one example of a training minibatch, whose numbers are not looked at: the minibatch is a float
    tensor or a tuple that begins with one, which the network takes.
    """

    steps: ClassVar[float] = 0.01  # one example; a minibatch is taken to have a hundred

    def __call__(self, module: Any, batches: Batches) -> Gathered:
        network = network_of(module.double().eval())
        _linearise(network)
        parameters = scored(module)
        (batch,) = batches_of(batches(), 1)
        found = gradients(_output(network, torch.ones_like(_input(batch)[:1], dtype=torch.float64)).sum(), parameters)
        if not all(torch.isfinite(gradient).all() for gradient in found.values()):
            raise ValueError("the flow of the linearised network must be finite, and is beyond float64")
        return {"flow": zeros(parameters) | found}


@torch.no_grad()
def _linearise(network: nn.Module) -> None:
    for name, parameter in network.named_parameters():
        # What a bias adds flows from behind the layers before it: they would be worth nothing, and empty.
        parameter.zero_() if "bias" in name.rpartition(".")[2] else parameter.abs_()
    for layer in network.modules():
        if callable(reset := getattr(layer, "reset_running_stats", None)):
            reset()


def _input(batch: Any) -> Tensor:
    """The first input of a minibatch. Raises ValueError where it is no tensor of floats."""
    first = batch[0] if isinstance(batch, Sequence) and len(batch) else batch
    if not isinstance(first, Tensor) or not first.is_floating_point():
        kind = str(first.dtype) if isinstance(first, Tensor) else type(first).__name__
        raise ValueError(
            f"its input of ones needs minibatches that are, or begin with, a tensor of floats; here it is {kind}"
        )
    return first


def _output(network: nn.Module, ones: Tensor) -> Tensor:
    try:
        output = network(ones)
    except RuntimeError as error:
        why = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{type(network).__name__} must take an input of shape {tuple(ones.shape)}, that of an example: {why}"
        ) from error
    if not isinstance(output, Tensor):
        raise ValueError(f"{type(network).__name__} must return a tensor; it is a {type(output).__name__}")
    return output


@dataclass(frozen=True)
class Synflow(Criterion):
    """|w| · ∂R/∂|w|: the synaptic flow through a weight (Tanaka et al. 2020, algorithm 1). No example is looked at.

    The sum of the scores of each layer of a chain is the same, so a weight is worth more the fewer its layer has left: in enough
    `rounds` (the authors: 100) no layer of a chain empties (a residual branch may). In float64, as the authors advise. They
    keep the absolute values of biases, of which the sums are the same only where biases are 0, as at most initialisations.
    """

    rounds: Rounds = 100

    def __post_init__(self) -> None:
        settle(self, "criterion")

    @property
    def probe(self) -> Flow:  # type: ignore[override]
        return Flow()

    def __call__(self, weights: Weights, evidence: Evidence) -> Scores:
        flow = evidence.gathered["flow"]
        return {name: weight.double().abs() * flow[name] for name, weight in weights.items()}
