"""Dead is dead: under any optimizer a pruned weight, its gradient and its optimizer state are exactly 0 after each step."""

import copy
import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.hold import Hold
from ltb.core.prunable import prunable

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd+momentum+decay": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-2),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=1e-2),
    "adam fused": lambda p: torch.optim.Adam(p, lr=0.01, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5),
}
# Every optimizer of torch but two: SparseAdam wants sparse gradients, which cannot be masked, and LBFGS keeps one vector over
# all parameters in the place of a state for each.
NOT_HELD = {"LBFGS", "SparseAdam"}
TORCHS = {
    name: found
    for name, found in vars(torch.optim).items()
    if inspect.isclass(found) and issubclass(found, torch.optim.Optimizer) and name not in {*NOT_HELD, "Optimizer"}
}
SETTINGS = {
    "Adagrad": [{"initial_accumulator_value": 0.1}],
    "Adam": [{"amsgrad": True}, {"fused": True}, {"foreach": True}],
    "Adamax": [{"foreach": True}],
    "RMSprop": [{"centered": True, "momentum": 0.5}],
    "Rprop": [{"foreach": True}, {"maximize": True}],
    "SGD": [{"momentum": 0.9, "nesterov": True}, {"momentum": 0.9, "maximize": True}],
}
EACH = [(name, given) for name in sorted(TORCHS) for given in [{}, *SETTINGS.get(name, [])]]
NOT_ELEMENTWISE = {"Adafactor", "Muon"}  # what moves a weight is made from others of its matrix


def network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 2)
    )


def masked(net, density, seed):
    generator = torch.Generator().manual_seed(seed)
    names = prunable(net).names
    weights = tensors.weights_of(net)
    masks = {name: torch.rand(weights[name].shape, generator=generator) < density for name in names}
    tensors.load(net, m.apply(weights, masks))
    return masks


def train(net, optimizer, steps=4, *, accumulate=1, clip=None, autocast=False):
    for _ in range(steps):
        optimizer.zero_grad()
        for _ in range(accumulate):
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                loss = net(torch.randn(8, 1, 4, 4)).square().mean()
            loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
        yield


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("how", [{}, {"accumulate": 3}, {"clip": 0.01}, {"autocast": True}])
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1000), density=st.sampled_from([0.0, 0.1, 0.6, 1.0]))
def test_dead_is_dead(name, how, seed, density):
    net = network(seed)
    masks = masked(net, density, seed)
    optimizer = OPTIMIZERS[name](net.parameters())
    hold = Hold(net, masks)
    hold.watch([optimizer])
    parameters = dict(net.named_parameters())
    for _ in train(net, optimizer, **how):
        for key, mask in masks.items():
            parameter = parameters[key]
            states = [v for v in optimizer.state[parameter].values() if getattr(v, "shape", None) == mask.shape]
            for tensor in (parameter, parameter.grad, *states):
                assert torch.count_nonzero(tensor[~mask]) == 0
    moved = parameters["4.bias"].detach()
    hold.release()
    assert torch.isfinite(moved).all()


@pytest.mark.parametrize(
    ("layer", "output", "names"),
    [
        (lambda: nn.MultiheadAttention(8, 2), lambda net, x: net(x, x, x)[0], ("in_proj_weight", "out_proj.weight")),
        (
            lambda: nn.LSTM(8, 6, 2),
            lambda net, x: net(x)[0],
            ("weight_ih_l0", "weight_hh_l0", "weight_ih_l1", "weight_hh_l1"),
        ),
        (lambda: nn.GRUCell(8, 6), lambda net, x: net(x[1], net(x[0])), ("weight_ih", "weight_hh")),
    ],
)
def test_dead_is_dead_in_attention_and_recurrent_layers_and_what_is_kept_trains(layer, output, names):
    torch.manual_seed(0)
    net = layer()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)
    parameters = dict(net.named_parameters())

    def step():
        optimizer.zero_grad()
        output(net, torch.randn(5, 2, 8)).square().mean().backward()
        optimizer.step()

    step()  # the optimizer has a state now that would move what is pruned
    masks = masked(net, 0.3, seed=1)
    assert tuple(masks) == names
    Hold(net, masks).watch([optimizer])
    for _ in range(4):
        before = tensors.weights_of(net)
        step()
        for name, mask in masks.items():
            assert torch.equal(parameters[name] != before[name], mask)
            assert torch.equal(parameters[name] != 0, mask)


