"""Stages: parents are found in fields, a new kind is one class, and noise changes the draws alone."""

from dataclasses import dataclass, replace

import pytest
import torch

from ltb.common.errors import NotKept
from ltb.common.step import Clock
from ltb.core import tensors
from ltb.core.chain import asked, stages, starts
from ltb.core.execution import Execution, Masked
from ltb.core.loop import Loop, Recent, levels
from ltb.core.measure import Evaluate, Measure
from ltb.core.objectives import Objective
from ltb.core.points import Point
from ltb.core.recipe import Recipe
from ltb.core.results import Measurement, Trained
from ltb.core.schedules import Geometric
from ltb.core.stage import Stage, missing
from ltb.core.stages import Dense, Known, Measured, Sparse, Start
from ltb.store import catalogue
from ltb.store.keys import Keys
from ltb.store.store import Store
from tests.core.toy import Toy

CLOCK = Clock(5, 20)


@dataclass(frozen=True)
class Average(Stage):
    """A new kind of stage: the mean of several networks' weights, under the masks of the first (model soups)."""

    of: tuple[Stage, ...]
    environment = ()

    def compute(self, loop, checkpoints):
        results = [loop.result(stage) for stage in self.of]
        names = results[0].point.weights
        mean = {name: torch.stack([r.point.weights[name] for r in results]).mean(0) for name in names}
        point = Point(mean, results[0].stop)
        return Trained(results[0].masks, point, point)


@dataclass(frozen=True)
class Distance(Measure):
    """A new measure: how far two networks are from each other."""

    joint = True

    def __call__(self, of, bench):
        one, other = (result.point.weights for result in of)
        return Measurement({f"l2/{name}": float((one[name] - other[name]).norm()) for name in one})


@dataclass(frozen=True)
class Doubled(Execution):
    """A new execution: the masked network, and a note of each that entered."""

    note: str = ""

    def enter(self, module, masks):
        ENTERED.append(self.note)
        return Masked().enter(module, masks)


ENTERED: list[str] = []


def two(loop=None):
    dense = Dense()
    return tuple(Dense(Start(4), noise) for noise in (1, 2)), dense


def test_a_new_kind_of_stage_and_a_new_measure_are_one_class_each(tmp_path):
    """In loop, keys, store, plan and catalogue, with no change elsewhere."""
    children, _ = two()
    soup = Average(children)
    assert soup.parents == children
    assert children[0].parents == (Start(4),)
    evaluated = Measured((soup,), Evaluate())
    assert [type(stage) for stage in missing([evaluated], lambda _: False)] == [Start, Dense, Dense, Average, Measured]
    for _ in range(2):
        toy = Toy()
        keys = Keys({"seed": 0})
        loop = Loop(toy, Store(tmp_path, keys, {"task": "toy", "seed": 0}))
        mean = loop.result(soup).point.weights["a"]
        apart = loop.result(Measured(children, Distance())).values
        assert loop.result(evaluated).values["test/accuracy"] == 0.5
    assert toy.fits == []  # the second time nothing is trained
    expected = [loop.result(child).point.weights["a"] for child in children]
    assert torch.equal(mean, torch.stack(expected).mean(0))
    assert apart["l2/a"] == pytest.approx(float((expected[0] - expected[1]).norm()))
    found = {entry.key: entry for entry in catalogue.entries(tmp_path)}
    assert found[keys(soup)].parents == [keys(child) for child in children]
    assert found[keys(soup)].metadata["label"] == "average"
    assert catalogue.verify(tmp_path) == []


def test_children_of_one_start_differ_in_their_draws_and_in_nothing_else():
    loop = Loop(Toy(), Recent())
    (one, other), _ = two()
    start = loop.result(Start(4))
    found = [loop.result(stage) for stage in (one, other, Dense(Start(4)))]
    for result in found:
        assert tensors.digest(result.origin.weights) == tensors.digest(start.point.weights)
        assert (result.start, result.stop) == (4, 20)
    assert len({tensors.digest(result.point.weights) for result in found}) == 3
    # Without noise the continued trajectory is the dense network itself.
    assert tensors.digest(found[2].point.weights) == tensors.digest(loop.result(Dense()).point.weights)


def test_an_execution_is_a_choice_of_the_recipe_and_in_the_key():
    recipe = Recipe(schedule=Geometric(0.2, 1))
    other = replace(recipe, execution=Doubled("a"))
    keys = Keys({})
    (_, one), (_, two_) = stages(recipe, CLOCK), stages(other, CLOCK)
    assert keys(one) != keys(two_)
    assert keys(one) == keys(replace(two_, execution=None))
    fits = Toy()
    list(levels(other, fits))
    assert [fit.execution for fit in fits.fits if fit.stop] == [None, Doubled("a")]


def test_a_key_alone_is_no_recipe():
    with pytest.raises(ValueError, match="stage abc is not in the store, and a key alone does not say how it is made"):
        Loop(Toy(), Recent()).result(Known("abc"))
    assert Keys({})(Known("abc")) == "abc"


def test_what_measures_look_at_is_in_their_key_and_their_machine_where_they_say_so():
    @dataclass(frozen=True)
    class Time(Distance):
        machine = True

    sparse = stages(Recipe(schedule=Geometric(0.2, 1)), CLOCK)[1]
    assert isinstance(sparse, Sparse)
    here, there = Keys({"seed": 0}, {"cpu": "a"}), Keys({"seed": 0}, {"cpu": "b"})
    assert here(Measured((sparse,), Evaluate())) == there(Measured((sparse,), Evaluate()))
    assert here(Measured((sparse,), Time())) != there(Measured((sparse,), Time()))
    assert here(Measured((sparse,), Evaluate())) != here(Measured((Dense(),), Evaluate()))
    assert here(Measured((Known(here(sparse)),), Evaluate())) == here(Measured((sparse,), Evaluate()))


