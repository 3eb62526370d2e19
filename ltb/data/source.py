"""The source of a run's minibatches: a dataset that is loaded, split and on its device.

The contract of every source is the clock law: which examples step s sees, and how they are augmented, is a
function of (seed, s) alone. So a run that starts at step k sees what the dense run saw at k, on any device.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor

from ltb.core.seeds import derive
from ltb.data.augment import crop_and_flip, draw_crops
from ltb.data.normalisation import Channels, Normalisation

Split = Literal["train", "val", "test"]
Batch = tuple[Tensor, Tensor]

SPLITS: tuple[Split, ...] = ("train", "val", "test")
PRECOMPUTED_BYTES = 512 * 2**20  # data up to this size, as float32, is normalised once instead of in every batch
EVALUATED_EXAMPLES = 4096  # an evaluation batch has at most this many examples …
EVALUATED_VALUES = 2**20  # … and this many input values
# Rows are gathered for several minibatches at once. On a CPU the gathered rows should stay in the cache: a whole epoch
# of Fashion-MNIST at once cost 300 µs a minibatch of 128, 4 MiB at a time 45 µs. The figure for GPUs is a guess.
GATHERED_BYTES = {"cpu": 4 * 2**20, "cuda": 64 * 2**20}


class Batches(Protocol):
    """Minibatches (x, y) that can be read again and again, always in the same order."""

    def __iter__(self) -> Iterator[Batch]: ...

    def __len__(self) -> int: ...


class Source(ABC):
    """Minibatches of one dataset: x float32 of shape (batch, *shape), y int64 of shape (batch,) in 0..classes-1.

    ``epoch_length`` counts the minibatches of an epoch, ``size // batch_size``: the remainder of each epoch's
    order is dropped, a different one each epoch. ``fingerprint`` (SHA-256, hex) identifies the examples of
    all three splits. A ``ValueError`` says so if the training split does not fill one minibatch.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        classes: int,
        batch_size: int,
        size: int,
        fingerprint: str,
        device: torch.device | str = "cpu",
        order_device: torch.device | str | None = None,
    ) -> None:
        if size < batch_size:
            raise ValueError(
                f"data.batch_size must be at most {size}, the size of the training split, not {batch_size}"
            )
        self.shape = shape
        self.classes = classes
        self.batch_size = batch_size
        self.size = size
        self.epoch_length = size // batch_size
        self.fingerprint = fingerprint
        self.device = torch.device(device)  # of the minibatches
        self._order_device = torch.device(order_device or device)
        self._order: tuple[int, int, Tensor] | None = None  # the order last asked for, with its seed and epoch

    @abstractmethod
    def evaluation(self, split: Split) -> Batches:
        """Return all examples of a split, in a fixed order, normalised, never augmented, in large batches."""

    @abstractmethod
    def _stream(self, seed: int, start: int, stop: int) -> Iterator[Batch]:
        """Return what ``stream`` does, once its arguments are found to be in range."""

    def stream(self, seed: int, start: int, stop: int) -> Iterator[Batch]:
        """Return the minibatches of steps start..stop-1; step s belongs to epoch ``s // epoch_length``.

        The tensors may be views of a larger one: do not write into them.
        """
        if not 0 <= start <= stop:
            raise ValueError(f"a stream needs 0 <= start <= stop, not start {start} and stop {stop}")
        return self._stream(seed, start, stop)

    def order(self, seed: int, epoch: int) -> Tensor:
        """Return the training split's indices in the order of one epoch: (size,), int64."""
        if self._order is None or self._order[:2] != (seed, epoch):
            # Drawn on the CPU, so that the order is the same whatever the device.
            generator = torch.Generator().manual_seed(derive(seed, "order", epoch))
            order = torch.randperm(self.size, generator=generator)
            self._order = seed, epoch, order.to(self._order_device, non_blocking=True)
        return self._order[2]

    def ids(self, seed: int, step: int) -> Tensor:
        """Return the indices into the training split that a step uses: (batch_size,), int64."""
        return self._ids(seed, step, step + 1)

    def _ids(self, seed: int, start: int, stop: int) -> Tensor:
        epoch, first = divmod(start, self.epoch_length)
        last = first + stop - start
        return self.order(seed, epoch)[first * self.batch_size : last * self.batch_size]


