import torch

from ltb.data import Noise


def test_it_has_the_shape_and_sizes_asked_for():
    source = Noise(shape=(3, 8, 8), classes=7, batch_size=10, size=100, val_size=30, test_size=20).source()
    assert (source.shape, source.classes, source.size, source.epoch_length) == ((3, 8, 8), 7, 70, 7)
    assert sum(len(y) for _, y in source.evaluation("test")) == 20
    x, y = next(source.stream(0, 0, 1))
    assert (x.shape, x.dtype, y.dtype) == ((10, 3, 8, 8), torch.float32, torch.int64)
    assert y.max() < 7


def test_it_is_a_function_of_its_seed():
    def fingerprint(seed):
        return Noise(shape=(5,), classes=2, noise_seed=seed).source().fingerprint

    before = torch.get_rng_state()
    assert fingerprint(0) == fingerprint(0) != fingerprint(1)
    assert torch.equal(torch.get_rng_state(), before)
