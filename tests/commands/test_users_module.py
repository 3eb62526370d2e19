"""A user's own LightningModule, of the kind that templates make: its attributes, what it lacks, and what is then asked of it."""

import json

import pytest

from ltb import measure
from ltb.records import record
from tests.support.command import TINY, folders, ledger

# The names that ltb uses for its own parts, and those that the most used template gives its metrics: none of them means anything.
FILES = {
    "mod.py": """
from dataclasses import dataclass

import pytorch_lightning as pl
import torch
import torchmetrics
from torch import nn

from ltb.core.measure import Measure
from ltb.core.results import Measurement


class Lit(pl.LightningModule):
    def __init__(self, width=16):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(40, width), nn.ReLU(), nn.Linear(width, 10))
        self.criterion = nn.CrossEntropyLoss()
        self.train_loss, self.val_loss = torchmetrics.MeanMetric(), torchmetrics.MeanMetric()
        self.train_acc = torchmetrics.Accuracy(task="multiclass", num_classes=10)
        self.val_acc_best = torchmetrics.MaxMetric()
        self.objective, self.masks, self.prunable, self.execution, self.point = "x", 1, [], None, {}
        self.history, self.started, self.told, self.dynamics, self.evidence = [], 0, {}, "none", None

    def _step(self, batch, split):
        x, y = batch
        scores = self.body(x.flatten(1))
        loss = self.criterion(scores, y)
        self.log(f"{split}/loss", loss)
        self.log(f"{split}/accuracy", (scores.argmax(1) == y).float().mean())
        return loss

    def training_step(self, batch, index):
        loss = self._step(batch, "train")
        self.train_loss(loss)
        self.log("train/mean_loss", self.train_loss, on_step=False, on_epoch=True)
        return loss

    def on_train_epoch_end(self):
        self.train_acc.reset()

    def validation_step(self, batch, index):
        self._step(batch, "val")

    def on_validation_epoch_end(self):
        self.log("val/accuracy_best", self.val_acc_best(torch.tensor(0.5)))

    def test_step(self, batch, index):
        self._step(batch, "test")

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 1e-2)


@dataclass(frozen=True)
class Fragile(Measure):
    def __call__(self, of, bench):
        if not all(bool(mask.all()) for mask in of[0].masks.values()):
            raise KeyError("pruned")
        return Measurement({"x": 1})


@dataclass(frozen=True)
class Broken(Measure):
    def __call__(self, of, bench):
        return Measurement({"x": of[0].no_such_thing})
""",
    "inst.py": """
import mod


class Maker:
    def __call__(self):
        return mod.nn.Linear(40, 10)


made = Maker()
""",
    "model/inst.yaml": "_target_: inst.made\n",
    "module/lit.yaml": "_target_: mod.Lit\n",
    "measure/fragile.yaml": "# @package measure.fragile\n_target_: mod.Fragile\n",
    "measure/broken.yaml": "# @package measure.broken\n_target_: mod.Broken\n",
}
OWN = (
    "--config-dir", ".", "module=lit", *(one for one in TINY if not one.startswith("model.")),
    "protocol.layer_rates={}",
)  # fmt: skip
NO_FORWARD = "measure=calibration: the module must return class scores when it is called with x, and Lit fails: NotImplementedError"


@pytest.fixture(autouse=True)
def project(command):
    for name, text in FILES.items():
        path = command.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.lstrip("\n"))


@pytest.fixture
def ask(command, capsys, monkeypatch):
    def run(*arguments):
        with monkeypatch.context() as patch:
            patch.chdir(command.folder)
            code = measure.main([*map(str, arguments)])
        return code, capsys.readouterr()

    return run


def state(folder):
    return {name: (folder / name).read_text() for name in ("status.json", "levels.csv", "history.csv", "layers.csv")}


def test_no_attribute_of_a_module_means_anything_to_ltb(command):
    folder = command.done(*OWN)
    rows = ledger(folder)
    assert [row["level"] for row in rows] == ["0", "1", "2"]
    assert all(0 <= float(row["test/accuracy"]) <= 1 for row in rows)
    assert float(rows[2]["sparsity"]) > float(rows[1]["sparsity"]) > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("calibration", NO_FORWARD),
        ("[overlap,per_class]", NO_FORWARD.replace("calibration", "per_class")),
        (
            "broken",
            "measure=broken: it fails: AttributeError: 'Trained' object has no attribute 'no_such_thing' (",
        ),
    ],
)
def test_a_measure_that_cannot_work_is_refused_before_anything_is_trained_or_a_finished_run_is_touched(
    command, name, line
):
    found = command(*OWN, f"measure={name}")
    assert (found.code, folders(command.runs)) == (2, [])
    assert line in found.line
    folder = command.done(*OWN)
    before = state(folder)
    found = command(*OWN, f"measure={name}")
    assert found.code == 2
    assert line in found.line
    assert state(folder) == before


def test_layer_rates_of_the_default_tasks_own_network_stop_no_other(command):
    rows = ledger(command.done(*OWN[:-1]))
    assert [row["level"] for row in rows] == ["0", "1", "2"]
    assert {(row["task"], row["model"]) for row in rows} == {("noise++lit", "lit")}


def test_a_mapping_is_not_emptied_and_filled_at_once(command):
    found = command(*OWN, "+protocol.layer_rates.out=half")
    assert found.code == 2
    assert "protocol.layer_rates={}: it empties the mapping, and protocol.layer_rates.out is set as well" in found.line


def test_a_target_that_is_an_instance_is_one_line(command):
    found = command(
        "--config-dir",
        ".",
        *(one for one in TINY if not one.startswith("model.")),
        "model=inst",
        "protocol.layer_rates={}",
    )
    assert found.code == 2
    assert "_target_=inst.made: a class or a function, not <inst.Maker object" in found.line


@pytest.mark.slow
def test_a_measure_that_fails_later_leaves_a_finished_run_its_levels(command):
    folder = command.done(*OWN)
    before = state(folder)
    found = command(*OWN, "measure=fragile")
    assert found.code == 1
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["levels_done"]) == ("failed", 3)
    assert "pruned" in status["error"]
    assert state(folder) | {"status.json": ""} == before | {"status.json": ""}
    command.done(*OWN)
    assert json.loads((folder / "status.json").read_text())["state"] == "complete"


@pytest.mark.slow
def test_a_run_that_cannot_be_measured_is_one_line_and_stops_no_other(command, ask):
    command.done(*OWN)
    other = command.done(*TINY)
    code, shown = ask("runs", "measure=calibration", "-cd", command.folder)
    assert code == 1
    assert NO_FORWARD in shown.err
    assert len(shown.err.splitlines()) == 1
    assert {row["measure"] for row in record.read_rows(other / "measures.csv")} == {"calibration"}
    code, shown = ask("runs", "measure=broken", "-cd", command.folder)
    assert code == 1
    assert [line.rpartition(" has no ")[2] for line in shown.err.splitlines()] == ["attribute 'no_such_thing'"] * 2
