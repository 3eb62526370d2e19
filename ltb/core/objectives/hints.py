"""Hints: layers inside of a student that learn from the same layers of its teacher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.nn.functional import normalize

from ltb.common.allowed import Positive, nearest, settle
from ltb.core.tensors import plain


@dataclass(frozen=True)
class Hints(ABC):
    """Σ β · distance(the student's outputs of a layer, the teacher's) over `layers`, beside the distillation of the outputs.

    layers:  the name of a module inside of the network -> β, above 0. Both networks have them; of a module's several outputs the
             first counts, and where it is called more than once, each call does.
    by_unit: whether units are compared one by one, so that both must have as many.
    """

    layers: Mapping[str, Positive] | tuple[tuple[str, Positive], ...]
    by_unit: ClassVar[bool]

    def __post_init__(self) -> None:
        settle(self, "objective.hints")
        pairs = tuple(sorted(dict(self.layers).items()))
        if not pairs:
            raise ValueError("objective.hints.layers={}: one layer at least, such as {hidden: 0.1}")
        object.__setattr__(self, "layers", pairs)

    @property
    def names(self) -> tuple[str, ...]:
        """The layers' names."""
        return tuple(name for name, _ in self._pairs)

    @property
    def _pairs(self) -> tuple[tuple[str, float], ...]:
        return self.layers  # type: ignore[return-value]

    @abstractmethod
    def distance(self, ours: Tensor, theirs: Tensor) -> Tensor:
        """Return how far one layer's outputs are apart in the student and in the teacher, a scalar, the mean over the batch."""

    def __call__(self, ours: Mapping[str, list[Tensor]], theirs: Mapping[str, list[Tensor]]) -> Tensor:
        """Return the weighted sum over outputs as `listened` has them. ValueError for shapes of which there is no distance."""
        total = torch.zeros(())
        for name, strength in self._pairs:
            if not ours[name] or len(ours[name]) != len(theirs[name]):
                calls = f"called {len(ours[name])} times in a pass, and {len(theirs[name])} in the teacher's"
                raise ValueError(
                    f"objective.hints.layers.{name}: it is {calls}; once or more is wanted, and as often in both"
                )
            for one, other in zip(ours[name], theirs[name], strict=True):
                try:
                    total = total.to(one) + strength * self.distance(one, other.to(one))
                except (RuntimeError, ValueError) as error:
                    raise ValueError(
                        f"objective.hints.layers.{name}: its outputs are {tuple(one.shape)}, those of the teacher "
                        f"{tuple(other.shape)}: {error}"
                    ) from None
        return total


@dataclass(frozen=True)
class Features(Hints):
    """½ ‖a − b‖² an example (FitNets: Romero et al. 2015, equation 3), for layers of the same shape.

    There a regressor is trained between layers of other widths, and hints come before the distillation; here there is none, and
    both are minimised together.
    """

    by_unit: ClassVar[bool] = True

    def distance(self, ours: Tensor, theirs: Tensor) -> Tensor:
        if ours.shape != theirs.shape:
            raise ValueError("the same shape; hints=attention takes other numbers of channels")
        return (ours - theirs).square().sum() / (2 * len(ours))


@dataclass(frozen=True)
class Attention(Hints):
    """½ ‖Q/‖Q‖ − P/‖P‖‖ an example (Zagoruyko and Komodakis 2017, equation 2), for convolutions of any number of channels.

    Q and P are the sums over channels of the squared outputs, (batch, channels, …) to (batch, places). Their β is 1000 over the
    number of places, for this mean over the batch.
    """

    by_unit: ClassVar[bool] = False

    def distance(self, ours: Tensor, theirs: Tensor) -> Tensor:
        if min(ours.ndim, theirs.ndim) < 3 or ours.shape[2:] != theirs.shape[2:]:
            raise ValueError("(batch, channels, places …), of the same places")
        q, p = (normalize(one.square().sum(1).flatten(1), dim=1) for one in (ours, theirs))
        return vector_norm(q - p, dim=1).mean() / 2


@contextmanager
def listened(network: nn.Module, names: Iterable[str], whose: str = "network") -> Iterator[dict[str, list[Tensor]]]:
    """Collect the outputs of the named modules, by name. Raises ValueError for a name that `whose` network does not have."""
    modules = {plain(name): module for name, module in network.named_modules()}
    found: dict[str, list[Tensor]] = {name: [] for name in names}

    def listener(name: str) -> Any:
        def heard(module: nn.Module, given: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple | list) else output
            if not isinstance(first, Tensor):
                raise ValueError(
                    f"objective.hints.layers.{name}: its outputs are a {type(first).__name__}; a tensor, or a tuple with one first"
                )
            found[name].append(first.clone())  # an activation in place may follow

        return heard

    with ExitStack() as stack:
        for name in found:
            if name not in modules or not name:
                known = [each for each in modules if each]
                raise ValueError(
                    f"objective.hints.layers.{name}: the {whose} has no such layer; {nearest(name, known)}"
                )
            stack.callback(modules[name].register_forward_hook(listener(name)).remove)
        yield found