def states(optimizer, parameter, shape):
    return [value for value in optimizer.state[parameter].values() if getattr(value, "shape", None) == shape]


@pytest.mark.parametrize(("name", "given"), EACH, ids=lambda value: value if isinstance(value, str) else str(value))
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 1000), decay=st.sampled_from([0.0, 0.1]))
def test_under_every_optimizer_of_torch_dead_is_dead_and_what_is_kept_trains_as_if_it_were_alone(
    name, given, seed, decay
):
    """`alone`: a vector of the kept weights with the kept gradients and an optimizer of its own, which knows no masks."""
    torch.manual_seed(seed)
    net, mask = nn.Linear(7, 5, bias=False), torch.rand(5, 7) < 0.4
    mask[0, 0], mask[0, 1] = True, False
    settled = {"lr": 0.05, **given} | ({"weight_decay": decay} if name != "Rprop" else {})
    optimizer = TORCHS[name](net.parameters(), **settled)
    hold = Hold(net, {"weight": mask})
    hold.watch([optimizer])
    alone = nn.Parameter(net.weight.detach()[mask].clone())
    its = None if name in NOT_ELEMENTWISE else TORCHS[name]([alone], **settled)
    for _ in range(5):
        optimizer.zero_grad()
        net(torch.randn(6, 7)).square().mean().backward()
        alone.grad = net.weight.grad[mask].clone()
        optimizer.step()
        for tensor in (net.weight, net.weight.grad, *states(optimizer, net.weight, mask.shape)):
            assert not torch.count_nonzero(tensor[~mask])
        assert torch.isfinite(net.weight).all()
        if its is not None:
            its.step()
            assert torch.allclose(net.weight.detach()[mask], alone.detach(), rtol=1e-6, atol=1e-7)


def test_a_state_that_is_loaded_or_comes_later_is_masked_by_the_next_step():
    """The state of a dense network, loaded into an optimizer that is held, does not bring the dead back to life."""
    net, mask = nn.Linear(7, 5), torch.rand(5, 7) < 0.5
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)  # no state at all
    Hold(net, {"weight": mask}).watch([optimizer])

    def step():
        optimizer.zero_grad()
        net(torch.randn(6, 7)).square().mean().backward()
        optimizer.step()
        return [net.weight, *states(optimizer, net.weight, mask.shape)]

    assert len(step()) == 1
    told = optimizer.state_dict()
    told["param_groups"][0]["momentum"] = 0.9
    told["state"] = {0: {"momentum_buffer": torch.ones(5, 7)}, 1: {"momentum_buffer": torch.ones(5)}}
    optimizer.load_state_dict(told)
    for _ in range(2):
        found = step()
        assert len(found) == 2
        assert not any(torch.count_nonzero(tensor[~mask]) for tensor in found)


OUTSIDE = {
    "copy": lambda w: w.copy_(torch.ones_like(w)),
    "in place": lambda w: w.add_(1.0),
    "through data": lambda w: w.data.add_(1.0),  # as averages are swapped in
}


@pytest.mark.parametrize("change", OUTSIDE)
@pytest.mark.parametrize("training", [False, True])
def test_weights_that_anything_else_changes_are_masked_before_they_are_used(change, training):
    net, mask = nn.Sequential(nn.Linear(3, 1, bias=False)), torch.tensor([[True, False, True]])
    hold = Hold(net, {"0.weight": mask})
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    hold.watch([optimizer])
    net.train(training)

    def changed():
        with torch.no_grad():
            OUTSIDE[change](net[0].weight)
        assert net[0].weight.detach()[0, 1] != 0

    changed()
    with torch.inference_mode(not training):
        found = net(torch.tensor([[0.0, 1.0, 0.0]])).detach()
    if not training or change != "through data":
        assert float(found) == 0.0
    changed()
    assert float(net.state_dict()["0.weight"][0, 1]) == 0.0
    changed()
    optimizer.step()
    assert float(net[0].weight.detach()[0, 1]) == 0.0
    changed()
    hold.apply()
    assert float(net[0].weight.detach()[0, 1]) == 0.0
    changed()
    hold.release()
    assert net[0].weight.detach().ne(0).tolist() == mask.tolist()
    changed()
    net(torch.ones(1, 3)), net.state_dict(), hold.release()
    assert net[0].weight.detach()[0, 1] != 0  # nothing is held any more


