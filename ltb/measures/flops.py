"""FLOPs: of an example through the network, of a step of training, and of all that it took to find a ticket."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from ltb.core import tensors
from ltb.core.contracts import Bench, loss_of, network_of
from ltb.core.counting import counted
from ltb.core.measure import Measure
from ltb.core.results import Measurement, Number, Result, Spent
from ltb.core.tensors import Weights

# Torch counts in it the gradient of the weight as well; a matrix product is one gradient alone.
BOTH = {torch.ops.aten.convolution_backward.default}


@dataclass(frozen=True)
class Flops(Measure):
    """The FLOPs of the dense network, and those in which a kept weight stands; a multiply-add counts as two.

    Torch counts matrix products and convolutions (`ltb.core.counting`), padded places too; what is elementwise counts as nothing;
    of a grouped convolution it counts the weight's gradient as if there were no groups.
    The *kept* numbers are those that remain of them where each product with a pruned weight, forward and in both gradients, is left
    out: a theory, not a time (see ``measure=latency``). They ask for kernels that compute no gradient of a pruned weight.

    Values:
    forward, forward_kept:  of one example; forward/NAME and forward_kept/NAME of one prunable parameter.
    speed_up:               forward / forward_kept, the theoretical speed-up.
    step, step_kept:        of one training step, forward and backward: ``step`` is the ledger's step_flops.
    fit, fit_kept:          of the training of this network from where it began.
    search, search_kept:    of all that its ticket grew from, each fit once, and of scoring, which is dense in both: ``search`` is
                            the ledger's search_steps · step_flops.
    total, total_kept:      of search and fit.
    fit_kept, and what sums it, is None where the number of kept weights changed under way. Executions that train scores compute
    all gradients, and save forward alone. Where what is pruned stands (``execution=frozen``), all is kept.
    """

    version: ClassVar[int] = 3

    def prepared(self, spent: Callable[[], Sequence[Spent]]) -> Measure:
        return FlopsOf(tuple(spent()))

    def __call__(self, of: Sequence[Result], bench: Bench) -> Measurement:
        raise ValueError("measure=flops: it is asked through a loop or `prepared` first, with what was spent")


@dataclass(frozen=True, eq=False)
class FlopsOf(Flops):
    """`Flops`, with what was spent: the fits that the ticket grew from, and its own, which is the last."""

    spent: tuple[Spent, ...] = field(default=())

    def __call__(self, of: Sequence[Result], bench: Bench) -> Measurement:
        (result,) = of
        probed = bench.probe(FlopsProbe(), bench.initial(), {})
        step = bench.step_flops()
        examples = int(probed["whole"]["examples"])
        forward = Counter({name: int(value) for name, value in probed["forward"].items()})
        steps = forward + Counter({name: int(value) for name, value in probed["backward"].items()})

        def step_kept(of: Result | None) -> float:
            return step - _left_out(steps, of.counts if of else {})

        def kept(one: Spent) -> float | None:
            return None if _changes(one.result) else one.iterations * step_kept(one.result) + one.scoring * step

        *before, own = self.spent
        counts = result.counts if own.result else {name: (total, total) for name, (_, total) in result.counts.items()}
        fit, fit_kept = own.iterations * step, None if _changes(result) else own.iterations * step_kept(own.result)
        search = sum((one.iterations + one.scoring) * step for one in before) + own.scoring * step
        search_kept = _sum([*map(kept, before), own.scoring * step])
        whole = int(probed["whole"]["forward"])
        whole_kept = whole - _left_out(forward, counts)
        values: dict[str, Number | None] = {
            "forward": whole / examples,
            "forward_kept": whole_kept / examples,
            "speed_up": whole / whole_kept if whole_kept else math.inf,
            "step": step,
            "step_kept": step_kept(own.result),
            "fit": fit,
            "fit_kept": fit_kept,
            "search": search,
            "search_kept": search_kept,
            "total": search + fit,
            "total_kept": _sum([search_kept, fit_kept]),
        }
        for name, (count, total) in counts.items():
            values[f"forward/{name}"] = forward[name] / examples
            values[f"forward_kept/{name}"] = forward[name] * count / total / examples
        return Measurement(values)


def forward(bench: Bench, density: float, asked_by: str) -> float:
    """Return the FLOPs of an example forward, where each prunable parameter keeps a share of `density`; see `Flops`."""
    probed = bench.probe(FlopsProbe(asked_by), bench.initial(), {})
    whole, of_each = int(probed["whole"]["forward"]), probed["forward"]
    of_prunable = sum(int(of_each.get(name, 0)) for name in bench.prunable)
    return (whole - of_prunable + density * of_prunable) / int(probed["whole"]["examples"])


@dataclass(frozen=True)
class FlopsProbe:
    """The FLOPs of the first minibatch, by the parameter that they are with: ``forward`` and ``backward``; and ``whole``.

    A parameter that stands in no product has 0; vectors are not told. Needs the module's `loss`; `asked_by` is the setting that
    is named where it has none. Counts are int64.
    """

    asked_by: str = "measure=flops"

    def __call__(self, module: Any, batches: Callable[[], Iterable[Any]]) -> Mapping[str, Weights]:
        loss = loss_of(module, self.asked_by)
        batch = next(iter(batches()))
        # A bias stands in no product.
        parameters = {name: one for name, one in tensors.parameters(network_of(module)).items() if one.ndim > 1}
        with counted(network_of(module)) as counter:
            with _ByParameter(parameters, counter) as forward:
                found = loss(batch)
            whole = counter.get_total_flops()
            with _ByParameter(parameters, counter) as backward:
                found.backward()
        # A product's gradient in the weight has the weight's product with nothing, and as many FLOPs as the product.
        gradients = {
            name: backward.found[name] + (0 if backward.both[name] else forward.found[name]) for name in parameters
        }
        return {
            "forward": {name: torch.tensor(count) for name, count in forward.found.items()},
            "backward": {name: torch.tensor(count) for name, count in gradients.items()},
            "whole": {"forward": torch.tensor(whole), "examples": torch.tensor(_examples(batch))},
        }


class _ByParameter(TorchDispatchMode):
    """Notes for each parameter what `counter`, which is on the outside, counts in operations on its storage."""

    def __init__(self, parameters: Mapping[str, Tensor], counter: FlopCounterMode) -> None:
        super().__init__()
        self._counter = counter
        self._names = {parameter.untyped_storage().data_ptr(): name for name, parameter in parameters.items()}
        self.found, self.both = dict.fromkeys(parameters, 0), dict.fromkeys(parameters, False)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = self._counter.get_total_flops()
        out = func(*args, **(kwargs or {}))
        counted = self._counter.get_total_flops() - before
        named = (self._name(arg) for arg in args if counted and isinstance(arg, Tensor))
        if (name := next(filter(None, named), None)) is not None:
            self.found[name] += counted
            self.both[name] |= func in BOTH
        return out

    def _name(self, tensor: Tensor) -> str | None:
        return self._names.get(tensor.untyped_storage().data_ptr())


def _left_out(flops: Mapping[str, int], counts: Mapping[str, tuple[int, int]]) -> float:
    """Return the FLOPs in which a pruned weight stands: each weight of a parameter stands in as many."""
    return sum(flops[name] * (total - kept) / total for name, (kept, total) in counts.items())


def _changes(result: Result | None) -> bool:
    """Return whether the number of kept weights changed during the fit, as its history has it."""
    return result is not None and len({row["density"] for row in result.history if "density" in row}) > 1


def _sum(parts: Iterable[float | None]) -> float | None:
    parts = list(parts)
    return None if None in parts else sum(parts)  # type: ignore[arg-type]


def _examples(batch: Any) -> int:
    """Return how many examples a minibatch has: the length of the first tensor in it."""
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else [batch]
    return next((len(part) for part in parts if isinstance(part, Tensor)), 1)
