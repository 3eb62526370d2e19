import pytest
import torch
from torch import nn

from ltb.core import tensors


def test_weights_are_copies_of_parameters_and_buffers_and_go_back_bit_for_bit():
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    kept = tensors.weights_of(net)
    before = tensors.digest(kept)
    assert set(kept) == set(net.state_dict())
    net(torch.randn(5, 3)).sum().backward()  # moves the running statistics
    with torch.no_grad():
        net[0].weight.add_(1)
    assert tensors.digest(kept) == before != tensors.digest(net.state_dict())
    tensors.load(net, kept)
    assert tensors.digest(net.state_dict()) == before
    assert not {t.data_ptr() for t in net.state_dict().values()} & {t.data_ptr() for t in kept.values()}


class Keeps(nn.Module):
    def __init__(self, buffer):
        super().__init__()
        self.register_buffer("kept", buffer)


class Extra(nn.Linear):
    def get_extra_state(self):
        return {"seen": 3}


@pytest.mark.parametrize(
    ("network", "what"),
    [
        (lambda: Keeps(torch.eye(3).to_sparse()), "kept in its state dict is torch.float32, torch.sparse_coo"),
        (lambda: Keeps(torch.zeros(2, dtype=torch.cfloat).conj()), "kept in its state dict is torch.complex64"),
        (lambda: Extra(2, 2), "_extra_state in its state dict is of type dict"),
    ],
)
def test_what_a_point_cannot_keep_is_named(network, what):
    with pytest.raises(ValueError, match=f"{what}.*plain dense tensors alone"):
        tensors.check(network())
    tensors.check(nn.BatchNorm1d(2))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"weight": torch.ones(2, 3)}, "bias is missing"),
        ({"weight": torch.ones(2, 3), "bias": torch.ones(2), "x": torch.ones(1)}, "x is not in the network"),
        (
            {"weight": torch.ones(3, 2), "bias": torch.ones(2)},
            r"weight is \(3, 2\) torch.float32, the network's is \(2, 3\)",
        ),
        ({"weight": torch.ones(2, 3).double(), "bias": torch.ones(2)}, "torch.float64"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        tensors.load(nn.Linear(3, 2), weights)


def test_the_digest_tells_names_shapes_types_and_bits_apart():
    base = {"a": torch.zeros(2, 2)}
    others = [
        {"b": torch.zeros(2, 2)},
        {"a": torch.zeros(4)},
        {"a": torch.zeros(2, 2).half()},
        {"a": -torch.zeros(2, 2)},
    ]
    assert len({tensors.digest(w) for w in [base, *others]}) == 5
    assert tensors.digest({"a": torch.zeros(2, 2)}) == tensors.digest(base)


def test_a_pruned_tied_parameter_is_pruned_under_both_its_names():
    from ltb.core import masks as m

    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    mask = torch.eye(3, dtype=torch.bool)
    tensors.load(net, m.apply(tensors.weights_of(net), {"0.weight": mask}))
    assert torch.count_nonzero(net[1].weight[~mask]) == 0
