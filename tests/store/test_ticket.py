import json
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

import ltb
from ltb.common.errors import Damaged
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


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(-2, 2)
    | st.sampled_from(["", "1", "0.weight", "a\nb\x1b[2J"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["0.weight", "1", "z\n"]), inner, max_size=2)
    ),
    max_leaves=4,
)
WRONG = {
    "format": PLAIN.filter(lambda value: value != "1"),
    "kind": PLAIN,
    "step": PLAIN.filter(lambda value: type(value) is not int or value < 0) | st.sampled_from([2**63, 10**400, 1e300, -1, 500.0]),
    "shapes": PLAIN | st.sampled_from(
        [{"0.weight": shape} for shape in ([3, 4], [4, 3.0], [4, 2], [True, 12], [-4, -3], [12], [2**70], "43", None, [])]
        + [{"0.weight": [4, 3], "0.bias": [4]}, {"0.weight": [4, 3], "z": [4, 3]}, {"1.num_batches_tracked": []}, {}]
    ),
    "provenance": PLAIN.filter(lambda value: not isinstance(value, dict)),
}  # fmt: skip


def parts(path):
    """A safetensors file: the header's length, the header, the bytes of the tensors."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def rewritten(path, header, tensors, told=None):
    """Put another header before the same tensors; `told` is the text of ltb's own part of it."""
    if told is not None:
        header = {**header, "__metadata__": {"ltb": told}}
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    path.write_bytes(struct.pack("<Q", len(text)) + text + tensors)


def refused(path, load=None):
    """The file is damaged, and said to be so in one line that names it."""
    with pytest.raises(Damaged) as found:
        (load or Ticket.load)(path)
    text = str(found.value)
    assert text.startswith(str(path))
    assert text.isprintable()
    return text


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("ticket") / "t.safetensors"
    torch.manual_seed(0)
    ticket(network()).save(path)
    return path


@given(data=st.data(), name=st.sampled_from(sorted(WRONG)))
def test_any_other_value_in_a_tickets_header_is_damage(saved, data, name):
    path, (header, tensors) = saved.with_name("x.safetensors"), parts(saved)
    told = json.loads(header["__metadata__"]["ltb"])
    rewritten(path, header, tensors, json.dumps({**told, name: data.draw(WRONG[name], label=name)}))
    refused(path)


@given(told=PLAIN.map(json.dumps) | st.text(max_size=30) | st.just("[" * 100_000) | st.just("9" * 5000))
def test_any_other_header_is_damage(saved, told):
    header, tensors = parts(saved)
    rewritten(path := saved.with_name("x.safetensors"), header, tensors, told)
    refused(path)


def test_a_header_that_lacks_something_or_has_it_twice_is_damage(saved):
    path, (header, tensors) = saved.with_name("x.safetensors"), parts(saved)
    text = header["__metadata__"]["ltb"]
    told = json.loads(text)
    for name in told:
        rewritten(path, header, tensors, json.dumps({key: value for key, value in told.items() if key != name}))
        refused(path)
        again = text[:-1] + f", {json.dumps(name)}: {json.dumps(told[name])}}}"
        rewritten(path, header, tensors, again)
        assert "is there twice" in refused(path)
    for name in [name for name in header if name.startswith(("mask/", "weight/0.weight"))]:
        other = {f"{name}\n" if key == name else key: value for key, value in header.items()}
        rewritten(path, other, tensors)
        refused(path)
    other = {key.replace("weight/", "wieght/"): value for key, value in header.items()}
    rewritten(path, other, tensors)
    refused(path)
    rewritten(path, json.dumps(header).encode()[:-1] + b"," + json.dumps(header).encode()[1:], tensors)
    refused(path)


def test_masks_of_whole_numbers_and_tensors_that_belong_to_nothing_are_damage(saved):
    path, (header, tensors) = saved.with_name("x.safetensors"), parts(saved)
    rewritten(path, {**header, "weight/0.weight": {**header["weight/0.weight"], "dtype": "I32"}}, tensors)
    assert "torch.int32" in refused(path)
    rewritten(path, {**header, "mask/0.weight": {**header["mask/0.weight"], "dtype": "I8"}}, tensors)
    refused(path)
    rewritten(
        path, {("other" if key.startswith("optimizer/") else key): value for key, value in header.items()}, tensors
    )
    assert "'other' is no part of a ticket" in refused(path)
    rewritten(path, {key.replace("optimizer/0.w", "optimizer/w"): value for key, value in header.items()}, tensors)
    assert "'optimizer/weight/exp_avg' is no part of a ticket" in refused(path)


@given(step=WRONG["step"])
def test_a_point_has_a_step_too(saved, step):
    path = saved.with_name("p.safetensors")
    save_point(Point({"a": torch.ones(1)}, 3), path)
    header, tensors = parts(path)
    told = json.loads(header["__metadata__"]["ltb"])
    rewritten(path, header, tensors, json.dumps({**told, "step": step}))
    refused(path, load_point)


def test_what_is_no_ticket_is_not_made(tmp_path):
    weights = {"a": torch.ones(2), "n": torch.ones(2, dtype=torch.long)}
    for masks in ({"a": torch.ones(2)}, {"b": torch.ones(2) > 0}, {"a": torch.ones(3) > 0}, {"n": torch.ones(2) > 0}):
        with pytest.raises(ValueError, match=f"^mask '{next(iter(masks))}'"):
            Ticket(masks, Point(weights, 0))
    for step in (-1, True, 2**63, 1.0):
        with pytest.raises(ValueError, match=r"^step is .*; a whole number, 0 or more$"):
            Ticket({"a": torch.ones(2) > 0}, Point(weights, step)).save(tmp_path / "t.safetensors")
    assert list(tmp_path.iterdir()) == []
