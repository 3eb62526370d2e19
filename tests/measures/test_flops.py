"""FLOPs by hand, beside torch's and Torch-Pruning's counters, and over what a search has trained."""

import warnings

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ltb.common.step import Step
from ltb.core.loop import Loop, Recent, levels
from ltb.core.recipe import Recipe
from ltb.core.results import Trained
from ltb.core.rewind_rules import EarlyBird
from ltb.core.schedules import Explicit
from ltb.core.stages import Dense, Measured
from ltb.measures import Flops
from ltb.measures.flops import FlopsProbe, forward
from ltb.models.resnet import ResNetCIFAR
from tests.training.small import training

STEP = 2 * 10 * (2 * 6 * 9 + 3 * 9 * 3)  # batches of 10; see test_step_flops_of_two_matrix_products


def found(recipe, **given):
    """What is measured of each level, beside the level."""
    return [(level, level.measured["flops"]) for level in levels(recipe, training(**given), measures=(Flops(),))]


def step_kept(level):
    """Products of kept weights alone, of a batch of 10: the first layer has no gradient of its input."""
    first, second = (int(mask.sum()) for mask in level.trained.masks.values())
    return 2 * 10 * (2 * first + 3 * second)


def test_a_chain_by_hand():
    dense, half, tenth = found(Recipe(schedule=Explicit((0.5, 0.9)), rewind_step=Step.parse("5it")))
    for level, values in (dense, half, tenth):
        first, second = (int(mask.sum()) for mask in level.trained.masks.values())
        assert (values["forward"], values["step"]) == (2 * (6 * 9 + 9 * 3), STEP)
        assert values["forward_kept"] == pytest.approx(2 * (first + second))
        assert values["forward_kept/4.weight"] == pytest.approx(2 * second)
        assert values["speed_up"] == pytest.approx(81 / (first + second))
        assert values["step_kept"] == pytest.approx(step_kept(level))
    assert (dense[1]["search"], dense[1]["fit"], dense[1]["total_kept"]) == (0, 25 * STEP, 25 * STEP)
    assert (half[1]["search_kept"], half[1]["fit_kept"]) == (25 * STEP, pytest.approx(20 * step_kept(half[0])))
    # Magnitude is scored without a minibatch; the start at 5 is passed on the way of the dense run.
    assert (tenth[1]["search"], tenth[1]["fit"], tenth[1]["total"]) == (45 * STEP, 20 * STEP, 65 * STEP)
    assert tenth[1]["search_kept"] == pytest.approx(25 * STEP + 20 * step_kept(half[0]))
    assert tenth[1]["total_kept"] == pytest.approx(tenth[1]["search_kept"] + 20 * step_kept(tenth[0]))


def test_scoring_is_dense_and_counts_as_search():
    from ltb.core.criteria import Snip

    recipe = Recipe(schedule=Explicit((0.5,)), prune_from="start", criterion=Snip())
    _, (_, values) = found(recipe)
    assert values["search"] == values["search_kept"] > 0
    assert values["search"] % STEP == 0


def test_what_density_changed_under_way_is_not_told():
    one = training()
    loop = Loop(one, Recent())
    dense = loop.result(Dense())
    changed = Trained(
        dense.masks, dense.origin, dense.point, [{"step": 1, "density": 1.0}, {"step": 2, "density": 0.5}]
    )
    loop.memory.put(Dense(), changed)
    values = loop.result(Measured((Dense(),), Flops())).values
    assert values["fit_kept"] is values["total_kept"] is None
    assert values["fit"] == 25 * STEP


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2, groups=4, bias=False)
        self.attention, self.output = nn.MultiheadAttention(16, 2, batch_first=True), nn.Linear(16, 5)

    def forward(self, x):
        x = self.second(self.first(x).relu()).flatten(2).transpose(1, 2)
        return self.output(self.attention(x, x, x, need_weights=False)[0].mean(1))

    def loss(self, batch):
        return self(batch[0]).logsumexp(1).mean()


