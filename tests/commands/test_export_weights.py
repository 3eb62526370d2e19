"""python -m ltb.export and ltb.load: a level's weights for others, whole commands."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import ltb
from ltb import export, formats
from ltb.core import tensors
from ltb.core.contracts import network_of
from ltb.formats import onnx
from ltb.store.ticket import Ticket
from tests.support.command import TINY, ledger


@pytest.fixture
def run(command, monkeypatch):
    folder = command.done(*TINY, "method=imp")
    monkeypatch.chdir(command.folder)
    return folder


def test_a_state_dict_is_what_load_state_dict_takes(run, capsys):
    assert export.main([str(run), "a.safetensors"]) == 0
    module = ltb.load(run)
    found = load_file("a.safetensors")
    assert tensors.digest(found) == tensors.digest(tensors.state(network_of(module)))
    fresh = network_of(ltb.load(run, level=0))
    assert tensors.digest(tensors.state(fresh)) != tensors.digest(found)
    fresh.load_state_dict(found)
    assert tensors.digest(tensors.state(fresh)) == tensors.digest(found)
    kept = sum(int((found[name] != 0).sum()) for name in Ticket.load(next(run.glob("tickets/*2*"))).masks)
    assert kept == int(ledger(run)[2]["remaining"])
    assert "a.safetensors: safetensors, " in capsys.readouterr().out


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_the_end_of_the_name_is_the_format_and_the_mode_is_the_umasks(run, umask):
    before = os.umask(umask)
    try:
        for name in ("a.pt", "a.ckpt", "a.safetensors", "a", "b.PTH"):
            assert export.main([str(run), name]) == 0
            assert Path(name).stat().st_mode & 0o777 == 0o666 & ~umask
    finally:
        os.umask(before)
    trained = tensors.state(network_of(ltb.load(run)))
    found = torch.load("a.pt", weights_only=True), load_file("a.safetensors"), load_file("a")
    assert {tensors.digest(one) for one in found} == {tensors.digest(trained)}
    assert tensors.digest(torch.load("b.PTH", weights_only=True)) == tensors.digest(trained)
    assert "state_dict" in torch.load("a.ckpt", weights_only=True)


def test_the_module_has_the_ledgers_accuracy(run):
    module = ltb.load(run, level=1)
    from ltb.run.measuring import again

    made, _ = again(run)
    right = [(module(x).argmax(1) == y).double() for x, y in made.training.batches("test")]
    assert float(torch.cat(right).mean()) == pytest.approx(float(ledger(run)[1]["test/accuracy"]))


@pytest.mark.parametrize("form", sorted(set(formats.SPARSE) - {"2:4"}))
def test_a_sparse_file_is_read_back_to_the_ticket(run, form):
    assert export.main([str(run), "a", "--what", "ticket", "--level", "2", "--format", form]) == 0
    ticket = Ticket.load(next(run.glob("tickets/*2*")))
    assert tensors.digest(formats.read("a")) == tensors.digest(ticket.origin.weights)


def test_a_checkpoint_of_torch_and_of_lightning_load_as_plain_names(run):
    trained = network_of(ltb.load(run))
    for form in ("torch", "lightning"):
        assert export.main([str(run), form, "--format", form]) == 0
    assert tensors.digest(torch.load("torch", weights_only=True)) == tensors.digest(tensors.state(trained))
    fresh = ltb.load(run, level=0)
    made = type(fresh).load_from_checkpoint(
        "lightning",
        weights_only=True,
        network=network_of(fresh),
        optimizer=torch.optim.SGD,
        learning_rate=fresh.learning_rate,
    )
    assert tensors.digest(tensors.state(network_of(made))) == tensors.digest(tensors.state(trained))


@pytest.mark.slow
def test_onnx_gives_the_networks_outputs_for_batches_of_any_size(run):
    onnxruntime = pytest.importorskip("onnxruntime")
    assert export.main([str(run), "a.onnx", "--format", "onnx"]) == 0
    network = network_of(ltb.load(run))
    session = onnxruntime.InferenceSession("a.onnx", providers=["CPUExecutionProvider"])
    for size in (1, 7):
        x = torch.randn(size, 40)
        (found,) = session.run(None, {"x": x.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), network(x).detach(), rtol=1e-4, atol=1e-5)


def test_a_package_that_is_not_installed_is_named(run, capsys, monkeypatch):
    monkeypatch.setattr("ltb.common.extras.find_spec", lambda name: None)
    assert export.main([str(run), "a.onnx", "--format", "onnx"]) == 2
    assert (
        capsys.readouterr().err == "ltb: --format onnx needs onnx, onnxscript, onnxruntime: pip install 'ltb[onnx]'\n"
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["a", "--level", "3"], "level 3 is not in the ledger of "),
        (["taken"], "taken is there already"),
        (
            ["a", "--format", "2:4", "--level", "1"],
            "format=2:4: more than 2 of 4 weights in a row are kept",
        ),
        (["nowhere/a"], "nowhere/a: its folder is not there"),
        (["a.onnx", "--format", "csr"], "a.onnx: a .onnx file is --format onnx, and --format is csr"),
        (["a.pt", "--format", "safetensors"], "a.pt: a .pt file is --format torch, and --format is safetensors"),
    ],
)
def test_what_cannot_be_written_is_one_line(run, capsys, given, said):
    (run.parent.parent / "taken").write_text("mine")
    capsys.readouterr()
    assert export.main([str(run), *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert (run.parent.parent / "taken").read_text() == "mine"


def test_a_run_that_is_not_there_and_a_damaged_file(run, capsys, tmp_path):
    assert export.main(["runs/nope", "a"]) == 2
    assert capsys.readouterr().err == "ltb: runs/nope: there is no such run\n"
    (tmp_path / "a").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no weights in a format"):
        formats.read(tmp_path / "a")


def test_a_compact_network_is_smaller_and_gives_the_same(command, monkeypatch, capsys):
    given = ("method=filter_l1", "rewind.length=4it", "schedule=explicit", "schedule.sparsities=[0.6]")
    run = command.done(*(one for one in TINY if not one.startswith("schedule.")), *given)
    monkeypatch.chdir(command.folder)
    full, small = ltb.load(run), ltb.load(run, compact=True)
    assert network_of(small).fc1.weight.shape == (6, 40)  # of 16 units
    x = torch.randn(8, 40)
    with torch.no_grad():
        assert torch.allclose(small(x), full(x), atol=1e-6)
    assert (
        export.main([str(run), "small", "--compact"])
        == export.main([str(run), "small.onnx", "--compact", "--format", "onnx"])
        == 0
    )
    found = load_file("small")
    assert tensors.digest(found) == tensors.digest(tensors.state(network_of(small)))
    assert export.main([str(run), "full"]) == 0
    assert Path("small").stat().st_size < Path("full").stat().st_size
    with torch.no_grad():
        assert torch.allclose(onnx.run(onnx.session(Path("small.onnx"), 1), x), full(x), atol=1e-5)
    for further in (["--format", "csr"], ["--what", "ticket"]):
        capsys.readouterr()
        assert export.main([str(run), "other", "--compact", *further]) == 2
        assert capsys.readouterr().err == "ltb: --compact: of --what trained, and --format safetensors, torch, onnx\n"
        assert not Path("other").exists()


@pytest.mark.parametrize("apart", [0.5, float("nan")])
def test_a_compact_network_that_is_another_is_refused(run, monkeypatch, capsys, apart):
    monkeypatch.setattr("ltb.measures.harvest.loss_difference", lambda *given: apart)
    assert export.main([str(run), "small", "--compact"]) == 2
    assert capsys.readouterr().err.startswith(
        "ltb: --compact: without its dead units the network's loss on the test set differs by "
    )
    assert not Path("small").exists()
