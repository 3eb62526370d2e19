"""A setup: what a configuration comes to before anything is trained, and what it refuses by then."""

import dataclasses

import pytest
from hydra import compose, initialize_config_dir

from ltb.core.loop import levels
from ltb.core.measure import Measure
from ltb.core.results import Measurement
from ltb.run import settings
from ltb.run.conf import conf
from ltb.run.setup import check_writable, setup
from tests.support.command import TINY

NAMES = {"task": "mnist1d_mlp", "model": "mlp", "data": "noise"}


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(*overrides):
        with initialize_config_dir(conf(), version_base="1.3"):
            config = compose("train", [*TINY, *overrides])
        return setup(settings.resolve(config), NAMES)

    return make


@pytest.fixture
def steps(monkeypatch):
    """How many times one step was tried, and how many fits there were."""
    from ltb.training import Training

    seen = []
    for name in ("check_one_step", "fit"):
        inner = getattr(Training, name)

        def noted(self, *given, of=inner, what=name, **more):
            seen.append(what)
            return of(self, *given, **more)

        monkeypatch.setattr(Training, name, noted)
    return seen


def test_nothing_is_written_until_it_is_begun(made, tmp_path):
    one = made("method=imp", "control=shuffle", "seed=3", "study=s")
    assert list(tmp_path.iterdir()) == []
    assert one.label == "imp-shuffle"
    assert one.run_id == one.folder.name
    assert one.run_id.startswith("imp-shuffle-mnist1d_mlp-s3-")
    assert {**one.row, "run_id": ""} == {"run_id": "", "study": "s", "method": "imp", "seed": 3, **NAMES}
    assert len(one.missing()) == 4  # a control is a branch off a level: the chain has its own
    one.begun()
    assert {path.name for path in (tmp_path / "runs" / "store").iterdir()} == {".runs", ".version"}


@pytest.mark.parametrize(
    "nuisance", ["progress=true", "metric.tolerance=0.5", "measure=overlap", "store.keep=tickets", "study=s"]
)
def test_what_is_no_part_of_a_run_leaves_its_name_and_its_stages(made, nuisance):
    one, other = made(), made(nuisance)
    assert one.run_id == other.run_id
    assert [*map(one.store.keys, one.stages)] == [*map(other.store.keys, other.stages)]


def test_seeds_of_one_experiment_have_the_same_letters(made):
    one, other, longer = made("seed=0"), made("seed=1"), made("seed=1", "schedule.levels=3")
    assert one.run_id.replace("-s0-", "-s1-") == other.run_id
    assert longer.run_id != other.run_id


def test_fresh_runs_have_a_folder_and_a_store_each_also_where_they_are_set_up_at_once(made):
    waiting = [made("fresh=true") for _ in range(3)]
    begun = [one.begun() for one in waiting]
    assert len({one.folder for one in begun}) == 3
    assert all(one.store.folder == one.folder / "store" for one in begun)
    assert [one.run_id for one in begun] == [one.row["run_id"] for one in begun] == [one.folder.name for one in begun]


@dataclasses.dataclass(frozen=True)
class Broken(Measure):
    """A measure that this test's network does not suit."""

    def __call__(self, of, bench):
        return Measurement({"n": len(next(iter(bench.batches("test")))), "x": of[0].point.weights["no.such"]})


@dataclasses.dataclass(frozen=True)
class First(Measure):
    """The number of minibatches of each split, and the rows of the history."""

    def __call__(self, of, bench):
        counts = {split: len(list(bench.batches(split))) for split in ("train", "val", "test")}
        raise RuntimeError(f"{counts} {of[0].stop} {len(of[0].history)}")


@dataclasses.dataclass(frozen=True)
class Unasked(Broken):
    joint = True


def test_one_step_is_tried_where_something_is_to_be_trained_or_measured(made, steps):
    one = made()
    one.check_one_step()
    assert steps == ["check_one_step"]
    list(levels(one.recipe, one.training, one.store, measures=one.measures))
    steps.clear()
    one.check_one_step()
    assert steps == []
    measured = made("measure=calibration")
    measured.check_one_step()
    assert steps == ["fit"]
    list(levels(one.recipe, one.training, one.store, measures=measured.measures))
    steps.clear()
    measured.check_one_step()
    assert steps == []


def test_measures_are_tried_on_one_minibatch_after_one_step(made):
    one = dataclasses.replace(made(), measures=(First(),))
    expected = r"measure=first: it fails: RuntimeError: \{'train': 1, 'val': 1, 'test': 1\} 1 1 \(.*test_setup.py:\d+"
    with pytest.raises(ValueError, match=expected):
        one.check_one_step()
    dataclasses.replace(one, measures=(Unasked(),)).check_one_step()  # it compares levels, and there are none yet


def test_whatever_a_measure_raises_is_one_line(made):
    with pytest.raises(ValueError, match=r"^measure=broken: it fails: KeyError: 'no.such' \(") as caught:
        dataclasses.replace(made(), measures=(Broken(),)).check_one_step()
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"^runs=.*file/below: .*file is not a folder that can be written"):
        check_writable(tmp_path / "file" / "below", "runs")
    check_writable(tmp_path / "a" / "b", "runs")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
