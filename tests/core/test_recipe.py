"""A recipe refuses nonsense, naming the key and what is allowed."""

from dataclasses import dataclass

import pytest

from ltb.common.step import Clock
from ltb.core.allocation import LAMP, NM, Blocks, Structured
from ltb.core.controls import Shuffle
from ltb.core.criteria import Criterion, Grasp, Magnitude, PerTensorNorm, SmallFinal
from ltb.core.dynamics import SET, Gradual, RigL
from ltb.core.objectives import L1
from ltb.core.recipe import Recipe
from ltb.core.rewind import FineTune, LearningRate, Weights
from ltb.core.schedules import Geometric
from ltb.execution import Bernoulli, EdgePopup
from ltb.structure import DependencyGraph


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Recipe(prune_from="last"), "prune_from='last': one of previous, dense, start"),
        (lambda: Recipe(prune_from="start", rewind=LearningRate()), "rewind=LearningRate keeps trained weights"),
        (lambda: Recipe(rewind_step="500"), "rewind_step: '500' is not a step"),
        (lambda: Recipe(rewind_step="20it").check(Clock(5, 20)), "rewind_step=20it is iteration 20, and the run is 20"),
        (
            lambda: Recipe(schedule=Geometric(levels=0), control=Shuffle()),
            "control=shuffle: the schedule has the dense",
        ),
        (lambda: Recipe(criterion=Geometric()), "criterion is a Geometric; it must be a Criterion"),
        (lambda: Recipe(method="a/b"), "method='a/b'"),
        (
            lambda: Recipe(rewind=LearningRate(), control=Shuffle()),
            "control=shuffle trains weights that the ticket lacks",
        ),
        (lambda: Weights("old"), "rewind.optimizer_state='old': one of fresh, kept"),
        (lambda: FineTune(length="1"), "rewind.length='1': iterations as"),
        (
            lambda: Recipe(rewind=FineTune(length="0it"), objective=L1()).check(Clock(5, 20)),
            "objective=L1: no effect with rewind.length=0it",
        ),
        (
            lambda: Recipe(rewind=FineTune(length="0it"), dynamics=Gradual()).check(Clock(5, 20)),
            "dynamics=Gradual: no effect with rewind.length=0it",
        ),
        *[
            (
                lambda execution=execution: Recipe(rewind=FineTune(length="0it"), execution=execution).check(
                    Clock(5, 20)
                ),
                f"execution={type(execution).__name__} prunes in training, and with rewind.length=0it nothing is trained",
            )
            for execution in (EdgePopup(), Bernoulli())
        ],
        *[
            (
                lambda dynamics=dynamics, allocation=allocation: Recipe(dynamics=dynamics, allocation=allocation),
                f"dynamics={type(dynamics).__name__} grows weights one by one, and "
                f"allocation={type(allocation).__name__} keeps a pattern of several",
            )
            for dynamics in (SET(), RigL())
            for allocation in (NM(), Blocks(), Structured(DependencyGraph()))
        ],
        (
            lambda: Recipe(criterion=SmallFinal(), allocation=LAMP()),
            "criterion=SmallFinal: its scores may be below 0, and allocation=LAMP ranks scores of 0 or more",
        ),
        (
            lambda: Recipe(criterion=PerTensorNorm(Grasp()), allocation=LAMP()),
            "criterion=PerTensorNorm: its scores may",
        ),
    ],
)
def test_nonsense_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class Careless(Criterion):
    def __call__(self, weights, evidence):
        return weights


@dataclass
class Melting(Criterion):
    sharpness: int = 1

    def __call__(self, weights, evidence):
        return weights


@dataclass(frozen=True)
class Listed(Magnitude):
    layers: object = ()


@pytest.mark.parametrize("criterion", [Careless(), Melting()])
def test_a_choice_is_a_frozen_dataclass(criterion):
    with pytest.raises(ValueError, match=r"^criterion: .*(Careless|Melting) must be a frozen dataclass"):
        Recipe(criterion=criterion)


def test_a_choice_has_fields_that_are_hashed():
    assert Recipe(criterion=Listed(("a", "b")))
    with pytest.raises(
        ValueError, match=r"^criterion=Listed\(.*: fields of numbers, texts, and tuples of these \(unhashable"
    ):
        Recipe(criterion=Listed(["a"]))
