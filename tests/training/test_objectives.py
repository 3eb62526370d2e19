"""Penalties against a plain loop in float64 that writes their gradients down."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from ltb.core.chain import stages
from ltb.core.loop import Loop, Recent, levels
from ltb.core.objectives import L1, L2
from ltb.core.points import Point
from ltb.core.recipe import Recipe
from ltb.core.schedules import Geometric
from ltb.core.stages import Dense, Start
from ltb.store.keys import Keys
from ltb.training import Classification, Constant, Training
from tests.training import small
from tests.training.small import Numbers, Regression, source

RATE, STEPS = 0.1, 12
RECIPE = Recipe(schedule=Geometric(0.5, 1))


def network():
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))


def training():
    def make():
        return Classification(network(), torch.optim.SGD, Constant(base=RATE))

    return Training(make, source(), f"{STEPS}it", trainer={"precision": "64-true"})


def plain(one, weights, masks, penalty):
    """SGD by hand: the gradient of the cross-entropy plus the penalty's, under masks."""
    weights = {name: weight.double() * masks.get(name, 1.0) for name, weight in weights.items()}
    net = network().double()
    for x, y in one.source.stream(one.seed, 0, STEPS):
        for weight in weights.values():
            weight.requires_grad_(True)
        loss = functional.cross_entropy(torch.func.functional_call(net, weights, x.double()), y)
        gradients = torch.autograd.grad(loss, list(weights.values()))
        weights = {
            name: (w.detach() - RATE * (g + penalty(name, w.detach()))) * masks.get(name, 1.0)
            for (name, w), g in zip(weights.items(), gradients, strict=True)
        }
    return weights


def nothing(name, weight):
    return torch.zeros_like(weight)


PENALTIES = [
    (L1(0.01), lambda name, w: 0.01 * w.sign() * (w.ndim > 1)),
    (L2(0.03), lambda name, w: 0.06 * w * (w.ndim > 1)),
    (L1(0.01, over="all"), lambda name, w: 0.01 * w.sign()),
    (L2(0.03, over="all"), lambda name, w: 0.06 * w),
]


@pytest.mark.parametrize(("objective", "gradient"), PENALTIES, ids=[repr(one) for one, _ in PENALTIES])
@pytest.mark.parametrize("where", ["objective", "dense_objective"])
def test_a_penalty_moves_weights_as_the_plain_loop_does(where, objective, gradient):
    one = training()
    dense, pruned = levels(replace(RECIPE, **{where: objective}), one)
    penalties = (nothing, gradient) if where == "objective" else (gradient, nothing)
    for level, penalty in zip((dense, pruned), penalties, strict=True):
        expected = plain(one, one.initial(), level.trained.masks, penalty)
        for name, weight in level.trained.point.weights.items():
            assert torch.allclose(weight, expected[name], rtol=0, atol=1e-12), name
    # The penalty is seen at all: 10,000 times the tolerance.
    unpenalised = plain(one, one.initial(), dense.trained.masks, nothing)["0.weight"]
    moved = (dense.trained.point.weights["0.weight"] - unpenalised).abs().max()
    assert (moved > 1e-8) == (where == "dense_objective")


def test_only_what_is_prunable_is_penalised_unless_all_is():
    """A layer that was excluded is left alone."""

    def make():
        return Classification(network(), torch.optim.SGD, Constant(base=RATE))

    one = Training(make, source(), f"{STEPS}it", exclude=["2.weight"], trainer={"precision": "64-true"})
    dense, _ = levels(replace(RECIPE, dense_objective=L2(0.05)), one)
    expected = plain(one, one.initial(), {}, lambda name, w: 0.1 * w * (name == "0.weight"))
    for name, weight in dense.trained.point.weights.items():
        assert torch.allclose(weight, expected[name], rtol=0, atol=1e-12), name


def test_a_start_of_a_penalised_dense_network_is_on_its_trajectory():
    """Passed on the way or replayed, also from an earlier one, and never from another objective's."""
    one = training()
    penalised, bare = Start(6, L1(0.01)), Start(6)
    loop = Loop(one, Recent())
    loop.result(Start(3))
    loop.result(Start(3, L1(0.01)))
    found = loop.result(penalised).point.weights["0.weight"]
    on_the_way = Loop(one, Recent(), (penalised,))
    on_the_way.result(Dense(objective=L1(0.01)))
    assert torch.equal(on_the_way.result(penalised).point.weights["0.weight"], found)
    assert torch.equal(Loop(one, Recent()).result(penalised).point.weights["0.weight"], found)
    assert not torch.equal(loop.result(bare).point.weights["0.weight"], found)
    assert Dense(objective=L1(0.01)).passes(penalised)
    assert not Dense(objective=L1(0.01)).passes(bare)
    assert not Dense().passes(penalised)


def test_keys_differ_where_an_objective_is_and_only_there():
    one = training()
    keys = Keys({"seed": 0})

    def of(**given):
        return [keys(stage) for stage in stages(replace(RECIPE, rewind_step="5it", **given), one.clock)]

    none, sparse, dense = of(), of(objective=L1()), of(dense_objective=L1())
    assert none[0] == sparse[0]
    assert len({none[1], sparse[1], dense[1]}) == 3
    assert none[0] != dense[0]
    assert keys(Start(5)) != keys(Start(5, L1()))
    # At the initialisation nothing has been minimised yet.
    assert stages(replace(RECIPE, dense_objective=L1()), one.clock)[1].start == Start(0)
    assert of(dense_objective=L1(2e-4)) != dense
    assert of(dense_objective=L1(over="all")) != dense


def test_what_cannot_be_is_refused_before_anything_is_trained():
    class Manual(Regression):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch, index):
            self.optimizers().step()

    with pytest.raises(ValueError, match=r"objective\.strength=-1: a number, above 0"):
        L1(-1)
    with pytest.raises(ValueError, match=r"objective\.over='biases': "):
        L2(over="biases")
    one = Training(Manual, Numbers(), "20it", metric="mse", direction="min")
    one.fit = partial(pytest.fail, "trained")
    with pytest.raises(ValueError, match="objective: Manual steps its optimizer itself"):
        next(levels(Recipe(dense_objective=L1()), one))
    assert Recipe(schedule=Geometric(0.2, 0), dense_objective=L1()).dense_objective == L1()


def test_a_penalty_on_scales_of_norms_is_on_them_alone():
    one = small.training(1)
    told = L1(0.25, over="norm_scales").prepared(one, lambda stage: None)
    module = one.module(Point(one.initial(), 0), {})
    parameters = dict(module.network.named_parameters())
    with torch.no_grad():
        parameters["1.weight"].copy_(torch.linspace(-2, 2, 9))
    total = told(module, None)
    assert total.item() == pytest.approx(0.25 * sum(abs(-2 + 0.5 * i) for i in range(9)))
    total.backward()
    assert {name for name, parameter in parameters.items() if parameter.grad is not None} == {"1.weight"}
    with pytest.raises(ValueError, match="over=norm_scales: the network has no batch norm"):
        L1(over="norm_scales").prepared(training(), lambda stage: None)
