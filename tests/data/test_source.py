import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltb.data import source as source_module
from ltb.data.source import TensorSource


def numbered(n, dtype=torch.float32, shape=(3,)):
    """Examples that say which they are: all values of example i are i, and so is its label."""
    y = torch.arange(n)
    return y.to(dtype).view(n, *(1 for _ in shape)).expand(n, *shape).contiguous(), y


def made(train=23, val=5, test=7, batch_size=4, **options):
    splits = {"train": numbered(train), "val": numbered(val), "test": numbered(test)}
    return TensorSource(splits, classes=10, batch_size=batch_size, mean=(0.0,), std=(1.0,), **options)


def images(padding, n=40):
    x = torch.randint(0, 256, (n, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    splits = dict.fromkeys(("train", "val", "test"), (x, torch.arange(n) % 10))
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    return x, TensorSource(splits, classes=10, batch_size=8, mean=mean, std=std, padding=padding)


def same(batches, others):
    pairs = list(itertools.zip_longest(batches, others))
    return all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in pairs)


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 1000),
    start=st.integers(0, 20),
    length=st.integers(0, 20),
    gathered=st.integers(1, 1000),
)
def test_a_stream_is_a_window_of_the_stream_from_zero(seed, start, length, gathered):
    with pytest.MonkeyPatch.context() as patch:
        whole = list(made().stream(seed, 0, 40))
        patch.setitem(source_module.GATHERED_BYTES, "cpu", gathered)  # nor does it matter how rows are gathered
        assert same(made().stream(seed, start, start + length), whole[start : start + length])


@pytest.mark.parametrize("padding", [0, 2])
def test_the_clock_law_holds_with_and_without_augmentation(padding):
    _, source = images(padding)
    whole = list(source.stream(3, 0, 13))
    assert same(source.stream(3, 6, 13), whole[6:])
    assert same(images(padding)[1].stream(3, 6, 13), whole[6:])


def test_interleaved_streams_do_not_disturb_each_other():
    source = made()
    one, two = source.stream(0, 0, 12), source.stream(1, 3, 15)
    mixed = list(zip(one, two, strict=True))
    assert same((pair[0] for pair in mixed), made().stream(0, 0, 12))
    assert same((pair[1] for pair in mixed), made().stream(1, 3, 15))


def test_ids_are_the_examples_of_the_step():
    source = made()
    for step, (x, y) in enumerate(source.stream(5, 0, 12)):
        ids = source.ids(5, step)
        assert y.tolist() == ids.tolist()
        assert x[:, 0].tolist() == ids.tolist()


def test_an_epoch_has_each_example_at_most_once_and_drops_the_remainder():
    source = made(train=23, batch_size=4)
    assert source.epoch_length == 5
    dropped = set()
    for epoch in range(4):
        seen = torch.cat([y for _, y in source.stream(0, 5 * epoch, 5 * epoch + 5)]).tolist()
        assert len(seen) == len(set(seen)) == 20
        dropped |= set(range(23)) - set(seen)
    assert len(dropped) > 3  # not the same three in each epoch


def test_order_depends_on_seed_and_epoch_only_and_not_on_the_global_generator():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    order = made().order(1, 2)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(9)
    assert torch.equal(made().order(1, 2), order)
    assert not torch.equal(made().order(1, 3), order)
    assert not torch.equal(made().order(2, 2), order)


def test_the_order_is_pinned():
    assert made(train=6, batch_size=2).order(0, 0).tolist() == [3, 5, 2, 1, 0, 4]


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (4, 3)])
def test_a_stream_refuses_nonsense_at_once(start, stop):
    with pytest.raises(ValueError, match=f"start {start} and stop {stop}"):
        made().stream(0, start, stop)


def test_less_than_one_minibatch_is_refused():
    with pytest.raises(ValueError, match=r"data\.batch_size must be at most 3.* not 4"):
        made(train=3)


def test_bytes_are_normalised_channel_by_channel():
    x, source = images(padding=0)
    expected = (x.double() / 255 - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor([0.2, 0.3, 0.4]).view(
        3, 1, 1
    )
    ((seen, _),) = source.evaluation("test")
    assert seen.dtype == torch.float32
    torch.testing.assert_close(seen, expected.float(), rtol=1e-5, atol=1e-5)


def test_normalising_once_and_in_every_batch_gives_the_same_bits(monkeypatch):
    _, once = images(padding=0)
    monkeypatch.setattr(source_module, "PRECOMPUTED_BYTES", 0)
    _, each = images(padding=0)
    assert same(once.stream(0, 0, 5), each.stream(0, 0, 5))
    assert same(once.evaluation("train"), each.evaluation("train"))


def test_only_the_stream_is_augmented():
    _, plain = images(padding=0)
    _, augmented = images(padding=2)
    assert not same(plain.stream(0, 0, 3), augmented.stream(0, 0, 3))
    for split in ("train", "val", "test"):
        assert same(plain.evaluation(split), augmented.evaluation(split))


def test_evaluation_reads_every_example_in_order_each_time(monkeypatch):
    monkeypatch.setattr(source_module, "EVALUATED_EXAMPLES", 3)
    batches = made().evaluation("test")
    assert len(batches) == 3
    for _ in range(2):
        assert [y.tolist() for _, y in batches] == [[0, 1, 2], [3, 4, 5], [6]]


def test_evaluation_batches_of_images_are_smaller():
    signals, photographs = numbered(5000, shape=(40,)), numbered(600, torch.uint8, (3, 32, 32))
    for examples, length in ((signals, 4096), (photographs, 341)):
        splits = dict.fromkeys(("train", "val", "test"), examples)
        source = TensorSource(splits, classes=5000, batch_size=10, mean=(0.0,), std=(1.0,))
        assert len(next(iter(source.evaluation("val")))[1]) == length


def test_the_fingerprint_changes_with_any_value_label_type_or_split():
    splits = {"train": numbered(8), "val": numbered(2), "test": numbered(3)}

    def of(**changed):
        return source_module.fingerprint({**splits, **changed})

    x, y = numbered(8)
    other_value, other_label = x.clone(), y.clone()
    other_value[7, 2] += 1
    other_label[0] = 3
    different = [
        of(),
        of(train=(other_value, y)),
        of(train=(x, other_label)),
        of(train=(x.double(), y)),
        of(train=(x.view(8, 1, 3), y)),
        of(val=numbered(3), test=numbered(2)),
    ]
    assert len(set(different)) == len(different)
    assert of() == of(train=(x.clone(), y.clone()))


def test_the_source_does_not_alias_what_it_was_made_from():
    splits = {"train": numbered(8), "val": numbered(2), "test": numbered(3)}
    source = TensorSource(splits, classes=10, batch_size=2, mean=(0.0,), std=(1.0,))
    splits["val"][0].fill_(99)
    ((x, _),) = source.evaluation("val")
    assert x.max() == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("padding", [0, 2])
def test_a_gpu_sees_what_the_cpu_sees(padding):
    x, cpu = images(padding)
    splits = dict.fromkeys(("train", "val", "test"), (x, torch.arange(40) % 10))
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    gpu = TensorSource(splits, classes=10, batch_size=8, mean=mean, std=std, padding=padding, device="cuda")
    for (x, y), (x2, y2) in zip(cpu.stream(0, 2, 9), gpu.stream(0, 2, 9), strict=True):
        torch.testing.assert_close(x, x2.cpu())
        assert torch.equal(y, y2.cpu())
