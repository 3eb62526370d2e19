"""A person's own dataloaders, of any kind: what they serve is a function of (seed, step), and known by its contents."""

import random
from dataclasses import dataclass
from itertools import pairwise

import numpy
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pytorch_lightning.utilities.combined_loader import CombinedLoader
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    get_worker_info,
    random_split,
)
from torch.utils.data.dataloader import default_collate
from torchvision.datasets import ImageFolder

from ltb.core.seeds import derive
from ltb.training import Training
from ltb.training.fingerprint import of_value
from ltb.training.lightning import quiet
from ltb.training.source import DataModuleSource
from tests.training.small import Numbers, Regression, dense, digest, metrics

SIZE, BATCH, LENGTH = 22, 4, 6  # the last minibatch of an epoch has two examples


def draws():
    """One draw from each of the global generators."""
    return torch.rand(()).item(), numpy.random.rand(), random.random()


class Noisy(Dataset):
    """Examples (index, draws), which tell the order and the augmentation."""

    fetched = 0

    def __len__(self):
        return SIZE

    def __getitem__(self, index):
        self.fetched += 1
        return index, *draws()


class Whole(Noisy):
    """Minibatches by lists of indices."""

    def __getitem__(self, indices):
        return default_collate([Noisy.__getitem__(self, index) for index in indices])


class Several(Noisy):
    """Examples that can only be had several at once."""

    def __getitem__(self, index):
        raise NotImplementedError

    def __getitems__(self, indices):
        return [Noisy.__getitem__(self, index) for index in indices]


class Drawn:
    """A batch sampler that draws each minibatch from the generators of Python and numpy."""

    def __len__(self):
        return LENGTH

    def __iter__(self):
        for _ in range(LENGTH):
            yield [random.randrange(SIZE), numpy.random.randint(SIZE)]


class Stream(IterableDataset):
    """Minibatches' examples without indices, each worker's with draws of its own."""

    def __len__(self):
        return SIZE

    def __iter__(self):
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        return ((index, *draws()) for index in range(first, SIZE, step))


class Own:
    """An iterable that torch knows nothing of."""

    def __len__(self):
        return LENGTH

    def __iter__(self):
        order = random.sample(range(SIZE), SIZE)
        return ([torch.tensor([index]), *map(torch.tensor, draws())] for index in order[:LENGTH])


def loader(kind, workers=0, **more):
    data, more = Noisy(), {"num_workers": workers, "batch_size": BATCH, **more}
    weights = torch.arange(1.0, SIZE + 1)
    match kind:
        case "ordered":
            return DataLoader(data, **more)
        case "shuffled":
            return DataLoader(data, shuffle=True, **more)
        case "generator":
            return DataLoader(data, shuffle=True, generator=torch.Generator(), **more)
        case "sampler's generator":
            return DataLoader(data, sampler=RandomSampler(data, generator=torch.Generator()), **more)
        case "weighted":
            return DataLoader(data, sampler=WeightedRandomSampler(weights, SIZE), **more)
        case "weighted by generator":
            return DataLoader(data, sampler=WeightedRandomSampler(weights, SIZE, generator=torch.Generator()), **more)
        case "subset":
            return DataLoader(data, sampler=SubsetRandomSampler(range(1, SIZE)), **more)
        case "epochs":
            return DataLoader(data, sampler=DistributedSampler(data, num_replicas=1, rank=0), **more)
        case "batch sampler":
            return DataLoader(data, batch_sampler=Drawn(), num_workers=workers)
        case "batches by generator":
            shuffled = RandomSampler(data, generator=torch.Generator())
            return DataLoader(data, batch_sampler=BatchSampler(shuffled, BATCH, drop_last=False), num_workers=workers)
        case "several":
            return DataLoader(Several(), shuffle=True, **more)
        case "whole":
            whole = BatchSampler(RandomSampler(data), BATCH, drop_last=False)
            return DataLoader(Whole(), sampler=whole, **{**more, "batch_size": None})
        case "stream":
            return DataLoader(Stream(), **more)
        case "own":
            return Own()


BY_INDEX = (
    "ordered",
    "shuffled",
    "generator",
    "sampler's generator",
    "weighted",
    "weighted by generator",
    "subset",
    "epochs",
    "batch sampler",
    "batches by generator",
    "several",
    "whole",
)


class Data(pl.LightningDataModule):
    """A datamodule of the loaders that three functions make, or one for all."""

    def __init__(self, train, val=None, test=None):
        super().__init__()
        self.train, self.val, self.test = train, val or train, test or train

    def train_dataloader(self):
        return self.train()

    def val_dataloader(self):
        return self.val()

    def test_dataloader(self):
        return self.test()


