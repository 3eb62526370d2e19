import math

import pytest
import torch

from ltb.data import Channels, PerImage, UnitLength
from ltb.data.source import TensorSource


def by_hand(values, kind):
    """The same in plain float64 loops over an example's values, channel by channel."""
    flat = [value for channel in values for value in channel]
    if kind == "per image":
        mean = math.fsum(flat) / len(flat)
        std = math.sqrt(math.fsum((value - mean) ** 2 for value in flat) / len(flat))
        return [(value - mean) / max(std, len(flat) ** -0.5) for value in flat]
    if kind == "unit length":
        length = math.sqrt(math.fsum(value**2 for value in flat)) or 1.0
        return [value / length for value in flat]
    return [(v / 255 - m) / s for channel, m, s in zip(values, (0.5, 0.1), (0.2, 0.4), strict=True) for v in channel]


@pytest.mark.parametrize(
    ("normalisation", "kind"),
    [(PerImage(), "per image"), (UnitLength(), "unit length"), (Channels((0.5, 0.1), (0.2, 0.4)), "channels")],
)
@pytest.mark.parametrize("padding", [0, 1])  # kept normalised, or normalised in every batch
def test_examples_come_out_as_by_hand(normalisation, kind, padding):
    x = torch.randint(0, 256, (6, 2, 3, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    x[0] = 0  # black
    x[1] = 7  # one colour
    part = (x, torch.arange(6))
    splits = {"train": part, "val": part, "test": part}
    source = TensorSource(
        splits, classes=6, batch_size=2, mean=(0.0,), std=(1.0,), normalisation=normalisation, padding=padding
    )
    found = torch.cat([batch for batch, _ in source.evaluation("val")])
    expected = torch.tensor([by_hand(example.flatten(1).tolist(), kind) for example in x]).view_as(found)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert torch.isfinite(torch.cat([batch for batch, _ in source.stream(0, 0, 3)])).all()
    assert torch.equal(splits["train"][0], x)


def test_channels_that_are_not_there_are_named():
    with pytest.raises(ValueError, match=r"data\.normalisation\.mean=\[0\.5, 0\.1\]: one number, or 3, one a channel"):
        Channels((0.5, 0.1), (1.0,)).on(torch.device("cpu"), (3, 4, 4), 255)
    with pytest.raises(ValueError, match=r"data\.normalisation\.std"):
        Channels((0.5,), (0.0,))
