"""Around an update: after the gradients are there, before the weights move, with a closure and without."""

import pytest
import torch

from ltb.core.updates import around_updates


@pytest.mark.parametrize("way", ["alone", "closure", "named"])
def test_before_sees_the_gradients_that_the_update_takes(way):
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer, seen = torch.optim.SGD([weight], lr=0.1), []

    def note():
        seen.append((weight.tolist(), weight.grad.tolist()))

    def closure():
        optimizer.zero_grad()
        loss = (weight * torch.tensor([3.0, 5.0])).sum()
        loss.backward()
        return loss

    handles = around_updates(optimizer, note, note)
    if way == "alone":
        closure()
        optimizer.step()
    else:
        loss = optimizer.step(closure) if way == "closure" else optimizer.step(closure=closure)
        assert float(loss.detach()) == 13.0
    assert seen[0] == ([1.0, 2.0], [3.0, 5.0])
    assert seen[1] == (pytest.approx([0.7, 1.5]), [3.0, 5.0])
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert len(seen) == 2
