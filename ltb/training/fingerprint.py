"""The digest of a dataloader: its size, and the contents of some of the examples that it serves."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from ltb.core.seeds import derive
from ltb.training.random_state import seeded
from ltb.training.reading import by_index, examples, fetch, in_order, read, unchanged

SAMPLES = 16  # examples of a map-style dataset
MINIBATCHES = 2  # of any other


def of_loader(loader: Any, *name: int | str) -> str:
    """Return the SHA-256 (hex) of a loader's size and of samples of what it serves, their draws a function of `name`.

    Samples are at most `SAMPLES` examples at even distances, with the first and the last. Of loaders that are not
    `by_index` they are the first `MINIBATCHES` minibatches, and the number of workers counts, since it changes what
    these serve.
    Raises ValueError as `of_value` does.
    """
    seed = derive(0, "fingerprint", *name)
    with seeded(seed):
        if by_index(loader):
            keys = examples(loader)
            return of_value([len(keys), *_samples(loader, keys, seed)])
        try:
            size = len(loader)
        except TypeError:
            size = None
        return of_value([size, getattr(loader, "num_workers", 0), *read(loader, seed, 0, 0, last=MINIBATCHES)])


def _samples(loader: DataLoader[Any], keys: Sequence[Any], seed: int) -> list[Any]:
    places = sorted({sample * (len(keys) - 1) // (SAMPLES - 1) for sample in range(SAMPLES)}) if keys else []
    bare = copy.copy(loader)
    bare.collate_fn, bare.pin_memory = unchanged, False
    # Read by a worker if there are any: a dataset may open its files at the first example, which forks must not share.
    bare.num_workers = min(loader.num_workers, 1)
    return list(fetch(bare, in_order(loader, [keys[place] for place in places], 1), seed))


def of_value(value: Any) -> str:
    """Return the SHA-256 (hex) of nested collections of tensors, arrays, images, numbers, texts and bytes.

    It covers types, shapes and contents. Objects of other types count by their ``repr``; sets have no order.
    Raises ValueError that names the type of an object whose ``repr`` is no more than its address.

    >>> of_value({"x": [1, 2.5]}) == of_value({"x": [1, 2.5]}), of_value([1]) == of_value([1.0])
    (True, False)
    """
    total = hashlib.sha256()
    head, contents = _described(value)
    if isinstance(contents, list):
        contents = "".join(map(of_value, contents)).encode()
    total.update(f"{head}\n".encode())
    total.update(contents)
    return total.hexdigest()


def _described(value: Any) -> tuple[str, bytes | list[Any]]:
    """Return a value's type, and its bytes or the values that it is made of."""
    name = type(value).__qualname__
    match value:
        case None | bool() | int() | float() | complex():
            return name, repr(value).encode()
        case str():
            return name, value.encode("utf-8", "surrogatepass")
        case bytes() | bytearray():
            return name, bytes(value)
        case Tensor():
            return f"tensor {value.dtype} {tuple(value.shape)}", _bytes(value)
        case numpy.ndarray() | numpy.generic():
            array = numpy.asarray(value)
            what = f"array {array.dtype.str} {array.shape}"
            return what, list(array.flat) if array.dtype.hasobject else array.tobytes()
        case Image.Image():
            return f"image {value.mode} {value.size} {value.getpalette()}", value.tobytes()
        case Mapping():
            return f"{name} {len(value)}", [part for item in value.items() for part in item]
        case Set():
            return f"{name} {len(value)}", sorted(map(of_value, value))
        case list() | tuple():
            return f"{name} {len(value)}", list(value)
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return f"{name} {names}", [getattr(value, name) for name in names]
    text = repr(value)
    if " at 0x" in text:
        raise ValueError(
            f"data: an example holds a {name}, whose contents ltb cannot see; salt=TEXT must tell one version of the"
            " data from another"
        )
    return name, text.encode()


def _bytes(tensor: Tensor) -> bytes:
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    tensor = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    return tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
