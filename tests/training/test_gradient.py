import pytest
import torch
from torch.nn import functional

from ltb.core import masks as m
from ltb.core.criteria import Gradient
from tests.training.small import network, training


def test_the_gradient_is_that_of_the_mean_loss_at_the_masked_weights_over_the_first_batches():
    one = training(2)
    weights = one.initial()
    masks = {name: torch.rand(weights[name].shape) < 0.5 for name in one.prunable}
    found = one.probe(Gradient(batches=3), weights, masks)["gradient"]
    net = network()
    net.load_state_dict(m.apply(weights, masks))
    net.eval()
    x, y = (torch.cat(parts) for parts in zip(*one.source.stream(2, 0, 3), strict=True))
    functional.cross_entropy(net(x), y).backward()
    for name, parameter in net.named_parameters():
        assert torch.allclose(found[name], parameter.grad, atol=1e-6)
    assert torch.count_nonzero(found["0.weight"][~masks["0.weight"]])
    with pytest.raises(ValueError, match=r"criterion.probe.batches=0"):
        Gradient(batches=0)
