"""Reading any dataloader so that what it serves is a function of a seed and a place, whatever its number of workers.

torch fetches the minibatches of a map-style dataset in worker processes whose generators know nothing of the step.
Here the order of indices is taken from the loader in the main process, and each minibatch is fetched under a seed of
its own, in whichever process. Out of reach are generators that a dataset or a sampler owns, but for a
``torch.Generator`` of the loader or its samplers, and what a ``worker_init_fn`` does differently in each worker.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count, islice
from numbers import Integral
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, SubsetRandomSampler, get_worker_info

from ltb.core.seeds import derive
from ltb.training.random_state import seed_all, seeded

_END = object()


def by_index(loader: Any) -> bool:
    """Return whether a loader is torch's own over a map-style dataset: an order of indices decides what it serves."""
    return (
        isinstance(loader, DataLoader)
        and not isinstance(loader.dataset, IterableDataset)
        and type(loader).__iter__ is DataLoader.__iter__
        and type(loader)._get_iterator is DataLoader._get_iterator
    )


def read(loader: Any, seed: int, epoch: int, length: int, first: int = 0, last: int | None = None) -> Iterator[Any]:
    """Yield minibatches first..last−1 (all by default) of an epoch of `length` minibatches.

    The order is a function of (seed, epoch) and the draws in fetching minibatch i one of (seed, epoch * length + i).
    With each, the generators of the process are left in a state that is a function of the same. Only what is asked
    for is fetched. Of loaders that are not `by_index` the draws depend on the number of workers if there are any,
    since these seed themselves, and minibatches before `first` are fetched and dropped.
    """
    if by_index(loader):
        yield from fetch(loader, order(loader, seed, epoch, first, last), seed, epoch * length + first)
        return
    _reseed(loader, derive(seed, "order", epoch), epoch)
    seed_all(derive(seed, "order", epoch))
    batches = iter(_restarting(loader))
    for place in count() if last is None else range(last):
        seed_all(derive(seed, "fetch", epoch * length + place))
        if (batch := next(batches, _END)) is _END:
            return
        if place >= first:
            seed_all(derive(seed, "step", epoch * length + place))
            yield batch


def order(loader: DataLoader[Any], seed: int, epoch: int, first: int = 0, last: int | None = None) -> list[Any]:
    """Return what fetches minibatches first..last−1 of an epoch: a list of indices each, or what the sampler gives."""
    sampler = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    with seeded(derive(seed, "order", epoch)):
        _reseed(loader, derive(seed, "order", epoch), epoch)
        return list(islice(sampler, first, last))


def examples(loader: DataLoader[Any]) -> Sequence[Any]:
    """Return the indices of the dataset that a loader draws from, each once.

    That is 0..n−1, or those of a ``SubsetRandomSampler``, ascending. A dataset without a length, or that is not indexed
    by numbers, has those that the loader's own sampler gives for one seed.
    """
    for sampler in _samplers(loader):
        if isinstance(sampler, SubsetRandomSampler):
            return sorted(sampler.indices)
    size, head = _group(loader)
    if head is None or (isinstance(head, Integral | torch.Tensor) and hasattr(loader.dataset, "__len__")):
        return range(len(loader.dataset))  # type: ignore[arg-type]
    keys = order(loader, 0, 0)
    return keys if size is None else [index for key in keys for index in key]


def in_order(loader: DataLoader[Any], indices: Sequence[Any], size: int | None = None) -> list[Any]:
    """Return keys, as `order` does, that fetch these indices in turn, `size` (default: the loader's) at a time."""
    own, _head = _group(loader)
    if own is None:
        return list(indices)
    size = size or own
    return [list(indices[start : start + size]) for start in range(0, len(indices), size)]


def _group(loader: DataLoader[Any]) -> tuple[int | None, Any]:
    """Return how many indices fetch a minibatch, None for one that stands alone; and the first index of the sampler."""
    key = next(iter(order(loader, 0, 0, 0, 1)), None)
    if loader.batch_sampler is None and not isinstance(key, list | tuple):
        return None, key
    if key is None:
        return loader.batch_size or 1, None
    return len(key), next(iter(key))