def source(kind, workers=0, **more):
    return DataModuleSource(Data(lambda: loader(kind, workers, **more)))


def read(batches, after=False):
    """What minibatches hold, exactly, with (`after`) the next draws of this process at each."""
    return [[part.tolist() for part in batch] + [draws() if after else None] for batch in batches]


def indices(batches):
    return [index for batch, *_ in read(batches) for index in batch]


@settings(max_examples=8)
@given(
    kind=st.sampled_from(BY_INDEX),
    workers=st.integers(0, 2),
    start=st.integers(0, 2 * LENGTH),
    steps=st.integers(1, LENGTH + 2),
    seed=st.integers(0, 5),
)
def test_any_part_of_a_run_is_served_as_in_the_whole_run(kind, workers, start, steps, seed):
    whole = read(source(kind).stream(seed, 0, start + steps), after=True)
    draws()  # where the generators of this process are is no matter
    assert read(source(kind, workers).stream(seed, start, start + steps), after=True) == whole[start:]


@pytest.mark.parametrize("kind", BY_INDEX)
def test_workers_and_the_start_change_no_byte_and_the_seed_and_the_epoch_do(kind):
    whole = read(source(kind).stream(1, 0, 2 * LENGTH), after=True)
    assert read(source(kind, 2).stream(1, LENGTH - 1, 2 * LENGTH), after=True) == whole[LENGTH - 1 :]
    epochs = [[batch[0] for batch in whole[:LENGTH]], [batch[0] for batch in whole[LENGTH:]]]
    assert (epochs[0] == epochs[1]) == (kind == "ordered")
    assert len({str(batch[1]) for batch in whole}) == 2 * LENGTH
    assert read(source(kind).stream(2, 0, LENGTH)) != read(source(kind).stream(1, 0, LENGTH))


@pytest.mark.parametrize("kind", ["stream", "own"])
def test_what_has_no_order_of_indices_is_served_alike_too_without_workers(kind):
    whole = read(source(kind).stream(1, 0, 2 * LENGTH), after=True)
    draws()
    assert read(source(kind).stream(1, LENGTH - 2, 2 * LENGTH), after=True) == whole[LENGTH - 2 :]
    assert len({str(batch[1]) for batch in whole}) == 2 * LENGTH


def test_a_stream_with_workers_is_served_alike_with_as_many_workers():
    whole = read(source("stream", 2).stream(1, 0, LENGTH), after=True)
    assert read(source("stream", 2, in_order=False).stream(1, 3, LENGTH), after=True) == whole[3:]
    alone = read(source("stream").stream(1, 0, LENGTH), after=True)
    assert [after for *_, after in alone] == [after for *_, after in whole]


def test_draws_are_those_of_a_step_and_a_shuffled_epoch_has_each_example_once():
    served = read(source("shuffled", 1).stream(3, 0, 2 * LENGTH), after=True)
    for step, (batch, *rest, after) in enumerate(served):
        seed = derive(3, "fetch", step)
        torch.manual_seed(seed)
        numpy.random.seed(seed % 2**32)
        random.seed(seed)
        drawn = [draws() for _ in batch]
        assert [tuple(example) for example in zip(*rest, strict=True)] == drawn
        assert after not in drawn  # what a training step draws is not what the fetching drew
    for epoch in (served[:LENGTH], served[LENGTH:]):
        order = [index for batch, *_ in epoch for index in batch]
        assert sorted(order) == list(range(SIZE)) != order


@pytest.mark.parametrize(
    "more",
    [
        {"persistent_workers": True, "prefetch_factor": 1, "timeout": 30},
        {"multiprocessing_context": "fork", "in_order": False, "worker_init_fn": random.seed},
    ],
)
def test_settings_of_the_workers_change_no_byte(more):
    assert read(source("shuffled", 2, **more).stream(0, 2, 8)) == read(source("shuffled").stream(0, 2, 8))


def test_a_run_that_starts_inside_an_epoch_fetches_only_what_it_serves():
    data = Noisy()
    one = DataModuleSource(Data(lambda: DataLoader(data, BATCH, shuffle=True)))
    next(iter(one.stream(0, 4, 6)))
    assert data.fetched == BATCH


def test_a_worker_starts_with_the_loaders_own_dataset():
    class Scaled(Noisy):
        scale = 1

        def __getitem__(self, index):
            return self.scale * index, *draws()

    def start(worker):
        get_worker_info().dataset.scale = 2 + draws()[0] * 0

    def served(**more):
        return DataModuleSource(Data(lambda: DataLoader(Scaled(), BATCH, **more))).stream(0, 0, LENGTH)

    assert indices(served(num_workers=1, worker_init_fn=start)) == [2 * index for index in range(SIZE)]
    assert [batch[1:] for batch in read(served(num_workers=1, worker_init_fn=start))] == [
        batch[1:] for batch in read(served())
    ]


