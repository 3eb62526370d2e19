"""What students are measured by: bytes and FLOPs of the pruned network and of a dense one, by hand."""

import pytest
import torch

from ltb.core import masks as m
from ltb.measures.bytes import sizes
from ltb.run.students import EqualBytes, EqualFlops
from tests.training.small import training

BENCH = training()
SHAPES = {name: tuple(tensor.shape) for name, tensor in BENCH.initial().items()}
PRUNABLE = [(9, 6), (3, 9)]
WEIGHTS = 9 * 6 + 3 * 9


def rest():
    """The bytes of all that is not prunable, by hand: numbers of 4 bytes, a batch norm's count of 8."""
    return sum(
        8 if name.endswith("num_batches_tracked") else 4 * torch.Size(shape).numel()
        for name, shape in SHAPES.items()
        if name not in BENCH.prunable
    )


def test_the_network_is_what_this_file_takes_it_for():
    assert [SHAPES[name] for name in BENCH.prunable] == PRUNABLE


@pytest.mark.parametrize("density", [0.01, 0.3, 1.0])
@pytest.mark.parametrize(
    ("storage", "bytes_of"),
    [
        ("dense", lambda a, rows, columns: 4 * rows * columns),
        ("bitmask", lambda a, rows, columns: 4 * a + rows * columns / 8),
        ("coo", lambda a, rows, columns: 6 * a),  # indices of one byte
        ("coo64", lambda a, rows, columns: 20 * a),
        ("csr32", lambda a, rows, columns: 8 * a + 4 * (rows + 1)),
        ("csc32", lambda a, rows, columns: 8 * a + 4 * (columns + 1)),
    ],
)
def test_the_bytes_of_the_pruned_network_by_hand(storage, bytes_of, density):
    budget, said = EqualBytes(density=density, format=storage).budget(BENCH)
    assert budget == pytest.approx(rest() + sum(bytes_of(density * r * c, r, c) for r, c in PRUNABLE))
    assert said == f"as {storage} "


@pytest.mark.parametrize("density", [0.02, 0.1, 0.5, 0.9, 1.0])
def test_without_a_name_it_is_the_format_that_takes_the_fewest(density):
    smallest, said = EqualBytes(density=density).budget(BENCH)
    named = {
        name: EqualBytes(density=density, format=name).budget(BENCH)[0]
        for name in (
            *("dense", "bitmask", "coo", "coo64", "csr", "csr32", "csr64"),
            *("csc", "csc32", "bsr", "relative", "huffman"),
        )
    }
    assert smallest == min(named.values()) == named[said.split()[1]]
    assert (said == "as dense ") is (density == 1)


def test_bytes_are_those_that_the_measure_counts():
    """A third of each layer kept, exactly: formulas without an average are what is stored."""
    initial = BENCH.initial()
    masks = {name: (torch.arange(initial[name].numel()) % 3 == 0).view(initial[name].shape) for name in BENCH.prunable}
    counted = sizes(initial, masks)
    assert counted["rest"] == rest()
    for name in ("dense", "bitmask", "coo", "csr32", "csc32"):
        budget, _ = EqualBytes(density=1 / 3, format=name).budget(BENCH)
        assert counted[name] == pytest.approx(budget, abs=len(PRUNABLE))  # whole bytes of bits
    dense = sizes(initial, m.ones(initial, BENCH.prunable))["dense"]
    assert EqualBytes(density=0.1).size(BENCH) == dense


def test_the_flops_of_both_by_hand():
    one = EqualFlops(density=0.25)
    assert one.budget(BENCH) == (2 * WEIGHTS * 0.25, "")
    assert one.size(BENCH) == 2 * WEIGHTS


def test_what_is_not_pruned_is_whole_in_both():
    name = BENCH.prunable[0]
    bench = training(exclude=[name])
    assert EqualFlops(density=0.5).budget(bench)[0] == 2 * (9 * 6 + 0.5 * 3 * 9)
    budget, _ = EqualBytes(density=0.5, format="coo64").budget(bench)
    assert budget == pytest.approx(rest() + 4 * 9 * 6 + 20 * 0.5 * 3 * 9)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"density": 0}, r"student.density=0: a number, above 0, to 1"),
        ({"density": 1.01}, r"student.density=1.01: a number, above 0, to 1"),
        ({"density": 0.1, "argument": 3}, r"student.argument=3: a text or null"),
        ({"density": 0.1, "format": 3}, r"student.format=3: a text or null"),
    ],
)
def test_bad_values_are_named(given, said):
    with pytest.raises(ValueError, match=said):
        EqualBytes(**given)


def test_a_format_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(
        ValueError, match=r"^student.format='2:4': null \(the smallest\) or one of dense, bitmask, .*huffman$"
    ):
        EqualBytes(density=0.1, format="2:4").budget(BENCH)
