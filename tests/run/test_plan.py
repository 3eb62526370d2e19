"""What a plan counts: the stages of runs that share some, what is there, and how long the rest will take."""

from types import SimpleNamespace

import pytest

from ltb.core.chain import stages
from ltb.core.loop import levels
from ltb.core.recipe import Recipe
from ltb.core.schedules import Geometric
from ltb.run import plan
from ltb.store.keys import Keys
from ltb.store.store import Store
from tests.core.toy import Toy

TOY = Toy()
IMP = Recipe(schedule=Geometric(0.3, 2))
LONGER = Recipe(schedule=Geometric(0.3, 3))


@pytest.fixture
def show(tmp_path, capsys):
    plan.forget()
    store = Store(tmp_path / "store", Keys({"seed": 0}), run_id="r")

    def run(recipe):
        plan.show("run", stages(recipe, TOY.clock), store, TOY.clock)
        return capsys.readouterr().out.splitlines()

    yield store, run
    plan.forget()


def states(lines):
    return [" ".join(line.split()[-3:]) for line in lines if line.split()[:1] in (["dense"], ["level"])]


def test_nothing_is_there_and_nothing_is_written(show, tmp_path):
    _, run = show
    lines = run(IMP)
    assert states(lines) == ["to do 20"] * 3
    assert lines[-2] == "so far: 3 stages named (60 iterations), 3 to do (60 iterations)"
    assert list(tmp_path.iterdir()) == []


def test_runs_share_what_they_have_in_common(show):
    _, run = show
    run(IMP)
    lines = run(LONGER)
    assert sum("shared with a run before" in line for line in lines) == 3
    assert lines[-2] == "so far: 7 stages named (140 iterations), 4 to do (80 iterations)"


def test_what_is_in_the_store_is_done(show):
    store, run = show
    list(levels(IMP, TOY, store))
    lines = run(LONGER)
    assert sum(" done " in line for line in lines) == 3
    assert lines[-2] == "so far: 4 stages named (80 iterations), 1 to do (20 iterations)"


def entry(seconds, start, stop, history=({"step": 1},), values=None):
    result = {"start": start, "stop": stop, "history": list(history)}
    return SimpleNamespace(values=values, metadata={"seconds": seconds, "result": result})


@pytest.mark.parametrize(
    ("entries", "speed"),
    [
        ([], None),
        ([entry(10, 0, 100), entry(40, 100, 200), entry(20, 0, 100)], 0.2),  # the median
        (
            [entry(10, 0, 100), entry(0.1, 0, 90, history=())],
            0.1,
        ),  # a start went on from an earlier one: its part alone
        ([entry(0, 0, 100)], None),
        ([entry(10, 50, 50)], None),  # nothing was trained
        ([entry(10, 0, 100, values={"x": 1})], None),  # a measure
    ],
)
def test_the_speed_is_that_of_whole_trainings(monkeypatch, tmp_path, entries, speed):
    monkeypatch.setattr(plan.catalogue, "entries", lambda store: entries)
    assert plan._seconds_per_iteration(tmp_path) == speed