def test_a_sum_in_a_dataset_has_the_bytes_of_one_thread_wherever_it_is_taken():
    class Means(Noisy):
        def __getitem__(self, index):
            return torch.rand(150_000).mean(), index

    def served(workers):
        return read(DataModuleSource(Data(lambda: DataLoader(Means(), 4, num_workers=workers))).stream(0, 0, 5))

    alone = served(0)
    torch.set_num_threads(2)
    try:
        assert served(0) == served(1) == alone
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


class Dropping(Regression):
    """Draws from torch in dropout and from numpy and Python beside it, in training and in validation."""

    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(0.3)

    def training_step(self, batch, index):
        x, y = batch
        return super().training_step((self.drop(x) + 0.01 * numpy.random.rand() + 0.01 * random.random(), y), index)

    def validation_step(self, batch, index):
        x, y = batch
        super().validation_step((x + numpy.random.rand() + torch.rand_like(x), y), index)


class Augmented(Dataset):
    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        x, y = self.data[index]
        noise = torch.from_numpy(numpy.random.randn(len(x)))
        return x + 0.1 * noise.to(x.dtype) + 0.1 * torch.randn_like(x) + random.random(), y


class WithWorkers(Numbers):
    workers = 0

    def _loader(self, indices, shuffle=False):
        given = super()._loader(indices, shuffle)
        return DataLoader(Augmented(given.dataset), self.batch_size, shuffle=shuffle, num_workers=self.workers)


def test_workers_change_no_byte_of_a_training():
    def fitted(workers):
        data = WithWorkers()
        data.workers = workers
        one = Training(Dropping, data, "17it", metric="mse", direction="min", evaluate_every="6it")
        trained = one.fit(dense(one))
        history = [{**row, "seconds": 0} for row in trained.history]
        return digest(trained), digest(one.fit(dense(one, 3), evaluate=False)), metrics(one, trained), history

    assert fitted(0) == fitted(2)


# Evaluation


@pytest.mark.parametrize(
    ("kind", "split"),
    [*((kind, "val") for kind in BY_INDEX), ("shuffled", "train"), ("whole", "train"), ("shuffled", "test")],
)
def test_an_evaluation_is_the_same_each_time_whatever_the_workers(kind, split):
    one = source(kind)
    readings = one.evaluation(split)
    first = read(readings, after=True)
    draws()
    assert read(readings, after=True) == first == read(one.evaluation(split), after=True)
    assert read(source(kind, 2).evaluation(split), after=True) == first
    assert len(readings) == len(first) == LENGTH
    other = {"train": "val", "val": "test", "test": "train"}[split]
    assert read(one.evaluation(other)) != first


@pytest.mark.parametrize("kind", BY_INDEX)
def test_an_evaluation_of_train_is_of_every_example_in_the_order_of_the_dataset(kind):
    of = source(kind).evaluation("train")
    assert indices(of) == list(range(kind == "subset", SIZE))


def test_an_evaluation_of_train_drops_nothing():
    assert indices(source("shuffled", drop_last=True).evaluation("train")) == list(range(SIZE))


def test_a_stream_is_evaluated_alike_each_time_too():
    for kind, workers, more in (("stream", 0, {}), ("stream", 2, {"persistent_workers": True}), ("own", 0, {})):
        for split in ("train", "val"):
            readings = source(kind, workers, **more).evaluation(split)
            first = read(readings, after=True)
            draws()
            assert read(readings, after=True) == first
            assert len(readings) == len(first) == LENGTH


def test_a_stream_without_a_length_can_be_evaluated():
    class Endless(Stream):
        __len__ = None

    one = DataModuleSource(Data(lambda: loader("ordered"), lambda: DataLoader(Endless(), BATCH)))
    assert indices(one.evaluation("val")) == list(range(SIZE))


def test_several_validation_loaders_keep_their_form_and_have_draws_of_their_own():
    one = DataModuleSource(
        Data(
            lambda: loader("ordered"),
            lambda: [loader("ordered"), loader("ordered")],
            lambda: {"a": loader("stream"), "b": loader("ordered")},
        )
    )
    first, second = one.evaluation("val")
    assert indices(first) == indices(second)
    assert read(first) != read(second)
    assert list(one.evaluation("test")) == ["a", "b"]
    assert one.fingerprint != source("ordered").fingerprint