@dataclass(frozen=True)
class Near(Objective):
    """An objective with a teacher: half the squared distance to its weights, where they are."""

    teacher: Stage
    at: tuple = ()

    def prepared(self, bench, result):
        return replace(self, at=tuple(result(self.teacher).point.weights.items()))

    def __call__(self, module, batch):
        return sum((module.get_parameter(name) - weight).square().sum() / 2 for name, weight in self.at)


def test_a_stage_within_a_choice_is_a_parent_in_keys_plan_and_loop(tmp_path):
    """A teacher stands in an objective: it is trained first, and the student's key follows from it."""
    teachers = Dense(Start(4), noise=1), Dense(Start(8), noise=1)
    recipe = Recipe(schedule=Geometric(0.2, 1))
    students = [stages(replace(recipe, objective=Near(teacher)), CLOCK)[1] for teacher in teachers]
    assert students[0].parents == (Dense(), Start(0), teachers[0])
    keys = Keys({"seed": 0})
    assert len({keys(stage) for stage in (*students, stages(recipe, CLOCK)[1])}) == 3
    # The dense network passes the teacher's start on its way.
    assert missing([students[0]], lambda _: False) == [Dense(), teachers[0], students[0]]
    assert starts([students[1]]) == (Start(8),)
    toy = Toy()
    store = Store(tmp_path, keys)
    loop = Loop(toy, store)
    loop.result(students[0])
    given = toy.fits[-1].objective
    assert dict(given.at)["a"].equal(loop.result(teachers[0]).point.weights["a"])
    assert list(store.metadata(students[0])["parents"]) == [keys(Dense()), keys(teachers[0])]


def test_a_loop_that_trains_nothing_names_what_it_would_have_to_train(tmp_path):
    chain = stages(Recipe(schedule=Geometric(0.2, 1)), CLOCK)
    store = Store(tmp_path, Keys({"seed": 0}), keep="ledger")
    toy = Toy()
    with pytest.raises(NotKept, match="level is not in the store, and nothing is trained here"):
        Loop(toy, store, trains=False).result(chain[1])
    Loop(toy, store).result(chain[1])
    done = len(toy.fits)
    again = Loop(toy, Store(tmp_path, Keys({"seed": 0})), trains=False)
    with pytest.raises(
        NotKept, match=f"{store.keys(chain[1])}: its weights were not kept, and nothing is trained here"
    ):
        again.result(Measured((chain[1],), Evaluate()))
    assert len(toy.fits) == done


def test_one_rule_says_which_stages_a_measure_looks_at():
    @dataclass(frozen=True)
    class Initial(Distance):
        joint, initial = False, True

    chain = stages(Recipe(schedule=Geometric(0.2, 1)), CLOCK)
    assert asked(Evaluate(), chain, CLOCK) == {
        0: Measured((chain[0],), Evaluate()),
        1: Measured((chain[1],), Evaluate()),
    }
    assert asked(Initial(), chain, CLOCK) == {0: Measured((Start(0),), Initial()), 1: Measured((Start(0),), Initial())}
    assert asked(Distance(), chain, CLOCK) == {None: Measured(chain, Distance())}
    assert asked(Distance(), chain[:1], CLOCK) == {}  # one level is compared with nothing


def test_joint_measures_come_with_the_last_level():
    found = list(levels(Recipe(schedule=Geometric(0.2, 1)), Toy(), measures=[Distance(), Evaluate(splits=("train",))]))
    assert [dict(level.joint) != {} for level in found] == [False, True]
    expected = (found[0].trained.point.weights["a"] - found[1].trained.point.weights["a"]).norm()
    assert found[1].joint["distance"]["l2/a"] == pytest.approx(float(expected))
    assert [level.measured["evaluate(splits=train)"]["train/accuracy"] for level in found] == [0.5, 0.5]
    assert "train/accuracy" not in found[0].metrics
    (alone,) = levels(Recipe(schedule=Geometric(0.2, 0)), Toy(), measures=[Distance()])
    assert alone.joint == {}


def test_a_recipe_is_tried_in_one_step_before_anything_is_trained_and_not_where_all_is_there():
    recipe, memory = Recipe(schedule=Geometric(0.2, 1)), Recent()
    first, second = Toy(), Toy()
    next(levels(recipe, first, memory))
    assert first.checked == [recipe]
    list(levels(recipe, first, memory))
    list(levels(recipe, second, memory))
    assert second.checked == []


def test_an_early_stop_step_whose_weights_were_not_kept_is_one_line():
    """Another metric than the run's judges, and there is no val/loss that would decide for both."""
    point, masks = Point({}, 3), {}
    rows = [{"step": 1, "val/f1": 0.9, "val/accuracy": 0.1}, {"step": 3, "val/f1": 0.1, "val/accuracy": 0.9}]
    trained = Trained(masks, Point({}, 0), point, rows)
    assert Evaluate()([trained], Toy()).values["early_stop_step"] == 3
    with pytest.raises(ValueError, match="the weights at step 1 were not kept"):
        Evaluate(metric="f1")([trained], Toy())
