"""Relative indices with a Huffman code, as in the last stage of Deep Compression."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ltb.core.masks import pack, unpack
from ltb.formats.coordinates import Relative
from ltb.formats.format import Parts


@dataclass(frozen=True)
class RelativeHuffman(Relative):
    """`Relative`, its distances in a canonical Huffman code (Han et al. 2016, section 4): 2^bits lengths of a byte, and the code.

    The values are as they are: the paper codes those too, where they are shared by quantisation.
    """

    def encode(self, values: Tensor, mask: Tensor) -> Parts:
        distances, stored = self.entries(values, mask)
        lengths = code_lengths(torch.bincount(distances, minlength=2**self.bits).tolist())
        codes, longest = _codes(lengths), max(lengths)
        places = torch.arange(longest - 1, -1, -1)
        own = torch.tensor(lengths)[distances][:, None] > places  # a code of n bits is the last n
        bits = ((torch.tensor(codes)[distances][:, None] >> places) & 1).bool()
        return {"lengths": torch.tensor(lengths, dtype=torch.uint8), "code": pack(bits[own]), "values": stored}

    def decode(self, parts: Parts, shape: tuple[int, int]) -> Tensor:
        lengths, stored = parts["lengths"].tolist(), parts["values"]
        of_length = enumerate(zip(lengths, _codes(lengths), strict=True))
        symbols = {code: symbol for symbol, code in of_length if code[0]}
        distances: list[int] = []
        length = code = 0
        for bit in unpack(parts["code"], (8 * len(parts["code"]),)).tolist():
            if len(distances) == len(stored):
                break
            length, code = length + 1, 2 * code + bit
            if (symbol := symbols.get((length, code))) is not None:
                distances.append(symbol)
                length = code = 0
        return self.placed(torch.tensor(distances, dtype=torch.int64), stored, shape)

    def formula(self, density: float, shape: tuple[int, int], value: int) -> float:
        """With the code of the distances' own distribution, geometric ones: a Huffman code of it, not its entropy."""
        symbols = [density * (1 - density) ** distance for distance in range(2**self.bits)]
        symbols[-1] += (1 - density) ** 2**self.bits
        lengths = code_lengths(symbols)
        mean = sum(length * share for length, share in zip(lengths, symbols, strict=True))
        return self._entries(density, shape) * (value + mean / 8) + 2**self.bits


def code_lengths(counts: Sequence[float]) -> list[int]:
    """Return the length in bits of each symbol's Huffman code; 0 for one that never comes, 1 for one that comes alone.

    >>> code_lengths([5, 1, 1, 0])
    [1, 2, 2, 0]
    """
    lengths = [0] * len(counts)
    heap = [(count, symbol, [symbol]) for symbol, count in enumerate(counts) if count]
    if len(heap) == 1:
        lengths[heap[0][1]] = 1
    heapq.heapify(heap)
    while len(heap) > 1:
        (one, first, left), (other, _, right) = heapq.heappop(heap), heapq.heappop(heap)
        for symbol in left + right:
            lengths[symbol] += 1
        heapq.heappush(heap, (one + other, first, left + right))
    return lengths


def _codes(lengths: Sequence[int]) -> list[int]:
    """Return the canonical code of these lengths: shorter ones first, those of one length in the symbols' order."""
    codes, code, before = [0] * len(lengths), 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths) if length):
        code <<= length - before
        codes[symbol], before = code, length
        code += 1
    return codes
