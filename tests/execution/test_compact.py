"""Compact against masked: outputs, points and training are equal, and what runs is smaller."""

import pytest
import torch
from torch import nn

from ltb.core import masks as m
from ltb.core import tensors
from ltb.core.allocation import Global, Structured
from ltb.core.criteria import Evidence, Random
from ltb.core.dynamics import Gradual
from ltb.core.masked_units import OfGroups
from ltb.core.points import Fit, Point
from ltb.core.prunable import prunable
from ltb.core.recipe import Recipe
from ltb.core.units import gathered
from ltb.execution import Compact
from ltb.execution.compact import CompactOfGroups
from ltb.models import VGG
from ltb.store.checkpoint import CheckpointFile
from ltb.structure import DependencyGraph
from ltb.training import Classification, Constant, Training
from tests.structure.networks import NETWORKS, batch, groups
from tests.training.small import OPTIMIZERS, dense, digest, source, without_rate
from tests.training.test_fit import Kept, Killed

SPARSITIES = (0.3, 0.5, 0.8)
TOLERANCE = {torch.float32: 5e-5, torch.float64: 1e-12}


def drawn(network):
    """Weights for which all that is in a network counts: norms and statistics too."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in tensors.state(network).items():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator) * (1 if "var" in name else -1))
    return tensors.weights_of(network)


def pruned(network, of, sparsity):
    """Masks of random units at a sparsity, and how many units were kept."""
    weights = tensors.weights_of(network)
    names = prunable(network).names
    masks = m.ones(weights, names)
    allocation = Structured(DependencyGraph(), Global(min_per_layer=1))
    evidence = Evidence(0, {}, gathered(of))
    scores = Random()({name: weights[name] for name in names}, evidence)
    kept = allocation.kept(
        allocation.parts({name: tuple(weights[name].shape) for name in names}, lambda: evidence), sparsity
    )
    return allocation(scores, masks, sparsity, evidence), kept


def exact(make, shape, dtype=torch.float32):
    """Masked and compact outputs of one network at each sparsity, in evaluation and in training mode."""
    of = groups(make(), shape)
    whole = make().to(dtype)
    with torch.no_grad():
        weights = drawn(whole)
    x = batch(shape)[0].to(dtype)
    sizes = [sum(p.numel() for p in whole.parameters())]
    for sparsity in SPARSITIES:
        masks, _ = pruned(whole, of, sparsity)
        point, outputs = Point(weights, 0), {}
        for execution in (OfGroups(of), CompactOfGroups(of)):
            network = make().to(dtype)
            body = execution.enter(network, masks)
            body.load(point)
            with torch.no_grad():
                outputs[execution] = [network.eval()(x), network.train()(x)]
            assert body.point(0).weights.keys() == weights.keys()
        sizes.append(sum(p.numel() for p in network.parameters()))
        for masked, compact in zip(*outputs.values(), strict=True):
            assert (masked - compact).abs().max() <= TOLERANCE[dtype] * masked.abs().max()
    assert sizes == sorted(set(sizes), reverse=True)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_those_of_the_masked_network(name, dtype):
    exact(*NETWORKS[name], dtype)


def larger():
    import torchvision.models as models

    return {
        "vgg11": (lambda: VGG([3, 32, 32], 5, 11), (3, 32, 32)),
        "resnet18": (lambda: models.resnet18(num_classes=5), (3, 32, 32)),
        "mobilenet_v2": (lambda: models.mobilenet_v2(num_classes=5, dropout=0.0), (3, 32, 32)),
        "resnext": (
            lambda: models.ResNet(models.resnet.Bottleneck, [1, 2, 1, 1], num_classes=5, groups=8, width_per_group=8),
            (3, 32, 32),
        ),
        "densenet": (lambda: models.DenseNet(8, (2, 3), 16, num_classes=5), (3, 32, 32)),
        "vit": (
            lambda: models.VisionTransformer(16, 8, 2, 2, 16, 32, num_classes=5),
            (3, 16, 16),
        ),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", larger())
def test_outputs_of_larger_networks_are_those_of_the_masked(name):
    exact(*larger()[name], torch.float64)
    exact(*larger()[name])


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_the_compact_mlp_has_the_sizes_that_the_counts_say(sparsity):
    make, shape = NETWORKS["mlp"]
    of, network = groups(make(), shape), make()
    masks, kept = pruned(network, of, sparsity)
    assert kept == 17 - round(17 * sparsity)
    CompactOfGroups(of).enter(network, masks)
    first, second, output = (layer for layer in network.modules() if isinstance(layer, nn.Linear))
    assert first.out_features + second.out_features == kept
    assert tuple(first.weight.shape) == (first.out_features, 6)
    assert (
        tuple(second.weight.shape)
        == (second.out_features, second.in_features)
        == (second.out_features, first.out_features)
    )
    assert tuple(output.weight.shape) == (5, second.out_features)
    assert len(first.bias) == first.out_features


def test_a_group_of_which_nothing_is_left_keeps_one_unit():
    make, shape = NETWORKS["mlp"]
    of, network = groups(make(), shape), make()
    weights = tensors.weights_of(network)
    masks = {name: torch.zeros(weights[name].shape, dtype=torch.bool) for name in prunable(network).names}
    body = CompactOfGroups(of).enter(network, masks)
    body.load(Point(weights, 0))
    assert [tuple(p.shape) for p in network.parameters()] == [(1, 6), (1,), (1, 1), (1,), (5, 1), (5,)]
    x = batch(shape)[0]
    assert torch.equal(network(x), network(0 * x))


def small(optimizer="sgd", bias=True, **given):
    """The training of a small network with batch norm, and structured masks of half of its units."""

    def make():
        layers = nn.Linear(6, 9, bias=bias), nn.BatchNorm1d(9), nn.ReLU(), nn.Dropout(0.0), nn.Linear(9, 3)
        return Classification(nn.Sequential(*layers), without_rate(OPTIMIZERS[optimizer]), Constant(base=0.05))

    one = Training(make, source(), "25it", 0, **given)
    allocation = Structured(DependencyGraph(), Global(min_per_layer=1))
    weights = one.initial()
    found = one.probe(allocation.probe, weights, m.ones(weights, one.prunable))
    of = [weights[name] for name in one.prunable]
    scores = {
        name: torch.arange(w.numel()).reshape(w.shape).float().cos() for name, w in zip(one.prunable, of, strict=True)
    }
    return one, allocation, allocation(scores, m.ones(weights, one.prunable), 0.5, Evidence(0, weights, found))


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam", "adamw"])
def test_training_compact_is_training_masked(optimizer):
    # Without the bias before a batch norm, whose gradient is rounding alone: Adam makes steps of it.
    one, allocation, masks = small(optimizer, bias=False)
    start = one.fit(dense(one, stop=5))
    fits = []
    for execution in (allocation.execution, Compact(DependencyGraph())):
        how = {"execution": execution.prepared(one)}
        fits.append(one.fit(Fit.of(masks, start.resumable, 25, **how)))
    masked, compact = fits
    assert tensors.digest(masked.origin.weights) == tensors.digest(compact.origin.weights)
    for what in ("weights", "optimizer"):
        first, second = getattr(masked.point, what), getattr(compact.point, what)
        assert first.keys() == second.keys()
        for name in first:
            assert first[name].shape == second[name].shape
            torch.testing.assert_close(second[name], first[name], rtol=1e-4, atol=1e-5)
    for name, mask in masks.items():
        assert not torch.count_nonzero(compact.point.weights[name][~mask])
    losses = [[row["val/loss"] for row in fit.history] for fit in fits]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_what_lives_and_dies_with_a_unit_is_0_from_the_first_step_to_the_last():
    one, allocation, masks = small("adamw")
    start = one.fit(dense(one, stop=5))
    found = one.fit(Fit.of(masks, start.resumable, 25, execution=allocation.execution.prepared(one)), snapshots=[6, 17])
    dead = ~masks["0.weight"].any(1)
    assert 0 < dead.sum() < 9
    assert not masks["4.weight"][:, dead].any()
    for point in (found.origin, *found.snapshots.values(), found.point):
        for name in ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean"):
            assert not torch.count_nonzero(point.weights[name][dead]), name
            assert torch.count_nonzero(point.weights[name][~dead])
    for name, value in found.point.optimizer.items():
        if name.startswith(("0.", "1.")) and value.ndim:
            assert not torch.count_nonzero(value[dead]), name


def test_a_fit_that_was_killed_goes_on_to_the_same_bytes(tmp_path):
    one, _, masks = small(evaluate_every="3it")
    fit = Fit.of(masks, Point(one.initial(), 0), 25, execution=Compact(DependencyGraph()).prepared(one))
    expected, path = one.fit(fit), tmp_path / "progress.safetensors"
    with pytest.raises(Killed):
        one.fit(fit, checkpoints=Kept(path, 3))
    assert digest(one.fit(fit, checkpoints=CheckpointFile(path, "k", 0))) == digest(expected)


def test_masks_that_change_are_refused_before_anything_is_trained():
    with pytest.raises(ValueError, match="execution=Compact keeps its masks through a fit, and with dynamics=Gradual"):
        Recipe(dynamics=Gradual(), execution=Compact(DependencyGraph()))


def test_an_unstructured_ticket_loses_the_units_that_nothing_reads():
    make, shape = NETWORKS["mlp"]
    of, network = groups(make(), shape), make()
    weights = tensors.weights_of(network)
    masks = m.ones(weights, prunable(network).names)
    names = [*masks]
    masks[names[1]][:, 2:5] = False  # three units of the first layer are read by nothing, and made by what is kept
    x, outputs = batch(shape)[0], []
    for execution in (OfGroups(of), CompactOfGroups(of)):
        body = execution.enter(one := make(), masks)
        body.load(Point(weights, 0))
        outputs.append(one(x))
    torch.testing.assert_close(*outputs)
    assert len(one.state_dict()[names[0]]) == 6
    assert body.point(0).weights[names[0]].shape == weights[names[0]].shape


class OnInput(nn.Module):
    """A layer whose outputs are added to the network's input, and one whose are not."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.output = nn.Linear(6, 6), nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.output(self.second((x + self.first(x)).relu()).relu())


class Strict(OnInput):
    """Likewise, and it says so itself."""

    def forward(self, x):
        added = self.first(x)
        assert added.shape[1] == 6
        return self.output(self.second(added.relu()).relu())


@pytest.mark.parametrize("network", [OnInput, Strict])
def test_units_that_cannot_be_missing_are_held_at_zero(network):
    def make():
        return Classification(network(), torch.optim.SGD, Constant(base=0.05))

    one = Training(make, source(), "5it", 0)
    execution = Compact(DependencyGraph()).prepared(one)
    assert [group.name for group in execution.groups] == ["second.weight"]
    masks = m.ones(one.initial(), one.prunable)
    masks["first.weight"][:4], masks["second.weight"][:, :4], masks["output.weight"][:, 5:] = False, False, False
    masked, compact = (one.module(Point(one.initial(), 0), masks, each) for each in (None, execution))
    assert compact.network.second.weight.shape == (5, 6)
    x = torch.randn(4, 6)
    torch.testing.assert_close(compact(x), masked(x))
