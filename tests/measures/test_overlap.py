"""The overlap of masks by hand, its laws, and what chance gives: scipy's distribution and sampled masks."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ltb.measures import Overlap
from ltb.measures.overlap import overlap
from tests.measures.bench import masked


def ask(*results):
    return Overlap()(results, bench=None).values


def test_two_results_by_hand():
    one = masked(a=[[1, 1], [0, 0]], b=[1, 0])
    other = masked(a=[[1, 0], [1, 0]], b=[1, 0])
    found = ask(one, other)
    assert found == pytest.approx(
        {
            "iou": 2 / 4,
            "iou/a": 1 / 3,
            "iou/b": 1.0,
            # a: 0, 1 or 2 of 2 are shared with probability 1/6, 4/6, 1/6; b: 0 or 1 of 1, 1/2 each.
            "chance_iou/a": (4 * (1 / 3) + 1) / 6,
            "chance_iou/b": 0.5,
            "chance_iou": (0 * 1 + (1 / 5) * 5 + (2 / 4) * 5 + (3 / 3) * 1) / 12,
            # 3 of 6 each: 0 to 3 are shared with probability 1/20, 9/20, 9/20, 1/20.
            "uniform_chance_iou": ((1 / 5) * 9 + (2 / 4) * 9 + 1) / 20,
            "z/a": 0.0,
            "z/b": (1 - 0.5) / math.sqrt(0.25),
            "z": (2 - 1.5) / math.sqrt(1 / 3 + 0.25),
        }
    )


def test_of_three_results_each_pair_is_named_by_its_places():
    dense, half, none = masked(a=[1, 1]), masked(a=[1, 0]), masked(a=[0, 0])
    found = ask(dense, half, none)
    quantities = ("iou{}", "iou{}/a", "chance_iou{}", "chance_iou{}/a", "uniform_chance_iou{}", "z{}", "z{}/a")
    assert set(found) == {name.format(pair) for name in quantities for pair in ("@0-1", "@0-2", "@1-2")}
    assert (found["iou@0-1"], found["iou@0-2"], found["iou@1-2"]) == (0.5, 0.0, 0.0)
    assert found["iou@0-1/a"] == found["chance_iou@0-1/a"] == 0.5
    assert all(value is None for name, value in found.items() if name.startswith("z"))  # one of the masks has no choice


def test_masks_that_keep_nothing_are_equal():
    found = ask(masked(a=[0, 0], b=[1, 0]), masked(a=[0, 0], b=[0, 1]))
    assert (found["iou/a"], found["chance_iou/a"], found["z/a"]) == (1.0, 1.0, None)
    assert found["iou"] == 0.0


def test_a_layer_of_one_weight():
    found = ask(masked(a=[1]), masked(a=[1]))
    assert (found["iou"], found["chance_iou"], found["uniform_chance_iou"], found["z"]) == (1.0, 1.0, 1.0, None)


masks = st.lists(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20), min_size=1, max_size=4)


def named(layers, which):
    return {f"layer{index}": torch.tensor([pair[which] for pair in layer]) for index, layer in enumerate(layers)}


@given(masks)
def test_symmetric_and_1_for_equal_masks(layers):
    one, other = named(layers, 0), named(layers, 1)
    found, back = overlap(one, other), overlap(other, one)
    assert found.keys() == back.keys()
    for name, value in found.items():
        assert value == (None if back[name] is None else pytest.approx(back[name], abs=1e-12))
        if "iou" in name:
            assert -1e-12 <= value <= 1 + 1e-12
    assert all(value == 1.0 for name, value in overlap(one, one).items() if name.partition("/")[0] == "iou")


@given(masks)
def test_nested_masks_overlap_as_their_densities_say(layers):
    outer = {name: mask | named(layers, 1)[name] for name, mask in named(layers, 0).items()}
    inner = named(layers, 0)
    kept = [sum(int(mask.sum()) for mask in each.values()) for each in (inner, outer)]
    assert overlap(inner, outer)["iou"] == (kept[0] / kept[1] if kept[1] else 1.0)


@given(st.integers(1, 200), st.data())
def test_one_layer_agrees_with_scipy_and_both_models_of_chance_are_one(total, data):
    one, other = data.draw(st.integers(0, total)), data.draw(st.integers(0, total))
    a, b = torch.arange(total) < one, torch.arange(total) >= total - other
    found = overlap({"a": a}, {"a": b})
    chance = stats.hypergeom(total, one, other)
    if one + other:
        expected = sum(float(chance.pmf(k)) * k / (one + other - k) for k in range(min(one, other) + 1))
        assert found["chance_iou"] == pytest.approx(expected, abs=1e-12)
        assert found["uniform_chance_iou"] == pytest.approx(expected, abs=1e-12)
    if 0 < one < total and 0 < other < total:
        # The textbook's moments: scipy's own divide 0 by 0 where total is 2.
        mean = one * other / total
        variance = mean * (total - one) * (total - other) / (total * (total - 1))
        assert found["z"] == pytest.approx((int((a & b).sum()) - mean) / variance**0.5)
    else:
        assert found["z"] is None


def sampled(kept, generator):
    """A mask for each layer of (kept, total), uniformly random."""
    return {name: torch.randperm(total, generator=generator) < count for name, (count, total) in kept.items()}


@pytest.mark.slow
def test_independent_masks_have_the_iou_of_chance_and_a_z_of_mean_0_and_variance_1():
    one, other = {"a": (5, 40), "b": (30, 40)}, {"a": (10, 40), "b": (20, 40)}
    generator = torch.Generator().manual_seed(0)
    found = [overlap(sampled(one, generator), sampled(other, generator)) for _ in range(1500)]
    for name in ("", "/a", "/b"):
        ious = torch.tensor([values[f"iou{name}"] for values in found])
        assert float(ious.mean()) == pytest.approx(found[0][f"chance_iou{name}"], abs=4 * float(ious.std()) / 1500**0.5)
        z = torch.tensor([values[f"z{name}"] for values in found])
        assert float(z.mean()) == pytest.approx(0, abs=0.11)
        assert float(z.var()) == pytest.approx(1, abs=0.15)
    anywhere = [
        overlap(*({"a": mask[:40], "b": mask[40:]} for mask in pair))["iou"]
        for pair in ([sampled({"w": (count, 80)}, generator)["w"] for count in (35, 30)] for _ in range(1500))
    ]
    assert sum(anywhere) / 1500 == pytest.approx(found[0]["uniform_chance_iou"], abs=0.01)
    assert found[0]["uniform_chance_iou"] < found[0]["chance_iou"]  # the layers' densities agree


def test_a_large_network_has_about_the_ratio_of_densities():
    total, a, b = 4_000_000, 0.1, 0.3
    one, other = (torch.arange(total) < round(density * total) for density in (a, b))
    found = overlap({"w": one}, {"w": other})
    assert found["uniform_chance_iou"] == pytest.approx(a * b / (a + b - a * b), rel=1e-5)
    assert found["chance_iou"] == found["uniform_chance_iou"]


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([masked(a=[1])], "it compares two results or more, and was given 1"),
        ([masked(a=[1]), masked(a=[1], b=[1])], "results 0 and 1 do not have the same masks; only one of them has b"),
        (
            [masked(a=[1]), masked(a=[0]), masked(a=[[1]])],
            r"results 0 and 2 have masks of different shapes for a: \(1,\) and \(1, 1\)",
        ),
    ],
)
def test_masks_that_cannot_be_compared(results, message):
    with pytest.raises(ValueError, match=f"^measure=overlap: {message}"):
        Overlap()(results, bench=None)


def test_it_compares_several_stages_and_runs_no_network():
    assert (Overlap.joint, Overlap.network, Overlap().name) == (True, False, "overlap")
    assert len(list(itertools.combinations(range(4), 2))) * 7 == len(ask(*[masked(a=[1, 0])] * 4))