def test_layers_and_their_gradients_are_those_of_torchs_counter():
    network = Convolutions()
    batch = (torch.randn(4, 3, 9, 9), torch.zeros(4))
    probed = FlopsProbe()(network, lambda: [batch])
    assert int(probed["whole"]["examples"]) == 4
    with FlopCounterMode(display=False) as counter:
        network.loss(batch)
    forward = counter.get_total_flops()
    with FlopCounterMode(display=False) as counter:
        network.loss(batch).backward()
    assert int(probed["whole"]["forward"]) == forward + 2 * (2 * 4 * 16 * 16 * 16)
    by_hand = {
        "first.weight": 2 * 4 * 81 * 8 * 27,
        "second.weight": 2 * 4 * 16 * 16 * 2 * 9,
        "attention.in_proj_weight": 2 * 4 * 16 * 48 * 16,
        "attention.out_proj.weight": 2 * 4 * 16 * 16 * 16,
        "output.weight": 2 * 4 * 16 * 5,
    }
    assert {name: int(count) for name, count in probed["forward"].items() if count} == by_hand
    # Torch does not count the CPU's attention: two products of 16 × 16 places in 16 channels, in which no weight stands.
    assert forward == sum(by_hand.values())
    gradients = {name: int(count) for name, count in probed["backward"].items() if count}
    # The first layer has no gradient of its input; torch counts the weight's gradient of 4 groups as that of one.
    times = {"first.weight": 1, "second.weight": 1 + 4}
    assert gradients == {name: times.get(name, 2) * count for name, count in by_hand.items()}
    assert counter.get_total_flops() == forward + sum(gradients.values())


class Tagger(nn.Module):
    """A recurrent layer and a class for each place."""

    def __init__(self, kind, **given):
        super().__init__()
        self.recurrent = kind(5, 7, batch_first=True, **given)
        self.output = nn.Linear(7 * (1 + self.recurrent.bidirectional), 3)

    def forward(self, x):
        return self.output(self.recurrent(x)[0])

    def loss(self, batch):
        return self(batch[0]).logsumexp(2).mean()


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_layers_are_counted_place_by_place(kind, gates, directions):
    network = Tagger(kind, bidirectional=directions == 2)
    probed = FlopsProbe()(network, lambda: [(torch.randn(2, 6, 5), torch.zeros(2))])
    found = {name: int(count) for name, count in probed["forward"].items()}
    for back in ("", "_reverse")[:directions]:
        assert found[f"recurrent.weight_ih_l0{back}"] == 2 * 2 * 6 * gates * 7 * 5
        assert found[f"recurrent.weight_hh_l0{back}"] == 2 * 2 * 6 * gates * 7 * 7
    assert found["output.weight"] == 2 * 2 * 6 * 3 * 7 * directions
    assert int(probed["whole"]["forward"]) == sum(found.values())


def test_a_networks_layers_are_those_of_torch_pruning():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch_pruning

    class Summed(ResNetCIFAR):
        def loss(self, batch):
            return self(batch[0]).sum()

    network, x = Summed((3, 32, 32), 10).eval(), torch.randn(2, 3, 32, 32)
    probed = FlopsProbe()(network, lambda: [(x, torch.zeros(2))])
    macs, _, by_layer, *_ = torch_pruning.utils.count_ops_and_params(network, x[:1], layer_wise=True)
    theirs = {
        f"{name}.weight": 2
        * (macs - (0 if layer.bias is None else len(layer.bias)))  # theirs counts additions of biases
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and (macs := by_layer[layer])
    }
    ours = {name: int(count) / 2 for name, count in probed["forward"].items() if count}
    assert ours.keys() == theirs.keys()
    assert ours == theirs


def test_what_a_rule_walked_counts_as_search_and_the_dense_network_does_not():
    rule = EarlyBird(every="5it", window=2, epsilon=0.99, latest="20it")  # it holds at the second step that it looks at
    recipe = Recipe(schedule=Explicit((0.5,)), prune_from="start", rewind_rule=rule)
    _, (level, values) = found(recipe)
    assert (level.trained.start, values["search"]) == (10, 10 * STEP)
    assert values["search_kept"] == 10 * STEP
    assert values["total_kept"] == pytest.approx(10 * STEP + 15 * step_kept(level))


def test_a_vector_among_what_is_prunable_stands_in_no_product():
    one = training(include=["*"])
    assert any(one.initial()[name].ndim == 1 for name in one.prunable)
    assert forward(one, 0.5, "student=equal_flops") == pytest.approx(0.5 * 2 * (6 * 9 + 9 * 3))
