"""Tickets as files: masks and the point that training begins from, and their provenance. Safetensors, never pickles."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ltb.common.errors import Damaged
from ltb.common.text import printable
from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.contracts import network_of
from ltb.core.masks import Masks
from ltb.core.points import Point
from ltb.core.tensors import Weights

FORMAT = "1"


@dataclass(frozen=True, eq=False)
class Ticket:
    """A sparse network to be trained: masks, the origin point (already masked), and provenance (strings and numbers).

    Raises ValueError for a mask that is not one of a weight of the origin.
    `ltb.HoldMasks(ticket)` holds the masks in anyone's Trainer; `ticket.apply(model)` puts the origin's weights in.
    """

    masks: Masks
    origin: Point
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        m.check(self.masks, self.origin.weights)

    @property
    def sparsity(self) -> float:
        """Fraction of the prunable weights removed."""
        return m.sparsity(self.masks)

    @property
    def density(self) -> float:
        """Fraction of the prunable weights kept."""
        return m.density(self.masks)

    def apply(self, model: nn.Module) -> None:
        """Copy the origin's masked weights and buffers into `model`, or into its `network` if that is what masks name.

        Raises ValueError that names what differs when the model's names, shapes or dtypes are not the ticket's.
        """
        tensors.load(network_of(model), m.apply(self.origin.weights, self.masks))

    def save(self, path: str | Path) -> None:
        """Write one safetensors file; masks take one bit a weight. Raises ValueError for a step that is none."""
        contents = {f"weight/{name}": tensor for name, tensor in self.origin.weights.items()}
        contents |= {f"optimizer/{name}": tensor for name, tensor in (self.origin.optimizer or {}).items()}
        contents |= {f"mask/{name}": m.pack(mask) for name, mask in self.masks.items()}
        shapes = {name: list(mask.shape) for name, mask in self.masks.items()}
        metadata = {"step": _step({"step": self.origin.step}), "shapes": shapes, "provenance": dict(self.provenance)}
        write_tensors(path, "ltb.ticket", contents, metadata)

    @classmethod
    def load(cls, path: str | Path) -> Ticket:
        """Read a ticket. Raises Damaged (a ValueError) naming the file when it is no whole ticket of this format."""
        contents, metadata = read_tensors(path, "ltb.ticket")
        with _named(path):
            weights, state = under("weight/", contents), under("optimizer/", contents)
            masks = _masks(under("mask/", contents), _mapping(metadata, "shapes"), weights)
            others = [name for name in contents if not name.startswith(("weight/", "optimizer/", "mask/"))]
            others += [f"optimizer/{name}" for name in state if name.rpartition("/")[0] not in weights]
            if others:
                raise ValueError(f"{others[0]!r} is no part of a ticket")
            return cls(masks, Point(weights, _step(metadata), state or None), _mapping(metadata, "provenance"))


def save_point(point: Point, path: str | Path) -> None:
    """Write a point, its optimizer state apart."""
    contents = {f"weight/{name}": tensor for name, tensor in point.weights.items()}
    write_tensors(path, "ltb.point", contents, {"step": point.step})


def load_point(path: str | Path) -> Point:
    """Read a point. Raises Damaged that names the file when it is no whole one of this format."""
    contents, metadata = read_tensors(path, "ltb.point")
    with _named(path):
        return Point(under("weight/", contents), _step(metadata))


def write_tensors(path: str | Path, kind: str, contents: Weights, metadata: Mapping[str, Any]) -> None:
    """Write tensors and plain data as one safetensors file; the same contents give the same bytes."""
    # In one entry: safetensors writes several in an order that changes from call to call. Not sorted: the order of the
    # masks is the network's, and it decides between equal scores.
    header = json.dumps({"format": FORMAT, "kind": kind, **metadata})
    try:
        save_file({name: tensor.contiguous() for name, tensor in contents.items()}, path, metadata={"ltb": header})
    except SafetensorError as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        if found is None:
            raise
        number = int(found[1])  # a full or read-only disk: as an OSError, with the file's name
        raise OSError(number, os.strerror(number), str(path)) from None


def read_tensors(path: str | Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return a file's tensors and metadata. Raises Damaged, or FileNotFoundError, naming the file."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = json.loads((file.metadata() or {}).get("ltb", "{}"), object_pairs_hook=_once)
            contents = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, ValueError, RecursionError, TypeError) as error:
        raise Damaged(f"{path} is damaged: {printable(str(error).partition(chr(10))[0])}") from None
    if type(metadata) is not dict:
        raise Damaged(f"{path} is damaged: its header is {_shown(metadata)}")
    if metadata.get("kind") != kind:
        found = _shown(metadata["kind"]).strip('"') if "kind" in metadata else "another safetensors file"
        raise Damaged(f"{path} is not an {kind} file but {found}")
    if metadata.get("format") != FORMAT:
        found = _shown(metadata.get("format")).strip('"')
        raise Damaged(f"{path} has format {found}; this version of ltb reads format {FORMAT}")
    return contents, metadata


@contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """Raise what is wrong with a file's contents as Damaged, in one line that names the file."""
    try:
        yield
    except KeyError as error:
        raise Damaged(f"{path} is damaged: {printable(error)} is missing") from None
    except ValueError as error:
        raise Damaged(f"{path} is damaged: {printable(error)}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, whose names must differ: of equal ones Python's parser would take the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"one of {', '.join(sorted(found))} is there twice")
    return found


def _mapping(metadata: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = metadata[name]
    if type(found) is not dict:
        raise ValueError(f"{name} is {_shown(found)}; names and what is said of each")
    return found


def _step(metadata: Mapping[str, Any]) -> int:
    step = metadata["step"]
    if type(step) is not int or not 0 <= step < 2**63:  # bool is an int to Python
        raise ValueError(f"step is {_shown(step)}; a whole number, 0 or more")
    return step


def _masks(packed: Weights, shapes: Mapping[str, Any], weights: Weights) -> dict[str, Tensor]:
    alone = sorted(packed.keys() ^ shapes.keys())
    if alone:
        raise ValueError(f"mask {alone[0]!r} has {'no shape' if alone[0] in packed else 'a shape alone'}")
    for name, shape in shapes.items():
        if name not in weights:
            raise ValueError(f"mask {name!r} names no weight")
        # As JSON: to Python [1, 2], [1.0, 2] and [True, 2] are equal.
        if json.dumps(shape) != json.dumps(list(weights[name].shape)):
            raise ValueError(f"mask {name!r} is {_shown(shape)}; its weight is {list(weights[name].shape)}")
    return {name: m.unpack(packed[name], weights[name].shape) for name in shapes}


def _shown(value: Any) -> str:
    return json.dumps(value)[:60]


def under(prefix: str, contents: Weights) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in contents.items() if name.startswith(prefix)}