def test_a_copy_of_a_network_that_is_held_has_weights_and_masks_of_its_own():
    """As averages of weights are kept: a deep copy whose weights follow."""
    net, mask = nn.Linear(3, 2), torch.tensor([[True, False, True]] * 2)
    hold = Hold(net, {"weight": mask})
    average = torch.optim.swa_utils.AveragedModel(net)
    hold.release()
    with torch.no_grad():
        average.module.weight.fill_(1.0)
        net.weight.fill_(2.0)
    average.eval()(torch.zeros(1, 3))
    assert average.module.weight.tolist() == [[1.0, 0.0, 1.0]] * 2
    assert net.weight.tolist() == [[2.0] * 3] * 2


MOVES = {
    "other type": lambda net: net.double(),
    "other type and back": lambda net: net.half().float(),
    "other memory": lambda net: setattr(net.weight, "data", net.weight.detach().clone()),
    "other strides at the same place": lambda net: setattr(net.weight, "data", net.weight.data.view(3, 2).t()),
    "other order": lambda net: setattr(net.weight, "data", net.weight.detach().t().contiguous().t()),
}


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_a_module_that_is_moved_is_held_where_it_is_then(move, frozen):
    net, mask = nn.Linear(3, 2), torch.tensor([[True, False, True], [False, False, True]])
    with torch.no_grad():
        net.weight.copy_(torch.arange(1.0, 7.0).view(2, 3) / 4)  # exact in half precision
    pruned = net.weight.detach().double()[~mask] if frozen else torch.zeros(3, dtype=torch.float64)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.25)
    hold = Hold(net, {"weight": mask}, frozen=frozen)
    hold.watch([optimizer])
    move(net)
    for _ in range(2):
        kept = net.weight.detach()[mask].clone()
        with torch.no_grad():
            net.weight.add_(1.0)
        net(torch.ones(1, 3, dtype=net.weight.dtype)).sum().backward()
        assert net.weight.grad[~mask].count_nonzero() == 0
        optimizer.step()
        assert torch.equal(net.weight.detach().double()[~mask], pruned)
        assert not torch.equal(net.weight.detach()[mask], kept)


