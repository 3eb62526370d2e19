"""Whole units from the command line: pruned by each method that has them, trained masked and compact, and what is refused."""

import pytest
import torch

import ltb
from tests.support.command import TINY, ledger

SHORT = [one for one in TINY if not one.startswith(("model.", "data.shape", "schedule."))]
RESNET = [
    *SHORT,
    "data.shape=[3,8,8]",
    "model=resnet20",
    "model.width=4",
    "schedule=explicit",
    "schedule.sparsities=[0.5,0.8]",
]
MLP = [*SHORT, "data.shape=[40]", "model.widths=[16,12]", "schedule=explicit", "schedule.sparsities=[0.5,0.8]"]


@pytest.mark.slow
def test_compact_and_masked_runs_keep_the_same_units_and_say_nearly_the_same(command, monkeypatch):
    monkeypatch.chdir(command.folder)
    rows = []
    for execution in ("masked", "compact"):
        folder = command.done("method=filter_l1", f"execution={execution}", "rewind.length=4it", *MLP)
        rows.append(ledger(folder))
        assert len(rows[-1]) == 3
        module = ltb.load(folder, level=2)
        assert [tuple(p.shape) for p in module.network.parameters() if p.ndim > 1] == [(16, 40), (12, 16), (10, 12)]
        first, second = (getattr(module.network, name).weight for name in ("fc1", "fc2"))
        assert int(first.any(1).sum()) == int(second.any(0).sum())
        assert int(first.any(1).sum()) + int(second.any(1).sum()) == 28 - round(28 * 0.8)
    for masked, compact in zip(*rows, strict=True):
        assert masked["remaining"] == compact["remaining"]
        assert float(masked["val/loss"]) == pytest.approx(float(compact["val/loss"]), rel=1e-4)
    assert rows[0][0]["stage"] == rows[1][0]["stage"]
    assert rows[0][1]["stage"] != rows[1][1]["stage"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        ["method=network_slimming", "dense_objective.strength=0.01"],
        ["method=imp", "allocation=structured", "allocation.reduce=l2", "allocation.over=all", "execution=compact"],
    ],
    ids=" ".join,
)
def test_a_network_of_residual_blocks(command, given):
    more = ["rewind.length=2it"] if "method=imp" not in given else []
    rows = ledger(command.done(*given, *more, *RESNET))
    assert [int(row["remaining"]) for row in rows] == sorted((int(row["remaining"]) for row in rows), reverse=True)
    assert float(rows[1]["density"]) < 0.5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["method=gradual", "execution=compact"],
            "execution=Compact keeps its masks through a fit, and with dynamics=Gradual they change; leave it at execution=masked",
        ),
        (
            ["method=imp", "allocation=structured", "criterion=norm_scale"],
            "criterion=NormScale: no unit of this network has a batch norm behind it, whose scale it could be ranked by",
        ),
        (
            ["method=imp", "allocation=structured", "prunable.include=[output.weight]"],
            "allocation=Structured: this network has no units that can be pruned; not prunable are fc1.weight, fc2.weight",
        ),
        (["method=filter_l1", "allocation.over=none"], "allocation.over='none': one of made, all"),
    ],
)
def test_what_cannot_be_is_one_line(command, given, said):
    result = command(*given, *MLP)
    assert (result.code, said in result.line) == (2, True), result.line


OWN = """
from torch import nn


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        one = nn.TransformerEncoderLayer(8, 4, 12, dropout=0.0, batch_first=True)
        self.embed, self.encoder, self.output = nn.Linear(5, 8), nn.TransformerEncoder(one, 2), nn.Linear(64, 10)

    def forward(self, x):
        return self.output(self.encoder(self.embed(x.reshape(-1, 8, 5))).flatten(1))
"""


@pytest.mark.slow
def test_heads_of_attention_are_pruned_whole_and_a_compact_run_says_nearly_the_same(command, monkeypatch):
    tiny = command.own_model("attending", OWN)
    monkeypatch.chdir(command.folder)
    rows = []
    for execution in (["execution=masked"], ["execution=compact", "execution.structure.heads=true"]):
        folder = command.done(
            *tiny,
            *("method=filter_l1", "rewind.length=4it", "allocation.structure.heads=true"),
            *(one for one in MLP if not one.startswith("model.")),
            *execution,
        )
        rows.append(ledger(folder))
        attention = ltb.load(folder, level=1).network.encoder.layers[0].self_attn
        kept = attention.in_proj_weight.any(1).unflatten(0, (3, 4, 2))
        assert kept.sum() == 3 * 2 * 2  # two of four heads
        assert torch.equal(kept.all(2).all(0), kept.any(2).any(0))
        assert torch.equal(
            attention.in_proj_bias.unflatten(0, (3, 4, 2)).any(2).any(0) <= kept.any(2).any(0), torch.ones(4) > 0
        )
        assert torch.equal(attention.out_proj.weight.any(0).unflatten(0, (4, 2)).all(1), kept.any(2).any(0))
    for masked, compact in zip(*rows, strict=True):
        assert masked["remaining"] == compact["remaining"]
        assert float(masked["val/loss"]) == pytest.approx(float(compact["val/loss"]), rel=1e-4)
