"""Early-Bird: literal cases; the step is the one that the measure says, and that a plain loop finds; nothing is trained twice."""

import logging
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltb.common.step import Clock
from ltb.core.chain import stages, starts
from ltb.core.criteria import Random, Snip
from ltb.core.loop import Loop, Recent, levels
from ltb.core.objectives import L2
from ltb.core.recipe import Recipe
from ltb.core.rewind import FineTune, LearningRate, Weights
from ltb.core.rewind_rules import EarlyBird
from ltb.core.schedules import Explicit, Geometric
from ltb.core.stage import costs, missing, search_steps, settled
from ltb.core.stages import Dense, Drawn, FoundStart, Sparse, Start
from ltb.measures import MaskDistance
from ltb.store.keys import Keys
from ltb.store.store import Store
from tests.core.toy import Toy, same, whole_network
from tests.training.small import training

CLOCK = Clock(5, 20)
EVERY_2 = EarlyBird(every="2it", window=3, epsilon=0.3)


def bits(*of):
    return {"w": torch.tensor(of).bool()}


def early_bird(rule=EVERY_2, targets=(0.5,), **given):
    return Recipe(**{"schedule": Explicit(targets), "prune_from": "start", "rewind_rule": rule, **given})


@pytest.mark.parametrize(
    ("rule", "clock", "expected"),
    [
        (EarlyBird(), Clock(5, 31), [5, 10, 15, 20, 25, 30]),
        (EarlyBird(), Clock(5, 30), [5, 10, 15, 20, 25]),  # the end of the run is no rewind step
        (EarlyBird(every="4it", window=2, latest="9it"), CLOCK, [4, 8]),
        (EarlyBird(every="4it", window=2, latest="8it"), CLOCK, [4, 8]),
        (EarlyBird(every="4it", window=2, latest="3ep"), CLOCK, [4, 8, 12]),
        (EarlyBird(every="4it", window=2, latest="19it"), CLOCK, [4, 8, 12, 16]),
    ],
)
def test_the_steps_at_which_it_looks(rule, clock, expected):
    assert list(rule.steps(clock)) == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyBird(every="0it"), "rewind_rule.every='0it': .*at least one iteration"),
        (lambda: EarlyBird(window=1), "rewind_rule.window=1: .*2 or more"),
        (lambda: EarlyBird(epsilon=1.0), "rewind_rule.epsilon=1.0: .*between 0 and 1"),
        (lambda: EarlyBird(latest=0), "rewind_rule.latest=0: .*at least one iteration"),
        (
            lambda: EarlyBird().steps(CLOCK),
            "rewind_rule.every=1ep: 3 tickets are drawn before the end of 20 iterations, and rewind_rule.window=5 takes that many",
        ),
        (lambda: EarlyBird(every="2it", latest="9it").steps(CLOCK), "4 tickets are drawn up to rewind_rule.latest=9it"),
        (lambda: EarlyBird(latest="20it").steps(CLOCK), "rewind_rule.latest=20it is iteration 20, and the run is 20"),
        (lambda: early_bird(rewind_step="3it"), "rewind_step=3it: no effect with rewind_rule=EarlyBird"),
        (
            lambda: early_bird(schedule=Geometric(levels=0)),
            "rewind_rule=EarlyBird: the schedule has the dense level alone",
        ),
        (lambda: Recipe(rewind_rule=Weights()), "rewind_rule is a Weights; it must be a RewindRule"),
        (lambda: early_bird(EarlyBird()).check(CLOCK), "rewind_rule.every=1ep: 3 tickets"),
    ],
)
def test_nonsense_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_it_sees_by_hand():
    rule = EarlyBird(window=3, epsilon=0.5)
    a, b, c = bits(1, 1, 0, 0), bits(1, 0, 1, 0), bits(1, 0, 1, 0)
    assert rule.look([a]) == {}
    assert rule.look([a, b]) == {"distance": 0.5}
    assert rule.look([a, b, c]) == {"distance": 0.0, "farthest": 0.5}
    assert not rule.holds({})
    assert not rule.holds({"distance": 0.0})
    assert not rule.holds({"distance": 0.0, "farthest": 0.5})  # below epsilon, not at it
    assert rule.holds({"distance": 0.0, "farthest": 0.49})


