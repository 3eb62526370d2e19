"""Attention with some of its heads removed, each of those left as wide as it was."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Pair = tuple[Tensor, Tensor | None]


class FewerHeads(nn.MultiheadAttention):
    """torch's attention whose projections have rows, and its output's columns, of the heads that are `left` alone.

    torch's own forward takes ``embed_dim`` / ``num_heads`` for a head's width, which it is no more. Inputs, outputs and masks are
    those of `nn.MultiheadAttention`; the weights that it returns are of the heads that are left, and so is their average. Not
    made, but what a layer becomes (`narrowed`).
    """

    left: tuple[int, ...]

    def forward(  # type: ignore[override]
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,  # a hint beside the mask
    ) -> Pair:
        batched = query.dim() == 3
        given = [self._first(one, batched) for one in (query, key, value)]
        q, k, v = (self._heads(one, number) for number, one in enumerate(given))
        mask = self._mask(q, key_padding_mask, attn_mask)
        dropped = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = q @ k.transpose(-2, -1) / self.head_dim**0.5
            weights = functional.dropout((scores if mask is None else scores + mask).softmax(-1), dropped)
            found = weights @ v
            weights = weights.mean(1) if average_attn_weights else weights
            weights = weights if batched else weights[0]
        else:
            found = functional.scaled_dot_product_attention(q, k, v, mask, dropped)
        return self._last(self.out_proj(found.transpose(1, 2).flatten(2)), batched), weights

    def _first(self, x: Tensor, batched: bool) -> Tensor:
        """(n, length, features) of what comes in any of torch's orders."""
        return x if batched and self.batch_first else x.transpose(0, 1) if batched else x[None]

    def _last(self, x: Tensor, batched: bool) -> Tensor:
        return x if batched and self.batch_first else x.transpose(0, 1) if batched else x[0]

    def _heads(self, x: Tensor, number: int) -> Tensor:
        """Queries (0), keys (1) or values (2) of x: (n, heads, length, width of a head)."""
        separate = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        weights = separate if self.in_proj_weight is None else self.in_proj_weight.chunk(3)
        bias = None if self.in_proj_bias is None else self.in_proj_bias.chunk(3)[number]
        return (
            functional.linear(x, weights[number], bias).unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)
        )

    def _mask(self, q: Tensor, padding: Tensor | None, among: Tensor | None) -> Tensor | None:
        """What is added to the scores, that broadcasts to (n, heads, length of queries, length of keys); None for nothing."""
        found = None
        if among is not None:
            every = among.unflatten(0, (q.shape[0], -1)) if among.dim() == 3 else None  # one for each example and head
            found = _added(among if every is None else every[:, list(self.left)], q)
        if padding is not None:
            of_keys = _added(padding if padding.dim() == 2 else padding[None], q)[:, None, None]
            found = of_keys if found is None else found + of_keys
        return found


def _added(mask: Tensor, like: Tensor) -> Tensor:
    """A mask as a term: −inf where a bool one is true."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=like.dtype, device=like.device).masked_fill(mask, float("-inf"))


def narrowed(network: nn.Module, module: Any, left: Tensor) -> None:
    """Let an attention layer of `network`, whose tensors were cut to the heads that are left, run with these."""
    module.__class__, module.left, module.num_heads = FewerHeads, tuple(left.tolist()), len(left)
    # Else torch's layers of transformers read the projections by themselves in evaluation, or hand in nested tensors.
    module._qkv_same_embed_dim = False
    for one in network.modules():
        if isinstance(one, nn.TransformerEncoder):
            one.use_nested_tensor = False
