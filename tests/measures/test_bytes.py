"""Bytes of networks by hand, and beside scipy's and torch's own."""

import io

import pytest
import torch
import zstandard
from scipy import sparse
from torch import nn

from ltb.core import tensors
from ltb.measures import Bytes
from ltb.measures.bytes import sizes
from tests.measures.bench import masked


def lenet(density):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.BatchNorm1d(100))
    weights = tensors.weights_of(network)
    return weights, {name: torch.rand(weights[name].shape) < density for name in ("0.weight", "2.weight")}


def test_two_layers_by_hand():
    found = Bytes()([masked(a=[[1, 0, 0], [0, 1, 1]], b=[[[[1, 0], [0, 0]]]])], bench=None).values
    # a: 3 of 2 × 3; b: 1 of 1 × 4; float32, indices of one byte.
    assert {name: found[name] for name in found if name.endswith("/a") and "zstd" not in name} == {
        "dense/a": 24, "bitmask/a": 3 * 4 + 1, "coo/a": 3 * 6, "coo64/a": 3 * 20, "csr/a": 3 * 5 + 3, "csr32/a": 3 * 8 + 12,
        "csr64/a": 3 * 12 + 24, "csc/a": 3 * 5 + 4, "csc32/a": 3 * 8 + 16, "bsr/a": 64 + 2 + 1, "relative/a": 3 * 4 + 2,
        "2:4/a": 2 * 8 + 1, "huffman/a": 3 * 4 + 32 + 1, "dense_bf16/a": 12, "dense_int8/a": 6, "bitmask_bf16/a": 3 * 2 + 1,
        "bitmask_int8/a": 3 + 1, "csr_bf16/a": 3 * 3 + 3, "csr_int8/a": 3 * 2 + 3, "huffman_bf16/a": 3 * 2 + 33,
        "huffman_int8/a": 3 + 33,
        # One value in the table, which a code of a bit stands for.
        "dense_codes/a": 1 + 4, "bitmask_codes/a": 1 + 1 + 4, "csr_codes/a": 6 + 1 + 4, "huffman_codes/a": 33 + 1 + 2 + 4,
        "coo_numbers/a": 9, "csr_numbers/a": 6 + 3, "csc_numbers/a": 6 + 4,
    }  # fmt: skip
    assert (found["csr/b"], found["relative/b"]) == (5 + 2, 4 + 1)
    assert found["csr"] == found["csr/a"] + found["csr/b"] + found["rest"]
    assert found["csr_numbers"] == found["csr_numbers/a"] + found["csr_numbers/b"]


@pytest.mark.parametrize("density", [0.02, 0.1, 0.5, 1.0])
def test_a_network_is_as_large_as_scipys_and_torchs_matrices_and_what_is_not_prunable(density):
    weights, masks = lenet(density)
    found = sizes(weights, masks)
    rest = sum(tensor.numel() * tensor.element_size() for name, tensor in weights.items() if name not in masks)
    assert found["rest"] == rest == 4 * (300 + 100 + 4 * 100) + 8
    assert found["dense"] == 4 * (784 * 300 + 300 * 100) + rest
    assert (
        found["dense_int8"] == 784 * 300 + 300 * 100 + (300 + 100 + 4 * 100) + 8
    )  # a counter of batches stays what it is
    scipys = [sparse.csr_matrix((weights[name] * mask).numpy()) for name, mask in masks.items()]
    assert found["csr32"] == rest + sum(m.data.nbytes + m.indices.nbytes + m.indptr.nbytes for m in scipys)
    torchs = [(weights[name] * mask).to_sparse().coalesce() for name, mask in masks.items()]
    assert found["coo64"] == rest + sum(m.indices().nbytes + m.values().nbytes for m in torchs)


def test_deep_compressions_indices_are_smaller_than_coordinates_at_a_tenth():
    found = sizes(*lenet(0.1))
    assert (
        found["huffman"]
        < found["relative"]
        < found["bitmask"]
        < found["csr"]
        < found["csr32"]
        < found["coo64"]
        < found["dense"]
    )


def test_two_of_four_has_bytes_where_every_layer_is_so_pruned():
    weights, masks = lenet(0.9)
    assert sizes(weights, masks)["2:4"] is None
    masks = {name: (torch.arange(mask.numel()) % 4 < 2).reshape(mask.shape) for name, mask in masks.items()}
    found = sizes(weights, masks)
    assert found["2:4"] - found["rest"] == 17 / 32 * (found["dense"] - found["rest"])


def test_zstd_is_what_another_compressor_reads_back():
    weights, masks = lenet(0.1)
    found = sizes({"a": weights["0.weight"]}, {"a": masks["0.weight"]})
    dense = torch.where(masks["0.weight"], weights["0.weight"], 0.0).numpy().tobytes()  # 0 · −1 is −0
    frame = zstandard.ZstdCompressor().compress(dense)
    assert zstandard.ZstdDecompressor().stream_reader(io.BytesIO(frame)).read() == dense
    assert found["dense_zstd"] == len(frame) < found["dense"] / 4
    assert found["bitmask_zstd"] <= found["bitmask"] + 100
