"""Iterables for a Trainer: minibatches of steps start..stop−1, one by one or in chunks cut where a fit must pause."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any

import torch

from ltb.core.seeds import derive
from ltb.training.random_state import seed_generators
from ltb.training.source import Source


def cut(start: int, stop: int, every: int, largest: int, marks: Sequence[int] = ()) -> tuple[list[int], int]:
    """Return the sizes of the chunks between start and stop, and how many of them lie between two evaluations.

    Evaluations fall on multiples of `every` and on `stop`; no chunk is larger than `largest` or straddles an evaluation
    or a mark. Each interval gets the same number of chunks, empty ones first where it needs fewer, since a Trainer
    evaluates every so many of them.

    >>> cut(2, 10, every=4, largest=3)
    ([0, 2, 3, 1, 0, 2], 2)
    """
    ends = [*range((start // every + 1) * every, stop, every), stop]
    intervals: list[list[int]] = []
    for first, last in pairwise([start, *ends]):
        inner = sorted({first, last, *(mark for mark in marks if first < mark < last)})
        intervals.append([min(largest, b - s) for a, b in pairwise(inner) for s in range(a, b, largest)])
    most = max(len(sizes) for sizes in intervals)
    return [size for sizes in intervals for size in [0] * (most - len(sizes)) + sizes], most


class Chunk:
    """An iterator over the (step, minibatch) of the next `size` steps, each with its own seed for dropout."""

    def __init__(self, stream: Iterator[Any], first: int, size: int, seed: int, device: torch.device) -> None:
        self._stream, self._first, self._size, self._seed, self._device = stream, first, size, seed, device

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        # All at once: between two steps each would cost ten times as much, for what it needs has left the processor's caches.
        seeds = [derive(self._seed, "step", step) for step in range(self._first, self._first + self._size)]
        for step, batch in enumerate(islice(self._stream, self._size), self._first):
            seed_generators(seeds[step - self._first], self._device)
            yield step, batch


class Chunks:
    """All chunks of one fit: to the Trainer, one epoch."""

    def __init__(
        self, source: Source, seed: int, start: int, stop: int, sizes: Sequence[int], device: torch.device
    ) -> None:
        self._source, self._seed, self._start, self._stop = source, seed, start, stop
        self._sizes, self._device = sizes, device

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[Chunk]:
        stream = iter(self._source.stream(self._seed, self._start, self._stop))
        first = self._start
        for size in self._sizes:
            yield Chunk(stream, first, size, self._seed, self._device)
            first += size


class Minibatches:
    """Minibatches one by one: a pass goes from the fit's present iteration to the end of that epoch, or to `stop`.

    `position` returns that iteration: a Trainer may ask for an iterator and drop it, so counting passes would not do.
    """

    def __init__(self, source: Source, seed: int, stop: int, position: Callable[[], int]) -> None:
        self._source, self._seed, self._stop, self._position = source, seed, stop, position

    def __len__(self) -> int:
        return self._source.epoch_length

    def __iter__(self) -> Iterator[Any]:
        length, first = self._source.epoch_length, self._position()
        return iter(self._source.stream(self._seed, first, min(self._stop, (first // length + 1) * length)))
