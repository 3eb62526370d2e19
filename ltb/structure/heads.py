"""The heads of attention layers as units."""

from __future__ import annotations

import torch
from torch import nn

from ltb.core import tensors
from ltb.core.units import Group


def heads(network: nn.Module) -> list[Group]:
    """Return a group for each `nn.MultiheadAttention`, its units the heads (Michel et al. 2019).

    A head is made by its rows of the projections of queries, keys and values, and their biases; it is read by its columns of the
    output's projection. Layers with biases for keys and values (``add_bias_kv``) or keys of zeros (``add_zero_attn``), and
    classes derived from torch's, are left out.
    """
    found = []
    for prefix, module in network.named_modules():
        if type(module) is not nn.MultiheadAttention or module.bias_k is not None or module.add_zero_attn:
            continue
        dot = tensors.plain(f"{prefix}." if prefix else "")
        index = torch.arange(module.embed_dim) // module.head_dim
        one = module.in_proj_weight is not None
        made = {
            **({"in_proj_weight": index.repeat(3)[:, None]} if one else {}),
            **({} if one else {f"{name}_proj_weight": index[:, None] for name in "qkv"}),
            **({} if module.in_proj_bias is None else {"in_proj_bias": index.repeat(3)}),
        }
        read = {f"{dot}out_proj.weight": index[None]}
        found.append(Group(dot + next(iter(made)), {dot + name: each for name, each in made.items()}, read))
    return found
