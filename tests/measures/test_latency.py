"""Latency and memory of a small network's variants: what is there, what is equal, and what is refused."""

import pytest
import torch
from torch import nn

from ltb.common.machine import processor
from ltb.core import masks as m
from ltb.core.points import Point
from ltb.core.results import Trained
from ltb.measures import Latency, Memory
from ltb.measures.memory import peak
from ltb.measures.variants import Made
from tests.training.small import dense, training

STANDARD = {"dense", "masked", "csr", "harvested"}


@pytest.fixture(scope="module")
def ticket():
    one = training(dropout=0.0)
    trained = one.fit(dense(one, stop=5))
    masks = {name: mask.clone() for name, mask in trained.masks.items()}
    masks["0.weight"][2:, :3], masks["4.weight"][:, :2] = False, False
    return one, Trained(masks, trained.origin, Point(m.apply(trained.point.weights, masks), 5))


def test_each_variant_is_timed_and_gives_the_masked_networks_outputs(ticket):
    one, result = ticket
    values = one.measure(Latency(batches=(1, 60), rounds=10), [result]).values
    assert {name for name in values if "@" not in name and "/" not in name} == set()
    for name in STANDARD:
        assert 0 <= values[f"{name}/difference"] < 1e-5 or name == "dense"
        for size in (1, 60):
            assert 0 < values[f"{name}@{size}/low"] <= values[f"{name}@{size}"] <= values[f"{name}@{size}/high"]
    assert values["dense/difference"] > 1e-3  # other weights
    assert values[f"threads/{processor()}"] == torch.get_num_threads()


def test_what_one_thread_computed_is_of_one_thread(ticket, monkeypatch):
    one, result = ticket
    found = one.measure(Latency(batches=(1,), rounds=10, cpu_time=True), [result])
    assert found.values["masked@1"] > 0
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(ValueError, match=r"^measure.latency.cpu_time=true: it is that of one thread: threads=1$"):
        one.measure(Latency(cpu_time=True), [result])


def test_weights_in_memory_by_hand(ticket):
    one, result = ticket
    values = one.measure(Memory(batches=(4,)), [result]).values
    rest = 4 * (9 + 4 * 9 + 3) + 8
    assert values["dense"] == values["masked"] == 4 * (54 + 27) + rest
    kept = m.remaining(result.masks)
    assert values["csr"] == 8 * kept + 4 * (10 + 4) + rest
    assert values["harvested"] == values["masked"] - 2 * 4 * (
        6 + 1 + 4 + 3
    )  # of each of two units: weights, bias, norm
    # At least the first layer's outputs and what the norm makes of them.
    assert values["masked@4"] >= 2 * 4 * 4 * 9


def test_a_peak_is_what_is_there_at_once():
    with torch.inference_mode():
        x = torch.zeros(1000)
        assert peak(Made(lambda x: ((x + 1) + 1) + 1, 0), x) == pytest.approx(8000, abs=100)
        assert peak(Made(nn.Identity(), 0), x) == 0


@pytest.mark.parametrize(("given", "extra", "packages"), [
    ({"int8": True}, "int8", "torchao"), ({"onnx": True}, "onnx", "onnx, onnxscript, onnxruntime"),
])  # fmt: skip
def test_a_package_that_is_not_installed_is_named(ticket, monkeypatch, given, extra, packages):
    monkeypatch.setattr("ltb.common.extras.find_spec", lambda name: None)
    one, result = ticket
    for measure in (Latency(**given), Memory(**given)):
        with pytest.raises(ValueError, match=rf"^measure: variant \w+ needs {packages}: pip install 'ltb\[{extra}\]'$"):
            one.measure(measure, [result])


@pytest.mark.slow
def test_integers_and_onnxruntime_give_nearly_the_masked_networks_outputs(ticket):
    for package in ("torchao", "onnxruntime"):
        pytest.importorskip(package)
    one, result = ticket
    values = one.measure(Latency(batches=(1, 8), rounds=10, int8=True, onnx=True), [result]).values
    assert values["onnx/difference"] < 1e-5
    assert 0 < values["int8/difference"] < 0.1
    assert 0 < values["onnx_int8/difference"] < 0.1
    values = one.measure(Memory(batches=(8,), int8=True, onnx=True), [result]).values
    assert values["onnx@8"] is None
    assert values["int8"] < values["masked"] + 500
