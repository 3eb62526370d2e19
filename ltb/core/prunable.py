"""The part of a network that may be pruned: a `Coverage`, which names what is left out too."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.rnn import RNNCellBase
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized

from ltb.core import tensors

SHOWN = 5  # entries of each part of the printed line
_RECURRENT = re.compile(r"weight_(ih|hh|hr)(_l\d+(_reverse)?)?")  # the whole name: weight_hh_l0_v is not the weight


@dataclass(frozen=True)
class Coverage:
    """The prunable parameters of a network, and what is beside them. It prints as one line.

    counts:      number of weights of each prunable parameter, in the network's own order.
    parameters:  number of all the network's parameters; what is tied counts once.
    not_covered: (name, number of weights) of each parameter of two or more dimensions that is neither prunable nor
                 excluded: embeddings, frozen weights, layers that are not known.
    excluded:    (name, number of weights) of each parameter that the user has taken away.
    notes:       a phrase for each second name of a tied weight, each weight made from others, each frozen weight.

    >>> print(prunable(nn.Sequential(nn.Embedding(96, 8), nn.Linear(8, 40))))
    prunable 320 of 1,128 parameters; not covered: 0.weight 768
    """

    counts: Mapping[str, int]
    parameters: int
    not_covered: tuple[tuple[str, int], ...] = ()
    excluded: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The prunable parameters, in the network's own order."""
        return tuple(self.counts)

    def __str__(self) -> str:
        return "; ".join([f"prunable {sum(self.counts.values()):,} of {self.parameters:,} parameters", *self.remarks()])

    def remarks(self) -> Iterator[str]:
        """The parts of the printed line about what is not prunable; a part without entries is absent."""
        for label, entries in (("not covered", self.not_covered), ("excluded", self.excluded)):
            if entries:
                yield f"{label}: " + _shortened([f"{name} {count:,}" for name, count in entries], ", ")
        if self.notes:
            yield _shortened(self.notes, "; ")


def prunable(
    network: nn.Module, exclude: Iterable[str] = (), include: Iterable[str] | None = None, embeddings: bool = False
) -> Coverage:
    """Return which parameters of `network` may be pruned.

    By default the weights of linear, bilinear, convolutional, recurrent and `Conv1D` layers and the projections of
    `nn.MultiheadAttention`; with `embeddings` those of embeddings too. Never biases, norms, what is frozen, nor what a
    weight is made from (weight norm and the like): a mask on that is not one on the weight.
    A tied parameter goes by its first name, and is an embedding if any of its uses is one.
    `include` names parameters instead (glob patterns over parameter names); `exclude` takes some away, which also
    removes them from the budget: sparsity is a fraction of the prunable weights only.
    Raises ValueError for a pattern that matches no parameter, for a frozen one, for one with sparse gradients or
    without a shape yet, for `embeddings` beside `include`, and when nothing is left.
    """
    parameters = tensors.parameters(network)
    _check_shapes(network)
    tied, kernels, embedded = _tied(network), _weights(network, _kernels), _weights(network, _embeddings)
    if include is None:
        chosen = kernels | embedded if embeddings else kernels - embedded
        candidates = [name for name, parameter in parameters.items() if parameter in chosen]
    elif embeddings:
        raise ValueError("prunable.embeddings=true: it adds to the default, which prunable.include replaces; name them")
    else:
        candidates = _matching(parameters, include, "prunable.include", tied)
    frozen = [name for name in candidates if not parameters[name].requires_grad]
    if frozen and include is not None:
        raise ValueError(f"prunable.include: {', '.join(frozen)} is frozen, and what is not trained cannot be held")
    names = [name for name in candidates if name not in frozen]
    excluded = _matching(names, exclude, "prunable.exclude", tied)
    held_back = kernels & embedded if include is None and not embeddings else set()
    notes = [
        f"{other} is {first}" + (", an embedding and so not covered" if parameters[first] in held_back else "")
        for other, first in tied.items()
        if parameters[first].dim() > 1
    ]
    coverage = Coverage(
        counts={name: parameters[name].numel() for name in names if name not in excluded},
        parameters=sum(parameter.numel() for parameter in parameters.values()),
        not_covered=tuple((name, p.numel()) for name, p in parameters.items() if p.dim() > 1 and name not in names),
        excluded=tuple((name, parameters[name].numel()) for name in excluded),
        notes=(*notes, *dict.fromkeys(_made(network)), *(f"{name} is frozen" for name in frozen)),
    )
    if not coverage.counts:
        nothing = f"prunable: no parameter of {type(network).__name__} is left to prune"
        raise ValueError("; ".join([nothing, *coverage.remarks()]))
    sparse = _weights(network, _sparse)
    unheld = [name for name in coverage.names if parameters[name] in sparse]
    if unheld:
        raise ValueError(f"prunable: {', '.join(unheld)} has sparse gradients, which cannot be masked; sparse=False")
    return coverage


