"""Random examples with random labels, of any shape: for tests and for dry runs of tasks whose data is not at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch

from ltb.common.allowed import Count, Limits, Seed
from ltb.core.seeds import derive
from ltb.data.dataset import Dataset
from ltb.data.source import Batch, TensorSource


@dataclass(frozen=True, kw_only=True)
class Noise(Dataset):
    """Standard normal examples, float32, with uniform labels: nothing can be learnt from them but by heart.

    ``size`` examples make the training set, of which ``val_size`` are held out, and ``test_size`` the test
    set. Drawn from ``noise_seed``. There is nothing to normalise.
    """

    batch_size: Count = 64
    val_size: Count = 128
    size: Annotated[int, Limits("2 or more and below 2**31", least=2, below=2**31)] = 1152
    test_size: Count = 128
    noise_seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_sizes(self.size)

    def source(self, device: torch.device | str = "cpu") -> TensorSource:
        x, y = self._draw("train", self.size)
        train, val = self.split(self.size)
        return TensorSource(
            {
                "train": (x[train], y[train]),
                "val": (x[val], y[val]),
                "test": self._draw("test", self.test_size),
            },
            classes=self.classes,
            batch_size=self.batch_size,
            mean=(0.0,),
            std=(1.0,),
            device=device,
        )

    def _draw(self, part: str, n: int) -> Batch:
        generator = torch.Generator().manual_seed(derive(self.noise_seed, "noise", part))
        x = torch.randn(n, *self.shape, generator=generator)
        return x, torch.randint(self.classes, (n,), generator=generator)
