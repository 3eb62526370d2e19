"""Label noise: a source some of whose training labels are wrong, on purpose."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from ltb.core.seeds import derive
from ltb.data.source import Batch, Batches, Source, Split


class NoisyLabels(Source):
    """A source of which `rate` of the training split's labels are replaced, each by one of the other classes.

    Exactly ``round(rate * size)`` labels are changed, rate in (0, 1), the examples drawn without replacement and the new
    label uniform over the classes that are not the example's own (symmetric noise). Both are a function of `seed` alone,
    whatever the seed of a run, and fixed: an example has the same wrong label in every epoch and in evaluations of
    "train". Validation and test labels, examples, their order and their augmentation are those of `clean`.

    ``fingerprint`` is that of `clean` together with what is changed. A ``ValueError`` names a rate without an effect.
    """

    def __init__(self, clean: Source, rate: float, seed: int = 0) -> None:
        changed = round(rate * clean.size)
        if not 0 < rate < 1 or not changed or clean.classes < 2:
            raise ValueError(
                f"label_noise.rate={rate}: it changes {changed} of {clean.size} labels of {clean.classes} classes"
            )
        self._clean = clean
        self.shift = _drawn(clean.size, changed, clean.classes, seed)  # (size,) int64: what is added to each label
        super().__init__(
            shape=clean.shape,
            classes=clean.classes,
            batch_size=clean.batch_size,
            size=clean.size,
            fingerprint=_fingerprint(clean.fingerprint, self.shift),
            device=clean.device,
        )

    def order(self, seed: int, epoch: int) -> Tensor:
        return self._clean.order(seed, epoch)

    def evaluation(self, split: Split) -> Batches:
        batches = self._clean.evaluation(split)
        return _Shifted(self, batches) if split == "train" else batches

    def _stream(self, seed: int, start: int, stop: int) -> Iterator[Batch]:
        for step, (x, y) in enumerate(self._clean.stream(seed, start, stop), start):
            yield x, self.changed(y, self.ids(seed, step))

    def changed(self, y: Tensor, ids: Tensor) -> Tensor:
        """Return the labels of the training examples at the places `ids`, whose true labels are `y`: (n,), int64."""
        if self.shift.device != y.device:
            self.shift = self.shift.to(y.device)
        return (y + self.shift[ids.to(y.device)]) % self.classes


class _Shifted:
    """The training split in its fixed order, with its noisy labels."""

    def __init__(self, source: NoisyLabels, batches: Batches) -> None:
        self._source, self._batches = source, batches

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        first = 0
        for x, y in self._batches:
            yield x, self._source.changed(y, torch.arange(first, first + len(y)))
            first += len(y)


def _drawn(size: int, changed: int, classes: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(derive(seed, "label_noise"))
    shift = torch.zeros(size, dtype=torch.int64)
    places = torch.randperm(size, generator=generator)[:changed]
    shift[places] = torch.randint(1, classes, (changed,), generator=generator)
    return shift


def _fingerprint(clean: str, shift: Tensor) -> str:
    digest = hashlib.sha256(f"{clean} label_noise\n".encode())
    digest.update(shift.numpy().data)
    return digest.hexdigest()