def test_without_a_hold_masked_gradients_alone_would_let_dead_weights_move():
    """The trap: a stale momentum moves a pruned weight although its gradient is masked. With a hold it does not."""
    for held in (False, True):
        net = nn.Linear(2, 1, bias=False)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        net(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        mask = torch.tensor([[True, False]])
        with torch.no_grad():
            net.weight.mul_(mask)
        optimizer.zero_grad()
        if held:
            Hold(net, {"weight": mask}).watch([optimizer])
        net(torch.ones(1, 2)).sum().backward()
        net.weight.grad.mul_(mask)
        optimizer.step()
        assert (float(net.weight[0, 1].detach()) == 0) is held


def test_what_is_kept_trains_as_if_the_layer_were_a_sparse_one():
    """Against a float64 loop of our own in which w ⊙ m is what is differentiated."""
    torch.manual_seed(0)
    net = nn.Linear(5, 3).double()
    mask = torch.rand(3, 5) < 0.5
    tensors.load(net, m.apply(tensors.weights_of(net), {"weight": mask}))
    w, b = net.weight.detach().clone(), net.bias.detach().clone()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    Hold(net, {"weight": mask}).watch([optimizer])
    vw, vb = torch.zeros_like(w), torch.zeros_like(b)
    for _ in range(10):
        x = torch.randn(4, 5, dtype=torch.float64)
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
        w.requires_grad_(), b.requires_grad_()
        gw, gb = torch.autograd.grad((x @ (w * mask).T + b).square().mean(), (w, b))
        w, b = w.detach(), b.detach()
        vw, vb = 0.9 * vw + gw + 0.01 * w * mask, 0.9 * vb + gb + 0.01 * b
        w, b = w - 0.1 * vw, b - 0.1 * vb
    assert torch.allclose(net.weight.detach(), w * mask, rtol=0, atol=1e-12)
    assert torch.allclose(net.bias.detach(), b, rtol=0, atol=1e-12)


def test_clipping_sees_only_what_is_kept():
    net = nn.Linear(2, 1, bias=False)
    Hold(net, {"weight": torch.tensor([[True, False]])})
    net(torch.tensor([[3.0, 4.0]])).sum().backward()
    assert float(nn.utils.clip_grad_norm_(net.parameters(), 100.0)) == 3.0


def test_gradients_that_are_not_finite_do_not_bring_the_dead_back():
    net = nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    Hold(net, {"weight": torch.tensor([[True, False]])}).watch([optimizer])
    net(torch.tensor([[1.0, math.nan]])).sum().backward()
    optimizer.step()
    assert float(net.weight[0, 1].detach()) == 0.0
    assert math.copysign(1, float(net.weight[0, 1].detach())) == 1


def test_state_that_is_there_already_is_masked_and_channels_last_is_held():
    net = nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(1, 2, 5, 5)).sum().backward()
    optimizer.step()
    mask = torch.rand(3, 2, 3, 3) < 0.5
    Hold(net, {"weight": mask}).watch([optimizer])
    assert torch.count_nonzero(optimizer.state[net.weight]["exp_avg"][~mask]) == 0
    assert torch.count_nonzero(net.weight[~mask]) == 0
    assert torch.count_nonzero(net.weight[mask]) == int(mask.sum())


def test_release_lets_go_and_a_mask_of_no_parameter_is_refused():
    net = nn.Linear(2, 1)
    before = copy.deepcopy(net.state_dict())
    hold = Hold(net, {"weight": torch.tensor([[False, False]])})
    hold.release()
    net(torch.ones(1, 2)).sum().backward()
    assert torch.count_nonzero(net.weight.grad) == 2
    assert torch.equal(before["bias"], net.bias)
    with pytest.raises(ValueError, match="mask 'fc' names no weight; there are weight, bias"):
        Hold(net, {"fc": torch.ones(1, dtype=torch.bool)})


NOT_MASKS = [
    torch.tensor([[1.0, 0.0]]), torch.tensor([[1, 0]]), torch.tensor([[1, 0]], dtype=torch.uint8),
    torch.tensor([True, False]), torch.ones(2, 1, dtype=torch.bool), [[True, False]], None,
]  # fmt: skip


@pytest.mark.parametrize("mask", NOT_MASKS, ids=str)
def test_what_is_no_bool_tensor_of_the_parameters_shape_is_refused_in_one_line_that_names_it(mask):
    net = nn.Linear(2, 1)
    before = tensors.weights_of(net)
    with pytest.raises(ValueError, match=r"^mask 'weight' is [^\n]*(a mask is torch.bool|its weight is \(1, 2\))$"):
        Hold(net, {"weight": mask})
    assert tensors.digest(before) == tensors.digest(tensors.weights_of(net))


@pytest.mark.parametrize("name", ["sgd+momentum+decay", "adam", "rmsprop"])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_weight_that_is_not_contiguous_is_held_with_a_state_that_begins_in_training(name, transposed):
    if transposed:
        net = nn.Linear(5, 4)
        net.weight = nn.Parameter(torch.randn(5, 4).t())
        x = torch.randn(3, 5)
    else:
        net, x = nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last), torch.randn(2, 2, 5, 5)
    mask = torch.rand(net.weight.shape) < 0.5
    hold, optimizer = Hold(net, {"weight": mask}), OPTIMIZERS[name](net.parameters())
    hold.watch([optimizer])
    for _ in range(3):
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
        assert not net.weight[~mask].any()
        for value in optimizer.state[net.weight].values():
            assert value.shape != mask.shape or not value[~mask].any()
