import torch

from ltb.core.allocation import Global
from ltb.core.criteria import Evidence, Magnitude, Random
from ltb.core.masks import nested, ones


def test_magnitude_is_raw():
    weights = {"a": torch.tensor([-3.0, 1.0]), "b": torch.tensor([10.0, -0.5])}
    scores = Magnitude()(weights, Evidence())
    assert {name: score.tolist() for name, score in scores.items()} == {"a": [3.0, 1.0], "b": [10.0, 0.5]}


def test_random_scores_depend_on_the_seed_and_the_layer_alone():
    weights = {"a": torch.randn(50, 50), "b": torch.randn(50, 50)}
    one, again = Random()(weights, Evidence(0)), Random()({"a": torch.zeros(50, 50)}, Evidence(0))
    assert torch.equal(one["a"], again["a"])
    assert not torch.equal(one["a"], one["b"])
    assert not torch.equal(one["a"], Random()(weights, Evidence(1))["a"])
    assert abs(float(one["a"].mean()) - 0.5) < 0.02
    masks = ones(weights, weights)
    assert nested(Global()(one, masks, 0.9), Global()(one, masks, 0.5))
