import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltb.data.augment import crop_and_flip, draw_crops


def one_by_one(x, draws, padding):
    """The same augmentation with slices, an image at a time."""
    n, channels, height, width = x.shape
    padded = torch.zeros(n, channels, height + 2 * padding, width + 2 * padding, dtype=x.dtype)
    padded[:, :, padding : padding + height, padding : padding + width] = x
    images = []
    for image, (top, left, flip) in zip(padded, draws.tolist(), strict=True):
        image = image[:, top : top + height, left : left + width]
        images.append(image.flip(2) if flip else image)
    return torch.stack(images)


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 5),
    channels=st.integers(1, 3),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    padding=st.integers(0, 4),
    seed=st.integers(0, 2**63 - 1),
)
def test_equals_cropping_one_image_at_a_time(n, channels, height, width, padding, seed):
    x = torch.randint(1, 256, (n, channels, height, width), dtype=torch.uint8)
    draws = draw_crops(n, padding, seed)
    assert torch.equal(crop_and_flip(x, draws, padding), one_by_one(x, draws, padding))


def test_literal_crops():
    x = torch.tensor([[[[1, 2], [3, 4]]]]).expand(4, 1, 2, 2)
    draws = torch.tensor([[1, 1, 0], [1, 1, 1], [0, 0, 0], [2, 1, 1]])
    expected = [[[1, 2], [3, 4]], [[2, 1], [4, 3]], [[0, 0], [0, 1]], [[4, 3], [0, 0]]]
    assert crop_and_flip(x, draws, 1).squeeze(1).tolist() == expected


def test_draws_are_a_function_of_the_seed_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    draws = draw_crops(1000, 4, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(draws, draw_crops(1000, 4, seed=1))
    assert not torch.equal(draws, draw_crops(1000, 4, seed=2))


def test_draws_are_uniform():
    draws = draw_crops(90_000, 4, seed=0)
    for column in (0, 1):
        counts = draws[:, column].bincount()
        assert len(counts) == 9
        assert (counts - 10_000).abs().max() < 500  # 5 standard deviations
    assert abs(draws[:, 2].double().mean() - 0.5) < 0.01
