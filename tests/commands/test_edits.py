"""A person's project edited between two runs of one command: what is trained again, and what is found in the store."""

import sys

import numpy
import pytest
import torch
from safetensors.torch import save_file

from tests.support.command import folders, ledger

FILES = {
    "net.py": '''
import torch
from safetensors.torch import load_file
from torch import nn

from layers import activation


class Net(nn.Module):
    """Two layers, the first from a file."""

    def __init__(self, shape, classes, weights):
        super().__init__()
        self.hidden = nn.Linear(shape[0], 8)
        self.output = nn.Linear(8, classes)
        self.hidden.weight.data.copy_(load_file(weights)["hidden"])

    def forward(self, x):
        return self.output(activation(self.hidden(x)))
''',
    "layers.py": "import torch\n\n\ndef activation(x):\n    return torch.relu(x)\n",
    "served.py": '''
import numpy
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset


class Served(pl.LightningDataModule):
    """Examples from a file: 60 to train with, 20 and 20."""

    def __init__(self, file, batch_size):
        super().__init__()
        self.file, self.batch_size = file, batch_size

    def setup(self, stage):
        x = torch.from_numpy(numpy.load(self.file))
        self.data = TensorDataset(x, (x[:, 0] > 0).long())

    def _loader(self, first, last, **given):
        return DataLoader(torch.utils.data.Subset(self.data, range(first, last)), self.batch_size, **given)

    def train_dataloader(self):
        return self._loader(0, len(self.data) - 40, shuffle=True)

    def val_dataloader(self):
        return self._loader(len(self.data) - 40, len(self.data) - 20)

    def test_dataloader(self):
        return self._loader(len(self.data) - 20, len(self.data))
''',
    "unused.py": "nothing = 0\n",
    "model/net.yaml": "_target_: net.Net\nshape: [6]\nclasses: 2\nweights: init.safetensors\n",
    "data/served.yaml": "_target_: served.Served\nfile: x.npy\nbatch_size: ${protocol.batch_size}\n",
}
COMMAND = (
    "--config-dir", ".", "method=imp", "model=net", "data=served", "protocol.batch_size=10", "protocol.layer_rates={}",
    "training.length=12it", "schedule.levels=1", "logger=none", "progress=false",
)  # fmt: skip


def examples(count=100, seed=0):
    return numpy.random.default_rng(seed).standard_normal((count, 6)).astype("float32")


def replace_in(name, before, after):
    def edit(folder):
        path = folder / name
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))

    return edit


def pretrained(folder, seed=1):
    save_file({"hidden": torch.randn(8, 6, generator=torch.Generator().manual_seed(seed))}, folder / "init.safetensors")


EDITS = {
    "model code": (replace_in("net.py", "activation(self.hidden(x))", "activation(self.hidden(x)) * 2"), "trained"),
    "a helper that it imports": (replace_in("layers.py", "torch.relu", "torch.tanh"), "trained"),
    "a data file replaced": (lambda folder: numpy.save(folder / "x.npy", examples(seed=7)), "trained"),
    "examples deleted": (lambda folder: numpy.save(folder / "x.npy", examples()[:90]), "trained"),
    "the pretrained file replaced": (lambda folder: pretrained(folder, 2), "trained"),
    "DataModule code": (replace_in("served.py", "x[:, 0] > 0", "x[:, 1] > 0"), "trained"),
    "a comment": (replace_in("net.py", "    def forward", "    # The forward pass.\n\n    def forward"), "reused"),
    "a file that nothing imports": (replace_in("unused.py", "0", "1"), "reused"),
    "the pretrained file written again": (pretrained, "reused"),
}


@pytest.fixture
def project(command):
    for name, text in FILES.items():
        path = command.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.lstrip("\n"))
    numpy.save(command.folder / "x.npy", examples())
    pretrained(command.folder)

    def run():
        for name in ("net", "layers", "served", "unused"):  # as a process of its own would import them
            sys.modules.pop(name, None)
        found = command(*COMMAND)
        assert (found.code, found.err) == (0, "")
        return max(folders(command.runs), key=lambda folder: (folder / "status.json").stat().st_mtime_ns)

    return run


def trained_anew(rows, before):
    return [row["stage"] not in {old["stage"] for old in before} for row in rows]


@pytest.mark.parametrize("name", EDITS)
def test_what_an_edit_trains_again(project, command, name):
    edit, expected = EDITS[name]
    first = project()
    before = ledger(first)
    edit(command.folder)
    after = ledger(project())
    assert ledger(first) == before  # what the first command found is not overwritten
    assert trained_anew(after, before) == [expected == "trained"] * 2
    if expected == "trained":
        assert [row["test/loss"] for row in after] != [row["test/loss"] for row in before]
    else:
        assert after == before


def test_a_salt_tells_apart_what_cannot_be_seen(project, command):
    before = ledger(project())
    found = command(*COMMAND, "salt=service of November")
    assert (found.code, found.err) == (0, "")
    newest = max(folders(command.runs), key=lambda folder: (folder / "status.json").stat().st_mtime_ns)
    assert trained_anew(ledger(newest), before) == [True, True]