class TensorSource(Source):
    """A source whose examples are tensors in memory, on the device.

    ``splits`` gives (x, y) for "train", "val" and "test": x uint8 or float32 of shape (n, *shape), y int64 of
    shape (n,). ``mean`` and ``std`` (one number, or one for each channel) are those of x, and of x / 255
    where x is uint8: examples come out as (x - mean) / std, or as ``normalisation`` has them where it is given.
    ``padding`` > 0 asks for random crops of images padded by so many black pixels, and random horizontal flips, in
    ``stream``, before they are normalised. Without them, data that is small as float32 is normalised here, once;
    the numbers are the same.
    """

    def __init__(
        self,
        splits: Mapping[Split, Batch],
        *,
        classes: int,
        batch_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        normalisation: Normalisation | None = None,
        padding: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        x, y = splits["train"]
        super().__init__(
            shape=tuple(x.shape[1:]),
            classes=classes,
            batch_size=batch_size,
            size=len(y),
            fingerprint=fingerprint(splits),
            device=device,
        )
        scale = 255.0 if x.dtype == torch.uint8 else 1.0
        self._apply = (normalisation or Channels(mean, std)).on(self.device, self.shape, scale)
        self._padding = padding
        values = sum(x.numel() for x, _ in splits.values())
        self._normalised = padding == 0 and values * 4 <= PRECOMPUTED_BYTES
        self._splits: dict[Split, Batch] = {}
        for split in SPLITS:
            x, y = (tensor.to(self.device) for tensor in splits[split])
            self._splits[split] = (self._normalise(x) if self._normalised else x), y

    def evaluation(self, split: Split) -> Batches:
        return _Slices(self, *self._splits[split])

    def prepared(self, x: Tensor) -> Tensor:
        """Return the stored examples x as a model sees them."""
        return x if self._normalised else self._normalise(x)

    def _normalise(self, x: Tensor) -> Tensor:
        return self._apply(x.to(torch.float32, copy=True))

    def _stream(self, seed: int, start: int, stop: int) -> Iterator[Batch]:
        x, y = self._splits["train"]
        bytes_per_step = x[0].numel() * x.element_size() * self.batch_size
        several = max(1, GATHERED_BYTES.get(self.device.type, 0) // bytes_per_step)
        while start < stop:
            end = min(stop, start + several, (start // self.epoch_length + 1) * self.epoch_length)
            ids = self._ids(seed, start, end)
            xs = x.index_select(0, ids)
            ys = y.index_select(0, ids)
            if self._padding:
                xs = self._augment(xs, seed, range(start, end))
            xs = self.prepared(xs)
            yield from zip(torch.split(xs, self.batch_size), torch.split(ys, self.batch_size), strict=True)
            start = end

    def _augment(self, x: Tensor, seed: int, steps: range) -> Tensor:
        draws = [draw_crops(self.batch_size, self._padding, derive(seed, "augmentation", step)) for step in steps]
        return crop_and_flip(x, torch.cat(draws).to(self.device, non_blocking=True), self._padding)


class _Slices:
    """A split of a ``TensorSource``, in slices."""

    def __init__(self, source: TensorSource, x: Tensor, y: Tensor) -> None:
        self._source, self._x, self._y = source, x, y
        self._length = max(1, min(EVALUATED_EXAMPLES, EVALUATED_VALUES // x[0].numel()))

    def __len__(self) -> int:
        return len(range(0, len(self._y), self._length))

    def __iter__(self) -> Iterator[Batch]:
        for x, y in zip(torch.split(self._x, self._length), torch.split(self._y, self._length), strict=True):
            yield self._source.prepared(x), y


def fingerprint(splits: Mapping[Split, Batch]) -> str:
    """Return the SHA-256 (hex) of the bytes, dtypes and shapes of the three splits' tensors, which are on the CPU."""
    digest = hashlib.sha256()
    for split in SPLITS:
        for tensor in splits[split]:
            digest.update(f"{split} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