def test_what_cannot_be_served_is_refused():
    short = Drawn()
    short.__class__ = type("Short", (Drawn,), {"__len__": lambda self: LENGTH + 1})
    one = DataModuleSource(Data(lambda: DataLoader(Noisy(), batch_sampler=short)))
    with pytest.raises(
        ValueError, match="epoch 1 of the training dataloader ended after 6 minibatches; its length is 7"
    ):
        list(one.stream(0, LENGTH + 3, 2 * LENGTH + 2))
    for train, message in (
        (lambda: [loader("ordered")], "returns several dataloaders"),
        (lambda: CombinedLoader([loader("ordered")]), "a CombinedLoader"),
        (lambda: DataLoader(Noisy(), SIZE + 1, drop_last=True), "is empty"),
        (lambda: iter(()), "has no length"),
    ):
        with quiet(), pytest.raises(ValueError, match=message):
            DataModuleSource(Data(train))
    with pytest.raises(ValueError, match="evaluation on 'train', 'val' or 'test', not 'dev'"):
        source("ordered").evaluation("dev")


def test_a_split_that_is_drawn_in_setup_is_always_the_same():
    class Split(Data):
        def __init__(self):
            super().__init__(lambda: DataLoader(self.parts[0], 1), lambda: DataLoader(self.parts[1], 1))

        def setup(self, stage):
            self.parts = random_split(Noisy(), [SIZE - 5, 5])

    one, other = DataModuleSource(Split()), DataModuleSource(Split())
    assert indices(one.stream(0, 0, 17)) == indices(other.stream(0, 0, 17)) != list(range(17))
    assert sorted(indices(one.stream(0, 0, 17)) + indices(one.evaluation("val"))) == list(range(SIZE))


# The fingerprint


def numbers(change=None, split="train", workers=0, size=50, **more):
    """The fingerprint of 50 examples a split, and what it is once `change` was applied to those of one of them."""

    def made(this):
        generator = torch.Generator().manual_seed(len(this))
        x, y = torch.randn(size, 3, generator=generator), torch.arange(size)
        if change and this == split:
            x, y = change(x, y)
        return lambda: DataLoader(Augmented(list(zip(x, y, strict=True))), 8, num_workers=workers, **more)

    return DataModuleSource(Data(made("train"), made("val"), made("test"))).fingerprint


def put(x, place, value):
    x[place] = value
    return x


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize(
    "change",
    [
        lambda x, y: (x[:-1], y[:-1]),
        lambda x, y: (x, y + 1),
        lambda x, y: (x, y.int()),
        lambda x, y: (x.double(), y),
        lambda x, y: (x.flip(0), y),
        lambda x, y: (put(x, 0, 1.0), y),
        lambda x, y: (put(x, 49, 1.0), y),
        lambda x, y: (put(x, slice(20, 24), 1.0), y),  # samples are at most 4 apart
        lambda x, y: (x, put(y, slice(30, 34), 0)),
    ],
)
def test_other_data_have_another_fingerprint(change, split):
    assert numbers(change, split) != numbers()
    assert len(numbers()) == 64


def test_the_same_data_have_the_same_fingerprint_however_they_are_read():
    torch.manual_seed(1)
    before = random.getstate(), torch.get_rng_state()
    first = numbers()
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert numbers(workers=2, persistent_workers=True, pin_memory=False, shuffle=True) == first


@pytest.mark.slow
def test_workers_count_only_where_they_change_what_is_served():
    for kind in ("shuffled", "several", "whole"):
        assert source(kind, 2).fingerprint == source(kind).fingerprint
    assert len({source("stream", workers).fingerprint for workers in (0, 1, 2, 2)}) == 3
    assert source("own").fingerprint == source("own").fingerprint != source("stream").fingerprint