def plainly(toy, rule, target):
    """The found step by a loop of its own: weights of the dense run, the largest magnitudes, the distances as lists of bits."""
    weights, kept = toy.initial(), []
    steps = list(rule.steps(toy.clock))
    for step in steps:
        last = toy.fit(whole_network(toy, weights, step)).point.weights
        flat = [abs(float(w)) for name in toy.prunable for w in last[name].flatten()]
        order = sorted(range(len(flat)), key=lambda place: (-flat[place], place))
        chosen = set(order[: len(flat) - round(len(flat) * target)])
        kept.append([place in chosen for place in range(len(flat))])
        queue = kept[-rule.window : -1]
        apart = [sum(x != y for x, y in zip(kept[-1], one, strict=True)) / len(flat) for one in queue]
        if len(apart) == rule.window - 1 and all(one < rule.epsilon for one in apart):
            return step
    return None


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.sampled_from([0.1, 0.2, 0.3, 0.4]), st.integers(2, 4), st.sampled_from([0.3, 0.5, 0.8]))
def test_the_step_is_the_one_of_the_measure_and_of_a_plain_loop(seed, epsilon, window, target):
    toy, rule = Toy(seed), EarlyBird("2it", window, epsilon)
    measure = MaskDistance("2it", window, epsilon)
    logging.getLogger("ltb").setLevel(logging.ERROR)
    try:
        *_, level = levels(early_bird(rule, (target,)), toy)
    finally:
        logging.getLogger("ltb").setLevel(logging.NOTSET)
    *_, other = levels(Recipe(schedule=Explicit((target,))), toy, measures=[measure])  # IMP, another recipe
    said = other.measured[measure.label]["early_bird_step"]
    assert said == plainly(toy, rule, target)
    assert level.trained.start == (18 if said is None else said)


@pytest.mark.slow
def test_a_level_is_that_of_the_step_it_found_given_by_hand_to_the_bit():
    criterion = Snip()
    one = training(1, optimizer="adamw")
    rule = EarlyBird("3it", 3, 0.2)
    memory = Recent()
    found = list(levels(early_bird(rule, (0.5, 0.8), criterion=criterion), one, memory))[1:]
    assert len({level.trained.start for level in found}) == 2  # each level has its own
    for level in found:
        step = f"{level.trained.start}it"
        by_hand = Recipe(schedule=Explicit((level.target,)), prune_from="start", rewind_step=step, criterion=criterion)
        *_, same_step = levels(by_hand, one)
        assert same(level.trained.masks, same_step.trained.masks)
        assert same(level.trained.origin.weights, same_step.trained.origin.weights)
        assert same(level.trained.point.weights, same_step.trained.point.weights)
        start = Start(level.trained.start)
        drawn = Loop(one, memory).result(Drawn(start, start, level.target, criterion, level.stage.allocation))
        assert same(level.trained.masks, drawn.masks)
    last = Loop(one, memory).result(found[0].stage.start)
    assert [row["step"] for row in last.history] == list(range(3, last.stop + 1, 3))
    assert last.history[-1]["farthest"] < 0.2
    assert all(row.get("farthest", 1) >= 0.2 for row in last.history[:-1])


def test_the_walk_ends_where_it_holds_and_trains_nothing_twice():
    toy, memory = Toy(2), Recent()
    loop = Loop(toy, memory)
    _, level = stages(early_bird(EVERY_2), CLOCK)
    found = loop.result(level.start)
    assert found.stop == 8
    fits = [(fit.origin.step, fit.stop) for fit in toy.fits if fit.stop]
    assert fits == [(step - 2, step) for step in range(2, found.stop + 1, 2)]
    del toy.fits[:]
    # A stricter rule goes on from there, a laxer one trains nothing at all.
    stricter, laxer = (replace(EVERY_2, epsilon=epsilon) for epsilon in (0.01, 0.9))
    assert loop.result(stages(early_bird(laxer), CLOCK)[1].start).stop == 6
    assert not [fit for fit in toy.fits if fit.stop]
    assert loop.result(stages(early_bird(stricter), CLOCK)[1].start).stop == 18
    assert [(fit.origin.step, fit.stop) for fit in toy.fits if fit.stop] == [
        (step - 2, step) for step in range(found.stop + 2, 19, 2)
    ]


def test_a_run_takes_the_walk_from_its_dense_network():
    toy = Toy(2)
    found = list(levels(early_bird(EVERY_2, (0.5, 0.8)), toy))
    assert [(fit.origin.step, fit.stop) for fit in toy.fits if fit.stop] == [
        (0, 20),
        *((level.trained.start, 20) for level in found[1:]),
    ]


def test_it_walks_the_dense_run_of_the_recipes_objective():
    _, level = stages(early_bird(dense_objective=L2()), CLOCK)
    assert starts([level]) == tuple(Start(step, L2()) for step in range(2, 20, 2))


def test_where_it_never_holds_the_last_step_is_taken_and_said(caplog):
    toy = Toy()
    *_, level = levels(early_bird(replace(EVERY_2, epsilon=1e-9, latest="11it")), toy)
    assert level.trained.start == 10
    (record,) = caplog.records
    assert record.getMessage() == (
        "early bird at sparsity 0.5: it never held up to step 10, the last that it may take; k is that step"
    )


