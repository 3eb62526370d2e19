"""What every allocation holds, by one table; and each against a definition written here."""

import math
import re
from itertools import product

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ltb.common.step import Clock
from ltb.core import masks as m
from ltb.core.allocation import (
    ERK,
    LAMP,
    NM,
    Balanced,
    Blocks,
    Global,
    Layerwise,
    PerLayer,
    Uniform,
    UniformPlus,
    apportion,
)
from ltb.core.recipe import Recipe
from ltb.core.schedules import Explicit, Geometric

# Inputs in fours, for N:M; outputs of any number, so that blocks of 3 x 5 are cut.
matrices = st.tuples(st.integers(1, 9), st.sampled_from([4, 8, 12]))
kernels = st.tuples(st.integers(1, 5), st.sampled_from([4, 8]), st.integers(1, 2), st.just(2))
networks = st.lists(matrices | kernels, min_size=1, max_size=4).map(
    lambda shapes: {f"layer{i}": shape for i, shape in enumerate(shapes)}
)
chains = st.lists(st.floats(0.001, 0.98), min_size=1, max_size=4).map(sorted)


def dense(shapes):
    return {name: torch.ones(shape, dtype=torch.bool) for name, shape in shapes.items()}


def drawn(shapes, seed):
    """Scores from few values, so that ties are the rule; 0 or more."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randint(0, 5, shape, generator=generator).float() for name, shape in shapes.items()}


def rounded(total, sparsity):
    return total - round(total * sparsity)


def in_all(masks, sparsity):
    assert m.remaining(masks) == rounded(m.total(masks), sparsity)


def in_each(masks, sparsity):
    assert all(int(mask.sum()) == rounded(mask.numel(), sparsity) for mask in masks.values())


def in_blocks(masks, sparsity):
    """By a loop over the blocks of 3 x 5: each is whole or empty."""
    kept = total = 0
    for mask in masks.values():
        matrix = mask.reshape(len(mask), -1)
        for row, column in product(range(0, matrix.shape[0], 3), range(0, matrix.shape[1], 5)):
            block = matrix[row : row + 3, column : column + 5]
            assert block.all() or not block.any()
            kept, total = kept + int(block.any()), total + 1
    assert kept == rounded(total, sparsity)


# allocation, what counts exactly, whether it serves every target
TABLE = [
    (Global(), in_all, True),
    (Global(min_per_layer=2), in_all, False),
    (Layerwise(), in_each, True),
    (LAMP(), in_all, True),
    (LAMP(min_per_layer=2), in_all, False),
    (ERK(), in_all, True),
    (ERK(min_per_layer=2), in_all, False),
    (Uniform(), in_all, True),
    (Balanced(), in_all, True),
    (Balanced(min_per_layer=2), in_all, False),
    (UniformPlus(), in_all, False),
    (PerLayer(sparsities={"layer0": 0.5}), in_all, False),
    (NM(2, 4), in_all, False),
    (NM(1, 2), in_all, False),
    (Blocks(3, 5), in_blocks, True),
    (Blocks(3, 5, min_per_layer=1), in_blocks, False),
]
ALLOCATIONS = pytest.mark.parametrize(("allocation", "exactly", "always"), TABLE, ids=[repr(row[0]) for row in TABLE])


@ALLOCATIONS
@given(networks, chains, st.integers(0, 9))
def test_counts_are_exact_masks_nest_and_the_same_scores_give_the_same(
    allocation, exactly, always, shapes, chain, seed
):
    masks, refused = dense(shapes), ""
    for level, target in enumerate(chain):
        scores = drawn(shapes, seed + level)
        try:
            following = allocation(scores, masks, target)
        except ValueError as error:
            refused = str(error)
            break
        exactly(following, target)
        assert m.nested(following, masks)
        assert all(torch.equal(mask, following[name]) for name, mask in allocation(scores, masks, target).items())
        masks = following
    assert not refused if always else re.fullmatch(r"(allocation\.\w+=?.*: .*)?", refused)


@ALLOCATIONS
@given(networks, st.floats(0.01, 0.5), st.integers(0, 9))
def test_a_network_that_diverged_is_refused(allocation, exactly, always, shapes, target, seed):
    scores = drawn(shapes, seed)
    list(scores.values())[-1].view(-1)[-1] = math.nan
    with pytest.raises(ValueError, match="diverged" if always else r"diverged|allocation\."):
        allocation(scores, dense(shapes), target)


@ALLOCATIONS
@settings(suppress_health_check=[HealthCheck.filter_too_much])  # some allocations fit few of these networks
@given(networks, chains, st.integers(0, 9))
def test_what_the_check_before_training_lets_through_works_at_every_level(
    allocation, exactly, always, shapes, chain, seed
):
    targets = sorted({*chain, 1 - allocation.n / allocation.m} if isinstance(allocation, NM) else chain)
    try:
        Recipe(Explicit(tuple(targets)), allocation=allocation).check_network(shapes, Clock(5, 20))
    except ValueError:
        assume(False)
    masks, left = dense(shapes), None
    for target in targets:
        masks = allocation(drawn(shapes, seed), masks, target)
        assert m.remaining(masks) != left, "two levels are one"
        left = m.remaining(masks)


@pytest.mark.parametrize(
    ("allocation", "message"),
    [
        (ERK(min_per_layer=9), r"allocation.min_per_layer=9: 2 layers would keep 14 weights, .* 0.9 keeps 4"),
        (
            UniformPlus(),
            r"allocation.last=0.8: a dense and b at most 0.8 sparse keep 37 weights, .*0.9 keeps 4; .* up to 0.0975",
        ),
        (PerLayer({"a": 0.5}), r"allocation.sparsities: .* 0.9 keeps 4 of 41 .* can be between 0.43\d* and 0.56"),
        (PerLayer({"a": 0.5, "b": 0.5}), r"allocation.sparsities: .* schedule's can be 0.487"),
        (PerLayer({"c*": 0.5}), r"allocation.sparsities: 'c\*' matches no prunable parameter; there are a, b"),
        (NM(2, 4), r"allocation.m=4: b has 5 inputs, and a multiple of 4 is needed; prunable.exclude=\[b\]"),
        (Blocks(3, 5, min_per_layer=4), r"allocation.min_per_layer=4: 2 layers would keep 4 blocks, .* keeps 0"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_target_that_cannot_be_is_refused_before_training(allocation, message):
    shapes = {"a": (9, 4), "b": (1, 5)}
    with pytest.raises(ValueError, match=message):
        allocation.check(shapes, (0, 0.9))


def test_a_schedule_that_does_not_end_at_n_of_m_is_refused():
    shapes = {"a": (9, 4)}
    with pytest.raises(
        ValueError, match=r"2:4 is a sparsity of 0.5, and the schedule ends at 0.75; .*sparsities=\[0.5\]"
    ):
        NM().check(shapes, Geometric(0.5, 2).targets)
    NM().check(shapes, (0, 0.3, 0.5))
    with pytest.raises(ValueError, match=r"a sparsity of 0\.6 is more than 2:4 has, 0\.5"):
        NM()(drawn(shapes, 0), dense(shapes), 0.6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NM(4, 4), "allocation.n=4: below allocation.m=4"),
        (lambda: NM(0, 4), "allocation.n=0: "),
        (lambda: Blocks(rows=0), "allocation.rows=0: "),
        (lambda: UniformPlus(last=1.0), "allocation.last=1.0: "),
        (lambda: PerLayer({"a": 1}), r"allocation.sparsities\['a'\]=1: a number, 0 or more and below 1"),
        (lambda: ERK(-1), "allocation.min_per_layer=-1: "),
    ],
)
def test_settings_out_of_range_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_levels_that_keep_the_same_blocks_are_refused():
    recipe = Recipe(Explicit((0.5, 0.6)), allocation=Blocks(4, 4))
    with pytest.raises(ValueError, match="of 4 blocks levels 1 and 2 both keep 2"):
        recipe.check_network({"a": (8, 8)}, Clock(5, 20))


# ERK

RESNET20 = {
    "conv": (16, 3, 3, 3),
    **{f"a{i}": (16, 16, 3, 3) for i in range(6)},
    "b0": (32, 16, 3, 3),
    **{f"b{i}": (32, 32, 3, 3) for i in range(1, 6)},
    "c0": (64, 32, 3, 3),
    **{f"c{i}": (64, 64, 3, 3) for i in range(1, 6)},
    "output": (10, 64),
}
LENET = {"fc1": (300, 784), "fc2": (100, 300), "output": (10, 100)}


def erk_densities(shapes, density):
    """The closed form in float64: epsilon solved, layers above 1 made dense, and epsilon solved again."""
    size = {name: float(math.prod(shape)) for name, shape in shapes.items()}
    raw = {name: sum(shape) / size[name] for name, shape in shapes.items()}
    full = set()
    while True:
        free = [name for name in shapes if name not in full]
        left = density * sum(size.values()) - sum(size[name] for name in full)
        epsilon = left / sum(raw[name] * size[name] for name in free)
        above = {name for name in free if epsilon * raw[name] > 1}
        if not above:
            return {name: 1.0 if name in full else epsilon * raw[name] for name in shapes}
        full |= above


@pytest.mark.parametrize("shapes", [RESNET20, LENET], ids=["resnet20", "lenet"])
def test_erk_has_the_closed_forms_densities_saturated_layers_included(shapes):
    total, saturated = sum(map(math.prod, shapes.values())), set()
    for percent in range(1, 100):
        counts = ERK().counts(shapes, 1 - percent / 100)
        expected = erk_densities(shapes, percent / 100)
        assert sum(counts.values()) == rounded(total, 1 - percent / 100)
        for name, shape in shapes.items():
            assert abs(counts[name] - expected[name] * math.prod(shape)) < 2  # of up to 36864
            if expected[name] == 1:
                assert counts[name] == math.prod(shape)
                saturated.add(name)
    assert len(saturated) > 1


def test_erk_on_literal_shapes():
    # 24 of 120 weights; dims sum to 20, 14 and 6 of 40; the third has 5 weights alone, so 19 are left for 20 : 14.
    shapes = {"a": (10, 10), "b": (1, 13), "c": (5, 1)}
    assert ERK().counts(shapes, 1 - 24 / 118) == {"a": 12, "b": 8, "c": 4}
    assert ERK().counts(shapes, 1 - 40 / 118) == {"a": 22, "b": 13, "c": 5}


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 3), st.integers(3, 40)), min_size=1, max_size=5),
    st.integers(0, 200),
)
def test_what_is_apportioned_is_exact_and_never_falls_as_the_total_grows(layers, total):
    shares, least, most = zip(*layers, strict=True)
    assume(sum(least) <= total < sum(most))
    now, then = apportion(total, shares, least, most), apportion(total + 1, shares, least, most)
    assert sum(now) == total
    assert all(low <= one <= high for low, one, high in zip(least, now, most, strict=True))
    assert sum(b - a for a, b in zip(now, then, strict=True)) == 1
    assert all(b >= a for a, b in zip(now, then, strict=True))
    # One factor: nobody's last weight is dearer than another's next.
    dearest = max(((a - 0.5) / s for a, s, low in zip(now, shares, least, strict=True) if a > low), default=0)
    nexts = [(a + 0.5) / s for a, s, top in zip(now, shares, most, strict=True) if a < top]
    assert dearest <= min(nexts) + 1e-12


# The others


def test_balanced_layers_keep_the_same_number_small_ones_all_they_have():
    counts = Balanced().counts(LENET, 0.95)
    assert sum(counts.values()) == rounded(266200, 0.95)
    assert counts == {"fc1": 6155, "fc2": 6155, "output": 1000}


def test_uniform_plus_spares_the_first_and_the_last_layer():
    shapes = {"conv": (4, 1, 3, 3), "hidden": (100, 40), "output": (10, 100)}
    gentle, hard = (UniformPlus().counts(shapes, sparsity) for sparsity in (0.5, 0.9))
    assert gentle == {"conv": 36, "hidden": 1986, "output": 496}
    assert hard == {"conv": 36, "hidden": 268, "output": 200}


def test_given_sparsities_are_had_as_they_are_and_the_others_make_up_the_target():
    counts = PerLayer({"fc1": 0.92, "*": 0.74}).counts({"fc1": (300, 784), "fc2": (100, 300)}, 1 - 26616 / 265200)
    assert counts == {"fc1": 18816, "fc2": 7800}
    counts = PerLayer({"output": 0.5}).counts(LENET, 0.9)
    assert counts["output"] == 500
    assert sum(counts.values()) == 26620
    assert counts["fc1"] / 235200 == pytest.approx(counts["fc2"] / 30000, abs=1e-4)
    ordered = PerLayer({"fc*": 0.5, "fc1": 0.9})
    assert ordered.counts({"fc1": (10, 10)}, 0.5) == {"fc1": 50}


@given(networks, st.floats(0.05, 0.95), st.integers(0, 9))
def test_lamp_is_the_plain_loop(shapes, target, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}
    pruned = Global()(drawn(shapes, seed), dense(shapes), target / 2)
    ranked = []
    for place, name in enumerate(shapes):
        alive = [(float(s), i) for i, s in enumerate(scores[name].flatten()) if pruned[name].flatten()[i]]
        for score, i in alive:
            adapted = score**2 / math.fsum(other**2 for other, _ in alive if other >= score)
            ranked.append((adapted, place, i))
        if alive:
            assert max(one for one, where, _ in ranked if where == place) == 1
    total = m.total(pruned)
    best = {(place, i) for _, place, i in sorted(ranked, key=lambda one: (-one[0], *one[1:]))[: rounded(total, target)]}
    found = LAMP()(scores, pruned, target)
    for place, name in enumerate(shapes):
        assert {i for where, i in best if where == place} == set(found[name].flatten().nonzero().flatten().tolist())


def test_lamp_empties_no_layer_and_takes_no_score_below_zero():
    scores = {"large": torch.full((10, 10), 100.0), "small": torch.full((5, 5), 1e-6), "zero": torch.zeros(4, 4)}
    masks = dense({name: score.shape for name, score in scores.items()})
    assert [int(mask.sum()) for mask in LAMP()(scores, masks, 1 - 3 / 141).values()] == [1, 1, 1]
    with pytest.raises(ValueError, match=r"allocation=LAMP: a score is -1; LAMP ranks scores of 0 or more"):
        LAMP()({"a": torch.tensor([[-1.0, 2.0]])}, {"a": torch.ones(1, 2, dtype=torch.bool)}, 0.5)


@pytest.mark.parametrize(("n", "m_"), [(2, 4), (1, 4), (3, 4), (1, 2)])
@given(networks, st.integers(0, 9), st.floats(0.05, 0.95))
def test_n_of_m_is_the_plain_loop_after_any_level_before(n, m_, shapes, seed, part):
    """The n best of each group of inputs; ties by index."""
    final, allocation = 1 - n / m_, NM(n, m_)
    masks = allocation(drawn(shapes, seed), dense(shapes), final * part)
    scores = drawn(shapes, seed + 1)
    found = allocation(scores, masks, final)
    for name, score in scores.items():
        inputs = score.movedim(1, -1).flatten(0, -2)
        rows, before = found[name].movedim(1, -1).flatten(0, -2), masks[name].movedim(1, -1).flatten(0, -2)
        for row, column in product(range(len(inputs)), range(0, inputs.shape[1], m_)):
            group = [i for i in range(column, column + m_) if before[row, i]]
            best = sorted(group, key=lambda i: (-inputs[row, i], i))[:n]
            assert rows[row, column : column + m_].nonzero().flatten().tolist() == sorted(i - column for i in best)


@given(networks, st.floats(0.05, 0.95), st.integers(0, 9))
def test_blocks_are_ranked_by_their_summed_scores(shapes, target, seed):
    scores = drawn(shapes, seed)
    masks = Blocks(3, 5)(scores, dense(shapes), target)
    kept, lost = [], []
    for name, score in scores.items():
        matrix, mask = score.reshape(len(score), -1), masks[name].reshape(len(score), -1)
        for row, column in product(range(0, matrix.shape[0], 3), range(0, matrix.shape[1], 5)):
            part = (slice(row, row + 3), slice(column, column + 5))
            (kept if mask[part].any() else lost).append(float(matrix[part].sum()))
    assert not kept or not lost or min(kept) >= max(lost)
