"""Weights as one safetensors file: plain, or with what is prunable in a sparse format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ltb.common.errors import Damaged
from ltb.core.masks import Masks
from ltb.core.tensors import Weights, matrix
from ltb.formats.compressed import BSR, CSC, CSR
from ltb.formats.coordinates import COO, Bitmask, Relative
from ltb.formats.format import Format
from ltb.formats.huffman import RelativeHuffman
from ltb.formats.semi_structured import TwoOfFour

SPARSE: Mapping[str, type[Format]] = {
    "2:4": TwoOfFour, "bitmask": Bitmask, "bsr": BSR, "coo": COO, "csc": CSC, "csr": CSR, "huffman": RelativeHuffman,
    "relative": Relative,
}  # fmt: skip


def write(path: str | Path, weights: Weights, masks: Masks, name: str, **settings: Any) -> None:
    """Write `weights`, each that has a mask as the parts ``NAME/PART`` of the format `name`, one of `SPARSE`; the others whole.

    `settings` are the format's own, such as ``width=4``. Raises ValueError for masks that the format cannot hold.
    """
    storage = SPARSE[name](**settings)
    contents, shapes = {}, {}
    for key, tensor in weights.items():
        if key not in masks:
            contents[key] = tensor.contiguous()
            continue
        shapes[key] = list(tensor.shape)
        for part, value in storage.encode(matrix(tensor), matrix(masks[key])).items():
            contents[f"{key}/{part}"] = value.contiguous()
    metadata = {"format": name, "settings": asdict(storage), "shapes": shapes}  # type: ignore[call-overload]
    save_file(contents, path, metadata={"ltb": json.dumps(metadata)})


def read(path: str | Path) -> dict[str, torch.Tensor]:
    """Return the weights of a file that `write` wrote, dense, by name. Raises Damaged that names a file that is none."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata: dict[str, Any] = json.loads((file.metadata() or {})["ltb"])
            contents = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        storage, found = SPARSE[metadata["format"]](**metadata["settings"]), {}
        for key, shape in metadata["shapes"].items():
            parts = {
                name.rpartition("/")[2]: contents.pop(name) for name in list(contents) if name.rpartition("/")[0] == key
            }
            whole = torch.Size(shape)
            rows = whole[0] if len(whole) > 1 else 1
            found[key] = storage.decode(parts, (rows, whole.numel() // rows if rows else 0)).reshape(whole)
    except FileNotFoundError:
        raise
    except (
        SafetensorError,
        OSError,
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        RuntimeError,
        AttributeError,
    ) as error:
        raise Damaged(f"{path}: no weights in a format of ltb's ({type(error).__name__}: {error})") from error
    return contents | found
