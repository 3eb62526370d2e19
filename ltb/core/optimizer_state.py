"""An optimizer's state as named tensors (``fc1.weight/momentum_buffer``), so that it can be rewound and stored without pickles."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ltb.core import tensors
from ltb.core.tensors import Weights


def save(optimizer: Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """A copy of every tensor of the state, on the CPU."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in tensors.parameters(network).items()}
    return {
        f"{names[parameter]}/{key}": value.detach().to("cpu", copy=True)
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
        if isinstance(value, Tensor) and parameter in names
    }


def check(optimizer: Optimizer) -> None:
    """Raise ValueError for an optimizer, after a step, whose state holds more than tensors: it could not be put back."""
    for state in optimizer.state.values():
        for key, value in state.items():
            if not (value is None or isinstance(value, Tensor)):
                raise ValueError(
                    f"optimizer: {type(optimizer).__name__} keeps {key!r} as a {type(value).__name__}, and what is resumed or "
                    "rewound needs it as a tensor; every optimizer of torch.optim but LBFGS and SparseAdam does"
                )


def load(optimizer: Optimizer, network: nn.Module, state: Weights) -> None:
    """Give `optimizer` a copy of a saved state. Raises ValueError for a parameter that the network lacks."""
    parameters = tensors.parameters(network)
    for name, value in state.items():
        parameter, key = name.rsplit("/", 1)
        if parameter not in parameters:
            raise ValueError(f"the optimizer state {name!r} belongs to no parameter of {type(network).__name__}")
        target = parameters[parameter]
        # Scalars such as Adam's step stay where the optimizer keeps them: on the CPU, unless it is fused or capturable.
        group = next((g for g in optimizer.param_groups if any(p is target for p in g["params"])), {})
        on_device = value.shape == target.shape or group.get("fused") or group.get("capturable")
        optimizer.state[target][key] = value.detach().to(target.device if on_device else torch.device("cpu"), copy=True)
