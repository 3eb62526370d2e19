"""Stage keys are a contract: a few are pinned. If one of these changes, stored results lose their names: say so in CHANGELOG."""

import itertools
from dataclasses import dataclass, field, replace

import pytest

from ltb.common.step import Clock
from ltb.core.allocation import Global, Layerwise
from ltb.core.chain import stages
from ltb.core.controls import Reinit
from ltb.core.criteria import Criterion, Random
from ltb.core.objectives import L1
from ltb.core.recipe import Recipe
from ltb.core.rewind import FineTune, LearningRate, Weights
from ltb.core.rewind_rules import EarlyBird
from ltb.core.schedules import Explicit, Geometric
from ltb.core.stages import Dense, Start
from ltb.store.keys import Keys, canonical, digest

CLOCK = Clock(10, 100)
IMP = Recipe(schedule=Geometric(0.2, 2), rewind_step="5it")

PINNED = {
    "start": "89ee3a2f7fe5db120c8e",
    "dense": "049a151b5a04c5e9b768",
    "level 1": "2b870ccf530ff1952210",
    "level 2": "f6ce4c679d0f2913d31b",
    "reinit at level 2": "879178750951cbbb9293",
    "early bird": "fbce3425f3fe80ad46bf",
    "level 1 from it": "9062d64972ec3d0ac77e",
}


@pytest.mark.parametrize("seedless", [False, True])
def test_keys_of_other_steps_are_those_of_the_stages(seedless):
    keys = Keys({"seed": 0}, seedless=seedless)
    for stage in (Start(5), Start(9, L1())):
        at = keys.at_steps(stage)
        assert [at(step) for step in range(1, 12)] == [keys(replace(stage, step=step)) for step in range(1, 12)]


def test_pinned_keys():
    keys = Keys({"seed": 0, "data": {"name": "mnist1d"}})
    chain = stages(IMP, CLOCK)
    control = stages(replace(IMP, control=Reinit()), CLOCK)
    rule = Recipe(schedule=Geometric(0.2, 2), prune_from="start", rewind_rule=EarlyBird())
    early_bird = stages(rule, CLOCK)[1]
    found = {
        "start": keys(Start(5)),
        "dense": keys(Dense()),
        "level 1": keys(chain[1]),
        "level 2": keys(chain[2]),
        "reinit at level 2": keys(control[2]),
        "early bird": keys(early_bird.start),
        "level 1 from it": keys(early_bird),
    }
    assert found == PINNED


def test_whatever_decides_the_numbers_decides_the_key():
    recipes = [
        IMP,
        replace(IMP, rewind_step="6it"),
        replace(IMP, prune_from="dense"),
        replace(IMP, criterion=Random()),
        replace(IMP, allocation=Global(min_per_layer=1)),
        replace(IMP, allocation=Layerwise()),
        replace(IMP, allocation=Layerwise(rates={"b": 0.75})),
        replace(IMP, allocation=Layerwise(rate=0.3, rates={"b": 0.75})),
        replace(IMP, rewind=Weights("kept")),
        replace(IMP, rewind=LearningRate()),
        replace(IMP, rewind=FineTune(length="3it")),
        replace(IMP, rewind=FineTune(length="3ep")),
        replace(IMP, control=Reinit()),
        replace(IMP, schedule=Explicit((0.2, 0.37))),
    ]
    keys = [Keys({"seed": 0})(stages(recipe, CLOCK)[2]) for recipe in recipes]
    keys.append(Keys({"seed": 1})(stages(IMP, CLOCK)[2]))
    assert len(set(keys)) == len(keys)


def test_names_do_not_and_shared_stages_share():
    keys = Keys({"seed": 0})
    assert keys(stages(replace(IMP, method="other"), CLOCK)[2]) == keys(stages(IMP, CLOCK)[2])
    one_shot = stages(replace(IMP, prune_from="dense"), CLOCK)
    assert keys(one_shot[1]) == keys(stages(IMP, CLOCK)[1])
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


def test_a_choice_without_a_canonical_form_is_refused():
    class Vague(Criterion):
        def __call__(self, weights, evidence):
            return weights

    @dataclass(frozen=True)
    class Stated(Vague):
        power: int = 2

    with pytest.raises(ValueError, match=r"Vague must be a frozen dataclass"):
        Keys({})(stages(replace(IMP, criterion=Vague()), CLOCK)[1])
    keys = [Keys({})(stages(replace(IMP, criterion=Stated(power)), CLOCK)[1]) for power in (1, 2)]
    assert keys[0] != keys[1]
    assert canonical(Stated(3))["power"] == 3


def test_deep_chains_are_hashed_in_no_time():
    chain = stages(Recipe(schedule=Geometric(0.05, 100)), CLOCK)
    keys = Keys({})
    assert len({keys(stage) for stage in itertools.chain(chain, chain)}) == 101


def test_half_is_a_half():
    half, number = (stages(replace(IMP, allocation=Layerwise(rates={"b": f})), CLOCK)[1] for f in ("half", 0.5))
    assert Keys({})(half) == Keys({})(number)


def test_the_order_of_layer_rates_counts_for_the_first_that_matches_does():
    rates = {"*.weight": 0.2, "output*": 0.4}
    ordered = [Layerwise(rates=rates), Layerwise(rates=dict(reversed(rates.items())))]
    assert ordered[0] != ordered[1]
    assert len({Keys({})(stages(replace(IMP, allocation=one), CLOCK)[1]) for one in ordered}) == 2


@dataclass(frozen=True)
class Located:
    """A choice of a person's, with every way to be in a key."""

    power: int = field(default=1, compare=False)  # not compared, and in every key all the same
    folder: str = field(default="here", metadata={"key": "never"})
    network: str = field(default="a", metadata={"key": "one_seed"})
    settings: str = field(default="b", metadata={"key": "all_seeds"})


@pytest.mark.parametrize(
    ("changed", "one_seed", "all_seeds"),
    [
        (Located(power=2), True, True),
        (Located(folder="there"), False, False),
        (Located(network="c"), True, False),
        (Located(settings="c"), False, True),
    ],
)
def test_a_field_is_in_every_key_unless_it_says_so(changed, one_seed, all_seeds):
    assert (canonical(changed) != canonical(Located())) is one_seed
    assert (canonical(changed, seedless=True) != canonical(Located(), seedless=True)) is all_seeds