@pytest.mark.parametrize("size", [1, 3, SIZE, 1000])
def test_at_most_sixteen_examples_of_a_split_are_read_first_and_last_included(size):
    served = []

    class Watched(Noisy):
        def __len__(self):
            return size

        def __getitem__(self, index):
            served.append(index)
            return index

    one = DataModuleSource(Data(lambda: DataLoader(Watched())))
    assert not served
    assert one.fingerprint == one.fingerprint
    assert len(served) == 3 * min(size, 16)
    sampled = served[: len(served) // 3]
    assert (sampled[0], sampled[-1]) == (0, size - 1)
    assert all(abs(after - before - max(1, (size - 1) / 15)) < 1 for before, after in pairwise(sampled))


def test_examples_that_only_a_started_worker_can_read_are_read_there():
    class Closed(Noisy):
        file = None

        def __getitem__(self, index):
            return self.file[index]

    def start(worker):
        get_worker_info().dataset.file = range(SIZE)

    data = Closed()
    one = DataModuleSource(Data(lambda: DataLoader(data, BATCH, num_workers=1, worker_init_fn=start)))
    assert one.fingerprint
    assert data.file is None


def test_examples_that_are_known_by_names_are_sampled_as_their_sampler_gives_them():
    class Named(Dataset):
        def __getitem__(self, name):
            return f"{name} at {self.at}"

    def of(at):
        data = Named()
        data.at = at
        names = SequentialSampler(["x", "y", "z"])
        names.__class__ = type("Names", (SequentialSampler,), {"__iter__": lambda self: iter(self.data_source)})
        return DataModuleSource(Data(lambda: DataLoader(data, 2, sampler=names)))

    assert of(1).fingerprint == of(1).fingerprint != of(2).fingerprint
    assert [text for batch in of(1).evaluation("train") for text in batch] == ["x at 1", "y at 1", "z at 1"]


def images(root, changed=()):
    for place in range(30):
        folder = root / ("cat" if place < 15 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        colour = (255, 0, 0) if place in changed else (place, place, 9)
        Image.new("RGB", (3, 3), colour).save(folder / f"{place:02}.png")
    return root


def test_a_folder_of_images_is_known_by_its_images_wherever_it_is(tmp_path):
    def of(root, **more):
        return DataModuleSource(Data(lambda: DataLoader(ImageFolder(root), 4, **more))).fingerprint

    first = of(images(tmp_path / "here"))
    assert of(images(tmp_path / "there")) == of(tmp_path / "here", num_workers=1) == first
    assert of(images(tmp_path / "replaced", changed={29})) != first
    assert of(images(tmp_path / "two", changed={14, 15})) != first  # one of two neighbours is a sample
    (tmp_path / "there/cat/01.png").unlink()
    assert of(tmp_path / "there") != first
    (tmp_path / "here/cat").rename(tmp_path / "here/wolf")
    assert of(tmp_path / "here") != first


@dataclass
class Pair:
    x: object
    y: object


class Opaque:
    pass


class Told:
    def __repr__(self):
        return "Told"


palette = Image.new("P", (2, 2))
palette.putpalette([1, 2, 3])


def test_values_are_told_apart_by_type_shape_and_contents():
    values = [
        None,
        0,
        False,
        0.0,
        -0.0,
        "",
        "0",
        b"0",
        (),
        [],
        {},
        [0],
        [[0]],
        [0, 0],
        ["a", "b"],
        ["ab"],
        {"x": 0},
        {"x": 1},
        {0: "x"},
        {1, 2},
        {1, 3},
        torch.tensor(0),
        torch.tensor([0]),
        torch.tensor([[0]]),
        torch.tensor([0.0]),
        torch.tensor([-0.0]),
        torch.tensor([0.0], dtype=torch.bfloat16),
        torch.zeros(0),
        torch.zeros(0, 2),
        numpy.zeros(1),
        numpy.zeros(1, "float32"),
        numpy.zeros(1, ">f4"),
        numpy.array([None, "x"], object),
        numpy.array([None, "y"], object),
        numpy.float32(0),
        Image.new("L", (2, 3)),
        Image.new("L", (3, 2)),
        Image.new("L", (3, 2), 1),
        Image.new("P", (2, 2)),
        palette,
        Pair(0, 1),
        Pair(1, 0),
        Told(),
        range(2),
    ]
    assert len({of_value(value) for value in values}) == len(values)


def test_equal_values_have_one_hash_however_they_lie_in_memory():
    x = torch.arange(6).reshape(2, 3)
    assert of_value(x.T) == of_value(x.T.contiguous()) != of_value(x)
    assert of_value(x.float().to_sparse()) == of_value(x.float())
    assert of_value(x.numpy().T) == of_value(x.numpy().T.copy())
    assert list({0, 8}) != list({8, 0})
    assert of_value({0, 8}) == of_value({8, 0})
    assert of_value(Pair(x, "x")) == of_value(Pair(x.clone(), "x"))


def test_an_object_that_does_not_show_its_contents_is_named():
    with pytest.raises(ValueError, match=r"holds a Opaque.*salt=TEXT must tell one version"):
        of_value([{"x": (Opaque(),)}])
    opaque = DataLoader(TensorDataset(torch.zeros(3)), collate_fn=lambda batch: Opaque())
    assert DataModuleSource(Data(lambda: opaque)).fingerprint  # what is collated is a matter of code
