"""Sparse layers give what the dense ones give under masks."""

import pytest
import torch
from torch import nn

from ltb.core import masks as m
from ltb.core import tensors
from ltb.measures.kernels import SparseConvolution, SparseLinear, sparse

LAYERS = [
    (nn.Linear(7, 5), (3, 7)),
    (nn.Linear(7, 5, bias=False), (2, 4, 7)),
    (nn.Linear(7, 5), (7,)),
    (nn.Conv2d(3, 4, 3, padding=1), (2, 3, 6, 5)),
    (nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=2, bias=False), (2, 3, 9, 8)),
    (nn.Conv2d(3, 4, 1, padding="valid"), (2, 3, 6, 5)),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda one: str(one).replace(" ", ""))
@pytest.mark.parametrize("density", [0.0, 0.3])
def test_outputs_are_those_of_the_dense_layer(layer, shape, density):
    torch.manual_seed(0)
    network = nn.Sequential(layer).double()
    masks = {"0.weight": torch.rand(layer.weight.shape) < density}
    tensors.load(network, m.apply(tensors.weights_of(network), masks))
    x = torch.randn(shape, dtype=torch.float64)
    with torch.no_grad():
        expected = network(x)
        found = sparse(nn.Sequential(layer), masks)
        assert isinstance(found[0], SparseLinear | SparseConvolution)
        assert found[0].weight.layout == torch.sparse_csr
        torch.testing.assert_close(found(x), expected)


def test_what_has_no_kernel_and_what_is_not_pruned_stays():
    network = nn.Sequential(
        nn.Conv2d(4, 4, 3, groups=2), nn.ConvTranspose2d(4, 4, 3), nn.Conv2d(4, 2, 3), nn.Linear(3, 3)
    )
    masks = {f"{i}.weight": torch.zeros_like(network[i].weight).bool() for i in range(3)}
    masks["3.weight"] = torch.ones(3, 3).bool()
    kinds = [type(layer) for layer in sparse(network, masks)]
    assert kinds == [nn.Conv2d, nn.ConvTranspose2d, SparseConvolution, nn.Linear]
