"""An optimizer's state that could not be put back is refused; all of torch's that a run can use has tensors alone."""

import pytest
import torch
from torch import nn

from ltb.core import optimizer_state
from tests.core.test_hold import EACH, TORCHS


def stepped(optimizer, network):
    def closure():
        optimizer.zero_grad()
        loss = network(torch.ones(2, 3)).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    return optimizer


@pytest.mark.parametrize("name", sorted({name for name, _ in EACH} - {"Muon"}))  # Muon takes matrices alone
def test_what_torch_ships_has_tensors_alone(name):
    network = nn.Linear(3, 2)
    optimizer_state.check(stepped(TORCHS[name](network.parameters()), network))


def test_lbfgs_is_refused_by_name():
    network = nn.Linear(3, 2)
    with pytest.raises(
        ValueError, match="LBFGS keeps 'func_evals' as a int, and what is resumed or rewound needs it as a tensor"
    ):
        optimizer_state.check(stepped(torch.optim.LBFGS(network.parameters()), network))


def test_a_count_of_steps_in_plain_python_is_refused():
    class Counting(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            for group in self.param_groups:
                for parameter in group["params"]:
                    self.state[parameter]["step"] = self.state[parameter].get("step", 0) + 1

    network = nn.Linear(3, 2)
    with pytest.raises(ValueError, match="Counting keeps 'step' as a int"):
        optimizer_state.check(stepped(Counting(network.parameters(), lr=0.1), network))
