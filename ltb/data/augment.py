"""Augmentation of images as a pure function of the images and a table of draws."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def draw_crops(n: int, padding: int, seed: int) -> Tensor:
    """Return where each of n images is cropped and whether it is flipped, drawn on the CPU: (n, 3), int64.

    The columns are the row and the column of the crop's corner in the padded image, each uniform on
    0..2*padding, and the flip, 0 or 1 with equal probability.
    """
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(2 * padding + 1, (n, 2), generator=generator)
    flips = torch.randint(2, (n, 1), generator=generator)
    return torch.cat([corners, flips], dim=1)


def crop_and_flip(x: Tensor, draws: Tensor, padding: int) -> Tensor:
    """Return crops of the images' own size out of the images padded with zeros, mirrored left to right where drawn.

    ``x`` is (n, channels, height, width) of any dtype, zero being black; ``draws`` is (n, 3) as from
    ``draw_crops``. The result has the shape and dtype of ``x``. Crop and flip are one gather, without a loop
    over examples.
    """
    n, channels, height, width = x.shape
    top, left, flip = (column.view(n, 1) for column in draws.unbind(1))
    rows = top + torch.arange(height, device=x.device)
    columns = torch.arange(width, device=x.device).expand(n, width)
    columns = left + torch.where(flip.bool(), columns.flip(1), columns)
    pixels = rows.unsqueeze(2) * (width + 2 * padding) + columns.unsqueeze(1)
    padded = functional.pad(x, (padding,) * 4).flatten(2)
    return padded.gather(2, pixels.view(n, 1, -1).expand(n, channels, -1)).view_as(x)