@pytest.mark.parametrize("rewind", [Weights("kept"), LearningRate("kept")])
def test_weights_and_clock_go_back_to_the_found_step(rewind):
    """Which the source ended at: so learning-rate rewinding is weight rewinding."""
    toy = Toy(3)
    *_, level = levels(early_bird(rewind=rewind), toy)
    dense = Loop(toy, Recent()).result(Start(level.trained.start)).point
    for name, mask in level.trained.masks.items():
        assert torch.equal(level.trained.origin.weights[name], dense.weights[name] * mask)
    assert torch.equal(level.trained.origin.weights["bias"], dense.weights["bias"])
    assert level.trained.origin.optimizer["a/momentum"].max() == level.trained.start
    assert level.trained.stop == 20


def test_fine_tuning_goes_on_from_the_found_step():
    *_, level = levels(early_bird(rewind=FineTune(length="4it")), Toy(3))
    assert level.trained.stop == level.trained.start + 4


def test_what_it_costs_at_most_and_in_the_end():
    toy, memory = Toy(3), Recent()
    chain = stages(early_bird(EVERY_2, (0.5, 0.8), criterion=Snip(2)), CLOCK)
    found = list(levels(early_bird(EVERY_2, (0.5, 0.8), criterion=Random()), toy, memory))
    assert [level.trained.start for level in found[1:]] == [6, 6]  # one draw of a seed: nothing ever moves

    level = chain[1]
    assert level.open
    assert level.iterations(CLOCK) == 14  # from 6, where three tickets are drawn
    every = missing([level], lambda _: False)
    assert [type(stage) for stage in every] == [Start] * 9 + [FoundStart, Sparse]
    assert costs(every, CLOCK) == [2] * 9 + [0, 14]
    assert search_steps(level, CLOCK) == 18 + 9 * 2 + 2  # the walk; two minibatches a draw

    known = settled(level, lambda stage: 10)
    assert not known.open
    assert known.iterations(CLOCK) == 10
    assert search_steps(known, CLOCK) == 10 + 5 * 2 + 2
    assert settled(level, lambda stage: None) == level
    assert settled(chain[0], lambda stage: None) is chain[0]


@pytest.mark.parametrize(
    ("prune_from", "expected"),
    [
        ("start", [0, 8, 14]),
        ("dense", [0, 20, 20]),  # which passes every step of the walk
        ("previous", [0, 20, 20 + 12]),  # the level before was trained from 8 to 20
    ],
)
def test_what_a_ticket_costs_to_find(prune_from, expected):
    chain = stages(early_bird(EVERY_2, (0.5, 0.8), prune_from=prune_from), CLOCK)
    stops = {chain[1].start: 8, chain[2].start: 14}
    assert [search_steps(settled(stage, stops.get), CLOCK) for stage in chain] == expected


def test_keys_are_known_before_and_tell_rules_apart():
    keys = Keys({"seed": 0})
    rules = [EVERY_2, replace(EVERY_2, epsilon=0.2), replace(EVERY_2, window=4), replace(EVERY_2, latest="10it")]
    found = [keys(stages(early_bird(rule), CLOCK)[1]) for rule in rules]
    found += [keys(stages(early_bird(targets=(0.6,)), CLOCK)[1]), keys(stages(early_bird(), CLOCK)[1].start)]
    assert len(set(found)) == len(found)
    assert keys(stages(early_bird(targets=(0.3, 0.5)), CLOCK)[2]) == found[0]  # whatever other levels there are


class Killed(Exception):
    pass


class Mortal(Toy):
    """A training that is killed at its n-th fit."""

    left: int = 10**9

    def fit(self, fit, **given):
        if fit.stop:
            self.left -= 1
            if self.left < 0:
                raise Killed
        return super().fit(fit, **given)


@pytest.mark.parametrize("fits", range(7))  # six of the walk, and the level
def test_a_walk_that_was_killed_goes_on_to_the_same_bytes(tmp_path, fits):
    def store(name):
        return Store(tmp_path / name, Keys({"seed": 2}))

    _, level = stages(early_bird(replace(EVERY_2, epsilon=0.2)), CLOCK)
    whole, killed, after = Toy(2), Mortal(2), Toy(2)
    assert Loop(whole, store("whole")).result(level.start).stop == 12
    killed.left = fits
    with pytest.raises(Killed):
        Loop(killed, store("killed")).result(level)
    Loop(after, store("killed")).result(level)
    steps = [(fit.origin.step, fit.stop) for fit in (*killed.fits, *after.fits) if fit.stop]
    assert len(steps) == len(set(steps))
    Loop(whole, store("whole")).result(level)
    one, other = (store(name).metadata(level.start) for name in ("whole", "killed"))
    assert (one["sha256"], one["result"], one["parents"]) == (other["sha256"], other["result"], other["parents"])
    assert one["parents"].keys() == {Keys({"seed": 2})(Start(12))}
    assert store("whole").metadata(level)["sha256"] == store("killed").metadata(level)["sha256"]


def test_another_dense_network_takes_the_same_walk():
    """Dense passes what rules walk, also with what another run asks for."""
    chain = stages(early_bird(EVERY_2), CLOCK)
    assert all(Dense().passes(start) for start in starts(chain) if start.step)
