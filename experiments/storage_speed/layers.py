"""Single layers: what their formats take at break-even, and how long their products take beside the dense ones.

python -m experiments.storage_speed.layers   # writes break_even.csv and layers.csv; a minute
"""

from __future__ import annotations

import math
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from ltb import formats
from ltb.common.machine import processor
from ltb.formats import BSR, COO, CSC, CSR, Bitmask, Format, Relative, RelativeHuffman
from ltb.measures.kernels import sparse
from ltb.measures.timing import alternating

HERE = Path(__file__).parent
BREAK_EVEN, LAYERS = HERE / "break_even.csv", HERE / "layers.csv"
SHAPES = {"300 × 784": (300, 784), "3 × 3 × 64 × 64": (64, 576)}
FORMATS: dict[str, Format] = {
    "COO, 64-bit indices (torch)": COO(8), "COO, 32-bit (scipy)": COO(4), "COO, narrowest": COO(),
    "CSR, 64-bit (torch)": CSR(8), "CSR, 32-bit (scipy)": CSR(4), "CSR, narrowest": CSR(),
    "CSC, 32-bit": CSC(4), "CSC, narrowest": CSC(), "BSR, blocks of 4 × 4": BSR(),
    "bitmask": Bitmask(), "relative, 5 bits": Relative(5), "relative, Huffman": RelativeHuffman(5),
}  # fmt: skip
NAMES = {kind: name for name, kind in formats.SPARSE.items()}
SINGLE = {
    "linear 300 × 784": (lambda: nn.Linear(784, 300), (784,)),
    "linear 1000 × 1000": (lambda: nn.Linear(1000, 1000), (1000,)),
    "convolution 3 × 3 × 64 × 64, on 8 × 8": (lambda: nn.Conv2d(64, 64, 3, padding=1), (64, 8, 8)),
    "convolution 3 × 3 × 64 × 64, on 4 × 4": (lambda: nn.Conv2d(64, 64, 3, padding=1), (64, 4, 4)),
}  # fmt: skip
DENSITIES, BATCHES, SEEDS, ROUNDS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01), (1, 128), (0, 1, 2), 9


def by_formula(storage: Format, shape: tuple[int, int]) -> float:
    """Return the largest density at which a format is no larger than dense float32, by its formula."""
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        pays = storage.formula(middle, shape, 4) <= 4 * math.prod(shape)
        low, high = (middle, high) if pays else (low, middle)
    return low


def by_file(storage: Format, shape: tuple[int, int], folder: Path) -> float:
    """Return that density by files: written by `ltb.formats` for uniformly random masks, beside the dense weights' file."""
    torch.manual_seed(0)
    values, order = torch.randn(shape), torch.rand(shape)

    def size(density: float) -> int:
        formats.write(folder / "file", {"w": values}, {"w": order < density}, NAMES[type(storage)], **vars(storage))
        return (folder / "file").stat().st_size

    dense = folder / "dense"
    formats.write(dense, {"w": values}, {}, "csr")
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if size(middle) <= dense.stat().st_size else (low, middle)
    return low


def break_even() -> pd.DataFrame:
    """Return the densities of each format and shape."""
    with tempfile.TemporaryDirectory() as folder:
        found = [
            {
                "shape": name,
                "format": each,
                "formula": round(by_formula(storage, shape), 4),
                "file": round(by_file(storage, shape, Path(folder)), 4),
            }
            for name, shape in SHAPES.items()
            for each, storage in FORMATS.items()
        ]
    return pd.DataFrame(found)


def layers() -> pd.DataFrame:
    """Return a row for each layer, batch and seed of the mask: milliseconds dense, and of the CSR product at each density."""
    found: list[dict[str, Any]] = []
    machine = {"machine": processor(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    for name, (make, shape) in SINGLE.items():
        for batch in BATCHES:
            for seed in SEEDS:
                torch.manual_seed(seed)
                x, dense = torch.randn(batch, *shape), make()
                calls = [dense, *(_pruned(dense, make(), density) for density in DENSITIES)]
                with torch.inference_mode():
                    times = alternating([lambda one=one, x=x: one(x) for one in calls], ROUNDS, clock=time.thread_time)
                for density, each in zip((1.0, *DENSITIES), times, strict=True):
                    of = {
                        "layer": name,
                        "batch": batch,
                        "seed": seed,
                        "density": density,
                        "kernel": "dense" if density == 1 else "csr",
                    }
                    found.append({**of, **{key: round(1e3 * value, 5) for key, value in vars(each).items()}, **machine})
    return pd.DataFrame(found)


def _pruned(dense: nn.Module, other: nn.Module, density: float) -> nn.Module:
    network = nn.Sequential(other)
    other.load_state_dict(dense.state_dict())
    mask = torch.rand(other.weight.shape) < density
    with torch.no_grad():
        other.weight *= mask
    return sparse(network, {"0.weight": mask})


if __name__ == "__main__":
    torch.set_num_threads(1)
    break_even().to_csv(BREAK_EVEN, index=False)
    layers().to_csv(LAYERS, index=False)
    print(f"{processor()}, Python {platform.python_version()}")
