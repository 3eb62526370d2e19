"""ltb without Hydra: the script that README shows, at most 20 lines, run as it stands."""

import runpy
from pathlib import Path
from textwrap import indent

import pytest
import torch

import ltb

SCRIPT = Path(__file__).with_name("library_example.py")
ROOT = SCRIPT.parents[2]


def test_the_script_is_short_and_is_the_one_in_the_readme():
    text, readme = SCRIPT.read_text(), (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 20
    assert text in readme or indent(text, "    ") in readme


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec")
def test_the_script_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(SCRIPT.parents[1] / "own")
    found = runpy.run_path(str(SCRIPT))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[:2] for line in lines] == [
        ["level 0", "density 100.0%"], ["level 1", "density 50.0%"], ["level 2", "density 25.0%"], ["level 3", "density 12.5%"],
    ]  # fmt: skip
    ticket, module = ltb.Ticket.load("ticket.safetensors"), found["module"]
    assert ticket.origin.step == 5
    state = module.network.state_dict()
    for name, mask in ticket.masks.items():
        assert not state[name][~mask].any()
        assert not torch.equal(state[name][mask], ticket.origin.weights[name][mask])
        for optimizer in found["trainer"].optimizers:
            (moment,) = (s["exp_avg"] for p, s in optimizer.state.items() if torch.equal(p, state[name]))
            assert not moment[~mask].any()
    assert found["trainer"].global_step == 2 * 200 // 20 // 2


def test_everything_that_the_package_offers_is_there():
    for name in ltb.__all__:
        assert getattr(ltb, name).__name__.removeprefix("ltb.core.") == name
    assert ltb.rewind.FineTune(length="2ep").length.count == 2
    with pytest.raises(AttributeError, match="module 'ltb' has no attribute 'Nope'"):
        _ = ltb.Nope
