import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import ltb
from ltb.core.points import Point
from ltb.store.ticket import Ticket, load_point, save_point


def ticket(net):
    masks = {"0.weight": torch.rand(net[0].weight.shape) < 0.5}
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    return Ticket(masks, Point(weights, 500, {"0.weight/exp_avg": torch.ones(4, 3)}), {"run_id": "r", "seed": 0})


def test_masks_keep_the_networks_order_and_equal_tickets_are_equal_bytes(tmp_path):
    masks = {name: torch.ones(2, dtype=torch.bool) for name in ("z", "b", "a")}
    one = Ticket(masks, Point({name: torch.zeros(2) for name in masks}, 0), {"run_id": "r"})
    one.save(tmp_path / "t.safetensors")
    # Ties between layers fall in this order.
    assert list(Ticket.load(tmp_path / "t.safetensors").masks) == ["z", "b", "a"]
    written = set()
    for _ in range(10):
        one.save(tmp_path / "t.safetensors")
        written.add((tmp_path / "t.safetensors").read_bytes())
    assert len(written) == 1


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def test_a_ticket_comes_back_whole_and_goes_into_any_matching_module(tmp_path):
    net = network()
    one = ticket(net)
    one.save(tmp_path / "t.safetensors")
    two = ltb.Ticket.load(tmp_path / "t.safetensors")
    assert torch.equal(one.masks["0.weight"], two.masks["0.weight"])
    assert (two.origin.step, two.provenance, two.density) == (500, {"run_id": "r", "seed": 0}, one.density)
    assert torch.equal(two.origin.optimizer["0.weight/exp_avg"], torch.ones(4, 3))
    other = network()
    two.apply(other)
    mask = one.masks["0.weight"]
    assert torch.equal(other[0].weight[mask], net[0].weight[mask])
    assert torch.count_nonzero(other[0].weight[~mask]) == 0
    assert torch.equal(other[0].bias, net[0].bias)
    wrapped = nn.Module()
    wrapped.network = network()
    two.apply(wrapped)
    assert torch.equal(wrapped.network[0].weight, other[0].weight)


def test_a_module_that_does_not_match_is_refused_by_what_differs():
    with pytest.raises(ValueError, match=r"do not fit Sequential: 0.bias is \(4,\).*the network's is \(5,\)"):
        ticket(network()).apply(nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5)))
    with pytest.raises(ValueError, match=r"do not fit Linear: .*0.weight is not in the network"):
        ticket(network()).apply(nn.Linear(3, 4))


def test_what_is_no_ticket_is_named(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(1)}, path)
    with pytest.raises(ValueError, match=r"x.safetensors is not an ltb.ticket file"):
        Ticket.load(path)
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"x.safetensors is damaged"):
        Ticket.load(path)
    save_point(Point({"a": torch.ones(1)}, 3), path)
    assert load_point(path).step == 3
    with pytest.raises(ValueError, match=r"is not an ltb.ticket file but ltb.point"):
        Ticket.load(path)
    with pytest.raises(FileNotFoundError):
        Ticket.load(tmp_path / "absent.safetensors")
