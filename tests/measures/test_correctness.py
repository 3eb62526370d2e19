"""One bit an example, in the order of the split."""

import torch

from ltb.core import masks
from ltb.measures import Correctness
from tests.measures.bench import ask


def test_literal_scores_in_two_batches():
    scores = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0], [1.0, 1.0]])
    found = ask(Correctness(), (scores[:3], torch.tensor([0, 0, 0])), (scores[3:], torch.tensor([0])))
    assert found.values == {"accuracy": 0.75, "examples": 4}
    assert found.tensors["examples"].tolist() == [4]
    assert masks.unpack(found.tensors["correct"], (4,)).tolist() == [True, False, True, True]
    assert found.tensors["correct"].tolist() == [0b10110000]
