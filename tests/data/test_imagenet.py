import pytest
import torch
from PIL import Image

from ltb.common.errors import Damaged, Unavailable
from ltb.data import ImageNet


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two classes: 9 and 9 training images and 3 and 2 test images, of different sizes, each of one colour."""
    root = tmp_path_factory.mktemp("imagenet")
    for part, counts in (("train", (9, 9)), ("val", (3, 2))):
        for label, count in enumerate(counts):
            folder = root / part / f"n0{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                image = Image.radial_gradient("L").resize((40 + number, 50)).convert("RGB")
                image.putpixel((0, 0), (label * 100, number * 10, 0))
                image.save(folder / f"{number}.png")
    return str(root)


def tiny(root, **fields):
    return ImageNet(
        root=root,
        **{"shape": (3, 16, 16), "classes": 2, "batch_size": 4, "val_size": 5, "workers": 0, **fields},
    )


def same(batches, others):
    return all(torch.equal(x, x2) and torch.equal(y, y2) for (x, y), (x2, y2) in zip(batches, others, strict=True))


def test_the_splits(root):
    source = tiny(root).source()
    assert (source.shape, source.classes, source.size, source.epoch_length) == ((3, 16, 16), 2, 13, 3)
    counts = {split: sum(len(y) for _, y in source.evaluation(split)) for split in ("train", "val", "test")}
    assert counts == {"train": 13, "val": 5, "test": 5}
    assert [len(y) for _, y in source.evaluation("test")] == [4, 1]
    assert torch.cat([y for _, y in source.evaluation("test")]).tolist() == [0, 0, 0, 1, 1]
    x, y = next(source.stream(0, 0, 1))
    assert (x.shape, x.dtype, y.dtype) == ((4, 3, 16, 16), torch.float32, torch.int64)


def test_the_clock_law_holds_across_epochs_and_workers(root):
    source = tiny(root).source()
    whole = list(source.stream(2, 0, 8))
    assert same(source.stream(2, 4, 8), whole[4:])
    assert same(tiny(root, workers=2).source().stream(2, 4, 8), whole[4:])
    assert not same(source.stream(3, 0, 8), whole)


def test_images_are_augmented_anew_each_epoch_but_never_for_evaluation(root):
    source = tiny(root).source()
    first, second = (source.keys(0, step) for step in (0, 3))
    assert {seed for _, seed in first}.isdisjoint(seed for _, seed in second)
    assert same(source.evaluation("train"), source.evaluation("train"))
    ((x, _),) = source.stream(0, 0, 1)
    places = torch.tensor([place for place, _ in first])
    assert torch.equal(places, source._splits["train"][1][source.ids(0, 0)])
    plain = torch.cat([x for x, _ in source.evaluation("train")])[source.ids(0, 0)]
    assert not torch.equal(x, plain)


def test_the_global_generator_is_left_alone(root):
    source = tiny(root).source()
    before = torch.get_rng_state()
    list(source.stream(0, 0, 2))
    list(source.evaluation("val"))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_fingerprint_is_that_of_names_and_splits(root):
    assert tiny(root).source().fingerprint == tiny(root, workers=2).source().fingerprint
    assert tiny(root).source().fingerprint != tiny(root, split_seed=1).source().fingerprint


def test_smaller_training_sets_are_contained(root):
    small = tiny(root, train_size=6).source()
    places = tiny(root).source()._splits["train"][1]
    assert small.size == 6
    assert torch.equal(small._splits["train"][1], places[:6])


def test_it_says_what_is_missing(root, tmp_path):
    with pytest.raises(
        Unavailable, match=r"data\.root: .*train must hold one folder of images for each class"
    ) as caught:
        tiny(str(tmp_path)).source()
    assert "\n" not in str(caught.value)
    with pytest.raises(Damaged, match=r"must have the same 3 class folders"):
        tiny(root, classes=3).source()
    with pytest.raises(ValueError, match=r"data\.val_size=\d+: less than 18"):
        tiny(root, val_size=18).source()
