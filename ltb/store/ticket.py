"""Tickets as files: masks and the point that training begins from, and their provenance. Safetensors, never pickles."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.contracts import network_of
from ltb.core.errors import Damaged
from ltb.core.masks import Masks
from ltb.core.points import Point
from ltb.core.tensors import Weights

FORMAT = "1"


@dataclass(frozen=True, eq=False)
class Ticket:
    """A sparse network to be trained: masks, the origin point (already masked), and provenance (strings and numbers).

    `ltb.HoldMasks(ticket)` holds the masks in anyone's Trainer; `ticket.apply(model)` puts the origin's weights in.
    """

    masks: Masks
    origin: Point
    provenance: Mapping[str, Any] = field(default_factory=dict)

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
        """Write one safetensors file; masks take one bit a weight."""
        contents = {f"weight/{name}": tensor for name, tensor in self.origin.weights.items()}
        contents |= {f"optimizer/{name}": tensor for name, tensor in (self.origin.optimizer or {}).items()}
        contents |= {f"mask/{name}": m.pack(mask) for name, mask in self.masks.items()}
        shapes = {name: list(mask.shape) for name, mask in self.masks.items()}
        about = {"step": self.origin.step, "shapes": shapes, "provenance": dict(self.provenance)}
        write_tensors(path, "ltb.ticket", contents, about)

    @classmethod
    def load(cls, path: str | Path) -> Ticket:
        """Read a ticket. Raises Damaged (a ValueError) naming the file when it is no whole ticket of this format."""
        contents, about = read_tensors(path, "ltb.ticket")
        try:
            masks = {name: m.unpack(contents[f"mask/{name}"], shape) for name, shape in about["shapes"].items()}
            weights = under("weight/", contents)
            m.check(masks, weights)
            origin = Point(weights, int(about["step"]), under("optimizer/", contents) or None)
            return cls(masks, origin, about["provenance"])
        except (KeyError, ValueError) as error:
            raise Damaged(f"{path} is damaged: {error}") from None


def save_point(point: Point, path: str | Path) -> None:
    """Write a point, its optimizer state apart."""
    contents = {f"weight/{name}": tensor for name, tensor in point.weights.items()}
    write_tensors(path, "ltb.point", contents, {"step": point.step})


def load_point(path: str | Path) -> Point:
    """Read a point. Raises Damaged that names the file when it is no whole one of this format."""
    contents, about = read_tensors(path, "ltb.point")
    return Point(under("weight/", contents), int(about["step"]))


def write_tensors(path: str | Path, kind: str, contents: Weights, about: Mapping[str, Any]) -> None:
    """Write tensors and plain data as one safetensors file; the same contents give the same bytes."""
    # In one entry: safetensors writes several in an order that changes from call to call. Not sorted: the order of the
    # masks is the network's, and it decides between equal scores.
    told = json.dumps({"format": FORMAT, "kind": kind, **about})
    try:
        save_file({name: tensor.contiguous() for name, tensor in contents.items()}, path, metadata={"ltb": told})
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
            about = json.loads((file.metadata() or {}).get("ltb", "{}"))
            contents = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, ValueError, RecursionError, TypeError) as error:
        raise Damaged(f"{path} is damaged: {str(error).splitlines()[0]}") from None
    if not isinstance(about, dict):
        raise Damaged(f"{path} is damaged: what it says of itself is not an object")
    if about.get("kind") != kind:
        raise Damaged(f"{path} is not an {kind} file but {about.get('kind', 'another safetensors file')}")
    if about.get("format") != FORMAT:
        raise Damaged(f"{path} has format {about.get('format')}; this version of ltb reads format {FORMAT}")
    return contents, about


def under(prefix: str, contents: Weights) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in contents.items() if name.startswith(prefix)}
