"""Exact counts, ties, nesting, and agreement with torch's own pruning."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from ltb.core import masks as m
from ltb.core.allocation import Global, Layerwise, keep_top
from ltb.core.schedules import Explicit, Geometric

# Scores from few values, so that ties are the rule; layers of one weight too.
layers = st.lists(st.lists(st.integers(0, 3).map(float), min_size=1, max_size=30), min_size=1, max_size=4)
sparsities = st.floats(0, 0.999)


def scored(values):
    return {f"layer{index}": torch.tensor(layer) for index, layer in enumerate(values)}


def dense(scores):
    return {name: torch.ones(score.shape, dtype=torch.bool) for name, score in scores.items()}


@pytest.mark.parametrize(
    ("scores", "candidates", "count", "expected"),
    [
        ([3.0, 1.0, 2.0], [1, 1, 1], 2, [1, 0, 1]),
        ([1.0, 1.0, 1.0, 1.0], [1, 1, 1, 1], 2, [1, 1, 0, 0]),  # all equal: the earlier are kept, exactly two
        ([2.0, 5.0, 2.0, 2.0], [1, 1, 1, 1], 3, [1, 1, 1, 0]),  # a tie at the threshold
        ([9.0, 1.0, 2.0], [0, 1, 1], 1, [0, 0, 1]),  # what is pruned already is no candidate, whatever its score
        ([-1.0, -3.0, 0.0], [1, 1, 1], 2, [1, 0, 1]),  # scores may be negative
        ([1.0, 2.0], [1, 1], 0, [0, 0]),
        ([math.inf, 2.0], [1, 1], 1, [1, 0]),
    ],
)
def test_keep_top_on_literal_scores(scores, candidates, count, expected):
    kept = keep_top(torch.tensor(scores), torch.tensor(candidates, dtype=torch.bool), count)
    assert kept.int().tolist() == expected


def test_keep_top_refuses_nan_and_too_few_candidates():
    with pytest.raises(ValueError, match="diverged"):
        keep_top(torch.tensor([1.0, math.nan]), torch.tensor([True, True]), 1)
    with pytest.raises(ValueError, match="2 weights were to be kept, and 1 are left"):
        keep_top(torch.tensor([1.0, 2.0]), torch.tensor([True, False]), 2)


@given(layers, sparsities)
def test_global_keeps_exactly_n_minus_round_n_s(values, sparsity):
    scores = scored(values)
    masks = Global()(scores, dense(scores), sparsity)
    total = sum(map(len, values))
    assert m.remaining(masks) == total - round(total * sparsity)
    kept = torch.cat([scores[name][masks[name]] for name in scores])
    lost = torch.cat([scores[name][~masks[name]] for name in scores])
    assert not len(kept) or not len(lost) or kept.min() >= lost.max()


@given(layers, sparsities)
def test_layerwise_keeps_exactly_n_minus_round_n_s_in_each_layer(values, sparsity):
    scores = scored(values)
    masks = Layerwise()(scores, dense(scores), sparsity)
    for name, score in scores.items():
        assert int(masks[name].sum()) == len(score) - round(len(score) * sparsity)


@given(layers, st.lists(sparsities, min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_chains_nest_and_counts_do_not_compound_even_when_scores_change(values, targets, random):
    for allocation in (Global(), Layerwise()):
        masks = dense(scored(values))
        for target in sorted(targets):
            scores = {name: torch.tensor([random.random() for _ in mask]) for name, mask in masks.items()}
            following = allocation(scores, masks, target)
            assert m.nested(following, masks)
            masks = following
            if isinstance(allocation, Global):
                assert m.remaining(masks) == m.total(masks) - round(m.total(masks) * target)
            else:
                assert all(int(k.sum()) == len(k) - round(len(k) * target) for k in masks.values())


@given(layers, sparsities, st.integers(1, 3))
def test_min_per_layer_guards_each_layer_and_the_total_stays_exact(values, sparsity, minimum):
    scores = scored(values)
    total = sum(map(len, values))
    count = total - round(total * sparsity)
    wanted = sum(min(minimum, len(layer)) for layer in values)
    if wanted > count:
        with pytest.raises(ValueError, match="min_per_layer"):
            Global(minimum)(scores, dense(scores), sparsity)
        return
    masks = Global(minimum)(scores, dense(scores), sparsity)
    assert m.remaining(masks) == count
    assert all(int(mask.sum()) >= min(minimum, mask.numel()) for mask in masks.values())


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(2, 5, 3), nn.Flatten(), nn.Linear(45, 7), nn.Linear(7, 3))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sparsity", [0.1, 0.37, 0.5, 0.9, 0.99])
def test_masks_equal_those_of_torch_without_ties(seed, sparsity):
    net = network(seed)
    weights = {f"{index}.weight": net[index].weight.detach().clone() for index in (0, 2, 3)}
    scores = {name: weight.abs() for name, weight in weights.items()}
    ours, layerwise = Global()(scores, dense(scores), sparsity), Layerwise()(scores, dense(scores), sparsity)
    for index in (0, 2, 3):
        alone = network(seed)[index]
        prune.l1_unstructured(alone, "weight", amount=sparsity)
        assert torch.equal(alone.weight_mask.bool(), layerwise[f"{index}.weight"])
    prune.global_unstructured(
        [(net[index], "weight") for index in (0, 2, 3)], pruning_method=prune.L1Unstructured, amount=sparsity
    )
    for index in (0, 2, 3):
        assert torch.equal(net[index].weight_mask.bool(), ours[f"{index}.weight"])


# Remaining percent of LeNet-300-100's weights, its output pruned at half the rate: the labels of Frankle & Carbin 2019.
LENET = {1: 80.04, 3: 51.28, 5: 32.87, 7: 21.07, 9: 13.52, 11: 8.68, 12: 6.95, 15: 3.58, 16: 2.87, 18: 1.85}


def test_lenet_with_its_output_at_half_rate_has_the_papers_densities_level_by_level():
    shapes = {"fc1.weight": (300, 784), "fc2.weight": (100, 300), "output.weight": (10, 100)}
    generator = torch.Generator().manual_seed(0)
    masks = {name: torch.ones(shape, dtype=torch.bool) for name, shape in shapes.items()}
    allocation = Layerwise(rate=0.2, rates={"output.weight": "half"})
    for level, target in enumerate(Geometric(0.2, 18).targets):
        scores = {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}
        masks = allocation(scores, masks, target)
        exact = sum(n - round(n * (1 - (1 - rate) ** level)) for n, rate in ((235200, 0.2), (30000, 0.2), (1000, 0.1)))
        assert m.remaining(masks) == exact
        if level in LENET:
            assert round(100 * m.density(masks), 2) == LENET[level]


# Weights kept of fc1, fc2 and the output, which loses 0.1 where the others lose 0.2.
EXPLICIT = [(235200, 30000, 1000), (117600, 15000, 721), (58800, 7500, 520), (23520, 3000, 337), (4704, 600, 158)]


def test_lenet_with_its_output_at_half_rate_at_other_sparsities():
    masks = {
        name: torch.ones(shape, dtype=torch.bool)
        for name, shape in (("fc1.weight", (300, 784)), ("fc2.weight", (100, 300)), ("output.weight", (10, 100)))
    }
    scores = {name: torch.rand(mask.shape, generator=torch.Generator().manual_seed(0)) for name, mask in masks.items()}
    found = []
    for target in Explicit((0.5, 0.75, 0.9, 0.98)).targets:
        masks = Layerwise(rate=0.2, rates={"output.weight": "half"})(scores, masks, target)
        found.append(tuple(int(mask.sum()) for mask in masks.values()))
    assert found == EXPLICIT


@pytest.mark.parametrize(("rate", "factor", "product"), [(0.2, "half", 0.1), (0.2, 0.75, 0.15), (0.3, 0.1, 0.03)])
def test_a_factor_gives_the_very_numbers_of_the_rate_that_it_stands_for(rate, factor, product):
    allocation = Layerwise(rate=rate, rates={"a": factor})
    for target in Geometric(rate, 30).targets:
        assert allocation.layer_sparsity("a", target) == 1 - (1 - target) ** (math.log1p(-product) / math.log1p(-rate))


def test_a_factor_of_one_is_the_target_itself():
    assert Layerwise(rate=1 / 3, rates={"a": 1}).layer_sparsity("a", 1 - (2 / 3) ** 7) == 1 - (2 / 3) ** 7


def test_layer_rates_follow_the_target_for_any_schedule():
    allocation = Layerwise(rate=0.2, rates={"conv*": 0.5, "fast": 1.5, "frozen": 0})
    assert allocation.layer_sparsity("conv1", 1 - 0.8**3) == pytest.approx(1 - 0.9**3)
    assert allocation.layer_sparsity("fast", 1 - 0.8**3) == pytest.approx(1 - 0.7**3)
    assert allocation.layer_sparsity("fc", 0.5) == 0.5
    assert allocation.layer_sparsity("frozen", 0.5) == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Layerwise(rate=0.0), r"allocation.rate=0.0"),
        (lambda: Layerwise(rate=1), r"allocation.rate=1: a number, between 0 and 1"),
        (
            lambda: Layerwise(rates={"a": 5}),
            r"allocation.rates\['a'\]=5 \(protocol.layer_rates\): half or a number, .* the rate \(0.2\) is below 1",
        ),
        (lambda: Layerwise(rates={"a": -0.1}), r"allocation.rates\['a'\]=-0.1"),
        (lambda: Layerwise(rates={"a": math.nan}), r"allocation.rates.a=nan: a finite value"),
        (lambda: Layerwise(rates={"a": True}), r"allocation.rates\['a'\]=True"),
        (
            lambda: Layerwise(rates={"a": "third"}),
            r"allocation.rates\['a'\]='third' \(protocol.layer_rates\): half or a number",
        ),
        (lambda: Global(min_per_layer=-1), r"allocation.min_per_layer=-1"),
        (
            lambda: Layerwise(rates={"out*": "half"}).check({"fc1": (4,), "fc2": (4,)}, (0, 0.5)),
            r"'out\*' matches no prunable .* fc1, fc2",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("allocation", [Global(min_per_layer=8), Layerwise(min_per_layer=8)])
def test_a_minimum_that_leaves_nothing_to_prune_is_refused_before_training(allocation):
    with pytest.raises(ValueError, match=r"allocation.min_per_layer=8: "):
        allocation.check({"a": (8,), "b": (4,)}, (0, 0.5))
    allocation.check({"a": (8,), "b": (4,)}, (0,))
    type(allocation)(min_per_layer=3).check({"a": (8,), "b": (4,)}, (0, 0.5))