def fetch(loader: DataLoader[Any], keys: Sequence[Any], seed: int, first: int = 0) -> Iterator[Any]:
    """Yield minibatches by the keys of an `order`, the draws in the i-th being a function of (seed, first + i)."""
    workers = min(loader.num_workers, len(keys))
    given: dict[str, Any] = {}
    if workers:
        given = {
            "prefetch_factor": loader.prefetch_factor,
            "timeout": loader.timeout,
            "multiprocessing_context": loader.multiprocessing_context,
            "worker_init_fn": _StartWorker(loader),
        }
    batches = DataLoader(
        _Minibatches(loader, seed),
        batch_size=None,
        sampler=list(enumerate(keys, first)),
        num_workers=workers,
        collate_fn=unchanged,
        pin_memory=loader.pin_memory,
        generator=torch.Generator(),  # or it would draw from the global one
        **given,
    )
    for step, batch in enumerate(batches, first):
        seed_all(derive(seed, "step", step))
        yield batch


class Reading:
    """One epoch of a loader that is the same each time it is read; with `keys`, of the minibatches that these fetch."""

    def __init__(self, loader: Any, seed: int, keys: Sequence[Any] | None = None) -> None:
        self._loader, self._seed, self._keys = loader, seed, keys

    def __len__(self) -> int:
        return len(self._loader if self._keys is None else self._keys)

    def __iter__(self) -> Iterator[Any]:
        if self._keys is None:
            return read(self._loader, self._seed, 0, 0)
        return fetch(self._loader, self._keys, self._seed)


class _Minibatches(Dataset[Any]):
    """Minibatches of a loader's dataset by (step, what they are fetched by), each under its own seed."""

    def __init__(self, loader: DataLoader[Any], seed: int) -> None:
        self._dataset: Any = loader.dataset
        self._seed, self._collate, self._batched = seed, loader.collate_fn, loader.batch_sampler is not None

    def __getitem__(self, item: tuple[int, Any]) -> Any:
        step, key = item
        seed_all(derive(self._seed, "fetch", step))
        with _one_thread():
            return self._collate(self._get(key))

    def _get(self, key: Any) -> Any:
        if not self._batched:
            return self._dataset[key]
        if getattr(self._dataset, "__getitems__", None):
            return self._dataset.__getitems__(key)
        return [self._dataset[index] for index in key]


class _StartWorker:
    """A ``worker_init_fn`` that calls the loader's own with the worker's dataset being the loader's own."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._dataset, self._start = loader.dataset, loader.worker_init_fn

    def __call__(self, worker: int) -> None:
        object.__setattr__(get_worker_info(), "dataset", self._dataset)  # its own refuses
        if self._start is not None:
            self._start(worker)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute with one thread as in a worker: their number decides the order of sums, and so the bytes of a mean."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def unchanged(batch: Any) -> Any:
    """Return the argument: a ``collate_fn`` that leaves a list of examples as it is."""
    return batch


def _samplers(loader: Any) -> list[Any]:
    batches = getattr(loader, "batch_sampler", None)
    return [getattr(loader, "sampler", None), batches, getattr(batches, "sampler", None)]


def _reseed(loader: Any, seed: int, epoch: int) -> None:
    """Seed the generators of a loader and its samplers, and set their count of epochs where they keep one."""
    for owner in (loader, *_samplers(loader)):
        generator = getattr(owner, "generator", None)
        if isinstance(generator, torch.Generator):
            generator.manual_seed(seed)
        if owner is not loader and callable(set_epoch := getattr(owner, "set_epoch", None)):
            set_epoch(epoch)


def _restarting(loader: Any) -> Any:
    """Return a loader of torch with workers that start anew and serve in turn; any other as it is."""
    if not isinstance(loader, DataLoader):
        return loader
    loader = copy.copy(loader)
    vars(loader).update(persistent_workers=False, in_order=True)  # it refuses assignment
    return loader