def _check_shapes(network: nn.Module) -> None:
    for name, parameter in tensors.parameters(network).items():
        if is_lazy(parameter):
            raise ValueError(
                f"prunable: {name} of {type(network).__name__} has no shape yet; the network must be built with its "
                "shapes (run a batch through it where it is made)"
            )


def _tied(network: nn.Module) -> dict[str, str]:
    """Each further name of a parameter -> the first one, under which `named_parameters` has it."""
    first = {parameter: name for name, parameter in tensors.parameters(network).items()}
    every = ((tensors.plain(name), parameter) for name, parameter in network.named_parameters(remove_duplicate=False))
    return {name: first[parameter] for name, parameter in every if name != first[parameter]}


def _weights(network: nn.Module, names: Callable[[nn.Module], Iterable[str]]) -> set[Tensor]:
    """The parameters that any module of `network` has under the names given for that module."""
    return {
        parameter
        for module in network.modules()
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False)
        if name in names(module)
    }


def _kernels(module: nn.Module) -> Iterable[str]:
    if isinstance(module, nn.Linear | nn.Bilinear | _ConvNd):
        return ["weight"]
    if isinstance(module, nn.MultiheadAttention):
        return ["in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"]
    if isinstance(module, nn.RNNBase | RNNCellBase):
        return [name for name, _ in module.named_parameters(recurse=False) if _RECURRENT.fullmatch(name)]
    # A linear layer with its weight transposed, known by name since it is transformers' and not torch's.
    if any(base.__name__ == "Conv1D" for base in type(module).__mro__):
        return [name for name, p in module.named_parameters(recurse=False) if name == "weight" and p.dim() == 2]
    return []


def _embeddings(module: nn.Module) -> Iterable[str]:
    return ["weight"] if isinstance(module, nn.Embedding | nn.EmbeddingBag) else []


def _sparse(module: nn.Module) -> Iterable[str]:
    return _embeddings(module) if getattr(module, "sparse", False) else []


def _made(network: nn.Module) -> Iterator[str]:
    """A phrase for each weight that is computed from other parameters: parametrizations, and torch's older hooks."""
    for prefix, module in network.named_modules():
        own = [name for name, _ in module.named_parameters(recurse=False)]
        sources: dict[str, list[str]] = {}
        for name in own:
            weight, _, suffix = name.rpartition("_")
            if suffix in ("orig", "g", "v") and weight not in own and isinstance(getattr(module, weight, None), Tensor):
                sources.setdefault(weight, []).append(name)
        if is_parametrized(module):
            for weight, originals in module.parametrizations.items():  # type: ignore[union-attr, operator]
                sources[weight] = [
                    f"parametrizations.{weight}.{name}" for name, _ in originals.named_parameters(recurse=False)
                ]
        dot = tensors.plain(f"{prefix}.") if prefix else ""
        for weight, names in sources.items():
            yield f"{dot}{weight} is made from {', '.join(dot + name for name in names)}"


def _matching(names: Iterable[str], patterns: Iterable[str], key: str, tied: Mapping[str, str]) -> list[str]:
    names, patterns = list(names), list(patterns)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            meant = [f"{n} is {first}" for n, first in tied.items() if first in names and fnmatchcase(n, pattern)]
            if meant:
                raise ValueError(f"{key}: {pattern!r} matches no first name of a tied parameter; {', '.join(meant)}")
            raise ValueError(f"{key}: {pattern!r} matches no parameter; there are {', '.join(names)}")
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _shortened(entries: Sequence[str], separator: str) -> str:
    more = [f"and {len(entries) - SHOWN} more"] if len(entries) > SHOWN else []
    return separator.join([*entries[:SHOWN], *more])
